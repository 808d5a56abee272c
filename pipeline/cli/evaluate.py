"""``keywarp eval``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.build import wants_vectors
from keywarp.flow.keyframes import KeyframePolicy, make_policy
from keywarp.models.datasets import Pair, find_pairs, parse_data
from keywarp.models.labels import CLASS_SETS
from keywarp.models.metrics import Scores
from keywarp.pipeline.config import RunConfig
from keywarp.pipeline.evaluation import (
    Clip,
    PolicyScores,
    SequenceScores,
    Subject,
    evaluate_folder,
    evaluate_policy,
    evaluate_sequence,
    policy_frames,
    read_clip,
)
from keywarp.pipeline.evaluation.flow_data import KINDS
from keywarp.pipeline.evaluation.report import report
from keywarp.pipeline.evaluation.sequence import (
    INTERVALS,
    aggregates_at_intervals,
    check_intervals,
    total_frames,
)
from keywarp.pipeline.evaluation.sheet import check_sheet, draw_sheet, write_sheet
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import check_not_read, check_places

from .files import write_json
from .lists import intervals_in
from .log import warnings_once
from .progress import progress
from .scores import print_classes, print_intervals, print_policy
from .settings import cards_in, refuse_settings, settings_from

_INSTEAD = {
    "interval": "name intervals with --intervals",
    "policy": "name one with --policy",
    "sinks": "name outputs with --json and --sheet",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be evaluated, and where the figures go; texts as the user gave them."""

    data: str | None = None
    split: str | None = None
    sequence: str | None = None
    labels: Path | None = None
    intervals: str | None = None
    policy: str | None = None
    json: Path | None = None
    sheet: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        """The files that are written."""
        return [path for path in (self.json, self.sheet) if path is not None]

    def check(self) -> None:
        """Raise :class:`UsageError` where options are missing or have nothing to act on."""
        if self.data is None and self.sequence is None:
            raise UsageError(
                "there is nothing to evaluate; give a data set (--data camvid:DIR), a labelled sequence "
                "(--sequence FOLDER or VIDEO), or both"
            )
        owners = {"--split": (self.split, "--data", self.data)}
        for name in ("labels", "intervals", "policy", "sheet"):
            owners[f"--{name}"] = (getattr(self, name), "--sequence", self.sequence)
        for option, (value, owner, of) in owners.items():
            if value is not None and of is None:
                raise UsageError(f"{option} belongs to {owner}, which is not given")
        if self.sheet is not None:
            check_sheet(self.sheet)
        check_places(map(str, self.outputs), self.sequence)


@dataclass(frozen=True, slots=True)
class _Input:
    """A model, and what it is to be scored on."""

    subject: Subject
    pairs: list[Pair] | None
    clip: Clip | None
    intervals: list[int]
    policy: str | None = None

    @property
    def places(self) -> set[Path]:
        """The files and folders that are read."""
        places = set() if self.clip is None else self.clip.places
        return places.union(*({pair.picture.parent, pair.labels.path.parent} for pair in self.pairs or ()))


@dataclass(frozen=True, slots=True)
class _Found:
    """Scores of the data set, with how many pictures it has, and of the sequence."""

    pictures: tuple[int, Scores] | None
    sequence: SequenceScores | None
    policy: PolicyScores | None = None


@warnings_once()
def evaluate_command(wanted: Wanted, flags: dict[str, Any], assignments: list[str], quiet: bool) -> None:
    """Evaluate, print tables, write files. What can be checked is checked before the first network runs."""
    wanted.check()
    settings = settings_from(None, flags, assignments)
    check_not_read(wanted.outputs, cards_in(settings))
    given = _read(wanted, settings)
    outputs = wanted.outputs
    check_not_read(outputs, given.places, "what is evaluated")
    console = Console(quiet=quiet)
    for path in outputs:
        Claim(path).give_up()  # found out before the work whether it can be written, without a trace
    found = _evaluate(given, console)
    _print(console, given.subject, wanted, found)
    _write(wanted, given, found)
    if outputs:
        console.print("wrote " + ", ".join(map(str, outputs)), highlight=False, markup=False)


