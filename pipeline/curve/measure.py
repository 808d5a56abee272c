"""Measuring a curve: every variant run over the same frames, in turns, timed and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import isnan, nan
from statistics import fmean, median
from typing import Literal

from keywarp.engines.errors import KeywarpError, UsageError
from keywarp.flow.keyframes import FixedInterval, make_policy
from keywarp.models.metrics import Counts, Scores
from keywarp.pipeline.evaluation import Subject
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION
from keywarp.pipeline.picture import Pixels

from .film import Film
from .variants import Trial, Variant, check_intervals, in_turns, trials_of

Measure = Literal["miou", "agreement"]
REFERENCE_RUNS = 5
"""How often the model is run on every frame."""
_PERCEIVE = "perceive"
_PROBE_FRAMES = 3
# A key age that next to no frame has says little.
_LEAST_FRAMES_OF_AN_AGE = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One variant, measured; ``variant`` None is the model on every frame.

    ``key_ms`` and ``propagated_ms``: the model's and the flow's work on such a frame, the mean of a run, the median
    over the ``timed_runs`` runs of its series, since neither depends on the interval (NaN where no frame is one).
    ``runs``: its own. ``key_share``: of all frames those that were key frames, in a short film a little more than
    1 / interval, since frame 0 always is one. ``phases``: the scores of each run over all its frames; ``ages``: of
    all frames of one key age, where there are at least 5 of them.
    """

    variant: Variant | None
    measure: Measure
    runs: int
    timed_runs: int
    key_ms: float
    propagated_ms: float
    key_share: float
    phases: tuple[Scores, ...]
    ages: Mapping[int, Scores]

    @property
    def time_ms(self) -> float:
        """Model work a frame in milliseconds: the mean over key and propagated frames."""
        if self.key_share == 1:
            return self.key_ms
        return self.key_share * self.key_ms + (1 - self.key_share) * self.propagated_ms

    @property
    def accuracy(self) -> float:
        """The mean of the phases: mIoU, or the share of the pixels that are as the per-frame model has them."""
        return fmean(self.figure(run) for run in self.phases)

    @property
    def miou(self) -> float:
        """The mean mIoU of the phases, against the labels, or against the per-frame model's results."""
        return fmean(run.miou for run in self.phases)

    @property
    def min_accuracy(self) -> float:
        """The lowest of the key ages."""
        return self.figure(self.ages[self.min_key_age])

    @property
    def min_key_age(self) -> int:
        """The key age with the lowest accuracy."""
        figures = {age: self.figure(scores) for age, scores in self.ages.items()}
        known = {age: figure for age, figure in figures.items() if not isnan(figure)}
        return min(known, key=lambda age: (known[age], age)) if known else min(figures)

    def figure(self, scores: Scores) -> float:
        """What the measure is of scores, 0 to 1."""
        return scores.miou if self.measure == "miou" else scores.pixel_accuracy


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured, with the model on every frame, by itself, as the point of reference.

    ``aggregated``: flow and policy of the points whose key frames are aggregated, at level ``features``.
    """

    film: Film
    measure: Measure
    model: str
    runs_on: str
    per_frame: Point
    points: tuple[Point, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    aggregated: tuple[tuple[str, str], ...] = ()

    @property
    def flows(self) -> tuple[str, ...]:
        """The names of the flows that the points have."""
        return tuple(dict.fromkeys(point.variant.flow for point in self.points if point.variant is not None))

    @property
    def front(self) -> tuple[Point, ...]:
        """The Pareto front by rising time: no other point is as fast and as accurate, and better in one of both."""
        found: list[Point] = []
        for point in sorted((*self.points, self.per_frame), key=lambda p: (p.time_ms, -p.accuracy)):
            if not isnan(point.accuracy) and (not found or point.accuracy > found[-1].accuracy):
                found.append(point)
        return tuple(found)


@dataclass(slots=True)
class _Run:
    """One run as it came out: its results, and what the model worked on each frame."""

    labels: list[Pixels] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    key_ms: list[float] = field(default_factory=list)
    propagated_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Sum:
    """The runs of one variant while they are added up."""

    key_ms: list[float] = field(default_factory=list)
    propagated_ms: list[float] = field(default_factory=list)
    keys: int = 0
    frames: int = 0
    runs: int = 0
    phases: list[Scores] = field(default_factory=list)
    ages: dict[int, Counts] = field(default_factory=dict)
    frames_of_age: dict[int, int] = field(default_factory=dict)


def total_frames(film: Film, variants: Sequence[Variant]) -> int:
    """How many frames :func:`measure_curve` runs, but for those that try whether a flow can be used."""
    return len(film) * (REFERENCE_RUNS + sum(len(trials_of(variant)) for variant in variants))


def aggregates(subject: Subject, film: Film, variant: Variant) -> bool:
    """Whether :func:`measure_curve` aggregates the variant's key frames on ``film``."""
    policy = make_policy(variant.policy, variant.interval)
    return _subject_of(subject, film, variant).aggregates(policy)


def usable_flows(
    subject: Subject, film: Film, flows: Sequence[str], *, named: bool
) -> tuple[list[str], dict[str, str]]:
    """Those of ``flows`` that work on the film, and why the others do not; raises the reason where they were
    ``named``."""
    usable: list[str] = []
    skipped: dict[str, str] = {}
    for flow in flows:
        reason = _why_not(_varied(subject, flow, "result"), film.head(_PROBE_FRAMES), named)
        if reason is None:
            usable.append(flow)
        else:
            skipped[flow] = reason
    return usable, skipped


