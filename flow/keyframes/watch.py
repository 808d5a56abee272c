"""What a policy wants to know of pictures and flow, measured where it does."""

from __future__ import annotations

from dataclasses import replace

from keywarp.flow.base import Image, KeyFlow, PairFlow, StepFlow
from keywarp.flow.motion import grid_size, is_cut, measure

from .base import KeyframePolicy, Signals


def watches(policy: KeyframePolicy) -> bool:
    """Whether the policy wants to know anything of a frame's picture."""
    return policy.cuts or policy.needs_motion


def watch(
    policy: KeyframePolicy,
    signals: Signals,
    *,
    key: Image,
    previous: Image,
    now: Image,
    flow: KeyFlow | PairFlow,
    step: StepFlow | None,
) -> Signals:
    """``signals`` with what the policy wants: ``flow`` leads from ``now`` to ``key``, ``step`` to ``previous``."""
    size = grid_size(flow)
    cut = policy.cuts and begins_scene(key=key, previous=previous, now=now, flow=flow, step=step)
    motion = measure(key.gray(size), now.gray(size), flow) if policy.needs_motion else None
    return replace(signals, cut=cut, motion=motion)


def begins_scene(
    *, key: Image, previous: Image, now: Image, flow: KeyFlow | PairFlow, step: StepFlow | None
) -> bool:
    """Whether ``now`` begins a new scene.

    Nothing of the previous frame is found again, neither along the step nor in its place; without a step, nothing
    of the previous frame in its place, nor of the key frame along the flow. Either happens within a scene, but
    hardly both.
    """
    size = grid_size(flow)
    before, shown, still = previous.gray(size), now.gray(size), StepFlow.still(size)
    if step is None:
        return is_cut(before, shown, still) and is_cut(key.gray(size), shown, flow)
    return is_cut(before, shown, step, searched=True) and is_cut(before, shown, still)
