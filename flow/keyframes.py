"""Key-frame policies: which frames a model runs on in full. Pure functions of cheap signals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from keywarp.engines.errors import UsageError


@dataclass(frozen=True, slots=True)
class Signals:
    """What a policy may look at. ``age`` is the number of delivered frames since the last key frame that was
    asked for: 1 on the frame after it, None before the first. ``picture_type`` is the codec's, where known.
    """

    age: int | None
    picture_type: str | None = None


class KeyframePolicy(ABC):
    """Decides, frame by frame and in order, whether to run the model in full."""

    name: str

    @abstractmethod
    def is_key(self, signals: Signals) -> bool:
        """Whether this frame becomes a key frame. The first frame of a stream always does."""


class FixedInterval(KeyframePolicy):
    """Every ``interval``-th delivered frame is a key frame; 1 is plain per-frame inference."""

    name = "fixed"

    def __init__(self, interval: int) -> None:
        if interval < 1:
            raise UsageError(
                f"interval {interval} is not possible; it is 1 (every frame is a key frame) or more"
            )
        self.interval = interval

    def is_key(self, signals: Signals) -> bool:
        """Whether the last key frame is ``interval`` frames old."""
        return signals.age is None or signals.age >= self.interval
