"""Key frames where they are needed: often where propagation loses quickly, seldom where nothing happens."""

from __future__ import annotations

import copy
import logging
import math

from keywarp.engines.errors import UsageError
from keywarp.flow.motion import Motion

from .base import Cause, KeyframePolicy, Signals, check_interval

_log = logging.getLogger(__name__)

# Key frames come at most so many times as often as they are to on average, and at least that part of it.
_RANGE = 3.0
# What invalid cells count for: a residual of so many percent of the width, were all of them invalid.
_INVALID_RESIDUAL = 10.0
# The rate of loss is compared with its mean over the frames of so many wanted intervals. In that the n-th frame
# weighs 1 / n to this power: below 1, since the first frames of a stream need not be like those that follow ...
_MEAN_INTERVALS = 100
_MEAN_POWER = 0.85
# ... and no frame's rate is more than so many times the mean, which would rise slowly after a still picture ...
_MEAN_RANGE = 10
# ... and key frames too many or too few are made good over so many.
_REPAY_INTERVALS = 30
_MOST_REPAY = 3.0

# How much of an error of the prediction is taken over at once: half of the first, then less and less, down to this.
_LEAST_LEARNED = 0.2

# So many times in a row not reached on the frame after a key frame, a quality is out of reach.
_OUT_OF_REACH = 10

# Percent of the pixels, fitted as docs/keyframes.md says.
_FLICKER = 2.0
_LOSS = 1.67
_INVALID_LOSS = 50.0


class AdaptiveShare(KeyframePolicy):
    """``share`` of the frames, above 0 and up to 1, become key frames, where propagation loses most.

    The residual after warping grows with the square root of the age, as a sum of many small errors does; divided by
    it, it says how quickly propagation loses here. Each frame adds the share, times this rate by its running mean
    (within 1/3 and 3, where it enters the mean too), and at 1 a key frame is due; what is too much then counts for
    the next. Key frames too many or too few so far are made good little by little. So nothing depends on what
    scene, size or contrast the stream has: a steady stream gets a fixed interval.

    Key frames are aggregated: each place is renewed as far as it changed, as key frames come where pictures do.
    """

    needs_motion = True
    aggregates = True

    def __init__(self, share: float, *, cuts: bool = True) -> None:
        super().__init__(cuts=cuts)
        if not 0 < share <= 1:
            raise UsageError(
                f"a share of {share:g} key frames is not possible; it is above 0 and at most 1 (every frame)"
            )
        self.share = share
        self.mean_interval = round(1 / share)
        self.name = f"adaptive:share={share:.3g}"
        self.reset()

    def with_interval(self, interval: int) -> AdaptiveShare:
        """A key frame every ``interval`` frames on average, from here on."""
        return AdaptiveShare(1 / check_interval(interval), cuts=self.cuts)

    def reset(self) -> None:
        """Forget rates and budget."""
        self._rate = 0.0
        self._rates = 0
        self._due = 0.0
        self._keys = 0
        self._first = self._key = self._asked = -1

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        if self.share == 1:
            return "adaptive"
        if signals.motion is None or signals.number is None:
            return None
        if self._keys == 0 or signals.number - age != self._key:
            self._begin(signals.number - age)
        passed, self._asked = signals.number - self._asked, signals.number
        self._due += passed * self.share * self._pace(signals.motion, age)
        if self._due >= 1 - self.share / 2:  # nearer to here than to the next frame
            return "adaptive"
        return "interval" if age >= _RANGE / self.share else None

    def _begin(self, key: int) -> None:
        """The frame of this number has become a key frame, by this policy or for another reason."""
        if self._keys == 0:
            self._first = key
        else:
            self._due = min(max(self._due - 1, -0.5), 0.5)
        self._keys += 1
        self._key = self._asked = key

    def _pace(self, motion: Motion, age: int) -> float:
        rate = (motion.residual + _INVALID_RESIDUAL * motion.invalid_share) / math.sqrt(age)
        self._rates = min(self._rates + 1, round(_MEAN_INTERVALS / self.share))
        self._rate = max(self._rate, rate / _MEAN_RANGE) if self._rates > 1 else rate
        relative = _within(rate / self._rate, _RANGE) if self._rate > 0 else 1.0
        self._rate += self._rate * (relative - 1) / self._rates**_MEAN_POWER
        missing = self.share * (self._asked - self._first) - self._keys + 0.5
        repay = _within(1 + missing / _REPAY_INTERVALS, _MOST_REPAY)
        return _within(repay * relative, _RANGE)


def _within(factor: float, most: float) -> float:
    return min(max(factor, 1 / most), most)


class AdaptiveQuality(KeyframePolicy):
    """A frame becomes a key frame where its result, carried along, would agree with a full run's in fewer than
    ``quality`` percent of the pixels; and after ``largest`` frames.

    What is expected is what :func:`predicted_agreement` has, and what that was wrong by on the key frames so far:
    there both results are known, so that it comes to hold for any network, flow and stream on which it can be
    reached. Where it cannot, since even on neighbouring frames results differ by more, most frames become key
    frames, and the log says so.
    """

    needs_motion = True
    learns = True

    def __init__(self, quality: float, largest: int = 30, *, cuts: bool = True) -> None:
        super().__init__(cuts=cuts)
        if not 0 < quality < 100:
            raise UsageError(
                f"a quality of {quality:g} is not possible; it is the percentage of pixels, above 0 and below 100, "
                f"that agree with a full run"
            )
        self.quality = quality
        self.largest = check_interval(largest)
        self.name = f"adaptive:quality={quality:g}"
        self.reset()

    def with_interval(self, interval: int) -> AdaptiveQuality:
        """The same with a largest interval of three times ``interval``, and with what it has learnt."""
        made = copy.copy(self)
        made.largest = round(_RANGE * check_interval(interval))
        return made

    def reset(self) -> None:
        """Forget what was learnt, and expect what the fit has."""
        self._correction = 0.0
        self._lessons = 0
        self._expected: float | None = None
        self._age = 0
        self._missed = 0

    def learn(self, agreement: float) -> None:
        """Correct what is expected by what it was wrong by on the last key frame chosen."""
        if self._expected is None or not math.isfinite(agreement):
            return
        self._lessons += 1
        part = max(1 / (self._lessons + 1), _LEAST_LEARNED)
        self._correction += part * (agreement - self._expected)
        self._expected = None
        self._missed = self._missed + 1 if self._age == 1 and agreement < self.quality else 0
        if self._missed == _OUT_OF_REACH:
            _log.warning(
                "a quality of %g %% is out of reach here: one frame after a key frame %.1f %% of the pixels agree "
                "with a full run, and most frames become key frames; ask for less, or use --policy adaptive",
                self.quality,
                agreement,
            )

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        if signals.motion is None:
            return None
        self._expected, self._age = predicted_agreement(signals.motion) + self._correction, age
        if self._expected < self.quality:
            return "adaptive"
        return "interval" if age >= self.largest else None


def predicted_agreement(motion: Motion) -> float:
    """The percentage of pixels in which a propagated result is expected to agree with a full run on the same frame,
    nothing being known of the network and the stream.

    Fitted to the bundled ENet on films of streets: two points are lost as soon as a result is carried at all, since
    full runs on consecutive frames differ by as much; the rest grows with the motion and with what warping leaves
    unexplained. Half the cells that nothing leads to are taken to be wrong.
    """
    moved = math.hypot(motion.mean, motion.spread)
    lost = _FLICKER + _LOSS * math.sqrt(moved * motion.residual) + _INVALID_LOSS * motion.invalid_share
    return max(0.0, 100.0 - lost)
