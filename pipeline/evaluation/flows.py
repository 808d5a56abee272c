"""How good flows are on pictures with true flow, and what they cost: end-point error, Fl-all, time, operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any

import numpy as np

from keywarp.engines.base import Engine
from keywarp.flow.base import Field, KeyFlow, PairEstimator, PairSetup, Size, StepEstimator, resize_field
from keywarp.flow.build import check_suits
from keywarp.flow.compose import extend
from keywarp.flow.metrics import FlowError, flow_error
from keywarp.flow.pair_net import FlowNetFlow
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.threads import ThreadBudget

from .flow_data import FlowData, FlowExample
from .plain import number, size_text

Estimator = StepEstimator | PairEstimator
SCHEMA = "keywarp.flows/1"
"""The layout of :func:`flows_report`."""
ZERO = "zero"
"""The name of the flow that says that nothing moves."""
_LEAST_TIMED = 10
_COUNTED_STRIDE_PX = 8


@dataclass(frozen=True, slots=True)
class FlowScore:
    """One flow on one kind of example.

    ``way``: ``chained`` (a step from each frame to the one before it, composed), ``direct`` (one estimate over the
    whole distance) or ``none`` for the flow that is zero. ``time_ms``: the median of all estimates, for ``chained``
    of one step with its composition; None where nothing was estimated. ``gflops``: of one estimate, None where it
    is no network or nothing can count it. ``size``: the flow's grid. ``by_example``: the error of each by its name.
    """

    flow: str
    way: str
    by_example: Mapping[str, FlowError]
    size: Size | None = None
    time_ms: float | None = None
    timed: int = 0
    gflops: float | None = None

    @property
    def error(self) -> FlowError:
        """Over all pixels of all examples."""
        return sum(self.by_example.values(), FlowError())


@dataclass(frozen=True, slots=True)
class FlowTable:
    """All flows on one kind of example; the first is :data:`ZERO`."""

    data: str
    distance: int
    examples: int
    frame_size: Size
    scores: tuple[FlowScore, ...]


@dataclass(slots=True)
class _Sum:
    """One row while it is added up."""

    estimator: Estimator | None
    way: str
    by_example: dict[str, FlowError] = field(default_factory=dict)
    times_ms: list[float] = field(default_factory=list)
    size: Size | None = None


def evaluate_flows(
    estimators: Sequence[Estimator],
    data: FlowData,
    *,
    engine: Engine,
    threads: int | None = None,
    precision: str | None = None,
    tick: Callable[[], None] = lambda: None,
) -> FlowTable:
    """Run every estimator on every example, in turns, so that a busy machine is busy for all of them; where there
    are fewer than 10 examples, several times.

    Each call gets pictures that nobody has scaled before: its own scaling is part of its time. The first example of
    each size is run once before, which is not timed. ``tick`` is called after each example. Raises
    :class:`UsageError` where an estimator needs a step that the data has not.
    """
    for estimator in estimators:
        check_flow(estimator, data)
    ways = [(None, "none")] + [
        (estimator, way) for estimator in estimators for way in _ways(estimator, data.distance)
    ]
    rows = [_Sum(estimator, way) for estimator, way in ways]
    rounds = ceil(_LEAST_TIMED / len(data))
    frame_size: Size | None = None
    budget = ThreadBudget.divide(threads)
    setup = PairSetup(engine, precision, budget.engine)
    with budget.applied_to_opencv(), ExitStack() as stack:
        for example in data.examples():
            size = _size_of(example)
            if size != frame_size:
                _open(estimators, setup, size, stack)
                for row in rows:  # warm up
                    _estimate(row.estimator, row.way, example)
                frame_size = size
            for _ in range(rounds):
                for row in rows:
                    _add(row, example)
            tick()
        counts = [None if row.estimator is None else count_gflops(row.estimator) for row in rows]
    assert frame_size is not None
    scores = tuple(_score(row, count) for row, count in zip(rows, counts, strict=True))
    return FlowTable(data.name, data.distance, len(data), frame_size, scores)


def check_flow(estimator: Estimator, data: FlowData) -> None:
    """Raise :class:`UsageError` where ``data`` has not what the estimator needs."""
    check_suits(estimator, data.name, knows_step=data.knows_step)


def _needs_known_step(estimator: Estimator) -> bool:
    return isinstance(estimator, StepEstimator) and estimator.needs_known_step


def _ways(estimator: Estimator, distance: int) -> Iterable[str]:
    if isinstance(estimator, PairEstimator) or distance == 1:
        return ("direct",)
    return ("chained",) if _needs_known_step(estimator) else ("chained", "direct")


def _open(estimators: Sequence[Estimator], setup: PairSetup, size: Size, stack: ExitStack) -> None:
    for estimator in estimators:
        if isinstance(estimator, PairEstimator):
            estimator.open(setup, size)
            stack.callback(estimator.close)


def _size_of(example: FlowExample) -> Size:
    height, width = example.truth.shape[:2]
    return width, height


def _add(row: _Sum, example: FlowExample) -> None:
    found, times_ms = _estimate(row.estimator, row.way, example)
    row.size = None if row.estimator is None else (found.shape[1], found.shape[0])
    if row.estimator is not None and not _needs_known_step(row.estimator):
        row.times_ms += times_ms
    if example.name not in row.by_example:
        full = resize_field(found, _size_of(example))
        row.by_example[example.name] = flow_error(full, example.truth, example.valid)


def _estimate(estimator: Estimator | None, way: str, example: FlowExample) -> tuple[Field, list[float]]:
    """The flow from the last picture to the first on the estimator's grid, and the time of each call."""
    if estimator is None:
        return np.zeros_like(example.truth), []
    frames = example.frames()
    if isinstance(estimator, PairEstimator):
        started = time.perf_counter()
        found = estimator.pair(frames[0], frames[-1]).field
        return found, [_since_ms(started)]
    if way == "direct":
        return _chained(estimator, [frames[0], frames[-1]])
    return _chained(estimator, frames)


