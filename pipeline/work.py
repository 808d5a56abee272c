"""The threads of a run: one for the source, one for each stage and sink."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

from keywarp.engines.errors import GraphError, KeywarpError, SourceError, StageError

from .course import Course
from .entrance import Entrance
from .packet import Packet, Span
from .sources.base import Source
from .stage import Sink, Stage, StreamInfo
from .threads import step_back

READ = "read"
"""The name under which the source's own work is timed."""


class Inlet(Protocol):
    """Where a stage's packets come from: a link, or the entrance."""

    def __iter__(self) -> Iterator[Packet]:
        """The packets, waiting for each."""
        ...

    def close(self) -> None:
        """Say that nothing more will be read."""
        ...


class Outlet(Protocol):
    """Where a stage's packets go: a link, or what takes its place after the last stage and after a sink."""

    def put(self, packet: Packet, /) -> object:
        """Give one away."""
        ...

    def finish(self) -> None:
        """Say that nothing more will come."""
        ...


class Gate:
    """Lets the source start once every stage is open, and not at all where one failed to."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._changed = threading.Condition()

    def opened(self) -> None:
        """One more stage has opened, or will not."""
        with self._changed:
            self._missing -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Return once all have."""
        with self._changed:
            self._changed.wait_for(lambda: self._missing <= 0)


class Worker(ABC):
    """One thread of a run. Where it cannot be started, :meth:`give_up` takes its place, and the run can end."""

    def __init__(self, name: str, *, urgent: bool) -> None:
        self._name = name
        self._urgent = urgent
        # A daemon, so that a program whose caller forgot a half-read run can still end.
        self._thread = threading.Thread(target=self._begin, name=f"keywarp-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises :class:`GraphError` where the system gives none."""
        try:
            self._thread.start()
        except RuntimeError as error:
            raise GraphError(
                f"the thread of '{self._name}' cannot be started: {error}; let this user or container have more "
                "threads (ulimit -u, pids.max), or memory for them"
            ) from error

    def join(self) -> None:
        """Wait until the thread has ended, where it was started."""
        if self._thread.ident is not None:
            self._thread.join()

    def _begin(self) -> None:
        if not self._urgent:
            step_back()
        self._run()

    @abstractmethod
    def _run(self) -> None:
        """What the thread does. It raises nothing: errors go to the course of the run."""

    @abstractmethod
    def give_up(self) -> None:
        """Tell the threads beside this one that it has ended, though it was never started."""


class Pump(Worker):
    """The source's thread: reads frames and puts them in at the entrance."""

    def __init__(self, source: Source, entrance: Entrance, course: Course, gate: Gate, *, live: bool) -> None:
        super().__init__(READ, urgent=False)
        self._source = source
        self._entrance = entrance
        self._course = course
        self._gate = gate
        self._live = live

    def _run(self) -> None:
        try:
            self._gate.wait()
            if not self._course.stopping:
                self._read_all()
        except SourceError as error:
            if not self._course.stopping:  # a source may break off when it is told to stop
                self._course.fail(error)
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of run
            self._course.fail(_with_place(error, READ, self._course.frames_in))
        finally:
            self._entrance.finish()

    def give_up(self) -> None:
        """Tell the first stage that nothing will come."""
        self._entrance.finish()

    def _read_all(self) -> None:
        clock = self._course.clock
        start_ns = clock.now_ns()
        for frame in self._source.frames():
            end_ns = clock.now_ns()
            if not self._entrance.is_open_to(frame):
                continue
            if frame.frozen:
                self._course.frozen += 1
            else:
                self._course.frames_in += 1
            if self._live:  # what came before is waiting
                start_ns = max(start_ns, min(frame.capture_ns, end_ns))
            packet = Packet(frame, clock)
            packet.spans.append(Span(READ, start_ns, end_ns - start_ns))
            packet.ready_ns = end_ns
            if not self._entrance.put(packet) or self._course.stopping:
                break
            start_ns = clock.now_ns()


class Work(Worker):
    """The thread of a stage or sink: takes packets from ``inlet``, works on them, and puts them into ``outlet``."""

    def __init__(
        self, stage: Stage, info: StreamInfo, inlet: Inlet, outlet: Outlet, course: Course, gate: Gate
    ) -> None:
        super().__init__(stage.name, urgent=stage.urgent)
        self._stage = stage
        self._info = info
        self._inlet = inlet
        self._outlet = outlet
        self._course = course
        self._gate = gate
        self._frame_index: int | None = None

    def _run(self) -> None:
        try:
            self._guard(self._open_and_work)
            self._frame_index = None
            self._guard(self._stage.close)
        finally:
            self._end()

    def give_up(self) -> None:
        """Tell those before and behind it, and let the source's thread through the gate."""
        self._gate.opened()
        self._end()

    def _end(self) -> None:
        self._inlet.close()
        self._outlet.finish()

    def _open_and_work(self) -> None:
        try:
            self._stage.open(self._info)
        except BaseException:
            self._course.stop()  # before the gate opens: no frame is read for a graph that cannot run
            raise
        finally:
            self._gate.opened()
        for packet in self._inlet:
            self._process(packet)
            self._outlet.put(packet)

    def _process(self, packet: Packet) -> None:
        clock = self._course.clock
        self._frame_index = packet.frame.index
        ready_ns = packet.ready_ns
        start_ns = clock.now_ns()
        self._stage.process(packet)
        end_ns = clock.now_ns()
        packet.spans.append(Span(self._stage.name, start_ns, end_ns - start_ns, max(0, start_ns - ready_ns)))
        if not isinstance(self._stage, Sink):
            packet.ready_ns = end_ns

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of run
            self._course.fail(_with_place(error, self._stage.name, self._frame_index))


def _with_place(error: BaseException, stage: str, frame_index: int | None) -> BaseException:
    said_well = isinstance(error, KeywarpError) and (frame_index is None or stage == READ)
    if said_well or isinstance(error, StageError):
        return error
    placed = StageError(stage, frame_index, error)
    placed.__cause__ = error
    return placed
