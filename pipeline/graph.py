"""The graph: a source, stages in a row, sinks side by side; a thread each, bounded links between them."""

from __future__ import annotations

import logging
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from keywarp.engines.errors import GraphError, SourceError

from .clock import Clock, MonotonicClock
from .course import Course
from .entrance import Admission, Delivery, Entrance
from .link import Link, link_capacity
from .outlets import FanOut
from .packet import Packet
from .sources.base import Source
from .stage import Sink, Stage, StreamInfo
from .threads import Shared
from .work import READ, Gate, Inlet, Pump, Work, Worker

_log = logging.getLogger(__name__)

# Python's default of 5 ms lets a busy thread hold up a frame for a quarter of its time.
_SWITCH_INTERVAL_S = 0.0005


class Graph:
    """Stages that run one after another on each packet, then sinks that all get it.

    Every problem of the layout is found by the constructor and named in one :class:`GraphError`. ``delivery``
    says which frames are let in; those that are not are counted in ``dropped`` by cause: ``late`` (a newer one
    came), ``full`` (the queue was), ``stale`` (older than allowed when its turn came), ``paused``. ``paused`` is
    asked before each frame: a file waits while it says so. Frames are dropped at the entrance only, but for the
    sinks of a stream delivered as ``newest``: one that is slow misses frames, counted in its ``missed``, and holds
    up nobody, neither the other sinks nor the caller. A graph runs once.
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
        self.info: StreamInfo | None = None
        self._delivery = delivery or Delivery()
        self._course = Course(clock or MonotonicClock(), paused)
        self._course.interrupts += [sink.interrupt for sink in sinks]

    @property
    def dropped(self) -> Counter[str]:
        """Frames dropped so far, by cause."""
        return self._course.dropped

    @property
    def frames_in(self) -> int:
        """Frames of the source so far."""
        return self._course.frames_in

    @property
    def frozen(self) -> int:
        """How often a picture was shown again while the source was interrupted. These count nowhere else."""
        return self._course.frozen

    def stop(self) -> None:
        """End the stream after the current frame. Frames under way are finished, and so are all outputs.

        Takes no lock: it may be called from a signal handler, from any thread, any number of times.
        """
        self._course.stop()

    def run(self, source: Source) -> Iterator[Packet]:
        """Run ``source`` through the graph and yield each packet once every sink has accepted it.

        Of a stream delivered as ``newest`` a packet comes once every sink has accepted or missed it, and does not
        wait for that behind a slow sink: where more packets wait than the largest ``backlog`` of the sinks and
        one, the oldest comes with a sink still at work on it (``packet.awaited`` is not 0). Packets always come in
        order, each once.

        Raises what a source or stage raised (:class:`StageError` with stage and frame; errors of opening
        as they are) after all threads have ended and everything is closed; :class:`GraphError` where a thread
        cannot be started. Leaving the loop early, or Ctrl-C in it, ends the stream as :meth:`stop` does.
        """
        if self.info is not None:
            raise GraphError("a graph runs once; build another one for another stream")
        source.clock = self._course.clock
        self._course.interrupts.append(source.interrupt)
        try:
            self.info = self._open(source)
            if self.info is not None:
                with _QUICK_SWITCHING.held():
                    yield from self._run_open(source, self.info)
        finally:
            source.close()

    def _open(self, source: Source) -> StreamInfo | None:
        """Open the source; None where the run was stopped before that was done."""
        if self._course.stopping:
            return None
        try:
            return source.open()
        except SourceError:
            if self._course.stopping:  # it breaks off when it is told to
                return None
            raise

    def _run_open(self, source: Source, info: StreamInfo) -> Iterator[Packet]:
        admission = self._delivery.for_stream(info.live)
        fan_out = FanOut(self.sinks, None if admission.mode == "newest" else link_capacity(info.live))
        workers = self._workers(source, info, admission, fan_out)
        finished = False
        try:
            self._start(workers)
            yield from fan_out.completed.link
            finished = True
        finally:
            self.stop()
            for _ in fan_out.completed.link:  # let what is under way come out at the end
                pass
            for worker in workers:
                worker.join()
            # Where the caller left there is nobody to raise it to.
            if self._course.error is not None and not finished:
                _log.error("%s", self._course.error)
        if self._course.error is not None:
            raise self._course.error

    def _workers(
        self, source: Source, info: StreamInfo, admission: Admission, fan_out: FanOut
    ) -> list[Worker]:
        """The threads of the run, linked in a row up to the last stage, with the sinks behind it."""
        course, gate = self._course, Gate(len(self.stages) + len(self.sinks))
        entrance = Entrance(course, admission)
        workers: list[Worker] = [Pump(source, entrance, course, gate, live=info.live)]
        inlet: Inlet = entrance
        for stage in self.stages[:-1]:
            link = Link[Packet](link_capacity(info.live))
            workers.append(Work(stage, info, inlet, link, course, gate))
            inlet = link
        workers.append(Work(self.stages[-1], info, inlet, fan_out, course, gate))
        ends = [Work(sink, info, link, fan_out.completed, course, gate) for sink, link in fan_out.links]
        return [*workers, *ends]

    def _start(self, workers: Sequence[Worker]) -> None:
        """Start the threads. Where one cannot be started, all are told to end, and it raises."""
        absent = deque(workers)
        try:
            while absent:
                absent[0].start()
                absent.popleft()
        except BaseException:
            self.stop()
            for worker in absent:
                worker.give_up()
            raise


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
