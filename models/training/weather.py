"""Other pictures from good ones: hard shadows, blur, noise, JPEG, night and rain, by simple models."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 BGR."""

_NIGHT_TINT = np.array([1.15, 0.95, 0.85])
"""Blue, green, red: what little light there is comes from the sky."""


def shaded(bgr: Picture, rng: np.random.Generator) -> Picture:
    """In the hard shadow of a tree (blots with leafy edges), or of a wall or bridge (a straight edge)."""
    height, width = bgr.shape[:2]
    cast = _leaves(height, width, rng) if rng.random() < 0.6 else _edge(height, width, rng)
    # From a row on downwards: shadows lie on the ground more than they hang in the sky.
    below = np.clip((np.arange(height) - rng.uniform(0.1, 0.75) * height) / (0.05 * height), 0, 1)
    dark = rng.uniform(0.3, 0.7) * np.array([1.08, 1.0, 0.94], np.float32)  # what light is left is the sky's
    share = (cast * below[:, None].astype(np.float32))[..., None]
    return _picture(np.round(bgr * (1 - share * (1 - dark))))


def _leaves(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W), 0 to 1: large blots with ragged edges and holes, flattened as seen along the ground."""
    field = np.zeros((height, width), np.float32)
    coarse_px = rng.uniform(0.15, 0.5) * height
    for octave in range(5):
        cell_px = max(2.0, coarse_px / 2**octave)
        cells = rng.random((2 + int(3 * height / cell_px), 2 + int(width / cell_px)), np.float32)
        field += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * 0.62**octave
    return np.clip(0.5 + (field - np.quantile(field, rng.uniform(0.2, 0.8))) * rng.uniform(3, 20), 0, 1)


def _edge(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W), 0 to 1: one side of a line, or a band between two."""
    angle, softness_px = rng.uniform(0, math.pi), rng.uniform(0.5, 3)
    x, y = np.arange(width, dtype=np.float32) - width / 2, np.arange(height, dtype=np.float32) - height / 2
    across = math.cos(angle) * x[None] + math.sin(angle) * y[:, None]
    start = rng.uniform(-0.4, 0.4) * width
    end = start + rng.uniform(0.1, 1.2) * width
    return np.clip(0.5 + np.minimum(across - start, end - across) / softness_px, 0, 1).astype(np.float32)


def blurred(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Out of focus (a Gaussian of up to 1.5 px) or shaken (a streak of up to 9 px in any direction)."""
    if rng.random() < 0.5:
        return _picture(cv2.GaussianBlur(bgr, (0, 0), rng.uniform(0.4, 1.5)))
    return _picture(cv2.filter2D(bgr, -1, streak(rng.uniform(2, 9), rng.uniform(0, math.pi))))


def streak(length_px: float, angle: float) -> NDArray[np.float32]:
    """The kernel of a motion of ``length_px`` in the direction ``angle``; it sums to 1."""
    side = 2 * math.ceil(length_px / 2) + 1
    kernel = np.zeros((side, side), np.float32)
    x, y = math.cos(angle) * length_px / 2, math.sin(angle) * length_px / 2
    # In 1/16 pixels, so that the line's ends lie where they should.
    ends = [tuple(round(16 * (side // 2 + sign * v)) for v in (x, y)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()


def noisy(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Sensor noise: Gaussian, of up to 12 grey levels, each pixel and channel by itself."""
    noise = np.empty(bgr.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(1 << 31)))
    cv2.randn(noise, (0, 0, 0), (rng.uniform(2, 12),) * 3)
    return _picture(cv2.add(bgr, noise, dtype=cv2.CV_8U))


def compressed(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Written as JPEG of quality 15 to 80, and read again."""
    quality = int(rng.integers(15, 81))
    return _picture(cv2.imdecode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


def at_night(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Dark and bluish, the road lit by head lamps, what was bright still shining, with noise."""
    height, width = bgr.shape[:2]
    light = (
        rng.uniform(0.12, 0.4) * _NIGHT_TINT + rng.uniform(0.2, 0.5) * _beam(height, width, rng)[..., None]
    )
    lamps = cv2.GaussianBlur(np.where(bgr > 235, bgr, 0).astype(np.uint8), (0, 0), 3)
    dark = bgr * light.astype(np.float32) + rng.uniform(0, 0.5) * lamps
    return noisy(np.clip(dark, 0, 255).astype(np.uint8), rng)


def _beam(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W), 0 to 1: where head lamps shine: low, and about the middle."""
    x = (np.arange(width, dtype=np.float32) / width - rng.uniform(0.35, 0.65)) / 0.35
    y = (np.arange(height, dtype=np.float32) / height - rng.uniform(0.7, 0.9)) / 0.25
    return np.exp(-(x[None] ** 2 + y[:, None] ** 2)).astype(np.float32)


def in_rain(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Grey and flat, with streaks of drops that all fall in one direction."""
    haze = rng.uniform(0.1, 0.45)
    grey = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    wet = cv2.addWeighted(bgr, 0.5, grey, 0.5, 0)
    wet = cv2.addWeighted(wet, 1 - haze, np.full_like(wet, 165), haze, 0)
    drops = (rng.random(bgr.shape[:2], np.float32) > 1 - rng.uniform(0.002, 0.012)).astype(np.float32)
    length_px = rng.uniform(6, 24)
    lines = cv2.filter2D(drops, -1, streak(length_px, math.pi / 2 + rng.uniform(-0.35, 0.35)))
    shine = np.clip(lines * length_px * rng.uniform(20, 70), 0, 255).astype(np.uint8)
    return _picture(cv2.add(wet, cv2.cvtColor(shine, cv2.COLOR_GRAY2BGR)))


def _picture(array: object) -> Picture:
    """OpenCV's results, which it types as arrays of any number."""
    return np.asarray(array, np.uint8)
