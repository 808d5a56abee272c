"""The graph: a source, stages in a row, sinks side by side; a thread each, bounded links between them."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from keywarp.engines.errors import GraphError, KeywarpError, SourceError, StageError

from .clock import Clock, MonotonicClock
from .frame import JoinedStep
from .link import Link
from .packet import Packet, Span
from .sources.base import Source
from .stage import Sink, Stage, StreamInfo

_log = logging.getLogger(__name__)

READ = "read"
"""The name under which the source's own work is timed."""

# Frames that may wait in one link. A file's key frames take many times the mean, and the frames that pile up
# meanwhile keep the other cores busy; for a live stream every frame that waits is old news.
_FILE_LINK_FRAMES = 12
_LIVE_LINK_FRAMES = 1

# Python's default of 5 ms lets a busy thread hold up a frame for a quarter of its time.
_SWITCH_INTERVAL_S = 0.0005

# How far decoding, drawing and encoding step back behind the models, whose results everything waits for. Enough
# to settle who goes first on a full machine, too little to lose much to other programs.
_NICE = 4


class Graph:
    """Stages that run one after another on each packet, then sinks that all get it.

    Every problem of the layout is found by the constructor and named in one :class:`GraphError`. Frames of
    a file are all delivered, in order; a live source drops at the entrance only, the oldest frame first,
    counted in ``dropped`` by cause. A graph runs once.
    """

    def __init__(self, stages: Sequence[Stage], sinks: Sequence[Sink], *, clock: Clock | None = None) -> None:
        _check_layout(stages, sinks)
        self.stages = list(stages)
        self.sinks = list(sinks)
        self._clock = clock or MonotonicClock()
        self._stopping = False
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self.dropped: Counter[str] = Counter()
        self.frames_in = 0
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
            self.info = source.open()
            with _quick_thread_switching():
                yield from self._run_open(source, self.info)
        finally:
            source.close()

    def _run_open(self, source: Source, info: StreamInfo) -> Iterator[Packet]:
        done = _Completed(max(1, len(self.sinks)))
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
        capacity = _LIVE_LINK_FRAMES if info.live else _FILE_LINK_FRAMES
        entrance: Link[Packet] = Link(capacity)
        inlet = entrance
        threads = []
        for position, stage in enumerate(self.stages):
            last = position == len(self.stages) - 1
            outlets = [Link[Packet](capacity) for _ in (self.sinks if last else (None,))]
            work = _Work(self, stage, inlet, outlets, done if last and not self.sinks else None, gate)
            threads.append(work.thread(info))
            if not last:
                inlet = outlets[0]
            else:
                for sink, link in zip(self.sinks, outlets, strict=False):
                    threads.append(_Work(self, sink, link, [], done, gate).thread(info))
        pump = _Pump(self, source, info.live, entrance, gate)
        return [*threads, _thread(pump.run, READ)]

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
    """Collects packets that all sinks are done with, in order, and ends when the last sink has."""

    def __init__(self, sinks: int) -> None:
        self.link: Link[Packet] = Link(_FILE_LINK_FRAMES)
        self._needed = sinks
        self._open = sinks
        self._seen: Counter[int] = Counter()
        self._lock = threading.Lock()

    def accept(self, packet: Packet) -> None:
        with self._lock:
            self._seen[packet.frame.index] += 1
            if self._seen[packet.frame.index] < self._needed:
                return
            del self._seen[packet.frame.index]
            self.link.put(packet)

    def end(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.link.finish()


class _Work:
    """The thread of one stage or sink."""

    def __init__(
        self,
        graph: Graph,
        stage: Stage,
        inlet: Link[Packet],
        outlets: list[Link[Packet]],
        done: _Completed | None,
        gate: _Gate,
    ) -> None:
        self._graph = graph
        self._clock = graph._clock
        self._stage = stage
        self._inlet = inlet
        self._outlets = outlets
        self._done = done
        self._gate = gate
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
            for link in self._outlets:
                link.finish()
            if self._done is not None:
                self._done.end()

    def _open_and_work(self, info: StreamInfo) -> None:
        try:
            self._stage.open(info)
        except BaseException:
            self._graph.stop()  # before the gate opens: no frame is read for a graph that cannot run
            raise
        finally:
            self._gate.opened()
        for packet in self._inlet:
            self._process(packet)
            for link in self._outlets:
                link.put(packet)
            if self._done is not None:
                self._done.accept(packet)

    def _process(self, packet: Packet) -> None:
        self._frame_index = packet.frame.index
        ready_ns = packet.ready_ns
        start_ns = self._clock.now_ns()
        self._stage.process(packet)
        end_ns = self._clock.now_ns()
        packet.spans.append(Span(self._stage.name, start_ns, end_ns - start_ns, max(0, start_ns - ready_ns)))
        if self._outlets:
            packet.ready_ns = end_ns

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of run
            self._graph._fail(_with_place(error, self._stage.name, self._frame_index))


class _Pump:
    """The thread of the source: reads frames and lets them into the graph."""

    def __init__(self, graph: Graph, source: Source, live: bool, entrance: Link[Packet], gate: _Gate) -> None:
        self._graph = graph
        self._source = source
        self._live = live
        self._entrance = entrance
        self._gate = gate

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
            self._entrance.finish()

    def _read_all(self) -> None:
        clock = self._graph._clock
        start_ns = clock.now_ns()
        for frame in self._source.frames():
            end_ns = clock.now_ns()
            self._graph.frames_in += 1
            packet = Packet(frame, clock)
            packet.spans.append(Span(READ, start_ns, end_ns - start_ns))
            packet.ready_ns = end_ns
            if not self._admit(packet) or self._graph._stopping:
                break
            start_ns = clock.now_ns()

    def _admit(self, packet: Packet) -> bool:
        if not self._live:
            return self._entrance.put(packet)
        dropped = self._entrance.put_newest(packet, _succeed)
        if dropped is not None:
            self._graph.dropped["late"] += 1
        return not self._entrance.is_closed


def _thread(work: Callable[[], None], name: str, *, urgent: bool = False) -> threading.Thread:
    def run() -> None:
        if not urgent:
            _step_back()
        work()

    # A daemon, so that a program whose caller forgot a half-read run can still end.
    return threading.Thread(target=run, name=f"keywarp-{name}", daemon=True)


def _step_back() -> None:
    """Let the engines' threads have a core before this one, where the system has priorities for threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _succeed(dropped: Packet, following: Packet) -> Packet:
    """The packet after a dropped one: its step flow now leads over the gap."""
    step = JoinedStep.of(dropped.frame.step, following.frame.step)
    following.frame = replace(following.frame, step=step)
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


@contextmanager
def _quick_thread_switching() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(min(before_s, _SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
