"""Estimators of flow by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keywarp.engines.errors import UsageError, unknown_name

from . import lucas_kanade
from .base import PairEstimator, Size, StepEstimator
from .card import bundled_flows, network_names
from .codec import CodecFlow
from .dis import PRESETS, DisFlow
from .gradients import best_kernel
from .known import KnownFlow
from .lucas_kanade import LucasKanadeFlow
from .measured import MeasuredFlow
from .motion_vectors import VECTOR_CODECS
from .pair_net import FlowNetFlow

_BY_GRADIENTS: dict[str, Callable[..., StepEstimator]] = {
    "lk": LucasKanadeFlow,
    **{f"lk:{preset}": partial(LucasKanadeFlow, preset=preset) for preset in lucas_kanade.PRESETS},
    "codec": CodecFlow,
    "auto": MeasuredFlow,
}
_OTHERS: dict[str, Callable[[Size | None], StepEstimator]] = {
    "dis": DisFlow,
    **{f"dis:{preset}": partial(DisFlow, preset=preset) for preset in PRESETS},
    "source": KnownFlow,
}
_ESTIMATORS = {**_BY_GRADIENTS, **_OTHERS}


def flow_names() -> tuple[str, ...]:
    """What ``--flow`` accepts, beside the path of a flow network's card."""
    return (*step_names(), *pair_names())


def step_names() -> tuple[str, ...]:
    """The names of step estimators."""
    return tuple(_ESTIMATORS)


def pair_names() -> tuple[str, ...]:
    """The names of the FlowNets that come with keywarp."""
    return tuple(bundled_flows())


def wants_vectors(name: str) -> bool:
    """Whether the flow called ``name`` uses motion vectors, which a source must be told of before it opens."""
    return bool(getattr(_ESTIMATORS.get(name), "wants_vectors", False))


def flow_kernel(name: str, fused: bool) -> str | None:
    """The kernel that refines the flow called ``name`` where it is made with ``fused``; None: none does."""
    return best_kernel(fused) if name in _BY_GRADIENTS else None


def make_estimator(
    name: str, size: Size | None = None, *, fused: bool = True
) -> StepEstimator | PairEstimator:
    """The estimator of a name or of a flow card's path, on pictures of ``size`` (None: its own choice).

    ``fused``: gradients' flow by kernels of keywarp's own where there are such, else by OpenCV.
    """
    if name.endswith(".json") or name in pair_names():
        return FlowNetFlow(name, size)
    return make_step_estimator(name, size, fused=fused)


def check_suits(
    flow: StepEstimator | PairEstimator,
    stream: str,
    *,
    knows_step: bool = False,
    has_vectors: bool = False,
    codec: str | None = None,
) -> None:
    """Raise :class:`UsageError` where ``stream`` has not what the flow is made of.

    ``knows_step``: its frames carry their exact step flow; ``has_vectors``: motion vectors, which FFmpeg hands out
    for some values of ``codec``, its name of the video codec (None: there is none).
    """
    if not isinstance(flow, StepEstimator):
        return
    if flow.needs_known_step and not knows_step:
        raise UsageError(
            f"flow '{flow.name}' is what a source itself knows, and '{stream}' knows none; use --flow lk"
        )
    if not flow.needs_vectors or has_vectors:
        return
    if codec in VECTOR_CODECS:
        raise UsageError(
            f"flow '{flow.name}' is made of motion vectors, and those of '{stream}' are not read; "
            "they are where a run begins with --flow auto or --flow codec, or has a page"
        )
    what = f"{codec} video, of which FFmpeg hands out none" if codec else "no video with any"
    raise UsageError(
        f"flow '{flow.name}' is made of a video's motion vectors, and '{stream}' is {what} (H.264, MPEG-4 and "
        "MPEG-1/2 files and streams have them); use --flow lk"
    )


def make_step_estimator(name: str, size: Size | None = None, *, fused: bool = True) -> StepEstimator:
    """The step estimator called ``name``, as :func:`make_estimator` makes it."""
    if name in network_names():
        raise UsageError(
            f"no weights of the flow network '{name}' come with keywarp (those that do: "
            f"{', '.join(pair_names()) or 'none'}); train it, and give the path of its card"
        )
    if name not in _ESTIMATORS:
        raise unknown_name("flow", name, flow_names())
    if name in _OTHERS:
        return _OTHERS[name](size)
    return _BY_GRADIENTS[name](size, fused=fused)
