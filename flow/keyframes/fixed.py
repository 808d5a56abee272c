"""Key frames at a fixed interval."""

from __future__ import annotations

from keywarp.engines.errors import UsageError

from .base import Cause, KeyframePolicy, Signals, check_interval


class FixedInterval(KeyframePolicy):
    """Every ``interval``-th delivered frame is a key frame; 1 is plain per-frame inference.

    ``phase``, 0 to ``interval`` - 1, is the number of the frame that the counting starts at: with 2 of 5 the key
    frames are 2, 7, 12, ..., and frame 0 too, as in every stream. All phases together have each frame at each age.
    A cut starts the counting anew; ``cuts`` False leaves the key frames where they are, whatever is seen.
    """

    name = "fixed"

    def __init__(self, interval: int, phase: int = 0, *, cuts: bool = True) -> None:
        super().__init__(cuts=cuts)
        self.interval = self.mean_interval = check_interval(interval)
        if not 0 <= phase < interval:
            raise UsageError(
                f"phase {phase} of interval {interval} is not possible; it is 0 to {interval - 1}"
            )
        self.phase = phase

    def with_interval(self, interval: int) -> FixedInterval:
        """Every ``interval``-th frame, counted from the last key frame."""
        return FixedInterval(interval, cuts=self.cuts)

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        starts = self.phase > 0 and signals.number == self.phase
        return "interval" if age >= self.interval or starts else None
