"""Haze: how much of a thing the air hides at a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Matrix

FAR_M = 165.0
"""Nothing of a town is drawn beyond; the haze is complete some metres before."""


@dataclass(frozen=True, slots=True)
class Haze:
    """``thick_m``: the distance at which about two thirds are hidden; ``far_m``: at which all is."""

    thick_m: float
    far_m: float = FAR_M

    def share(self, depth_m: Matrix) -> Matrix:
        """0 (clear) to 1 (hidden) for each depth."""
        depth = np.clip(depth_m, 0.0, self.far_m)
        hidden = 1.0 - np.exp(-((depth / self.thick_m) ** 1.5))
        rest = np.clip((self.far_m - depth) / 60.0, 0.0, 1.0)
        return 1.0 - (1.0 - hidden) * rest * rest * (3 - 2 * rest)
