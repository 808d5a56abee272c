"""What the ground is made of: pictures of tarmac, concrete, paving and grass, each over the whole view."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .brush import Brush, rectangle
from .camera import Camera
from .tiles import Field, Tiles

_GREENS = ((52, 92, 74), (60, 108, 96), (48, 84, 70), (66, 112, 100), (80, 120, 120))
_SMALLEST_SLAB_PX = 6  # smaller ones are but grain, as tarmac has it


class Ground:
    """Makes surfaces, each (H, W, 3) float32 BGR in 0..255 or beyond, for one view."""

    def __init__(self, rng: np.random.Generator, camera: Camera, tiles: Tiles) -> None:
        self._rng, self._camera, self._tiles = rng, camera, tiles

    def tarmac(self, brush: Brush) -> Field:
        """Grey, with grain, stains, tracks, cracks, patches, spots, specks and a wet sheen, by chance."""
        rng = self._rng
        tone = rng.uniform(38, 92) if rng.random() < 0.5 else rng.uniform(70, 172)
        light = 1 + self._stains() + self._grain(rng.uniform(0.02, 0.1))
        if rng.random() < 0.5:
            light += self._tracks()
        if rng.random() < 0.45:
            light *= self._repairs(brush)
        if rng.random() < 0.5:
            light *= self._cracks()
        if rng.random() < 0.4:
            light *= self._spots(brush)
        picture = tone * light[..., None] * self._tint(0.07)
        if rng.random() < 0.25:
            picture += self._sheen()
        if rng.random() < 0.5:
            self._specks(picture)
        return picture

    def concrete(self) -> Field:
        """Light grey or sandy, in slabs of a few metres."""
        rng = self._rng
        light = 1 + self._stains() + self._grain(rng.uniform(0.015, 0.05))
        light *= self._joints((rng.uniform(3.5, 7), rng.uniform(3.5, 7)), 0.025, rng.uniform(0.5, 0.85))
        return rng.uniform(105, 195) * light[..., None] * self._tint(0.09)

    def paving(self) -> Field:
        """Slabs or small stones, grey, sandy or reddish."""
        rng = self._rng
        side = max(float(rng.choice([0.2, 0.3, 0.4, 0.6, 0.9])), _SMALLEST_SLAB_PX / self._px_per_m())
        slab = (side, side * rng.choice([0.5, 1.0, 1.5]))
        light = 1 + 0.6 * self._stains() + self._grain(rng.uniform(0.02, 0.06))
        light *= self._joints(slab, 0.012 + 0.02 * side, rng.uniform(0.5, 0.85))
        light *= 1 + rng.uniform(0.02, 0.09) * self._per_slab(slab)
        red = np.array([0.72, 0.86, 1.15]) if rng.random() < 0.25 else self._tint(0.1)
        return (rng.uniform(95, 185) * light[..., None] * red).astype(np.float32)

    def grass(self) -> Field:
        """Lawn, weeds or a bed of low bushes."""
        rng = self._rng
        color = np.array(_GREENS[rng.integers(len(_GREENS))], np.float32) * rng.uniform(0.7, 1.35)
        tufts = self._tiles.lay(rng, self._camera, self._tiles.cloud, (rng.uniform(2, 5),) * 2)
        light = 1 + rng.uniform(0.07, 0.24) * tufts + self._grain(0.14)
        dry = np.clip(self._tiles.lay(rng, self._camera, self._tiles.blots, (20, 20)) - 0.3, 0, 1)
        brown = np.array([1.0, 1.0, 1.18], np.float32)
        return np.maximum(light, 0.2)[..., None] * color * (1 + dry[..., None] * (brown - 1))

    def leaves(self) -> Field:
        """(H, W) brightness about 1 of foliage, to multiply hedges and crowns by."""
        rough = self._tiles.lay(self._rng, self._camera, self._tiles.cloud, (3.0, 3.0))
        return np.clip(1 + 0.28 * rough + self._grain(0.12), 0.35, 1.9)

    def wear(self, fresh: float) -> Field:
        """(H, W) 0..1: how much of a coat of paint is left, ``fresh`` of it on the whole."""
        noise = self._tiles.lay(self._rng, self._camera, self._tiles.cloud, (2.5, 2.5))
        return np.clip(np.float32(2.2 * fresh - 0.5) + 0.45 * noise, 0.05, 1) * np.float32(fresh)

    def _tint(self, most: float) -> Field:
        """(3,) BGR about 1: bluish to warm."""
        warm = self._rng.uniform(-most, most)
        return np.array([1 - warm, 1 + self._rng.uniform(-0.015, 0.02), 1 + warm], np.float32)

    def _stains(self) -> Field:
        rng, tiles = self._rng, self._tiles
        coarse = tiles.lay(rng, self._camera, tiles.blots, (rng.uniform(15, 50),) * 2)
        finer = tiles.lay(rng, self._camera, tiles.cloud, (rng.uniform(4, 14),) * 2)
        return rng.uniform(0.02, 0.12) * coarse + rng.uniform(0.01, 0.06) * finer

    def _grain(self, amount: float) -> Field:
        rng, tiles = self._rng, self._tiles
        grain = tiles.lay(rng, self._camera, tiles.grain, (rng.uniform(4, 9),) * 2)
        return grain * np.float32(amount)

    def _tracks(self) -> Field:
        """Long streaks along y, where wheels roll."""
        rng, tiles = self._rng, self._tiles
        side_m = (rng.uniform(5, 14), rng.uniform(60, 160))
        return rng.uniform(0.02, 0.1) * tiles.lay(rng, self._camera, tiles.blots, side_m, turn=0.0)

    def _repairs(self, brush: Brush) -> Field:
        """Patches of other tone, and lids of manholes."""
        rng, light = self._rng, np.ones(brush.classes.shape, np.float32)
        for _ in range(rng.integers(1, 5)):
            mask = brush.blank()
            center, turn = self._spot(), rng.choice([0, 0, rng.uniform(-0.5, 0.5)])
            if rng.random() < 0.3:
                brush.stamp(mask, _disc(center, rng.uniform(0.28, 0.4)))
                mask = cv2.subtract(mask, cv2.erode(mask, np.ones((3, 3), np.uint8)) // 2)
            else:
                size = (rng.uniform(0.4, 3), rng.uniform(0.5, 9))
                brush.stamp(mask, rectangle(center, size, turn))
            light *= 1 + mask * np.float32(rng.uniform(-0.28, 0.2) / 255)
        return light

    def _cracks(self) -> Field:
        """Dark wandering lines; some are sealed with bitumen, wide and black."""
        rng, matrix = self._rng, self._camera.ground_to_px()
        mask = np.zeros(self._camera.size[::-1], np.uint8)
        sealed = rng.random() < 0.3
        width = max(1, round(self._px_per_m() * (0.05 if sealed else 0.012)))
        for _ in range(rng.integers(1, 6)):
            turns = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.35, 40))
            walk = np.array(self._spot()) + np.cumsum(
                0.16 * np.column_stack([np.cos(turns), np.sin(turns)]), 0
            )
            line = cv2.perspectiveTransform(walk[None], matrix)
            cv2.polylines(mask, [np.clip(np.round(line), -9999, 9999).astype(np.int32)], False, 255, width)
        soft = cv2.GaussianBlur(mask, (3, 3), 0.7)
        return 1 - soft * np.float32(rng.uniform(0.2, 0.55) / 255)

    def _spots(self, brush: Brush) -> Field:
        """Oil, soft and dark."""
        rng, mask = self._rng, brush.blank()
        for _ in range(rng.integers(1, 12)):
            brush.stamp(mask, _disc(self._spot(), rng.uniform(0.04, 0.35)), int(rng.integers(60, 256)))
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.05 * self._px_per_m()))
        return 1 - soft * np.float32(rng.uniform(0.2, 0.5) / 255)

    def _sheen(self) -> Field:
        """(H, W, 3) the sky in wet places."""
        rng, tiles = self._rng, self._tiles
        wet = tiles.lay(rng, self._camera, tiles.blots, (rng.uniform(8, 25),) * 2)
        wet = np.clip((wet - rng.uniform(-0.5, 1.0)) * rng.uniform(0.5, 1.6), 0, 1)
        sky = np.array([1.08, 1.0, 0.94], np.float32) * rng.uniform(-25, 55)
        return wet[..., None] * sky

    def _specks(self, picture: Field) -> None:
        """Tiny light stones and litter."""
        rng, (width, height) = self._rng, self._camera.size
        for size in (1, 2):
            count = int(rng.integers(0, 120 // size)) * width * height // (480 * 360)
            x, y = rng.integers(0, width - 1, count), rng.integers(0, height - 1, count)
            light = rng.uniform(30, 150, count)[:, None]
            for dx, dy in ((0, 0), (1, 0))[:size]:
                picture[y + dy, x + dx] = np.minimum(picture[y + dy, x + dx] + light, 250)

    def _joints(self, slab: tuple[float, float], width_m: float, dark: float) -> Field:
        """Brightness with dark joints, which fade where they are thinner than a pixel."""
        x, y = self._slabs(slab)
        soft = max(width_m, 1.0 / self._px_per_m())
        gap = np.minimum(np.abs(x - np.round(x)) * slab[0], np.abs(y - np.round(y)) * slab[1])
        line = np.clip(1.5 - gap / soft, 0, 1) * min(1.0, width_m * self._px_per_m() + 0.25)
        fine = np.clip(min(slab) * self._px_per_m() / 4 - 0.5, 0, 1)
        return (1 - (1 - dark) * fine * line).astype(np.float32)

    def _per_slab(self, slab: tuple[float, float]) -> Field:
        x, y = self._slabs(slab)
        table = self._rng.standard_normal((64, 64)).astype(np.float32)
        return table[np.floor(y).astype(np.int64) % 64, np.floor(x).astype(np.int64) % 64]

    def _slabs(self, slab: tuple[float, float]) -> tuple[Field, Field]:
        """Coordinates on the ground counted in slabs, for every pixel."""
        width, height = self._camera.size
        inverse = np.linalg.inv(self._camera.ground_to_px())
        columns, rows = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
        x, y, w = (row[0] * columns + row[1] * rows + row[2] for row in inverse)
        return (x / w / slab[0]).astype(np.float32), (y / w / slab[1]).astype(np.float32)

    def _spot(self) -> tuple[float, float]:
        """A place on the ground, in metres, somewhere in the view."""
        weights = self._rng.dirichlet(np.ones(4))
        x, y = weights @ self._camera.ground_corners()
        return float(x), float(y)

    def _px_per_m(self) -> float:
        return self._camera.focal_px / float(np.linalg.norm(self._camera.position))


def _disc(center: tuple[float, float], radius_m: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.array(center) + radius_m * np.column_stack([np.cos(angles), np.sin(angles)])
