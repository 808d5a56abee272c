"""A curve as JSON and as a Markdown table; docs/curve.md describes both."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from keywarp.flow.build import flow_kernel
from keywarp.pipeline.evaluation import Subject
from keywarp.pipeline.evaluation.plain import number, size_text

from .measure import Curve, Measure, Point
from .words import COLUMNS, MEANING, TIME, TITLE, aggregation_words, film_name, film_words, time_words

SCHEMA = "keywarp.curve/1"
"""The layout of :func:`curve_report`."""


def headings(measure: Measure) -> list[str]:
    """Of the table's columns; the last marks the Pareto front."""
    figures = {"miou": ["mIoU %"], "agreement": ["agree %", "as mIoU"]}[measure]
    return ["flow, level, policy", "N", "keys %", "ms", "x", *figures, "lowest", "age", ""]


def curve_report(curve: Curve, subject: Subject) -> dict[str, Any]:
    """Everything that was measured, in types that JSON has. Fractions of 1, milliseconds; None for no figure."""
    film, config = curve.film, subject.config
    engine, _, precision = curve.runs_on.partition(" ")
    return {
        "schema": SCHEMA,
        "clip": {
            "name": film.name,
            "first_frame": film.first,
            "frames": len(film),
            "size": size_text(film.info.size),
            "rate": None if film.info.rate is None else float(film.info.rate),
        },
        "model": curve.model,
        "settings": {
            "engine": engine,
            "precision": precision or None,
            "fused": subject.model.fused,
            "flow_kernel": next(
                filter(None, (flow_kernel(flow, config.fused) for flow in curve.flows)), None
            ),
            "size": size_text(config.size),
            "input_size": size_text(config.models[0].size),
            "flow_size": size_text(config.flow.size),
            "aggregated": [", ".join(series) for series in curve.aggregated],
            "threads": config.threads,
        },
        "measure": curve.measure,
        "meaning": {curve.measure: MEANING[curve.measure], "time_ms": TIME},
        "per_frame": _figures(curve, curve.per_frame),
        "points": [_figures(curve, point) for point in curve.points],
        "skipped": [{"flow": flow, "reason": reason} for flow, reason in curve.skipped.items()],
        "notes": list(film.notes),
    }


def curve_markdown(curve: Curve) -> str:
    """The table with what its figures mean, as a Markdown file's text."""
    first = headings(curve.measure)
    rules = ["---", *["---:"] * (len(first) - 2), "---"]
    rows = [first, rules, *(curve_row(curve, point) for point in (curve.per_frame, *curve.points))]
    title = f"# {TITLE[curve.measure]}: {film_name(curve)}, {curve.model} on {curve.runs_on}"
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n\n".join([title, " ".join(curve_notes(curve)), table, *_bullets(curve)]) + "\n"


def curve_notes(curve: Curve) -> list[str]:
    """What the figures mean, a sentence each."""
    return [
        film_words(curve),
        MEANING[curve.measure],
        TIME,
        time_words(curve),
        aggregation_words(curve),
        COLUMNS[curve.measure],
    ]


def curve_row(curve: Curve, point: Point) -> list[str]:
    """The cells of one point, under :func:`headings`."""
    variant = point.variant
    return [
        "every frame" if variant is None else ", ".join(variant.series),
        "1" if variant is None else str(variant.interval),
        f"{100 * point.key_share:.1f}",
        f"{point.time_ms:.2f}",
        f"{curve.per_frame.time_ms / point.time_ms:.2f}" if point.time_ms else "-",
        _percent(point.accuracy),
        *([_percent(point.miou)] if curve.measure == "agreement" else []),
        _percent(point.min_accuracy),
        str(point.min_key_age),
        "*" if point in curve.front else "",
    ]


def _bullets(curve: Curve) -> Sequence[str]:
    left_out = [f"* `{flow}` was left out: {reason}" for flow, reason in curve.skipped.items()]
    return [f"* {note}" for note in curve.film.notes] + left_out


def _figures(curve: Curve, point: Point) -> dict[str, Any]:
    variant = point.variant
    found: dict[str, Any] = {}
    if variant is not None:
        found = {
            "flow": variant.flow,
            "level": variant.level,
            "policy": variant.policy,
            "interval": variant.interval,
        }
    return {
        **found,
        **_accuracy(curve.measure, point),
        "min_key_age": point.min_key_age,
        "key_share": point.key_share,
        "time_ms": number(point.time_ms),
        "key_ms": number(point.key_ms),
        "propagated_ms": number(point.propagated_ms),
        "speedup": number(curve.per_frame.time_ms / point.time_ms) if point.time_ms else None,
        "runs": point.runs,
        "timed_runs": point.timed_runs,
        "pareto": point in curve.front,
    }


def _accuracy(measure: Measure, point: Point) -> dict[str, Any]:
    """Under the measure's own name, so that an agreement cannot be taken for an accuracy."""
    return {
        measure: number(point.accuracy),
        f"min_{measure}": number(point.min_accuracy),
        **({"agreement_miou": number(point.miou)} if measure == "agreement" else {}),
        "ages": {str(age): number(point.figure(scores)) for age, scores in point.ages.items()},
        "phases": [number(point.figure(scores)) for scores in point.phases],
    }


def _percent(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:.2f}"
