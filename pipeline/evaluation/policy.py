"""Scores of a key-frame policy beside fixed intervals with as many key frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import fmean

from keywarp.flow.keyframes import Delayed, KeyframePolicy
from keywarp.models.metrics import Scores
from keywarp.pipeline.keys import PROPAGATION

from .clip import Clip
from .sequence import SequenceScores, aggregates_at_intervals, phases_of
from .subject import Subject


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """One run over a sequence. ``by_cause``: its key frames by why they became such.

    ``unaggregated``: where the policy's key frames are aggregated, and those of fixed intervals are not, the scores
    of the same key frames without; None otherwise.
    """

    by_cause: Mapping[str, int]
    scores: Scores
    unaggregated: Scores | None = None

    @property
    def keys(self) -> int:
        """How many key frames there are."""
        return sum(self.by_cause.values())

    @property
    def alike(self) -> Scores:
        """What can be compared with fixed intervals: the scores without an aggregation that those do not have."""
        return self.unaggregated or self.scores


@dataclass(frozen=True, slots=True)
class PolicyScores:
    """A policy over a sequence of so many ``frames``, in its phases, as fixed intervals are: a run where it begins
    with frame 0, and others where it begins anew at a later one, within the interval that it has on average.
    Shares and scores are means over these runs.
    """

    policy: str
    frames: int
    runs: tuple[PolicyRun, ...]

    @property
    def share(self) -> float:
        """The share of key frames, above 0 and up to 1."""
        return fmean(run.keys for run in self.runs) / self.frames

    @property
    def by_cause(self) -> Mapping[str, int]:
        """The key frames of all runs by why they became such."""
        return dict(sum((Counter(run.by_cause) for run in self.runs), Counter[str]()))

    @property
    def miou(self) -> float:
        """The mean mIoU of the runs."""
        return fmean(run.scores.miou for run in self.runs)

    @property
    def spread(self) -> float:
        """The largest mIoU of a run minus the smallest."""
        figures = [run.scores.miou for run in self.runs]
        return max(figures) - min(figures)

    @property
    def pixel_accuracy(self) -> float:
        """The mean pixel accuracy of the runs."""
        return fmean(run.scores.pixel_accuracy for run in self.runs)

    @property
    def alike_miou(self) -> float:
        """What can be compared with fixed intervals: the mIoU without an aggregation that those do not have."""
        return fmean(run.alike.miou for run in self.runs)

    @property
    def aggregates_alone(self) -> bool:
        """Whether the policy's key frames are aggregated, and those of fixed intervals are not."""
        return self.runs[0].unaggregated is not None

    @property
    def intervals(self) -> tuple[int, ...]:
        """The fixed intervals with the next more and the next fewer key frames; one where it has as many; none
        where frame 0 is the only key frame: there is but one way to have that.
        """
        if max(run.keys for run in self.runs) == 1:
            return ()
        longest = max(n for n in range(1, self.frames + 1) if self._fixed_share(n) >= self.share)
        return (longest,) if self._fixed_share(longest) == self.share else (longest, longest + 1)

    def fixed_miou(self, sequence: SequenceScores) -> float:
        """The mIoU of fixed intervals, mean over their phases, at this share: between those of :attr:`intervals`,
        which ``sequence`` has to hold. A fixed interval that is no whole number mixes the two in just this way.
        With frame 0 as the only key frame it is the policy's own.
        """
        if not self.intervals:
            return self.alike_miou
        mious = [sequence.intervals[interval].miou for interval in self.intervals]
        if len(mious) == 1:
            return mious[0]
        more, fewer = map(self._fixed_share, self.intervals)
        part = (self.share - fewer) / (more - fewer)
        return part * mious[0] + (1 - part) * mious[1]

    def _fixed_share(self, interval: int) -> float:
        """The share of key frames in the phases that an interval is scored in."""
        return fixed_share(interval, self.frames, phases_of(interval))


def fixed_share(interval: int, frames: int, phases: Iterable[int] | None = None) -> float:
    """The share of key frames at a fixed interval, mean over ``phases`` (None: all); frame 0 is one in each."""
    phases = range(interval) if phases is None else phases
    return fmean((phase > 0) + len(range(phase, frames, interval)) for phase in phases) / frames


def evaluate_policy(
    subject: Subject,
    clip: Clip,
    name: str,
    policy: KeyframePolicy,
    tick: Callable[[], None] = lambda: None,
) -> PolicyScores:
    """Run ``clip`` with the key frames that ``policy`` chooses, in each of its phases, and once more each where
    only its key frames are aggregated. Where it wants none but frame 0 there is one phase. ``tick`` is called
    after each frame of each run.
    """
    subject.check_classes(clip.classes)
    first = _run(subject, clip, policy, tick)
    interval = policy.mean_interval or round(len(clip) / first.keys)
    phases = _phases(interval, clip)[1:] if first.keys > 1 else ()
    others = [_run(subject, clip, Delayed(policy, phase), tick) for phase in phases]
    return PolicyScores(name, len(clip), (first, *others))


def policy_frames(subject: Subject, clip: Clip, policy: KeyframePolicy) -> int | None:
    """The frames that :func:`evaluate_policy` runs; None where that depends on which key frames there will be.
    They are fewer where frame 0 is the policy's only key frame.
    """
    if policy.mean_interval is None:
        return None
    runs = 2 if _alone_aggregates(subject, policy) else 1
    return len(_phases(policy.mean_interval, clip)) * runs * len(clip)


def _phases(interval: int, clip: Clip) -> Sequence[int]:
    """The phases of a policy with a key frame every so many frames."""
    return phases_of(min(interval, len(clip)))


def _alone_aggregates(subject: Subject, policy: KeyframePolicy) -> bool:
    """Whether the policy's key frames are aggregated, and those of fixed intervals are not."""
    return subject.aggregates(policy) and not aggregates_at_intervals(subject)


def _run(subject: Subject, clip: Clip, policy: KeyframePolicy, tick: Callable[[], None]) -> PolicyRun:
    """One run, and another without aggregation where that is the policy's alone."""
    scores, by_cause = _scored(subject, clip, policy, tick)
    unaggregated = None
    if _alone_aggregates(subject, policy):
        unaggregated, _ = _scored(subject.varied(aggregate=False), clip, policy, tick)
    return PolicyRun(by_cause, scores, unaggregated)


def _scored(
    subject: Subject, clip: Clip, policy: KeyframePolicy, tick: Callable[[], None]
) -> tuple[Scores, dict[str, int]]:
    """The scores of a run, and its key frames by their cause."""
    counts, by_cause = subject.no_counts(), Counter[str]()
    with closing(subject.packets(clip.source(), policy, len(clip))) as packets:
        for packet in packets:
            counts += subject.compare(clip.truth(packet.frame.index), packet)
            propagation = packet[PROPAGATION]
            if propagation.is_key and propagation.cause is not None:
                by_cause[propagation.cause] += 1
            tick()
    return Scores(counts), dict(by_cause)
