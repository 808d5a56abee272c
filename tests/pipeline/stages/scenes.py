"""Scenes in which nothing moves, and flow that breaks, for the propagate stage."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from keywarp.flow.base import Image, PairEstimator, StepEstimator, StepFlow
from keywarp.flow.fake import FakeFlow
from keywarp.flow.keyframes import KeyframePolicy
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture, Pixels
from keywarp.pipeline.stage import StreamInfo
from keywarp.pipeline.stages.propagate import Propagate

from . import staging

WIDTH, HEIGHT = 80, 60
INFO = StreamInfo("test", (WIDTH, HEIGHT), Fraction(25), Fraction(1, 25))


def scene(seed: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


SCENES = [scene(seed) for seed in range(3)]


def packet(index: int, number: int = 0, picture_type: str | None = None, after_gap: bool = False) -> Packet:
    """A frame that shows the scene of that number."""
    picture = Picture.from_bgr(SCENES[number])
    frame = Frame(index, index, Fraction(1, 25), 0, picture, picture_type=picture_type, after_gap=after_gap)
    return Packet(frame, ManualClock())


def stage(
    policy: KeyframePolicy, flow: StepEstimator | PairEstimator | None = None, **options: Any
) -> Propagate[Any]:
    """An open stage for these packets, with a flow by which nothing moves."""
    return staging.stage(policy, flow or FakeFlow(), info=INFO, **options)


class BrokenFlow(FakeFlow):
    """Nothing moves, but that the flow of some frames is not a number."""

    def __init__(self, broken: tuple[int, ...], value: float = np.nan) -> None:
        super().__init__()
        self._broken, self._value = broken, value

    def step(self, previous: Image, current: Image) -> StepFlow:
        found = super().step(previous, current)
        assert isinstance(current, Frame)
        if current.index in self._broken:
            found.field[2, 3, 0] = self._value
        return found
