"""A step estimator without pictures, for tests of what stands above flow."""

from __future__ import annotations

import numpy as np

from .base import Image, StepEstimator, StepFlow


class FakeFlow(StepEstimator):
    """Says that everything moved by ``(dx, dy)`` pixels from the previous frame to the current one.

    ``calls`` counts how often it was asked.
    """

    name = "fake"

    def __init__(self, dx: float = 0.0, dy: float = 0.0) -> None:
        self._motion = np.array([dx, dy], np.float32)
        self.calls = 0

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The same motion for every cell; flow runs backwards, so its sign is the opposite."""
        self.calls += 1
        width, height = current.size
        field = np.broadcast_to(-self._motion, (height, width, 2)).copy()
        return StepFlow(field, np.ones((height, width), np.bool_))
