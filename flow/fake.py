"""Estimators without pictures, for tests of what stands above flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Image, PairEstimator, PairFlow, PairSetup, Size, StepEstimator, StepFlow


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


class FakePairFlow(PairEstimator):
    """Says that everything moved by ``motion(key, current)``, in pixels of the frames; on a grid of their size.

    ``scale``: what the scale map is everywhere, for any model that wants one; None: there is none. ``calls`` holds
    "open", "pair" and "close" in order.
    """

    name = "fake-pairs"

    def __init__(
        self,
        motion: Callable[[Any, Any], tuple[float, float]],
        *,
        scale: float | None = None,
        channels: int = 1,
    ) -> None:
        self._motion = motion
        self._scale = scale
        self._channels = channels
        self._size: Size = (0, 0)
        self._is_scaled = False
        self.calls: list[str] = []

    @property
    def grid_size(self) -> Size:
        """The frames' own size."""
        return self._size

    @property
    def scale_channels(self) -> int | None:
        """As given, where a scale map is wanted."""
        return self._channels if self._is_scaled else None

    def open(self, setup: PairSetup, frame_size: Size) -> None:
        """Remember the size, and whether a scale map is wanted."""
        self.calls.append("open")
        self._size = frame_size
        self._is_scaled = self._scale is not None and setup.scale_for is not None

    def pair(self, key: Image, current: Image) -> PairFlow:
        """The same motion for every cell; flow runs backwards, so its sign is the opposite."""
        self.calls.append("pair")
        width, height = self._size
        motion = np.array(self._motion(key, current), np.float32)
        field = np.broadcast_to(-motion, (height, width, 2)).copy()
        scale = np.full((self._channels, height, width), self._scale, np.float32) if self._is_scaled else None
        return PairFlow(field, np.ones((height, width), np.bool_), scale)

    def close(self) -> None:
        """Record the call."""
        self.calls.append("close")
