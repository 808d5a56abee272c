"""The scene from above and its frames."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size, readonly

from .render import render
from .tiles import Tiles

SMALLEST_PX = 16


class AboveFrame:
    """One view: ``bgr`` (H, W, 3) and ``classes`` (H, W), uint8, read-only; CamVid's labels, none missing."""

    def __init__(self, index: int, bgr: NDArray[np.uint8], classes: NDArray[np.uint8]) -> None:
        self.index = index
        self.bgr = readonly(bgr)
        self.classes = readonly(classes)


class AboveScene:
    """Views down on tarmac, car parks, roads and gates, each by itself, made up from ``seed``.

    ``size``: (width, height), at least 16 x 16. ``length``: frames. No view shows the horizon; the camera
    looks 40 to 90 degrees down. Used by one thread at a time. Raises UsageError for what makes no scene.
    """

    def __init__(self, *, size: Size = (480, 360), length: int = 400, seed: int = 0) -> None:
        self._size = _whole_size(size)
        for name, value, least in (("length", length, 1), ("seed", seed, 0)):
            if not isinstance(value, int) or value < least:
                raise UsageError(
                    f"{name} {value!r} of a scene from above: a whole number from {least} up is meant"
                )
        self._length, self._seed = length, seed
        self._tiles = Tiles(seed)

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self._size

    def __len__(self) -> int:
        return self._length

    def frame(self, index: int) -> AboveFrame:
        """Frame ``index``, drawn anew at each call; IndexError outside 0 .. length - 1."""
        number = operator.index(index)
        if not 0 <= number < self._length:
            raise IndexError(f"frame {number} is outside 0..{self._length - 1}")
        rng = np.random.default_rng([self._seed, number, 0xAB0])
        bgr, classes = render(rng, self._size, self._tiles)
        if rng.random() < 0.5:
            bgr, classes = cv2.flip(bgr, 1), cv2.flip(classes, 1)
        return AboveFrame(number, bgr, classes)


def _whole_size(size: Iterable[int]) -> Size:
    try:
        width, height = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"size {size!r} is no pair of whole numbers; give (width, height)") from None
    if width < SMALLEST_PX or height < SMALLEST_PX:
        raise UsageError(
            f"size {width}x{height} is below {SMALLEST_PX}x{SMALLEST_PX} pixels; give a larger one"
        )
    return width, height
