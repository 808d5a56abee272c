"""Key-frame policies: which frames a model runs on in full. Pure functions of cheap signals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from keywarp.engines.errors import UsageError


@dataclass(frozen=True, slots=True)
class Signals:
    """What a policy may look at. ``age`` is the number of delivered frames since the last key frame that was
    asked for: 1 on the frame after it, None before the first. ``picture_type`` is the codec's, where known.
    ``number`` counts the delivered frames from 0.
    """

    age: int | None
    picture_type: str | None = None
    number: int | None = None


class KeyframePolicy(ABC):
    """Decides, frame by frame and in order, whether to run the model in full."""

    name: str

    @abstractmethod
    def is_key(self, signals: Signals) -> bool:
        """Whether this frame becomes a key frame. The first frame of a stream always does."""


class FixedInterval(KeyframePolicy):
    """Every ``interval``-th delivered frame is a key frame; 1 is plain per-frame inference.

    ``phase``, 0 to ``interval`` - 1, is the number of the frame that the counting starts at: with 2 of 5 the key
    frames are 2, 7, 12, ..., and frame 0 too, as in every stream. All phases together have each frame at each age.
    """

    name = "fixed"

    def __init__(self, interval: int, phase: int = 0) -> None:
        if interval < 1:
            raise UsageError(
                f"interval {interval} is not possible; it is 1 (every frame is a key frame) or more"
            )
        if not 0 <= phase < interval:
            raise UsageError(
                f"phase {phase} of interval {interval} is not possible; it is 0 to {interval - 1}"
            )
        self.interval = interval
        self.phase = phase

    def is_key(self, signals: Signals) -> bool:
        """Whether the last key frame is ``interval`` frames old, or the counting starts here."""
        starts = self.phase > 0 and signals.number == self.phase
        return signals.age is None or signals.age >= self.interval or starts
