"""``keywarp curve``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keywarp.engines.errors import UsageError
from keywarp.flow.build import wants_vectors
from keywarp.models.base import LEVELS
from keywarp.pipeline.curve import Curve, Film, Variant, make_variants, measure_curve, read_film
from keywarp.pipeline.curve.drawing import to_pixels, to_svg
from keywarp.pipeline.curve.measure import aggregates, total_frames, usable_flows
from keywarp.pipeline.curve.plot import draw_curve
from keywarp.pipeline.curve.report import (
    curve_markdown,
    curve_notes,
    curve_report,
    curve_row,
    headings,
)
from keywarp.pipeline.curve.variants import check_intervals
from keywarp.pipeline.curve.words import TITLE, film_name
from keywarp.pipeline.evaluation import Subject
from keywarp.pipeline.evaluation.sequence import INTERVALS
from keywarp.pipeline.sinks.output import Claim, write_bytes
from keywarp.pipeline.sinks.places import check_not_read, check_places

from .files import write_json
from .lists import intervals_in, words_in
from .log import warnings_once
from .progress import progress
from .settings import cards_among, cards_in, refuse_settings, settings_from

_NAMES = ("curve.md", "curve.png", "curve.svg")
_FLOWS = ("lk", "codec")
_POLICIES = ("fixed", "adaptive")
_INSTEAD = {
    "interval": "name intervals with --intervals",
    "level": "name levels with --levels",
    "policy": "name policies with --policies",
    "sinks": "name the outputs' folder with --out",
    "flow.method": "name flows with --flows",
}


@dataclass(frozen=True, slots=True)
class WantedCurve:
    """What is to be run, and where the figures go; texts as the user gave them, None for what he did not."""

    video: str
    out: Path
    labels: Path | None = None
    intervals: str | None = None
    policies: str | None = None
    flows: str | None = None
    levels: str | None = None
    frames: int | None = None
    start: int = 0
    json: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        """The files that are written, the JSON first."""
        return [self.json or self.out / "curve.json", *(self.out / name for name in _NAMES)]


@warnings_once()
def curve_command(wanted: WantedCurve, flags: dict[str, Any], assignments: list[str], quiet: bool) -> None:
    """Measure, print and write. What can be checked is checked before the first run."""
    settings = settings_from(None, flags, assignments)
    refuse_settings(settings, _INSTEAD, "a curve")
    intervals = None if wanted.intervals is None else intervals_in(wanted.intervals)
    policies = words_in("--policies", wanted.policies) or list(_POLICIES)
    levels = words_in("--levels", wanted.levels) or list(LEVELS)
    flows = words_in("--flows", wanted.flows) or list(_FLOWS)
    check_places(map(str, wanted.outputs), wanted.video)
    check_not_read(wanted.outputs, [*cards_in(settings), *cards_among(flows)])
    make_variants(flows, levels, policies, intervals or INTERVALS)
    subject = Subject(**settings)
    if subject.config.aggregate and "features" not in levels:
        raise UsageError(
            "key frames are aggregated by their features; add features to --levels, or leave --aggregate out"
        )
    film = read_film(
        wanted.video,
        labels=wanted.labels,
        classes=subject.classes,
        first=wanted.start,
        frames=wanted.frames,
        rate=subject.config.rate,
        vectors=any(map(wants_vectors, flows)),
    )
    check_intervals(intervals or (), len(film))
    _check_outputs(wanted, film)
    console = Console(quiet=quiet)
    usable, skipped = usable_flows(subject, film, flows, named=wanted.flows is not None)
    those = intervals or [interval for interval in INTERVALS if interval <= len(film)]
    variants = make_variants(usable, levels, policies, those, aggregates=partial(aggregates, subject, film))
    _announce(console, film, variants)
    with progress(console, "frames", total_frames(film, variants)) as tick:
        curve = measure_curve(subject, film, variants, skipped=skipped, tick=tick)
    _print(console, curve)
    _write(wanted, curve, subject)
    console.print("wrote " + ", ".join(map(str, wanted.outputs)), highlight=False, markup=False)


def _check_outputs(wanted: WantedCurve, film: Film) -> None:
    """Raise where an output cannot be written, or would take the place of what is read."""
    places = [*film.info.paths, *([] if wanted.labels is None else [wanted.labels])]
    check_not_read(wanted.outputs, places)
    for path in wanted.outputs:
        Claim(path).give_up()  # found out before the work, without a trace


def _announce(console: Console, film: Film, variants: Sequence[Variant]) -> None:
    frames = total_frames(film, variants)
    console.print(
        f"{len(variants)} variants on {len(film)} frames, {frames} frames to run in all", highlight=False
    )


def _print(console: Console, curve: Curve) -> None:
    title = f"{TITLE[curve.measure]}: {film_name(curve)}, {curve.model} on {curve.runs_on}"
    console.print(f"[bold]{escape(title)}[/]", highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=0)
    for number, heading in enumerate(headings(curve.measure)):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number > 0)
    for point in (curve.per_frame, *curve.points):
        table.add_row(*map(escape, curve_row(curve, point)))
    console.print(table)
    console.print(f"[dim]{escape(' '.join(curve_notes(curve)))}[/]", highlight=False)
    for note in curve.film.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    for flow, reason in curve.skipped.items():
        console.print(f"[yellow]note:[/] {escape(flow)} was left out: {escape(reason)}", highlight=False)


def _write(wanted: WantedCurve, curve: Curve, subject: Subject) -> None:
    json_path, table, png, svg = wanted.outputs
    write_json(json_path, curve_report(curve, subject))
    drawing = draw_curve(curve)
    _, data = cv2.imencode(".png", to_pixels(drawing), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    for path, content in (
        (table, curve_markdown(curve).encode()),
        (png, data.tobytes()),
        (svg, to_svg(drawing).encode()),
    ):
        write_bytes(path, content)
