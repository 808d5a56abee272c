"""Key frames where the stream has its own."""

from __future__ import annotations

from .base import Cause, KeyframePolicy, Signals, check_interval

_INTRA = "I"


class CodecKeyframes(KeyframePolicy):
    """Intra frames of the stream are key frames, and so is a frame that is ``interval`` frames away from the last.

    An intra frame counts where a predicted one (P, B) was seen from the last key frame on, that included: where
    all are intra, as where the source does not tell picture types (cameras, pictures), the interval alone counts.
    """

    name = "codec"

    def __init__(self, interval: int, *, cuts: bool = True) -> None:
        super().__init__(cuts=cuts)
        self.interval = check_interval(interval)
        self.reset()

    def with_interval(self, interval: int) -> CodecKeyframes:
        """The same with another largest interval, from here on."""
        other = CodecKeyframes(interval, cuts=self.cuts)
        other._last_predicted = self._last_predicted
        return other

    def reset(self) -> None:
        """Forget the predicted frames."""
        self._last_predicted = -1

    def cause(self, signals: Signals) -> Cause | None:
        """Why this frame becomes a key frame, having seen whether it is a predicted one."""
        if signals.number is not None and signals.picture_type not in (None, _INTRA):
            self._last_predicted = signals.number
        return super().cause(signals)

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        number = signals.number
        if number is not None and signals.picture_type == _INTRA and self._last_predicted >= number - age:
            return "intra"
        return "interval" if age >= self.interval else None
