"""The graph: a source, stages in a row, sinks side by side; a thread each, bounded links between them."""

from __future__ import annotations

import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from keywarp.engines.errors import GraphError, KeywarpError, SourceError, StageError

from .clock import Clock, MonotonicClock
from .frame import Frame, over_drop
from .link import Link
from .packet import Packet, Span
from .sources.base import Source
from .stage import Sink, Stage, StreamInfo
from .threads import Shared, step_back

_log = logging.getLogger(__name__)

Mode = Literal["newest", "every", "block"]

READ = "read"
"""The name under which the source's own work is timed."""

# Frames that may wait in one link. A file's key frames take many times the mean, and the frames that pile up
# meanwhile keep the other cores busy; for a live stream every frame that waits is old news.
_FILE_LINK_FRAMES = 12
_LIVE_LINK_FRAMES = 1
_PAUSE_LOOK_S = 0.02

# Python's default of 5 ms lets a busy thread hold up a frame for a quarter of its time.
_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which frames are let into the graph, see :class:`keywarp.pipeline.config.DeliveryConfig`.

    ``mode``: None is ``newest`` for a live stream and ``every`` for others. ``max_age_ns`` by the graph's clock.
    ``queue``: frames of a live stream that may wait at the entrance in the mode ``every``.
    """

    mode: Mode | None = None
    max_age_ns: int | None = None
    queue: int = 300

    def for_stream(self, live: bool) -> _Admission:
        """What it comes to."""
        mode = self.mode or ("newest" if live else "every")
        waits = mode == "block" or (mode == "every" and not live)
        queue = self.queue if mode == "every" and live else None
        return _Admission(live, mode, waits, self.max_age_ns, queue)


class _Admission(NamedTuple):
    """What happens at the entrance; ``waits``: whether the source has to wait for room."""

    live: bool
    mode: Mode
    waits: bool
    max_age_ns: int | None
    queue: int | None


class Graph:
    """Stages that run one after another on each packet, then sinks that all get it.

    Every problem of the layout is found by the constructor and named in one :class:`GraphError`. ``delivery``
    says which frames are let in; those that are not are counted in ``dropped`` by cause: ``late`` (a newer one
    came), ``full`` (the queue was), ``stale`` (older than allowed when its turn came), ``paused``. ``paused`` is
    asked before each frame: a file waits while it says so. Frames are dropped at the entrance only, but for a
    sink of a live stream: one that is slow misses frames, counted in its ``missed``, and holds up nobody.
    ``frames_in`` counts the source's frames, ``frozen`` those shown again while it was interrupted, which count
    nowhere else. A graph runs once.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        sinks: Sequence[Sink],
        *,
        clock: Clock | None = None,
        delivery: Delivery | None = None,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        _check_layout(stages, sinks)
        self.stages = list(stages)
        self.sinks = list(sinks)
        self._clock = clock or MonotonicClock()
        self._delivery = delivery or Delivery()
        self._paused = paused
        self._stopping = False
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self.dropped: Counter[str] = Counter()
        self.frames_in = 0
        self.frozen = 0
        self.info: StreamInfo | None = None
        self._source: Source | None = None

    def stop(self) -> None:
        """End the stream after the current frame. Frames under way are finished, and so are all outputs.

        Takes no lock: it may be called from a signal handler, from any thread, any number of times.
        """
        self._stopping = True
        if self._source is not None:
            self._source.interrupt()
        for sink in self.sinks:
            sink.interrupt()

    def run(self, source: Source) -> Iterator[Packet]:
        """Run ``source`` through the graph and yield each packet once every sink has accepted it.

        Raises what a source or stage raised (:class:`StageError` with stage and frame; errors of opening
        as they are) after all threads have ended and everything is closed. Leaving the loop early, or
        Ctrl-C in it, ends the stream as :meth:`stop` does.
        """
        if self.info is not None:
            raise GraphError("a graph runs once; build another one for another stream")
        source.clock = self._clock
        self._source = source
        try:
            self.info = self._open(source)
            if self.info is not None:
                with _QUICK_SWITCHING.held():
                    yield from self._run_open(source, self.info)
        finally:
            source.close()

    def _open(self, source: Source) -> StreamInfo | None:
        """Open the source; None where the run was stopped before that was done."""
        if self._stopping:
            return None
        try:
            return source.open()
        except SourceError:
            if self._stopping:  # it breaks off when it is told to
                return None
            raise

    def _run_open(self, source: Source, info: StreamInfo) -> Iterator[Packet]:
        done = _Completed(len(self.sinks))
        gate = _Gate(len(self.stages) + len(self.sinks))
        threads = self._threads(source, info, done, gate)
        finished = False
        try:
            for thread in threads:
                thread.start()
            yield from done.link
            finished = True
        finally:
            self.stop()
            for _ in done.link:  # let what is under way come out at the end
                pass
            for thread in threads:
                thread.join()
            if self._error is not None and not finished:  # the caller left: there is nobody to raise it to
                _log.error("%s", self._error)
        if self._error is not None:
            raise self._error

    def _threads(
        self, source: Source, info: StreamInfo, done: _Completed, gate: _Gate
    ) -> list[threading.Thread]:
        delivery = self._delivery.for_stream(info.live)
        capacity = _LIVE_LINK_FRAMES if info.live else _FILE_LINK_FRAMES
        pump = _Pump(self, source, delivery, Link(delivery.queue or capacity), gate)
        inlet = pump.entrance
        threads = []
        for position, stage in enumerate(self.stages):
            last = position == len(self.stages) - 1
            outlet = self._fan_out(done, delivery.mode, capacity) if last else _Line(Link(capacity))
            max_age_ns = delivery.max_age_ns if position == 0 else None
            threads.append(_Work(self, stage, inlet, outlet, gate, max_age_ns=max_age_ns).thread(info))
            if isinstance(outlet, _Line):
                inlet = outlet.link
            else:
                for sink, link in outlet.links:
                    threads.append(_Work(self, sink, link, _Done(done), gate).thread(info))
        return [*threads, _thread(pump.run, READ)]

    def _fan_out(self, done: _Completed, mode: Mode, capacity: int) -> _FanOut:
        if mode == "newest":
            return _FanOut(done, [(sink, Link(max(1, sink.backlog))) for sink in self.sinks], waits=False)
        return _FanOut(done, [(sink, Link(capacity)) for sink in self.sinks], waits=True)

    def _drop(self, frame: Frame, cause: str) -> None:
        if frame.frozen:  # it counts nowhere
            return
        with self._error_lock:  # the source and the first stage both drop
            self.dropped[cause] += 1

    def _fail(self, error: BaseException) -> None:
        with self._error_lock:
            if self._error is None:
                self._error = error
        self.stop()


