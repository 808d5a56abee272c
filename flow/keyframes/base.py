"""What every key-frame policy promises, and what it may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from keywarp.engines.errors import UsageError
from keywarp.flow.motion import Motion

Cause = Literal["first", "gap", "interval", "adaptive", "intra", "cut", "nan"]
"""Why a frame became a key frame: the first of the stream, or after the model was switched on or set to another
level; the first after a gap in the stream; the interval had passed; an adaptive policy wanted it; the stream has an
intra frame here; a new scene began; the flow was broken: not a number, or infinite."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a policy may look at. ``age`` is the number of delivered frames since the last key frame that was
    asked for: 1 on the frame after it, None before the first. ``picture_type`` is the codec's, where known.
    ``number`` counts the delivered frames from 0. ``motion`` leads from that key frame to this one, and ``cut``
    says that another scene begins here; None and False where that has not been measured.
    """

    age: int | None
    picture_type: str | None = None
    number: int | None = None
    motion: Motion | None = None
    cut: bool = False


class KeyframePolicy(ABC):
    """Decides, frame by frame and in order, whether to run the model in full.

    A policy is asked once or twice for a frame: without ``motion`` and ``cut``, which cost a flow, and with them if
    that did not settle it. They are measured only where they are wanted: ``cuts`` says whether a new scene makes a
    key frame, ``needs_motion`` whether the policy decides by motion. ``aggregates``: whether key frames take in
    those before them, where a run does not say. ``learns``: whether :meth:`learn` is to be called.
    ``mean_interval``: how many frames there are to be to a key frame on average; None where that is left to the
    stream. One stream uses a policy at a time.
    """

    name: str
    mean_interval: int | None = None
    needs_motion: bool = False
    aggregates: bool = False
    learns: bool = False

    def __init__(self, *, cuts: bool = True) -> None:
        self.cuts = cuts

    def cause(self, signals: Signals) -> Cause | None:
        """Why this frame becomes a key frame; None where it does not. The first frame of a stream always does."""
        if signals.age is None:
            return "first"
        if signals.cut and self.cuts:
            return "cut"
        return self._wanted(signals, signals.age)

    def is_key(self, signals: Signals) -> bool:
        """Whether this frame becomes a key frame."""
        return self.cause(signals) is not None

    @abstractmethod
    def with_interval(self, interval: int) -> KeyframePolicy:
        """The same policy, told another interval while the stream runs."""

    def reset(self) -> None:  # noqa: B027 - most policies remember nothing
        """Forget the stream so far: it begins anew after a gap, at another level, and where the model was off."""

    def learn(self, agreement: float) -> None:  # noqa: B027 - most policies do not learn
        """Be told how well results were carried: the percentage in which what had been carried to the last key
        frame that this policy chose agreed with that frame's full run. It may come some frames after it.
        """

    @abstractmethod
    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        """The policy's own decision on a frame that is neither the first nor a cut."""


def check_interval(interval: int) -> int:
    """The interval. Raises :class:`UsageError` where it is below 1."""
    if interval < 1:
        raise UsageError(f"interval {interval} is not possible; it is 1 (every frame is a key frame) or more")
    return interval
