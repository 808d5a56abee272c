"""Step estimators by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keywarp.engines.errors import unknown_name

from .base import Size, StepEstimator
from .dis import PRESETS, DisFlow, KnownFlow

_ESTIMATORS: dict[str, Callable[[Size | None], StepEstimator]] = {
    "dis": DisFlow,
    **{f"dis:{preset}": partial(DisFlow, preset=preset) for preset in PRESETS},
    "source": KnownFlow,
}


def flow_names() -> tuple[str, ...]:
    """What ``--flow`` accepts."""
    return tuple(_ESTIMATORS)


def make_step_estimator(name: str, size: Size | None = None) -> StepEstimator:
    """The estimator called ``name`` on a grid of ``size`` (None: its own choice)."""
    if name not in _ESTIMATORS:
        raise unknown_name("flow", name, _ESTIMATORS)
    return _ESTIMATORS[name](size)
