"""A pair of pictures, and the exact flow between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Field, Mask, Size
from keywarp.flow.compose import cell_grid, inside

from .motion import Affine, Motion, random_affine, random_drive
from .shapes import random_shape

Pixels = NDArray[np.uint8]

_DRIVES = 0.6
_MOST_SHAPES = 10


@dataclass(frozen=True, slots=True)
class FlowPair:
    """Two pictures (H, W, 3) uint8 BGR and the flow from the current one to the key one.

    ``field``: (H, W, 2) float32, x then y, in pixels; exact also where the key picture hides the place.
    ``valid``: (H, W) bool, False where the place lies outside the key picture.
    """

    current: Pixels
    key: Pixels
    field: Field
    valid: Mask


def make_pair(
    background: Pixels,
    texture: Callable[[], Pixels],
    size: Size,
    rng: np.random.Generator,
    reach: float = 0.12,
) -> FlowPair:
    """A pair of ``size``: the background moves, and up to ten shapes over it, each in its own way.

    ``texture`` gives a picture for each shape; ``reach``: the longest shift, as a share of the width. All chance
    comes from ``rng``.
    """
    width, height = size
    middle = width / 2, height / 2
    drives = rng.random() < _DRIVES
    motion: Motion = random_drive(size, rng) if drives else random_affine(middle, reach * width, rng)
    key = _cropped(background, size, rng)
    field = motion.field(size)
    current = _moved(key, field)
    for _ in range(int(rng.integers(0, _MOST_SHAPES + 1))):
        mask, centre = random_shape(size, rng)
        box = cv2.boundingRect(mask)
        if box[2] == 0:  # it lies outside the picture
            continue
        # A shape stands in the scene: it moves as what is behind it does, and on top of that by itself.
        own = random_affine(centre, reach * width, rng)
        shape = Affine(own.matrix + np.column_stack([np.zeros((2, 2)), _at(field, centre)]))
        cut = _cropped(texture(), (box[2], box[3]), rng)
        _add_shape(current, key, field, _Shape(shape, mask[_slices(box)], cut, box))
    return FlowPair(current, key, field, inside(field))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is cut out, and its ``box`` (x, y, width, height) in the key picture."""

    motion: Affine
    mask: Pixels
    pixels: Pixels
    box: tuple[int, int, int, int]


def _add_shape(current: Pixels, key: Pixels, field: Field, shape: _Shape) -> None:
    """Draw a shape into both pictures, and its motion into the field."""
    to_key = np.vstack([shape.motion.matrix, (0, 0, 1)])
    x, y, width, height = shape.box
    corners = np.array([[x, y, 1], [x + width, y, 1], [x, y + height, 1], [x + width, y + height, 1]])
    there = (corners @ np.linalg.inv(to_key).T)[:, :2]
    limits = current.shape[1], current.shape[0]
    left, top = np.clip(np.floor(there.min(axis=0)) - 1, 0, limits).astype(int)
    right, bottom = np.clip(np.ceil(there.max(axis=0)) + 2, 0, limits).astype(int)
    _draw(key, shape.pixels, shape.mask, _slices(shape.box))
    if left >= right or top >= bottom:
        return
    place = slice(top, bottom), slice(left, right)
    # From a place in the box in the current picture to one in the box in the key picture
    matrix = to_key[:2].copy()
    matrix[:, 2] += matrix[:, :2] @ (left, top) - (x, y)
    size, how = (int(right - left), int(bottom - top)), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(shape.pixels, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(shape.mask, matrix, size, flags=how)
    _draw(current, np.asarray(pixels, np.uint8), np.asarray(mask, np.uint8), place)
    cells = cell_grid(limits)[place]
    moved = cells @ to_key[:2, :2].T.astype(np.float32) + to_key[:2, 2].astype(np.float32)
    np.copyto(field[place], moved - cells, where=mask[..., np.newaxis] > 127)


def _slices(box: Sequence[int]) -> tuple[slice, slice]:
    x, y, width, height = box
    return slice(y, y + height), slice(x, x + width)


def _draw(below: Pixels, above: Pixels, mask: Pixels, place: tuple[slice, slice]) -> None:
    """``above`` where the mask is 255, mixed in proportion at its edge."""
    share = mask[..., np.newaxis].astype(np.uint16)
    mixed = (above * share + below[place] * (255 - share) + 127) // 255
    below[place] = mixed.astype(np.uint8)


def _at(field: Field, place: tuple[float, float]) -> NDArray[np.float32]:
    """The flow at about a place, (2,)."""
    height, width = field.shape[:2]
    moved: NDArray[np.float32] = field[
        min(height - 1, max(0, int(place[1]))), min(width - 1, max(0, int(place[0])))
    ]
    return np.clip(moved, -0.4 * width, 0.4 * width)


def _moved(pixels: Pixels, field: Field) -> Pixels:
    height, width = pixels.shape[:2]
    source = cv2.add(cell_grid((width, height)), field)
    return cv2.remap(pixels, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _cropped(pixels: Pixels, size: Size, rng: np.random.Generator) -> Pixels:
    """A random part of a picture, in random size, mirrored every other time."""
    height, width = pixels.shape[:2]
    least = max(size[0] / width, size[1] / height)
    scale = least * rng.uniform(1.0, 1.3)
    pixels = cv2.resize(
        pixels,
        (max(size[0], round(width * scale)), max(size[1], round(height * scale))),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    y = int(rng.integers(pixels.shape[0] - size[1] + 1))
    x = int(rng.integers(pixels.shape[1] - size[0] + 1))
    part = pixels[y : y + size[1], x : x + size[0]]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
