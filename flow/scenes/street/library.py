"""All textures of one street, painted once, when first seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import cars, facades, furniture, nature, people
from .palette import Look, rgb
from .texture import Pixels, Texture

FACADES = 12
TREES = 5
TREE_SIZES_M = ((5.4, 7.6), (4.6, 6.6), (5.8, 8.4), (4.0, 6.0), (5.0, 7.2))


class Library:
    """Textures by name, fit for a camera of ``focal_px``."""

    def __init__(self, seed: int, look: Look, focal_px: float) -> None:
        self._seed = seed
        self.look = self._look = look
        self._focal = focal_px
        self._textures: dict[tuple[str, int], Texture] = {}
        rng = np.random.default_rng((seed, 201))
        self.storeys = [int(s) for s in rng.integers(2, 6, FACADES)]
        self.widths_m = [float(w) for w in rng.choice([8.0, 10.0, 12.0], FACADES)]

    def _named(self, name: str, number: int, paint: Callable[[], Pixels]) -> Texture:
        key = (name, number)
        if key not in self._textures:
            self._textures[key] = Texture(paint)
        return self._textures[key]

    def _rng(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, kind, number))

    def _detail(self, nearest_m: float) -> float:
        """Texture pixels a metre for things seen from ``nearest_m`` on."""
        return float(np.clip(self._focal / nearest_m, 6.0, 110.0))

    def facade(self, number: int) -> Texture:
        """Front ``number`` of ``FACADES``."""
        return self._named("facade", number, lambda: facades.paint_facade(
            self._rng(210, number), self._look, self.widths_m[number], self.storeys[number],
            self._detail(13.0),
        ))  # fmt: skip

    def wall(self, number: int, width_m: float, height_m: float) -> Texture:
        """A side wall."""
        return self._named("wall", number, lambda: facades.paint_wall(
            self._rng(211, number), width_m, height_m, self._detail(22.0)
        ))  # fmt: skip

    def sky(self) -> Texture:
        """The whole sky."""
        return self._named("sky", 0, lambda: nature.paint_sky(
            self._rng(212, 0), self._look, round(min(self._focal * 1.3, 2000))
        ))  # fmt: skip

    def skyline(self) -> Texture:
        """The far town."""
        return self._named("skyline", 0, lambda: nature.paint_skyline(
            self._rng(213, 0), self._look, round(self._focal * 2)
        ))  # fmt: skip

    def ground(self, kind: str) -> Texture:
        """A tile of ground: plain, zebra or patched."""
        return self._named("ground " + kind, 0, lambda: nature.paint_ground(
            self._seed, kind, self._look, float(np.clip(self._focal / 12, 8, 48))
        ))  # fmt: skip

    def tree(self, number: int) -> Texture:
        """Tree ``number`` of ``TREES``."""
        return self._named("tree", number, lambda: nature.paint_tree(
            self._rng(214, number), self._detail(8.0), TREE_SIZES_M[number]
        ))  # fmt: skip

    def shadow(self) -> Texture:
        """A soft spot."""
        return self._named("shadow", 0, nature.paint_shadow)

    def car_shadow(self) -> Texture:
        """The dark below a car."""
        return self._named("car shadow", 0, nature.paint_car_shadow)

    def car(self, part: str, color: int) -> Texture:
        """A side of a car: side, lower rear, lower front, upper rear, upper front."""
        paint = rgb(cars.COLORS[color])
        detail = self._detail(7.0)
        if part == "side":
            return self._named(part, color, lambda: cars.paint_side(paint, self._look, detail))
        rear = part.endswith("rear")
        painter = cars.paint_lower if part.startswith("lower") else cars.paint_upper
        return self._named(part, color, lambda: painter(paint, self._look, detail, rear))

    def person(self, part: str, number: int) -> Texture:
        """A part of person ``number`` of 16: front, back, leg, arm."""
        return self._named("person " + part, number, lambda: self._paint_person(part, number))

    def _paint_person(self, part: str, number: int) -> Pixels:
        coat = rgb(people.COATS[number % 8])
        skin = rgb(people.SKINS[number * 5 // 3 % 4])
        hair = rgb(people.HAIRS[number * 7 % 5])
        trousers = rgb(people.TROUSERS[(number + number // 8) % 4])
        detail = self._detail(4.5)
        if part == "leg":
            return people.paint_leg(trousers, detail)
        if part == "arm":
            return people.paint_arm(coat, skin, detail)
        return people.paint_body(coat, skin, hair, detail, part == "front")

    def cycle(self) -> Texture:
        """A bicycle seen along its length."""
        return self._named("cycle", 0, lambda: people.paint_cycle(self._detail(4.5)))

    def pole(self) -> Texture:
        """A pole."""
        return self._named("pole", 0, lambda: furniture.paint_pole(self._detail(9.0)))

    def lamp(self) -> Texture:
        """The head of a street lamp, its arm from the left."""
        return self._named("lamp", 0, lambda: furniture.paint_lamp(self._look, self._detail(9.0)))

    def sign(self, number: int) -> Texture:
        """A traffic sign."""
        kind = furniture.SIGNS[number]
        return self._named("sign", number, lambda: furniture.paint_sign(kind, self._detail(8.0)))

    def bonnet(self) -> Texture:
        """The front of the camera's own car."""
        return self._named("bonnet", 0, lambda: furniture.paint_bonnet(
            self._rng(216, 0), self._look, self._focal
        ))  # fmt: skip

    def fence(self, width_m: float) -> Texture:
        """A fence."""
        return self._named("fence", round(width_m * 10), lambda: furniture.paint_fence(
            self._rng(215, 0), width_m, self._detail(14.0)
        ))  # fmt: skip
