"""What every source promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from keywarp.pipeline.clock import Clock, MonotonicClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.stage import Losses, StreamInfo


class Source(ABC):
    """A stream of frames.

    The graph calls ``open`` once, then iterates ``frames`` in one thread of its own, then ``close``, always.
    Frames come with rising ``index``, in order of presentation, all of the size that ``open`` announced.
    ``frames`` blocks until there is one, for a second at most where the stream is live, so that a run can be
    stopped. ``losses`` counts what could not be delivered; ``notes`` holds what a user should know at the end.
    ``clock`` stamps ``capture_ns``; the graph sets its own before ``open``.
    """

    def __init__(self) -> None:
        self.losses = Losses()
        self.notes: list[str] = []
        self.clock: Clock = MonotonicClock()

    @abstractmethod
    def open(self) -> StreamInfo:
        """Open the stream. Raises :class:`SourceError` that says what was given and what to do."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames, to the end of the stream."""

    @abstractmethod
    def close(self) -> None:
        """Free the device or file. May be called twice, and before ``open``."""
