"""``keywarp eval`` of flows by themselves, on pictures with true flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keywarp.engines.build import get_engine
from keywarp.engines.errors import UsageError
from keywarp.flow.build import make_estimator
from keywarp.pipeline.config import RunConfig, make_config
from keywarp.pipeline.evaluation.flow_data import CHAIRS, KINDS, STREET, FlowData, flow_data
from keywarp.pipeline.evaluation.flows import (
    Estimator,
    FlowScore,
    FlowTable,
    check_flow,
    evaluate_flows,
    flows_report,
)
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import check_not_read

from .evaluate import Wanted, evaluate_command
from .files import write_json
from .lists import words_in
from .progress import progress
from .settings import cards_among, settings_from

_EXPLAINED = (
    "EPE: mean end-point error in pixels of the picture; Fl-all: percent of the pixels with more than 3 px and "
    "more than 5 % of the true length. Chained: steps from frame to frame, composed; its time is that of one step. "
    "Time: the median of one estimate with its scaling."
)

_MOST_NAMED = 3
_USED = ("flow", "engine", "precision", "threads", "fused")


@dataclass(frozen=True, slots=True)
class WantedFlows:
    """What is to be evaluated, and where the figures go; texts as the user gave them."""

    data: str | None
    json: Path | None


def is_about_flows(data: str | None, flow: str | None, sequence: str | None) -> bool:
    """Whether ``keywarp eval`` is asked for the flow itself, and not for what a model makes of it."""
    if data is not None:
        return data.partition(":")[0] in KINDS
    return flow is not None and sequence is None


def evaluate_either(wanted: Wanted, flags: dict[str, Any], assignments: list[str], quiet: bool) -> None:
    """Evaluate what is asked for: a model, or flows by themselves."""
    if not is_about_flows(wanted.data, flags["flow.method"], wanted.sequence):
        evaluate_command(wanted, flags, assignments, quiet)
        return
    options = {
        f"--{name}": getattr(wanted, name) for name in ("sequence", "split", "labels", "intervals", "policy")
    }
    options |= {f"--{name}": flags[name] for name in ("level", "aggregate", "size")}
    options["--model"] = flags["models"]
    own = {name: flags[name] for name in ("flow.method", "engine", "precision", "threads")}
    flows = WantedFlows(wanted.data, wanted.json)
    evaluate_flows_command(flows, own, {**options, "--sheet": wanted.sheet}, assignments, quiet)


def evaluate_flows_command(
    wanted: WantedFlows, flags: dict[str, Any], others: dict[str, object], assignments: list[str], quiet: bool
) -> None:
    """Evaluate, print a table for each set, write JSON. ``others``: options that a flow has no use for."""
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"{option} belongs to a model's evaluation; flows have no use for it")
    names = words_in("--flow", flags.pop("flow.method"))
    settings = settings_from(None, flags, assignments)
    config = make_config(settings)
    for name in settings:
        if name not in _USED:
            raise UsageError(
                f"'{name}' belongs to a model's evaluation; flows have no use for it (accepted: {', '.join(_USED)})"
            )
    names = names or [config.flow.method]
    spec = wanted.data or f"{STREET}:"
    if wanted.json is not None:
        check_not_read([wanted.json], cards_among(names))
    sets = flow_data(spec)
    estimators, skipped = _estimators(names, config, sets)
    console = Console(quiet=quiet)
    if wanted.json is not None:
        _check_not_data(wanted.json, spec)
        Claim(wanted.json).give_up()
    tables = _evaluate(console, estimators, sets, config)
    for table in tables:
        _print(console, table)
    console.print(f"[dim]{_EXPLAINED}[/]", highlight=False)
    for flow, reason in skipped.items():
        console.print(f"[yellow]note:[/] {escape(flow)} was left out: {escape(reason)}", highlight=False)
    if wanted.json is not None:
        write_json(wanted.json, flows_report(spec, tables, skipped))
        console.print(f"wrote {wanted.json}", highlight=False, markup=False)


def _estimators(
    names: list[str], config: RunConfig, sets: list[FlowData]
) -> tuple[list[Estimator], dict[str, str]]:
    """An estimator for each name, and why others cannot be used here; a name that is alone is an error."""
    estimators: list[Estimator] = []
    skipped: dict[str, str] = {}
    for name in names:
        estimator = make_estimator(name, config.flow.size, fused=config.fused)
        estimator.name = name  # as it was asked for: "lk", not "lk:medium"
        try:
            for data in sets:
                check_flow(estimator, data)
        except UsageError as error:
            if len(names) == 1:
                raise
            skipped[name] = str(error)
        else:
            estimators.append(estimator)
    return estimators, skipped


def _evaluate(
    console: Console, estimators: list[Estimator], sets: list[FlowData], config: RunConfig
) -> list[FlowTable]:
    tables = []
    for data in sets:
        with progress(console, "pairs", len(data)) as tick:
            tables.append(
                evaluate_flows(
                    estimators,
                    data,
                    engine=get_engine(config.engine),
                    threads=config.threads,
                    precision=config.precision,
                    tick=tick,
                )
            )
    return tables


def _check_not_data(path: Path, spec: str) -> None:
    if spec.startswith(f"{CHAIRS}:") and path.resolve().suffix.lower() in (".ppm", ".flo"):
        raise UsageError(f"--json '{path}' has the name of a picture or a flow; give FILE.json")


def _print(console: Console, table: FlowTable) -> None:
    frames = "1 frame" if table.distance == 1 else f"{table.distance} frames"
    width, height = table.frame_size
    title = f"{table.data.rstrip(':')}: {table.examples} pairs of {width}x{height}, {frames} apart"
    console.print(f"[bold]{escape(title)}[/]", highlight=False)
    shown = Table()
    for heading in ("flow", "way"):
        shown.add_column(heading, no_wrap=True)
    names = list(table.scores[0].by_example) if table.examples <= _MOST_NAMED else []
    for heading in ("EPE px", *_short(names), "Fl-all %", "ms", "GFLOPs"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for score in table.scores:
        shown.add_row(*_row(score, names))
    console.print(shown)


def _short(names: list[str]) -> list[str]:
    """``chairs_00001`` as ``00001``, where that still tells the examples apart."""
    ends = [name.rpartition("_")[2] for name in names]
    return ends if len(set(ends)) == len(names) else names


def _row(score: FlowScore, names: list[str]) -> tuple[str, ...]:
    return (
        escape(score.flow),
        "" if score.way == "none" else score.way,
        f"{score.error.epe_px:.3f}",
        *(f"{score.by_example[name].epe_px:.3f}" for name in names),
        f"{100 * score.error.fl_all:.2f}",
        "-" if score.time_ms is None else f"{score.time_ms:.2f}",
        "-" if score.gflops is None else f"{score.gflops:.2f}",
    )
