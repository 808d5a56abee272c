"""What a frame's flow and brightness say about how far a key frame still serves: the signals of key-frame policies.

All of it is measured on a grid of about 88 x 66 cells, so that it costs a tenth of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field, KeyFlow, PairFlow, Size, StepFlow, resize_field
from .compose import cell_grid
from .sizes import shrunk

_CELLS = 88 * 66
# Detail is what is left of the brightness without its mean over so many cells.
_DETAIL_CELLS = 9
# Over cuts the detail of the previous frame in its place correlates by -0.1 to 0.4 and the brightness differs by 13
# to 70 grey levels; within a scene by more than 0.6, and less than 13. Where cars pass an empty road quickly it is
# 0.4 and 8. So the more differs the better the detail must match; noise in the dark stays below both.
_LEAST_CUT_RESIDUAL = 6.0
_CUT_MATCH = 0.2
_FOUND_MATCH = 0.02, 0.6  # more for each grey level, and at most
# Along a step that was searched in the two pictures other scenes match too, by up to 0.7; the same one by 0.9.
_SEARCHED_MATCH = 0.03, 0.75
# Grey levels from one cell to the next: flatter pictures count as being as flat as this.
_LEAST_GRADIENT = 1.0
# Cells that differ by so many grey levels, mean of 3 x 3, match by a third.
_MATCH_DIFFERENCE, _MATCH_CELLS = 6.0, 3

Gray = NDArray[np.uint8]
Flow = StepFlow | KeyFlow | PairFlow


@dataclass(frozen=True, slots=True)
class Motion:
    """What happened between a key frame and the current one, from 0 up, 0 where nothing did.

    ``mean``: the mean length of the flow's vectors. ``spread``: the root mean square of their distances from the
    mean vector. ``residual``: how far off the flow must be to explain the brightness that differs after warping:
    the mean difference by the mean gradient. These three in percent of the picture's width. ``invalid_share``: of
    the cells, 0 to 1, whose way to the key frame leads out of the picture or is hidden.
    """

    mean: float
    spread: float
    residual: float
    invalid_share: float


def measure(key: Gray, now: Gray, flow: Flow) -> Motion:
    """The motion from ``key`` to ``now``, both (H, W) uint8 brightness of one size, by the ``flow`` from ``now`` to
    ``key`` on a grid of any size.
    """
    field = _field(flow, now)
    percent = 100.0 / now.shape[1]
    _, spreads = cv2.meanStdDev(field)
    difference = _difference(key, now, field)
    return Motion(
        mean=percent * float(cv2.mean(cv2.magnitude(field[..., 0], field[..., 1]))[0]),
        spread=percent * float(np.hypot(*spreads.ravel())),
        residual=percent * _mean(difference) / max(_gradient(now), _LEAST_GRADIENT),
        invalid_share=1.0 - cv2.countNonZero(flow.valid.view(np.uint8)) / flow.valid.size,
    )


def match(key: Gray, now: Gray, flow: Flow) -> NDArray[np.float32]:
    """How well each cell of ``now`` is found again in ``key``: (H, W), 1 where nothing differs, 0 where the flow
    leads out of the picture. Pictures and flow as for :func:`measure`.
    """
    difference = _difference(key, now, _field(flow, now))
    around = cv2.blur(difference.astype(np.float32), (_MATCH_CELLS, _MATCH_CELLS))
    found: NDArray[np.float32] = cv2.exp(around * np.float32(-1 / _MATCH_DIFFERENCE))
    valid = cv2.resize(flow.valid.view(np.uint8), now.shape[::-1], interpolation=cv2.INTER_NEAREST)
    found[valid == 0] = 0.0
    return found


def is_cut(before: Gray, now: Gray, flow: Flow, *, searched: bool = False) -> bool:
    """Whether hardly anything of ``before`` is found again in ``now``, also along ``flow``: another scene began.

    Pictures and flow as for :func:`measure`. ``searched``: the flow was looked for in these two pictures, and finds
    something anywhere. A change of the light alone is no cut.
    """
    field = _field(flow, now)
    warped = _warp(before, field)
    residual = _mean(_offset_free(now, warped))
    if residual < _LEAST_CUT_RESIDUAL:
        return False
    per_level, most = _SEARCHED_MATCH if searched else _FOUND_MATCH
    wanted = min(_CUT_MATCH + per_level * residual, most)
    return _correlation(_detail(now), _detail(warped)) < wanted


def grid_size(flow: Flow) -> Size:
    """Width and height of the grid that pictures along ``flow`` are to be compared on."""
    height, width = flow.valid.shape
    return shrunk((width, height), _CELLS)


def is_finite(flow: Flow) -> bool:
    """Whether no vector, and no factor of a scale map, is infinite or not a number."""
    scale = flow.scale if isinstance(flow, PairFlow) else None
    return bool(np.isfinite(flow.field).all() and (scale is None or np.isfinite(scale).all()))


def _field(flow: Flow, picture: Gray) -> Field:
    height, width = picture.shape
    return resize_field(flow.field, (width, height))


def _warp(picture: Gray, field: Field) -> Gray:
    height, width = picture.shape
    source = cv2.add(cell_grid((width, height)), field)
    return cv2.remap(picture, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _difference(key: Gray, now: Gray, field: Field) -> Gray:
    """Grey levels by which the warped picture differs, but for one offset of all: the light may have changed."""
    return _offset_free(now, _warp(key, field))


def _offset_free(now: Gray, warped: Gray) -> Gray:
    offset = round(_mean(now) - _mean(warped))
    return cv2.absdiff(now, cv2.add(warped, offset))


def _gradient(picture: Gray) -> float:
    """The mean absolute difference of neighbouring cells, in grey levels."""
    across = cv2.absdiff(picture[:, 1:], picture[:, :-1])
    down = cv2.absdiff(picture[1:], picture[:-1])
    return (_mean(across) + _mean(down)) / 2


def _detail(picture: Gray) -> NDArray[np.int16]:
    mean = cv2.blur(picture, (_DETAIL_CELLS, _DETAIL_CELLS))
    return cv2.subtract(picture, mean, dtype=cv2.CV_16S)


def _correlation(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    """-1 to 1; 0 where either is flat."""
    a, b = one.astype(np.float32).ravel(), other.astype(np.float32).ravel()
    energy = float(a @ a) * float(b @ b)
    return float(a @ b) / energy**0.5 if energy > 0 else 0.0


def _mean(picture: Gray) -> float:
    return float(cv2.mean(picture)[0])
