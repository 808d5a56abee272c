"""Lorries and vans on the move: of each, the end and one side show."""

from __future__ import annotations

from dataclasses import dataclass

from keywarp.flow.scenes.street.camera import Matrix
from keywarp.flow.scenes.street.labels import CAR
from keywarp.flow.scenes.street.palette import Look
from keywarp.flow.scenes.street.quad import SHADOW, Quad, along, facing, lying

from . import lorries
from .library import MotorwayLibrary


@dataclass(frozen=True, slots=True, eq=False)
class Lorry:
    """Number ``model`` in the lane at ``x_m``; ``away``: seen from behind."""

    object_id: int
    model: int
    x_m: float
    library: MotorwayLibrary
    look: Look
    away: bool

    def at(self, near_m: float) -> tuple[Quad, ...]:
        """Its pieces with the end towards the camera at ``near_m``."""
        length, width, height = lorries.SIZES_M[self.model % len(lorries.SIZES_M)]
        inner = self.x_m - (width / 2 if self.x_m > 0 else -width / 2)
        side = along(inner, near_m, near_m + length, height)
        light = self.look.right if inner > self.x_m else self.look.left
        shade = self.library.car_shadow()
        below = lying(self.x_m, near_m - 0.3, width + 0.7, length + 0.6)
        end = "rear" if self.away else "front"
        return (
            Quad(
                ("lorry", self.object_id, 0), shade, below, SHADOW, object_id=self.object_id, least_px2=60.0
            ),
            self._piece(1, "side", side, light),
            self._piece(2, end, facing(self.x_m, near_m, width, height), self.look.front),
        )

    def _piece(self, number: int, part: str, basis: Matrix, light: tuple[float, ...]) -> Quad:
        texture = self.library.lorry(part, self.model)
        return Quad(
            ("lorry", self.object_id, number), texture, basis, CAR, light, self.object_id, least_px2=20.0
        )
