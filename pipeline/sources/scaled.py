"""Any source at another size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.pipeline.clock import Clock
from keywarp.pipeline.config import check_largest
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.stage import Losses, StreamInfo, StreamStatus

from .base import Source


class ScaledSource(Source):
    """Another source's frames, each scaled to ``size`` (width, height) in the thread that reads them.

    The step flow stays on the grid that the source has it on, and motion vectors are those of its picture. Losses
    and notes are the other source's.
    """

    def __init__(self, source: Source, size: Size) -> None:
        if min(size) < 1:
            raise UsageError(f"a size is at least 1x1 pixels; given: {size[0]}x{size[1]}")
        try:
            check_largest(size)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._source = source
        self._size = size

    @property
    def source(self) -> Source:
        """What is scaled."""
        return self._source

    @property
    def losses(self) -> Losses:  # type: ignore[override]
        """What the other source could not deliver."""
        return self._source.losses

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """What the other source has to say."""
        return self._source.notes

    @property
    def status(self) -> StreamStatus:  # type: ignore[override]
        """How the other source is doing."""
        return self._source.status

    @property
    def clock(self) -> Clock:
        """The clock that both use."""
        return self._source.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._source.clock = clock

    def want_vectors(self) -> None:
        """Want them of the other source."""
        self._source.want_vectors()

    def open(self) -> StreamInfo:
        """Open the other source; its stream, but for the size."""
        return replace(self._source.open(), size=self._size)

    def frames(self) -> Iterator[Frame]:
        """The other source's frames, scaled."""
        for frame in self._source.frames():
            picture = frame.picture.scaled(self._size)
            yield frame if picture is frame.picture else replace(frame, picture=picture)

    def interrupt(self) -> None:
        """Interrupt the other source."""
        self._source.interrupt()

    def close(self) -> None:
        """Close the other source."""
        self._source.close()
