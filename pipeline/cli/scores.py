"""Tables of scores, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keywarp.models.labels import ClassSet
from keywarp.models.metrics import Scores
from keywarp.pipeline.evaluation import IntervalScores, PolicyScores, SequenceScores

_EXPLAINED = (
    "mIoU in percent, the mean over the phases of the key frame; spread: between phases. Cost: points lost against "
    "the network on every frame; its cost: where the key frame's result is only repeated. Lowest: of all key ages."
)


def print_classes(console: Console, title: str, scores: Scores, classes: ClassSet) -> None:
    """A row for each class, then the means; percent."""
    table = Table("class")
    for heading in ("IoU", "accuracy", "Dice", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    columns = scores.class_iou, scores.class_accuracy, scores.class_dice, scores.class_share
    for label, name in enumerate(classes.names):
        table.add_row(name, *(_percent(column[label], 1) for column in columns))
    table.add_section()
    table.add_row("mean", *map(_percent, (scores.miou, scores.mean_accuracy, scores.dice)), "", style="bold")
    table.add_row("by share", _percent(scores.fw_iou), _percent(scores.pixel_accuracy), "", "")
    _print(console, title, table, "Percent. Mean: of the classes that occur; by share: of all pixels.")


def print_intervals(console: Console, title: str, sequence: SequenceScores) -> None:
    """A row for each interval: what it scores, and what it costs against the network on every frame."""
    table = Table()
    for heading in ("interval", "mIoU", "cost", "repeated", "its cost", "spread", "lowest", "at age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scores in sequence.intervals.values():
        table.add_row(*_interval_row(scores, sequence.per_frame.miou))
    _print(console, title, table, _EXPLAINED)
    for interval, scores in sequence.intervals.items():
        frames = sequence.frames * len(scores.phases)
        _note_broken(console, f"interval {interval}", scores.by_cause, frames)


def print_policy(console: Console, policy: PolicyScores, sequence: SequenceScores) -> None:
    """What a policy scores, and what fixed intervals score with as many key frames."""
    table = Table()
    for heading in ("policy", "key frames", "mIoU", "spread", "cost", "fixed", "gain"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    fixed, found = policy.fixed_miou(sequence), policy.miou
    table.add_row(
        policy.policy,
        f"{_percent(policy.share, 1)} %",
        *map(
            _percent,
            (found, policy.spread, sequence.per_frame.miou - found, fixed, policy.alike_miou - fixed),
        ),
    )
    causes = ", ".join(f"{count} {cause}" for cause, count in policy.by_cause.items())
    between = " and ".join(map(str, policy.intervals))
    caption = (
        f"Key frames by cause, all phases (first: frame 0, and where a phase begins): {causes}. Fixed: "
        + (
            f"interval {between}, brought to the same share of key frames."
            if between
            else "the same, since an interval with no key frame but the first has just these results."
        )
    )
    if policy.aggregates_alone:
        caption += (
            f" The policy's key frames are aggregated (docs/keyframes.md), which adds "
            f"{_percent(found - policy.alike_miou)} to its mIoU; the fixed ones are not. Gain: without "
            "that, what the choice of key frames is worth."
        )
    runs = "one run" if len(policy.runs) == 1 else f"mean of {len(policy.runs)} phases"
    _print(console, f"The policy {policy.policy}, {runs}", table, caption)
    _note_broken(console, policy.policy, policy.by_cause, policy.frames * len(policy.runs))


def _note_broken(console: Console, whose: str, by_cause: Mapping[str, int], frames: int) -> None:
    """Say how many of the ``frames`` of all phases became key frames because nothing could be carried to them."""
    if broken := by_cause.get("nan"):
        console.print(
            f"[yellow]note:[/] {escape(whose)}: {broken} of {frames} frames (all phases) became key frames because "
            "the flow to them was broken; the cost says nothing of carrying results along it\n",
            highlight=False,
        )


def _interval_row(scores: IntervalScores, per_frame: float) -> tuple[str, ...]:
    return (
        str(scores.interval),
        _percent(scores.miou),
        _percent(per_frame - scores.miou),
        _percent(scores.repeat_miou),
        _percent(per_frame - scores.repeat_miou),
        _percent(scores.spread),
        _percent(scores.min_miou),
        str(scores.min_key_age),
    )


def _print(console: Console, title: str, table: Table, caption: str) -> None:
    console.print(f"[bold]{escape(title)}[/]", highlight=False)
    console.print(table)
    console.print(f"[dim]{caption}[/]\n", highlight=False)


def _percent(value: float, digits: int = 2) -> str:
    return "-" if isnan(value) else f"{100 * value:.{digits}f}"