class _Gate:
    """Lets the source start once every stage is open, and not at all where one failed to."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._changed = threading.Condition()

    def opened(self) -> None:
        with self._changed:
            self._missing -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._missing <= 0)


class _Completed:
    """Hands out packets that all sinks are done with, in order, and ends when the last sink has."""

    def __init__(self, sinks: int) -> None:
        self.link: Link[Packet] = Link(_FILE_LINK_FRAMES)
        self._sinks = sinks
        self._open = max(1, sinks)
        self._waiting: dict[
            int, tuple[Packet, int]
        ] = {}  # in the order of the stream, with the sinks to come
        self._lock = threading.Lock()

    def expect(self, packet: Packet) -> None:
        """The packet is about to be given to the sinks."""
        with self._lock:
            self._waiting[packet.frame.index] = packet, self._sinks
            self._hand_out()

    def accept(self, packet: Packet) -> None:
        """One more sink is done with the packet."""
        with self._lock:
            index = packet.frame.index
            if index in self._waiting:
                self._waiting[index] = packet, self._waiting[index][1] - 1
            self._hand_out()

    def end(self) -> None:
        """One more sink has ended."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.link.finish()

    def _hand_out(self) -> None:
        while self._waiting:
            index, (packet, missing) = next(iter(self._waiting.items()))
            if missing > 0:
                return
            del self._waiting[index]
            self.link.put(packet)


class _Outlet(ABC):
    """Where a stage's packets go."""

    @abstractmethod
    def put(self, packet: Packet) -> None:
        """Give one away."""

    @abstractmethod
    def finish(self) -> None:
        """Nothing more will come."""


