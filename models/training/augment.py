"""Random changes to samples, so that a small data set teaches more."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.models.labels import VOID

from . import weather
from .dataset import Sample

PADDING_GRAY = 110
SHRINKS_BY_AREA = 0.7
"""Below this scale each new pixel is the mean of several; sampling four would skip some."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much samples change. ``scale`` is a range of factors; the rest are the widest changes up and down.

    ``shade``, ``blur``, ``noise``, ``jpeg``, ``night`` and ``rain`` are the shares of samples that see them.
    ``gain`` and ``gamma`` change the picture, ``tint`` each channel apart (all as factors 1/(1+x) to 1+x),
    ``offset`` is in grey levels, ``fade`` the largest share of colour taken away.
    """

    scale: tuple[float, float] = (0.5, 1.5)
    gain: float = 0.35
    gamma: float = 0.35
    tint: float = 0.12
    offset: float = 20.0
    fade: float = 0.8
    shade: float = 0.0
    blur: float = 0.1
    noise: float = 0.05
    jpeg: float = 0.1
    night: float = 0.05
    rain: float = 0.05

    def apply(self, sample: Sample, size: tuple[int, int], rng: np.random.Generator) -> Sample:
        """A changed copy of ``sample`` cut or padded to ``size`` (width, height); padding is void."""
        bgr, labels = _crop(sample, size, _between(rng, *self.scale), rng)
        if rng.random() < 0.5:
            bgr, labels = cv2.flip(bgr, 1), cv2.flip(labels, 1)
        return Sample(self.changed(bgr, rng), labels)

    def changed(self, bgr: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A picture (H, W, 3) uint8 BGR in other light and weather, nothing moved."""
        return self._spoiled(self._color(bgr, rng), rng)

    def _spoiled(self, bgr: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """In the order of the world, the lens, the sensor and the file."""
        steps = (
            (self.shade, weather.shaded),
            (self.rain, weather.in_rain),
            (self.night, weather.at_night),
            (self.blur, weather.blurred),
            (self.noise, weather.noisy),
            (self.jpeg, weather.compressed),
        )
        for share, change in steps:
            if rng.random() < share:
                bgr = change(bgr, rng)
        return bgr

    def _color(self, bgr: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if rng.random() < 0.5:
            share = rng.random() * self.fade
            gray = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            bgr = cv2.addWeighted(gray, share, bgr, 1 - share, 0)
        return cv2.LUT(bgr, self._table(rng)[None])

    def _table(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(256, 3): the new value of each old one, by channel."""
        factor = _factor(rng, self.gain) * np.array([_factor(rng, self.tint) for _ in range(3)])
        ramp = (np.arange(256) / 255) ** _factor(rng, self.gamma)
        table = 255 * ramp[:, None] * factor + rng.uniform(-self.offset, self.offset)
        return np.clip(table, 0, 255).astype(np.uint8)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A random factor, as likely to be in an octave as in any other."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _factor(rng: np.random.Generator, most: float) -> float:
    return _between(rng, 1 / (1 + most), 1 + most)


def _crop(
    sample: Sample, size: tuple[int, int], scale: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A random part of ``size`` of the scaled sample."""
    height, width = sample.labels.shape
    left, top = _start(width * scale, size[0], rng), _start(height * scale, size[1], rng)
    bgr, bgr_scale = sample.bgr, scale
    if scale < SHRINKS_BY_AREA and min(width, height) * scale >= 1:
        bgr, bgr_scale = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), 1
    picture = cv2.warpAffine(bgr, _placed(bgr_scale, left, top), size, borderValue=(PADDING_GRAY,) * 3)
    labels = cv2.warpAffine(
        sample.labels,
        _placed(scale, left, top),
        size,
        flags=cv2.INTER_NEAREST,
        borderValue=(VOID,) * 3,
    )
    return picture.astype(np.uint8, copy=False), labels.astype(np.uint8, copy=False)


def _placed(scale: float, left: float, top: float) -> NDArray[np.float64]:
    """The matrix that scales about corners, as cv2.resize does, then cuts ``left`` and ``top`` off."""
    half = (scale - 1) / 2
    return np.array([[scale, 0, half - left], [0, scale, half - top]])


def _start(length: float, out: int, rng: np.random.Generator) -> float:
    """Where a part of ``out`` pixels begins in ``length``; negative if it is the longer of the two."""
    return math.floor(rng.uniform(min(0, length - out), max(0, length - out)))
