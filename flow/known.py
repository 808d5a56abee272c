"""Step flow that nobody has to estimate."""

from __future__ import annotations

from keywarp.engines.errors import UsageError

from .base import Image, Size, StepEstimator, StepFlow
from .sizes import shrunk

_PIXELS = 320 * 180


class KnownFlow(StepEstimator):
    """The step flow that the source itself knows: exact for a scene, an error for other sources."""

    name = "source"
    needs_known_step = True

    def __init__(self, size: Size | None = None) -> None:
        self._size = size

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The source's step flow on this estimator's grid."""
        step = current.known_step
        if step is None:
            raise UsageError("this source knows no flow of its own; use --flow lk")
        return step.resized(self._size or shrunk(current.size, _PIXELS))