class _Line(_Outlet):
    """To the next stage."""

    def __init__(self, link: Link[Packet]) -> None:
        self.link = link

    def put(self, packet: Packet) -> None:
        self.link.put(packet)

    def finish(self) -> None:
        self.link.finish()


class _FanOut(_Outlet):
    """To all sinks; where it does not wait for them, a sink with no room misses its oldest packet."""

    def __init__(self, done: _Completed, links: list[tuple[Sink, Link[Packet]]], *, waits: bool) -> None:
        self.links = links
        self._done = done
        self._waits = waits

    def put(self, packet: Packet) -> None:
        self._done.expect(packet)
        for sink, link in self.links:
            if self._waits:
                link.put(packet)
                continue
            missed = link.put_newest(packet, lambda _, following: following)
            if missed is not None:
                sink.missed += not missed.frame.frozen
                self._done.accept(missed)

    def finish(self) -> None:
        for _, link in self.links:
            link.finish()
        if not self.links:
            self._done.end()


class _Done(_Outlet):
    """A sink's: to nobody but the count of those who are done."""

    def __init__(self, done: _Completed) -> None:
        self._done = done

    def put(self, packet: Packet) -> None:
        self._done.accept(packet)

    def finish(self) -> None:
        self._done.end()


class _Work:
    """The thread of one stage or sink. ``max_age_ns``: an older packet is dropped when its turn comes."""

    def __init__(
        self,
        graph: Graph,
        stage: Stage,
        inlet: Link[Packet],
        outlet: _Outlet,
        gate: _Gate,
        *,
        max_age_ns: int | None = None,
    ) -> None:
        self._graph = graph
        self._clock = graph._clock
        self._stage = stage
        self._inlet = inlet
        self._outlet = outlet
        self._gate = gate
        self._max_age_ns = max_age_ns
        self._stale: Packet | None = None
        self._frame_index: int | None = None

    def thread(self, info: StreamInfo) -> threading.Thread:
        return _thread(lambda: self._run(info), self._stage.name, urgent=self._stage.urgent)

    def _run(self, info: StreamInfo) -> None:
        try:
            self._guard(lambda: self._open_and_work(info))
            self._frame_index = None
            self._guard(self._stage.close)
        finally:
            self._inlet.close()
            self._outlet.finish()

    def _open_and_work(self, info: StreamInfo) -> None:
        try:
            self._stage.open(info)
        except BaseException:
            self._graph.stop()  # before the gate opens: no frame is read for a graph that cannot run
            raise
        finally:
            self._gate.opened()
        for packet in self._inlet:
            if not self._is_stale(packet):
                self._process(packet)
                self._outlet.put(packet)

    def _is_stale(self, packet: Packet) -> bool:
        """Whether the packet is too old; the next one then leads over it."""
        frame = packet.frame
        if self._max_age_ns is None or frame.frozen:
            return False
        if self._stale is not None:
            _succeed(self._stale, packet)
            self._stale = None
        if self._clock.now_ns() - frame.capture_ns <= self._max_age_ns:
            return False
        self._graph._drop(frame, "stale")
        self._stale = packet
        return True

    def _process(self, packet: Packet) -> None:
        self._frame_index = packet.frame.index
        ready_ns = packet.ready_ns
        start_ns = self._clock.now_ns()
        self._stage.process(packet)
        end_ns = self._clock.now_ns()
        packet.spans.append(Span(self._stage.name, start_ns, end_ns - start_ns, max(0, start_ns - ready_ns)))
        if not isinstance(self._stage, Sink):
            packet.ready_ns = end_ns

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of run
            self._graph._fail(_with_place(error, self._stage.name, self._frame_index))