def _read(wanted: Wanted, settings: dict[str, Any]) -> _Input:
    refuse_settings(settings, _INSTEAD, "an evaluation")
    if wanted.policy is not None:
        _policy(wanted.policy)
    subject = Subject(**settings)
    pairs = _pairs(wanted, subject)
    if wanted.sequence is None:
        if subject.config.rate is not None:
            raise UsageError("'rate' belongs to --sequence, which is not given")
        return _Input(subject, pairs, None, [])
    vectors = wants_vectors(subject.config.flow.method)
    clip = read_clip(
        wanted.sequence, wanted.labels, subject.classes, vectors=vectors, rate=subject.config.rate
    )
    return _Input(subject, pairs, clip, _intervals(wanted.intervals, len(clip)), wanted.policy)


def _policy(text: str) -> KeyframePolicy:
    return make_policy(text, RunConfig().interval)


def _intervals(text: str | None, frames: int) -> list[int]:
    """Those that are asked for; None: the usual ones, as far as a clip of so many frames can have them."""
    if text is None:
        return [interval for interval in INTERVALS if interval <= frames]
    return check_intervals(intervals_in(text), frames)


def _pairs(wanted: Wanted, subject: Subject) -> list[Pair] | None:
    if wanted.data is None:
        return None
    kind = wanted.data.partition(":")[0]
    if kind not in CLASS_SETS:
        raise unknown_name("data set", kind, (*CLASS_SETS, *KINDS))
    classes, folder = parse_data(wanted.data)
    subject.check_classes(classes)
    return find_pairs(folder, wanted.split)


def _evaluate(given: _Input, console: Console) -> _Found:
    pictures, sequence, policy = None, None, None
    if given.pairs is not None:
        with progress(console, "pictures", len(given.pairs)) as tick:
            pictures = len(given.pairs), evaluate_folder(given.subject, given.pairs, tick)
    if given.clip is not None:
        intervals, frames = given.intervals, len(given.clip)
        if given.policy is not None:
            chosen = _policy(given.policy)
            in_all = policy_frames(given.subject, given.clip, chosen)
            with progress(console, "policy", in_all) as tick:
                policy = evaluate_policy(given.subject, given.clip, given.policy, chosen, tick)
            intervals = sorted({*intervals, *policy.intervals})
        in_all = total_frames(intervals, frames, aggregate=aggregates_at_intervals(given.subject))
        with progress(console, "frames", in_all) as tick:
            sequence = evaluate_sequence(given.subject, given.clip, intervals, tick)
    return _Found(pictures, sequence, policy)


def _write(wanted: Wanted, given: _Input, found: _Found) -> None:
    if wanted.json is not None:
        labels = None if wanted.labels is None else str(wanted.labels)
        data = {"data": wanted.data, "split": wanted.split, "sequence": wanted.sequence, "labels": labels}
        write_json(wanted.json, report(given.subject, data, found.pictures, found.sequence, found.policy))
    if wanted.sheet is not None and given.clip is not None and found.sequence is not None:
        write_sheet(wanted.sheet, _sheet(given.subject, given.clip, found.sequence, max(given.intervals)))


def _sheet(subject: Subject, clip: Clip, sequence: SequenceScores, interval: int) -> Pixels:
    scores = sequence.intervals[interval]
    keys = f"a key frame every {interval} frames{_carried(subject)}" if interval > 1 else "every frame"
    title = f"{_runs(subject)}: {keys}"
    note = f"mIoU {100 * scores.miou:.2f} over all frames and phases; the network on every frame: "
    note += f"{100 * sequence.per_frame.miou:.2f}; the key frame's result repeated: {100 * scores.repeat_miou:.2f}"
    return draw_sheet(subject, clip, interval, title, note)


def _runs(subject: Subject) -> str:
    return f"{subject.model.card.name}, {subject.model.runs_on}"


def _carried(subject: Subject) -> str:
    config = subject.config
    aggregated = ", key frames aggregated" if aggregates_at_intervals(subject) else ""
    return f", by {config.models[0].level or config.level}, flow {config.flow.method}{aggregated}"


def _print(console: Console, subject: Subject, wanted: Wanted, found: _Found) -> None:
    if found.pictures is not None:
        count, scores = found.pictures
        place = " ".join(filter(None, (wanted.data, wanted.split)))
        print_classes(console, f"{_runs(subject)}: {count} pictures of {place}", scores, subject.classes)
    if found.sequence is not None:
        title = f"{_runs(subject)}: {found.sequence.frames} frames of {wanted.sequence}"
        if found.pictures is None:
            print_classes(console, title, found.sequence.per_frame, subject.classes)
        print_intervals(console, title + _carried(subject), found.sequence)
        if found.policy is not None:
            print_policy(console, found.policy, found.sequence)
