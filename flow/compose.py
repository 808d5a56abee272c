"""Composition of flows: steps chained to the key frame, and steps across dropped frames.

With ``step`` from the current frame to the previous one and ``before`` from there to the key frame,
``key(p) = step(p) + before(p + step(p))``. Chained short steps stay closer to the truth than one flow over
the whole distance (docs/flow.md has the figures).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .base import Field, KeyFlow, Mask, Size, StepFlow, readonly


@lru_cache(maxsize=16)
def cell_grid(size: Size) -> Field:
    """(H, W, 2) float32: the x and y of every cell of a grid of ``size``. Read-only, shared."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return readonly(np.dstack([x, y]))


def inside(field: Field) -> Mask:
    """(H, W) bool: whether each cell's source ``cell + field[cell]`` lies inside the picture."""
    height, width = field.shape[:2]
    source = cv2.add(cell_grid((width, height)), field)
    return cv2.inRange(source, (-0.5, -0.5), (width - 0.5, height - 0.5)).view(np.bool_)


def extend(step: StepFlow, before: KeyFlow) -> KeyFlow:
    """The key flow of the current frame: its step, and from there the key flow of the previous frame.

    A cell is valid where the step is, and where it points at a valid cell. ``before`` is brought to the
    step's grid where it has another.
    """
    if before.age == 0:
        return KeyFlow(step.field, step.valid, 1)
    field, valid = _chain(step, StepFlow(before.field, before.valid).resized(step.size))
    return KeyFlow(field, valid, before.age + 1)


def join(step: StepFlow, earlier: StepFlow) -> StepFlow:
    """One step over a dropped frame: ``step`` leads to the dropped frame, ``earlier`` from there on."""
    return StepFlow(*_chain(step, earlier.resized(step.size)))


def _chain(step: StepFlow, before: StepFlow) -> tuple[Field, Mask]:
    source = cv2.add(cell_grid(step.size), step.field)
    field = cv2.remap(before.field, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.add(field, step.field, dst=field)
    seen = cv2.remap(before.valid.view(np.uint8), source, None, cv2.INTER_NEAREST, borderValue=0)
    return field, np.logical_and(seen.view(np.bool_), step.valid)