class _Pump:
    """The thread of the source: reads frames and lets them into the graph."""

    def __init__(
        self,
        graph: Graph,
        source: Source,
        delivery: _Admission,
        entrance: Link[Packet],
        gate: _Gate,
    ) -> None:
        self.entrance = entrance
        self._graph = graph
        self._source = source
        self._live = delivery.live
        self._waits = delivery.waits
        self._cause = "late" if delivery.mode == "newest" else "full"
        self._gate = gate
        self._after_pause = False

    def run(self) -> None:
        try:
            self._gate.wait()
            if not self._graph._stopping:
                self._read_all()
        except SourceError as error:
            if not self._graph._stopping:  # a source may break off when it is told to stop
                self._graph._fail(error)
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of run
            self._graph._fail(_with_place(error, READ, self._graph.frames_in))
        finally:
            self.entrance.finish()

    def _read_all(self) -> None:
        clock = self._graph._clock
        start_ns = clock.now_ns()
        for frame in self._source.frames():
            end_ns = clock.now_ns()
            if frame.frozen and (self._graph._paused() or not self.entrance.is_empty):
                continue  # it must not take the place of a fresh one
            if frame.frozen:
                self._graph.frozen += 1
            else:
                self._graph.frames_in += 1
            if self._live:  # what came before is waiting
                start_ns = max(start_ns, min(frame.capture_ns, end_ns))
            packet = Packet(frame, clock)
            packet.spans.append(Span(READ, start_ns, end_ns - start_ns))
            packet.ready_ns = end_ns
            if not self._admit(packet) or self._graph._stopping:
                break
            start_ns = clock.now_ns()

    def _admit(self, packet: Packet) -> bool:
        if self._graph._paused() and not self._wait_or_drop(packet):
            return not self.entrance.is_closed
        if self._after_pause:
            packet.frame = replace(packet.frame, after_gap=True)
            self._after_pause = False
        if self._waits:
            return self.entrance.put(packet)
        dropped = self.entrance.put_newest(packet, _succeed)
        if dropped is not None:
            self._graph._drop(dropped.frame, self._cause)
        return not self.entrance.is_closed

    def _wait_or_drop(self, packet: Packet) -> bool:
        """In a pause: let what can wait do so; True where the packet is still to be let in."""
        if not self._waits:
            self._after_pause = True
            self._graph._drop(packet.frame, "paused")
            return False
        while self._graph._paused() and not self._graph._stopping and not self.entrance.is_closed:
            time.sleep(_PAUSE_LOOK_S)
        packet.ready_ns = self._graph._clock.now_ns()
        return True


def _thread(work: Callable[[], None], name: str, *, urgent: bool = False) -> threading.Thread:
    def run() -> None:
        if not urgent:
            step_back()
        work()

    # A daemon, so that a program whose caller forgot a half-read run can still end.
    return threading.Thread(target=run, name=f"keywarp-{name}", daemon=True)


def _succeed(dropped: Packet, following: Packet) -> Packet:
    """The packet after a dropped one: its step flow now leads over the gap."""
    if not dropped.frame.frozen:
        following.frame = over_drop(dropped.frame, following.frame)
    return following


def _with_place(error: BaseException, stage: str, frame_index: int | None) -> BaseException:
    said_well = isinstance(error, KeywarpError) and (frame_index is None or stage == READ)
    if said_well or isinstance(error, StageError):
        return error
    placed = StageError(stage, frame_index, error)
    placed.__cause__ = error
    return placed


def _check_layout(stages: Sequence[Stage], sinks: Sequence[Sink]) -> None:
    problems = []
    if not stages:
        problems.append("there is no stage")
    names = Counter(stage.name for stage in (*stages, *sinks))
    problems += [f"{count} stages are called '{name}'" for name, count in names.items() if count > 1]
    if READ in names:
        problems.append(f"'{READ}' is the source's own name")
    written: dict[str, str] = {}
    for stage in (*stages, *sinks):
        problems += [
            f"'{stage.name}' reads '{key.name}', which no stage before it writes"
            for key in stage.reads
            if key.name not in written
        ]
        for key in stage.writes:
            if isinstance(stage, Sink):
                problems.append(f"sink '{stage.name}' writes '{key.name}'; sinks only read")
            elif key.name in written:
                problems.append(f"'{stage.name}' and '{written[key.name]}' both write '{key.name}'")
            else:
                written[key.name] = stage.name
    if problems:
        raise GraphError("this graph cannot work: " + "; ".join(problems))


def _switch_quickly() -> Callable[[], None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(min(before_s, _SWITCH_INTERVAL_S))
    return lambda: sys.setswitchinterval(before_s)


_QUICK_SWITCHING = Shared(_switch_quickly)
