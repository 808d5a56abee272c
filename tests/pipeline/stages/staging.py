"""A propagate stage with a fake model and a fake flow, pictures that move for it, and a runner that waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from fractions import Fraction
from threading import Timer
from typing import Any

import numpy as np

from keywarp.engines.fake import FakeEngine
from keywarp.flow.base import PairEstimator, StepEstimator
from keywarp.flow.fake import FakeFlow
from keywarp.flow.keyframes import FixedInterval, KeyframePolicy
from keywarp.models.base import Level, Model, Setup
from keywarp.models.fake import FakeModel
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import StreamInfo
from keywarp.pipeline.stages.propagate import Propagate

WIDTH, HEIGHT = 40, 20
INFO = StreamInfo("test", (WIDTH, HEIGHT), Fraction(25), Fraction(1, 25))


def packet(index: int, *, after_gap: bool = False, frozen: bool = False) -> Packet:
    """A frame whose blue channel is 1 in columns that move two pixels a frame to the right."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left = 4 + 2 * index
    pixels[:, left : left + 6, 0] = 1
    picture = Picture.from_bgr(pixels)
    frame = Frame(index, index, Fraction(1, 25), 0, picture, after_gap=after_gap, frozen=frozen)
    return Packet(frame, ManualClock())


def motion(key: Any, current: Any) -> tuple[float, float]:
    """Of the pictures of :func:`packet`, for a fake FlowNet."""
    return 2.0 * (current.index - key.index), 0.0


def stage(
    policy: int | KeyframePolicy,
    flow: StepEstimator | PairEstimator | None = None,
    *,
    model: Model[Any] | None = None,
    info: StreamInfo = INFO,
    level: Level = "features",
    aggregates: bool = False,
    **options: Any,
) -> Propagate[Any]:
    """An open stage with a key frame every so many frames, or by a policy; the flow is that of :func:`packet`."""
    made = Propagate(
        model or FakeModel(),
        Setup(FakeEngine({}), level=level, aggregates=aggregates, fused=False),
        policy=FixedInterval(policy) if isinstance(policy, int) else policy,
        steps=flow or FakeFlow(2.0, 0.0),
        result=options.pop("result", SEGMENTATION),
        **options,
    )
    made.open(info)
    return made


def run(perceive: Propagate[Any], count: int) -> list[Packet]:
    """The first packets, processed."""
    return process(perceive, *range(count))


def process(perceive: Propagate[Any], *indices: int) -> list[Packet]:
    """The packets of these frames, processed."""
    packets = [packet(index) for index in indices]
    for each in packets:
        perceive.process(each)
    return packets


class LateRunner:
    """Does the first work at once, and later work when told to: key frames computed in the background.

    ``at_once``: the numbers, from 1, of all the work that is done at once. Each entry of ``waiting`` does one.
    """

    def __init__(self, at_once: Collection[int] = (1,)) -> None:
        self.waiting: list[Callable[[], None]] = []
        self._at_once, self._submitted = at_once, 0

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._submitted += 1
        if self._submitted in self._at_once:
            future.set_result(work())
        else:
            self.waiting.append(lambda: future.set_result(work()))
        return future


class SlowRunner:
    """Does the first work at once, and each later one in a thread, well after a frame has passed."""

    AFTER_S = 0.2

    def __init__(self) -> None:
        self.started: list[Timer] = []

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        timer = Timer(self.AFTER_S, lambda: future.set_result(work()))
        self.started.append(timer)
        if len(self.started) == 1:
            future.set_result(work())
        else:
            timer.start()
        return future
