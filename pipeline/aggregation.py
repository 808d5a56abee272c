"""Whether the key frames of a run are aggregated, and what keeps them from it."""

from __future__ import annotations

import logging
from typing import Any

from keywarp.flow.base import PairEstimator, StepEstimator
from keywarp.flow.keyframes import KeyframePolicy
from keywarp.models.base import Level, Model

_log = logging.getLogger(__name__)


def wants_aggregation(
    asked: bool | None,
    model: Model[Any],
    policy: KeyframePolicy,
    flow: StepEstimator | PairEstimator,
) -> bool:
    """Whether a model's key frames are aggregated, at level features: as ``asked``; where nothing is (None), as the
    policy has it, if the model can and the flow is no FlowNet, which takes longer than a step and whose scale map
    may stand in the way.
    """
    if asked is not None:
        return asked
    return policy.aggregates and model.can_aggregate and isinstance(flow, StepEstimator)


def what_bars_aggregation(model: Model[Any], level: Level, flow: StepEstimator | PairEstimator) -> str:
    """Why key frames cannot be aggregated, and what to do about it; empty where they can be."""
    if level == "result":
        return "level 'result' carries no features; use level 'features'"
    if not model.can_aggregate:
        return lacks_aggregation(model)
    if isinstance(flow, PairEstimator) and flow.scale_channels is not None and not model.can_aggregate_scaled:
        return (
            f"the scale map of flow '{flow.name}' multiplies other features than those mixed; use flow 'lk'"
        )
    return ""


def lacks_aggregation(model: Model[Any]) -> str:
    """Why a model can never aggregate key frames."""
    return f"model '{model.card.name}' lacks the part 'aggregate'; export it again with keywarp export"


def tell_unaggregated(
    policy: KeyframePolicy, model: Model[Any], level: Level, flow: StepEstimator | PairEstimator
) -> None:
    """Log what keeps a policy's key frames from being aggregated as they usually are, and what to do about it."""
    reason = what_bars_aggregation(model, level, flow)
    if not reason and isinstance(flow, PairEstimator):
        reason = f"with the flow '{flow.name}' it would take a run of that; use --aggregate, or --flow lk"
    if reason:
        _log.info("policy '%s' runs without aggregated key frames: %s", policy.name, reason)
