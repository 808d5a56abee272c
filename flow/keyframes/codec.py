"""Key frames where the stream has its own."""

from __future__ import annotations

from .base import Cause, KeyframePolicy, Signals, check_interval

_INTRA = "I"


class CodecKeyframes(KeyframePolicy):
    """Every intra frame of the stream is a key frame, and so is a frame that is ``interval`` frames away from the
    last one. Where the source does not tell picture types (cameras, pictures) only the interval counts.
    """

    name = "codec"

    def __init__(self, interval: int, *, cuts: bool = True) -> None:
        super().__init__(cuts=cuts)
        self.interval = check_interval(interval)

    def with_interval(self, interval: int) -> CodecKeyframes:
        """The same with another largest interval."""
        return CodecKeyframes(interval, cuts=self.cuts)

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        if signals.picture_type == _INTRA:
            return "intra"
        return "interval" if age >= self.interval else None
