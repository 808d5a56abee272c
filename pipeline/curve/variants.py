"""What a curve is made of: intervals, key-frame policies, flows and levels, and the runs of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.keyframes import Delayed, FixedInterval, KeyframePolicy, make_policy
from keywarp.models.base import LEVELS
from keywarp.pipeline.evaluation.sequence import phases_of

LEAST_RUNS = 3
"""How often each variant is run at least, so that there is a median of times."""
_SHARE = "share="


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of a curve. ``policy`` and ``flow`` as ``--policy`` and ``--flow`` have them."""

    flow: str
    level: str
    policy: str
    interval: int

    @property
    def is_fixed(self) -> bool:
        """Whether key frames come at the interval, and so have phases."""
        return isinstance(make_policy(self.policy, self.interval), FixedInterval)

    @property
    def series(self) -> tuple[str, str, str]:
        """What the points of one line have in common."""
        return self.flow, self.level, self.policy


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a variant. ``counts``: whether its results are new (a repeated run is for its times alone, since
    results are always the same).
    """

    policy: KeyframePolicy
    counts: bool = True


def make_variants(
    flows: Iterable[str],
    levels: Iterable[str],
    policies: Iterable[str],
    intervals: Iterable[int],
    *,
    aggregates: Callable[[Variant], bool] = lambda _: False,
) -> list[Variant]:
    """All combinations, but for interval 1: the network on every frame is there anyway. It is a variant where
    ``aggregates`` says that key frames are aggregated, as those of the network by itself are not.

    Raises :class:`UsageError` for levels, policies and intervals that there are not.
    """
    for level in levels:
        if level not in LEVELS:
            raise unknown_name("level", level, LEVELS)
    wanted = sorted({*intervals})
    variants = [
        Variant(flow, level, policy, interval)
        for flow, level, policy in product(flows, levels, policies)
        for interval in _intervals_of(policy, wanted)
    ]
    return [v for v in variants if v.interval > 1 or _SHARE in v.policy or aggregates(v)]


def _intervals_of(policy: str, intervals: Sequence[int]) -> Sequence[int]:
    """The intervals; where the policy itself says the share of key frames, the one that this comes to."""
    made = [make_policy(policy, interval) for interval in intervals]
    if _SHARE not in policy:
        return intervals
    return sorted({one.mean_interval for one in made if one.mean_interval is not None})


def trials_of(variant: Variant) -> list[Trial]:
    """The runs of a variant.

    A fixed interval is run in its :func:`keywarp.pipeline.evaluation.sequence.phases_of`, as
    :func:`keywarp.pipeline.evaluation.evaluate_sequence` does; any other policy is begun at three places of the
    first interval.
    """
    interval = variant.interval
    if variant.is_fixed:
        cuts, own = make_policy(variant.policy, interval).cuts, phases_of(interval)
        return [
            Trial(FixedInterval(interval, own[number % len(own)], cuts=cuts), counts=number < len(own))
            for number in range(max(len(own), LEAST_RUNS))
        ]
    phases = [interval * third // LEAST_RUNS for third in range(LEAST_RUNS)]
    return [
        Trial(Delayed(make_policy(variant.policy, interval), phase), counts=phase not in phases[:number])
        for number, phase in enumerate(phases)
    ]


def in_turns(trials: Sequence[Sequence[Trial]]) -> list[tuple[int, Trial]]:
    """All trials with the number of the list that each is from, those of each list spread evenly over the whole:
    a time when the machine is busy then falls on all of them."""
    placed = [
        ((place + 0.5) / len(own), number, trial)
        for number, own in enumerate(trials)
        for place, trial in enumerate(own)
    ]
    return [(number, trial) for _, number, trial in sorted(placed, key=lambda item: item[:2])]


def check_intervals(intervals: Iterable[int], frames: int) -> None:
    """Raise :class:`UsageError` for an interval that a film of so many frames cannot show."""
    for interval in intervals:
        if not 1 <= interval <= frames:
            raise UsageError(
                f"interval {interval} cannot be shown on {frames} frames; it is a whole number from 1 to "
                f"{frames}, or use more of the film with --frames"
            )
