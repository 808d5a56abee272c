"""Textures: pictures with premultiplied alpha, and the smaller copies that keep the distance calm."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

STEPS_PER_OCTAVE = 2
FOG_STEPS = 64
OPACITY_STEPS = 16

_TintKey = tuple[int, int, int, int, int, tuple[float, ...]]


class Texture:
    """A picture (h, w, 4) uint8, BGR premultiplied by alpha, painted when first needed.

    ``level`` gives copies minified by area averaging, along and across separately, so that a facade seen
    at a slant neither sparkles nor blurs.
    """

    def __init__(self, paint: Callable[[], Pixels]) -> None:
        self._paint = paint
        self._base: Pixels | None = None
        self._levels: dict[tuple[int, int], Pixels] = {}

    @property
    def base(self) -> Pixels:
        """The picture at full size."""
        if self._base is None:
            self._base = np.ascontiguousarray(self._paint())
        return self._base

    def level(self, along: int, down: int) -> Pixels:
        """The picture with its width and height divided by ``2 ** (step / STEPS_PER_OCTAVE)``."""
        if along <= 0 and down <= 0:
            return self.base
        key = (max(along, 0), max(down, 0))
        if key not in self._levels:
            self._levels[key] = self._minified(*key)
        return self._levels[key]

    def _minified(self, along: int, down: int) -> Pixels:
        height, width = self.base.shape[:2]
        size = (
            max(1, round(width * 2 ** (-along / STEPS_PER_OCTAVE))),
            max(1, round(height * 2 ** (-down / STEPS_PER_OCTAVE))),
        )
        octaves = 2 * STEPS_PER_OCTAVE
        source = self.level(along - octaves, down - octaves)
        small: Pixels = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
        return small


class TintCache:
    """Texture levels with light and haze laid over them; the most recent ``capacity`` are kept.

    Haze comes in ``FOG_STEPS`` steps, each below what an 8-bit picture shows.
    """

    def __init__(self, haze_bgr: NDArray[np.float64], capacity: int = 600) -> None:
        self._haze = haze_bgr / 255.0
        self._capacity = capacity
        self._kept: OrderedDict[_TintKey, Pixels] = OrderedDict()

    def get(
        self,
        texture: Texture,
        along: int,
        down: int,
        haze: float,
        light: tuple[float, ...],
        opacity: float = 1.0,
    ) -> Pixels:
        """``texture`` at a level, times ``light`` (B, G, R), ``haze`` 0..1 of it hidden."""
        step, cover = round(haze * FOG_STEPS), max(1, round(opacity * OPACITY_STEPS))
        key = (id(texture), max(along, 0), max(down, 0), step, cover, light)
        found = self._kept.get(key)
        if found is None:
            tint = self._tint(step / FOG_STEPS, light) * (cover / OPACITY_STEPS)
            found = cv2.transform(texture.level(along, down), tint.astype(np.float32))
            self._kept[key] = found
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found

    def _tint(self, haze: float, light: tuple[float, ...]) -> NDArray[np.float64]:
        """(4, 4) what becomes of blue, green, red and alpha."""
        matrix = np.zeros((4, 4))
        matrix[[0, 1, 2], [0, 1, 2]] = np.array(light) * (1.0 - haze)
        matrix[:3, 3] = self._haze * haze
        matrix[3, 3] = 1.0
        return matrix
