"""Noise that repeats without a seam, laid on the ground."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera

Field = NDArray[np.float32]

_SIDE = 512


class Tiles:
    """Tiles (512, 512) float32 of mean 0 and deviation 1: ``grain`` is white, ``cloud`` has all scales."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0x711E])
        self.grain = _spectrum(rng, 0.35)
        self.cloud = _spectrum(rng, 1.55)
        self.blots = _spectrum(rng, 2.3)

    def lay(
        self,
        rng: np.random.Generator,
        camera: Camera,
        tile: Field,
        side_m: tuple[float, float],
        turn: float | None = None,
    ) -> Field:
        """(H, W): a tile as big as ``side_m`` on the ground, at a place of chance, turned by radians."""
        angle = rng.uniform(0, 2 * np.pi) if turn is None else turn
        cos, sin = np.cos(angle), np.sin(angle)
        scale = _SIDE / np.array(side_m)
        place = np.eye(3)
        place[:2, :2] = scale[:, None] * np.array([[cos, sin], [-sin, cos]])
        place[:2, 2] = rng.uniform(0, _SIDE, 2)
        matrix = place @ np.linalg.inv(camera.ground_to_px())
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        laid: Field = cv2.warpPerspective(tile, matrix, camera.size, flags=flags, borderMode=cv2.BORDER_WRAP)
        return laid


def _spectrum(rng: np.random.Generator, power: float) -> Field:
    """Noise whose amplitude falls with frequency to ``power``."""
    across, down = np.fft.rfftfreq(_SIDE), np.fft.fftfreq(_SIDE)
    radius = np.hypot(down[:, None], across[None])
    radius[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal((_SIDE, _SIDE)))
    noise = np.fft.irfft2(white * radius**-power, s=(_SIDE, _SIDE))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)
