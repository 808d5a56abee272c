"""What propagation costs: scores of a labelled sequence at several intervals, over all phases of the key frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import inf, isnan
from statistics import fmean

from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import FixedInterval
from keywarp.models.metrics import Counts, Scores
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION
from keywarp.pipeline.picture import Pixels

from .clip import Clip
from .subject import Subject

INTERVALS = (1, 2, 3, 5, 10)
MOST_PHASES = 20
"""Each phase is a run over the whole sequence: all of a long interval's would take the square of its length."""


@dataclass(frozen=True, slots=True)
class IntervalScores:
    """One interval: a run for each of its :func:`phases_of`, with key frames 0 and phase, phase + interval, ...

    ``phases``: the scores of each run over all its frames. ``ages``: of all frames of one key age, all runs
    together. ``repeated``: of each run if the last key frame's result were repeated instead of propagated.
    ``by_cause``: the key frames of all runs by why they became such.
    """

    interval: int
    phases: tuple[Scores, ...]
    ages: tuple[Scores, ...]
    repeated: tuple[Scores, ...]
    by_cause: Mapping[str, int]

    @property
    def miou(self) -> float:
        """The mean mIoU of the phases."""
        return fmean(run.miou for run in self.phases)

    @property
    def spread(self) -> float:
        """The largest mIoU of a phase minus the smallest."""
        figures = [run.miou for run in self.phases]
        return max(figures) - min(figures)

    @property
    def pixel_accuracy(self) -> float:
        """The mean pixel accuracy of the phases."""
        return fmean(run.pixel_accuracy for run in self.phases)

    @property
    def repeat_miou(self) -> float:
        """The mean mIoU of the phases with repeated results."""
        return fmean(run.miou for run in self.repeated)

    @property
    def min_key_age(self) -> int:
        """The key age with the smallest mIoU."""
        mious = [scores.miou for scores in self.ages]
        return min(range(len(mious)), key=lambda age: inf if isnan(mious[age]) else mious[age])

    @property
    def min_miou(self) -> float:
        """The smallest mIoU of a key age."""
        return self.ages[self.min_key_age].miou


@dataclass(frozen=True, slots=True)
class SequenceScores:
    """Scores of a sequence: ``per_frame`` with the network on every frame by itself, ``intervals`` from 1 up, which
    differs from that where key frames are aggregated.
    """

    frames: int
    per_frame: Scores
    intervals: Mapping[int, IntervalScores]