def _chained(estimator: StepEstimator, frames: Sequence[Frame]) -> tuple[Field, list[float]]:
    flow = KeyFlow.start((1, 1))
    times_ms = []
    for previous, current in pairwise(frames):
        started = time.perf_counter()
        flow = extend(estimator.step(previous, current), flow)
        times_ms.append(_since_ms(started))
    return flow.field, times_ms


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _score(row: _Sum, gflops: float | None) -> FlowScore:
    name = ZERO if row.estimator is None else row.estimator.name
    time_ms = median(row.times_ms) if row.times_ms else None
    return FlowScore(name, row.way, row.by_example, row.size, time_ms, len(row.times_ms), gflops)


def count_gflops(estimator: Estimator) -> float | None:
    """Operations of one estimate in 10^9, two for each multiply-accumulate, without the scale map, of an open
    estimator; None where it is no network of keywarp's, or torch or ptflops is not installed.
    """
    if not isinstance(estimator, FlowNetFlow) or estimator.card.stride_px != _COUNTED_STRIDE_PX:
        return None
    try:
        from keywarp.models.complexity import flow_complexity
    except ModuleNotFoundError:
        return None
    return flow_complexity(estimator.card.network, estimator.picture_size).flops / 1e9


def flows_report(spec: str, tables: Sequence[FlowTable], skipped: Mapping[str, str]) -> dict[str, Any]:
    """What was found, as ``keywarp eval --flow --json`` writes it; docs/evaluation.md describes the keys."""
    return {
        "schema": SCHEMA,
        "data": spec,
        "sets": [
            {
                "name": table.data,
                "distance": table.distance,
                "examples": table.examples,
                "size": size_text(table.frame_size),
                "flows": [_figures(score) for score in table.scores],
            }
            for table in tables
        ],
        "skipped": [{"flow": flow, "reason": reason} for flow, reason in skipped.items()],
    }


def _figures(score: FlowScore) -> dict[str, Any]:
    return {
        "flow": score.flow,
        "way": score.way,
        "epe_px": number(score.error.epe_px),
        "fl_all": number(score.error.fl_all),
        "pixels": score.error.pixels,
        "examples": {name: number(error.epe_px) for name, error in score.by_example.items()},
        "grid": size_text(score.size),
        "time_ms": score.time_ms,
        "timed": score.timed,
        "gflops": score.gflops,
    }
