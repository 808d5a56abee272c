"""The bonnet of the camera's own car, at the foot of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .camera import View
from .labels import ROAD
from .library import Library
from .quad import Quad


@dataclass(frozen=True, slots=True, eq=False)
class Bonnet:
    """Stays where it is in every picture. No class fits it: it counts as the road that it hides."""

    library: Library
    view_at: Callable[[float], View]
    share: float = 0.12
    """Of the picture's height."""

    def quads(self, time_s: float) -> tuple[Quad, ...]:
        """One piece, in directions, fixed to the picture."""
        view = self.view_at(time_s)
        width, height = view.size
        top = (1 - self.share) * height
        place = np.array([[width, 0.0, -0.5], [0.0, self.share * height, top], [0.0, 0.0, 1.0]])
        basis = np.linalg.inv(view.project) @ place
        texture = self.library.bonnet()
        return (Quad(("bonnet",), texture, basis, ROAD, self.library.look.front, infinite=True),)
