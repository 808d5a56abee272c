"""What every source promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from keywarp.pipeline.clock import Clock, MonotonicClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.stage import Losses, StreamInfo, StreamStatus


class Source(ABC):
    """A stream of frames.

    The graph calls ``open`` once, then iterates ``frames`` in one thread of its own, then ``close``, always.
    Frames come with rising ``index``, in order of presentation, all of the size that ``open`` announced.
    ``frames`` blocks until there is one; after :meth:`interrupt` only for as long as the read under way takes: a
    second for a camera, ``READ_TIMEOUT_S`` for a network, at most. ``losses`` counts what could not be
    delivered; ``notes`` holds what a user should know at the end. ``status``
    says how it is doing. ``clock`` stamps ``capture_ns``; the graph
    sets its own before ``open``.
    """

    def __init__(self) -> None:
        self.losses = Losses()
        self.notes: list[str] = []
        self.status = StreamStatus()
        self.clock: Clock = MonotonicClock()

    def want_vectors(self) -> None:  # noqa: B027 - most sources have none
        """Let frames carry the codec's motion vectors where it has any. To be called before ``open``."""

    @abstractmethod
    def open(self) -> StreamInfo:
        """Open the stream. Raises :class:`SourceError` that says what was given and what to do."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames, to the end of the stream."""

    def interrupt(self) -> None:  # noqa: B027 - a source that never waits has nothing to do
        """The run is to end: let ``frames`` end soon, without an error.

        Any thread and a signal handler may call it; it takes no lock.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the device or file. May be called twice, and before ``open``."""
