"""Light and colours of one street, drawn from its seed. Colours are BGR, 0..255."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Matrix

Color = tuple[float, float, float]


def rgb(code: int) -> Color:
    """The BGR colour of 0xRRGGBB."""
    return float(code & 255), float(code >> 8 & 255), float(code >> 16 & 255)


def mix(first: Color, second: Color, share: float) -> Color:
    """``share`` of ``second`` in ``first``."""
    a, b = np.array(first), np.array(second)
    blue, green, red = (a + (b - a) * share).tolist()
    return blue, green, red


def scaled(color: Color, factor: float) -> Color:
    """A brighter or darker ``color``."""
    blue, green, red = np.clip(np.array(color) * factor, 0, 255).tolist()
    return blue, green, red


@dataclass(frozen=True, slots=True)
class Look:
    """The time of day: ``left`` / ``right`` / ``front`` light the faces turned that way;
    the ground lies in the shade from ``shade_x_m`` on towards the sun's side. ``clear``, from 0 up, takes
    clouds away."""

    name: str
    zenith: Color
    horizon: Color
    cloud: Color
    cloud_shade: Color
    sun: Color
    sun_x: float
    left: Color
    right: Color
    front: Color
    ground: Color
    haze_m: float
    lamps_lit: bool
    overcast: float
    shade_x_m: float
    clear: float = 0.0

    @property
    def haze_bgr(self) -> Matrix:
        """(3,) what distance fades to."""
        return np.array(self.horizon)


def look_of(seed: int) -> Look:
    """The light of the street ``seed``: noon, evening and overcast take turns from seed 0 on."""
    rng = np.random.default_rng((seed, 101))
    side = -1.0 if rng.random() < 0.5 else 1.0
    return (_noon, _evening, _overcast)[seed % 3](side, rng)


def _noon(side: float, rng: np.random.Generator) -> Look:
    bright, dim = (1.06, 1.07, 1.08), (0.80, 0.76, 0.72)
    return Look(
        "noon", mix(rgb(0x3F83CC), rgb(0x4E8FC0), rng.random()), rgb(0xD3E3EC), rgb(0xFFFFFF),
        rgb(0xC9D6E2), rgb(0xFFFBEF), side * 0.9, dim if side > 0 else bright,
        bright if side > 0 else dim, (0.95, 0.94, 0.93), (1.0, 1.0, 1.0), 120.0, False, 0.0, 4.6,
    )  # fmt: skip


def _evening(side: float, rng: np.random.Generator) -> Look:
    bright, dim = (0.82, 0.98, 1.12), (0.80, 0.70, 0.68)
    return Look(
        "evening", mix(rgb(0x5B7FB4), rgb(0x7C86B6), rng.random()), rgb(0xF8D3A4), rgb(0xFFE3C4),
        rgb(0xC79C98), rgb(0xFFF0C8), side * 0.32, dim if side > 0 else bright,
        bright if side > 0 else dim, (0.78, 0.80, 0.86), (0.80, 0.88, 0.98), 95.0, True, 0.0, 0.9,
    )  # fmt: skip


def _overcast(side: float, rng: np.random.Generator) -> Look:
    return Look(
        "overcast", mix(rgb(0x9AABBA), rgb(0xA9B3BB), rng.random()), rgb(0xDCE0E2), rgb(0xE9ECEE),
        rgb(0xB4BEC7), rgb(0xF4F4F0), side * 0.5, (0.93, 0.92, 0.91), (0.90, 0.90, 0.90),
        (0.86, 0.86, 0.86), (0.93, 0.92, 0.92), 85.0, True, 0.75, 4.6,
    )  # fmt: skip