def measure_curve(
    subject: Subject,
    film: Film,
    variants: Sequence[Variant],
    *,
    skipped: Mapping[str, str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Curve:
    """Run the model on every frame, and every variant, over ``film``.

    Nothing is scored while anything runs: results are compared after each run. Runs of different variants take
    turns. With the film's truth the measure is mIoU, without it the agreement with the model on every frame: then
    no key frame is aggregated unless the settings say so, since all that it changes counts as wrong. ``tick`` is
    called after each frame. Raises :class:`UsageError` for intervals that the film is too short for.
    """
    check_intervals((variant.interval for variant in variants), len(film))
    measure: Measure = "agreement" if film.truth is None else "miou"
    reference = [Trial(FixedInterval(1), counts=number == 0) for number in range(REFERENCE_RUNS)]
    subjects = {v.series[:2]: _subject_of(subject, film, v) for v in variants}
    sums = [_Sum() for _ in range(1 + len(variants))]
    alone = subject.varied(aggregate=False)
    first = _run(alone, film, reference[0], tick)
    truth = first.labels if film.truth is None else film.truth
    if film.truth is not None and not any((t < len(subject.classes)).any() for t in truth):
        raise UsageError(f"no frame of '{film.name}' has a pixel with a class; nothing can be scored")
    _add(sums[0], subject, first, truth, reference[0])
    plan = [reference[1:], *(trials_of(variant) for variant in variants)]
    for number, trial in in_turns(plan):
        own = alone if number == 0 else subjects[variants[number - 1].series[:2]]
        _add(sums[number], subject, _run(own, film, trial, tick), truth, trial)
    owners = [None, *variants]
    points = [
        _point(total, _series(variant, owners, sums), variant, measure)
        for total, variant in zip(sums, owners, strict=True)
    ]
    model, runs_on = subject.model.card.name, subject.model.runs_on
    aggregated = dict.fromkeys((v.flow, v.policy) for v in variants if aggregates(subject, film, v))
    return Curve(
        film, measure, model, runs_on, points[0], tuple(points[1:]), skipped or {}, tuple(aggregated)
    )


def _subject_of(subject: Subject, film: Film, variant: Variant) -> Subject:
    """What runs a variant; where agreement is measured, it aggregates only if the settings say so."""
    if film.truth is None and subject.config.aggregate is None:
        subject = subject.varied(aggregate=False)
    return _varied(subject, variant.flow, variant.level)


def _varied(subject: Subject, flow: str, level: str) -> Subject:
    aggregate = subject.config.aggregate if level == "features" else False
    flows = {**subject.config.flow.model_dump(), "method": flow}
    return subject.varied(flow=flows, level=level, aggregate=aggregate)


def _why_not(subject: Subject, film: Film, named: bool) -> str | None:
    """What stands in the way of running ``film``, None where it runs; raised where the flow was ``named``."""
    try:
        with closing(subject.packets(film.source(), FixedInterval(2), len(film))) as packets:
            for _ in packets:
                pass
    except KeywarpError as error:
        if named or not (isinstance(error, UsageError) or isinstance(error.__cause__, UsageError)):
            raise
        return " ".join(str(error).split())
    return None


def _run(subject: Subject, film: Film, trial: Trial, tick: Callable[[], None]) -> _Run:
    found = _Run()
    with closing(subject.packets(film.source(), trial.policy, len(film))) as packets:
        for packet in packets:
            how = packet[PROPAGATION]
            work_ms = sum(span.work_ns for span in packet.spans if span.name == _PERCEIVE) / 1e6
            (found.key_ms if how.is_key else found.propagated_ms).append(work_ms)
            found.labels.append(packet[SEGMENTATION].labels)
            found.ages.append(how.age)
            tick()
    return found


def _add(total: _Sum, subject: Subject, run: _Run, truth: Sequence[Pixels], trial: Trial) -> None:
    total.runs += 1
    if run.key_ms:
        total.key_ms.append(fmean(run.key_ms))
    if run.propagated_ms:
        total.propagated_ms.append(fmean(run.propagated_ms))
    if not trial.counts:
        return
    total.keys += len(run.key_ms)
    total.frames += len(run.labels)
    whole = subject.no_counts()
    for true, labels, age in zip(truth, run.labels, run.ages, strict=True):
        counts = subject.compare_labels(true, labels)
        whole += counts
        total.ages[age] = total.ages.get(age, subject.no_counts()) + counts
        total.frames_of_age[age] = total.frames_of_age.get(age, 0) + 1
    total.phases.append(Scores(whole))


def _series(variant: Variant | None, owners: Sequence[Variant | None], sums: Sequence[_Sum]) -> list[_Sum]:
    """The sums of all variants that differ from this one by their interval alone."""
    if variant is None:
        return [sums[0]]
    pairs = zip(owners, sums, strict=True)
    return [total for owner, total in pairs if owner is not None and owner.series == variant.series]


def _point(total: _Sum, series: Sequence[_Sum], variant: Variant | None, measure: Measure) -> Point:
    enough = min(_LEAST_FRAMES_OF_AN_AGE, max(total.frames_of_age.values()))
    ages = {age: Scores(total.ages[age]) for age in sorted(total.ages) if total.frames_of_age[age] >= enough}
    key_ms = [time_ms for own in series for time_ms in own.key_ms]
    propagated_ms = [time_ms for own in series for time_ms in own.propagated_ms]
    return Point(
        variant,
        measure,
        runs=total.runs,
        timed_runs=sum(own.runs for own in series),
        key_ms=median(key_ms),
        propagated_ms=median(propagated_ms) if propagated_ms else nan,
        key_share=total.keys / total.frames,
        phases=tuple(total.phases),
        ages=ages,
    )