def phases_of(interval: int) -> Sequence[int]:
    """The phases that an interval is run in, rising from 0: all, or as many as are run, evenly spread."""
    count = min(interval, MOST_PHASES)
    return [interval * number // count for number in range(count)]


def check_intervals(intervals: Iterable[int], frames: int) -> list[int]:
    """1 and the ``intervals``, each once, rising. Raises :class:`UsageError` for one that the clip cannot have."""
    wanted = sorted({1, *intervals})
    for interval in wanted:
        if not 1 <= interval <= frames:
            raise UsageError(
                f"interval {interval} cannot be evaluated on a sequence of {frames} frames; "
                f"it is a whole number from 1 to {frames}"
            )
    return wanted


def aggregates_at_intervals(subject: Subject) -> bool:
    """Whether the key frames of fixed intervals take in those before them."""
    return subject.aggregates(FixedInterval(1))


def evaluate_sequence(
    subject: Subject,
    clip: Clip,
    intervals: Iterable[int] = INTERVALS,
    tick: Callable[[], None] = lambda: None,
) -> SequenceScores:
    """Run ``clip`` at every interval in its :func:`phases_of`. ``tick`` is called after each frame of each run.

    Raises :class:`UsageError` for intervals that the clip is too short for, or a clip without a true pixel.
    """
    subject.check_classes(clip.classes)
    wanted = check_intervals(intervals, len(clip))
    repeats = _Repeats(subject, wanted)
    alone = subject.varied(aggregate=False) if aggregates_at_intervals(subject) else subject
    per_frame = _run(alone, clip, FixedInterval(1), tick, repeats.add)
    if not per_frame.scores.counts.any():
        raise UsageError(
            f"none of the label maps of '{clip.name}' has a pixel with a class; nothing can be scored"
        )
    every = per_frame
    if subject is not alone:
        every = _run(subject, clip, FixedInterval(1, cuts=False), tick)
    found = {1: _joined(1, [every], repeats)}
    for interval in wanted[1:]:
        runs = [
            _run(subject, clip, FixedInterval(interval, phase, cuts=False), tick)
            for phase in phases_of(interval)
        ]
        found[interval] = _joined(interval, runs, repeats)
    return SequenceScores(len(clip), per_frame.scores, found)


def total_frames(intervals: Iterable[int], frames: int, *, aggregate: bool = False) -> int:
    """How many frames :func:`evaluate_sequence` runs; ``aggregate``: whether its subject
    :func:`aggregates_at_intervals`.
    """
    return frames * (sum(len(phases_of(interval)) for interval in {1, *intervals}) + aggregate)


@dataclass(frozen=True, slots=True)
class _Phase:
    """One run: its confusion by key age, and its key frames by their cause."""

    by_age: list[Counts]
    by_cause: Counter[str]

    @property
    def scores(self) -> Scores:
        """Over all its frames."""
        return Scores(sum(self.by_age[1:], self.by_age[0]))


def _run(
    subject: Subject,
    clip: Clip,
    policy: FixedInterval,
    tick: Callable[[], None],
    look: Callable[[int, Pixels, Pixels], None] = lambda number, truth, labels: None,
) -> _Phase:
    """Run the clip once. ``look`` is shown each frame's number, truth and labels."""
    by_cause = Counter[str]()
    by_age = [subject.no_counts() for _ in range(policy.interval)]
    with closing(subject.packets(clip.source(), policy, len(clip))) as packets:
        for packet in packets:
            truth, how = clip.truth(packet.frame.index), packet[PROPAGATION]
            if how.is_key and how.cause is not None:
                by_cause[how.cause] += 1
            by_age[how.age] += subject.compare(truth, packet)
            look(packet.frame.index, truth, packet[SEGMENTATION].labels)
            tick()
    return _Phase(by_age, by_cause)


class _Repeats:
    """Adds up what every phase of every interval would score, had it repeated its key frames' results.

    What a key frame yields by itself does not depend on the interval, so one run at interval 1 has them all. Kept
    are the results of the key frames that the phases have at the time.
    """

    def __init__(self, subject: Subject, intervals: list[int]) -> None:
        self._subject = subject
        self._counts = {
            (interval, phase): subject.no_counts() for interval in intervals for phase in phases_of(interval)
        }
        self._results: dict[int, Pixels] = {}

    def add(self, number: int, truth: Pixels, labels: Pixels) -> None:
        """Take in the next frame, by its number."""
        keys = {place: number - _age(number, *place) for place in self._counts}
        known = {**self._results, number: labels}
        self._results = {key: known[key] for key in set(keys.values())}
        found = {key: self._subject.compare_labels(truth, result) for key, result in self._results.items()}
        for place, key in keys.items():
            self._counts[place] += found[key]

    def scores(self, interval: int) -> tuple[Scores, ...]:
        """Of each phase."""
        return tuple(Scores(self._counts[interval, phase]) for phase in phases_of(interval))


def _joined(interval: int, runs: Sequence[_Phase], repeats: _Repeats) -> IntervalScores:
    ages = [Scores(sum(counts[1:], counts[0])) for counts in zip(*(run.by_age for run in runs), strict=True)]
    return IntervalScores(
        interval,
        phases=tuple(run.scores for run in runs),
        ages=tuple(ages),
        repeated=repeats.scores(interval),
        by_cause=dict(sum((run.by_cause for run in runs), Counter[str]())),
    )


def _age(number: int, interval: int, phase: int) -> int:
    """The key age of a frame: frame 0 is a key frame in every phase."""
    return number if number < phase else (number - phase) % interval
