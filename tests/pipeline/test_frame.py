"""Frames, and values that are made on demand."""

from __future__ import annotations

import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from keywarp.flow.base import StepFlow
from keywarp.pipeline.frame import Frame, JoinedStep, OnDemand
from keywarp.pipeline.picture import Picture

SIZE = (8, 6)


def _frame(step: OnDemand[StepFlow] | None = None) -> Frame:
    return Frame(3, 1001, Fraction(1, 30000), 77, Picture.from_bgr(np.zeros((6, 8, 3), np.uint8)), step=step)


def _moved(x: float, y: float) -> OnDemand[StepFlow]:
    field = np.full((SIZE[1], SIZE[0], 2), (x, y), np.float32)
    return OnDemand(lambda: StepFlow(field, np.ones((SIZE[1], SIZE[0]), np.bool_)))


def test_a_frame_says_what_its_picture_says() -> None:
    frame = _frame()
    assert frame.size == SIZE
    assert frame.time_s == pytest.approx(1001 / 30000)
    assert frame.bgr is frame.picture.bgr
    assert frame.gray((4, 3)).shape == (3, 4)
    assert frame.known_step is None


def test_a_step_is_made_once_and_only_when_asked_for() -> None:
    made = []

    def make() -> StepFlow:
        made.append(1)
        time.sleep(0.01)
        return StepFlow.still(SIZE)

    frame = _frame(OnDemand(make))
    assert made == []
    threads = [threading.Thread(target=lambda: frame.known_step) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert frame.known_step is frame.known_step


def test_steps_are_joined_over_dropped_frames() -> None:
    joined = JoinedStep.of(JoinedStep.of(_moved(-1, 0), _moved(0, -1)), _moved(-1, 0))
    assert joined is not None
    assert joined().field[3, 4].tolist() == [-2, -1]
    assert not joined().valid[0, 0], "it came into view on the way"
    assert joined().valid[5, 7]


def test_a_gap_in_what_is_known_stays_one() -> None:
    assert JoinedStep.of(None, _moved(1, 1)) is None
    assert JoinedStep.of(_moved(1, 1), None) is None


def test_a_long_stall() -> None:
    joined: OnDemand[StepFlow] | None = _moved(0, 0)
    for _ in range(3000):
        joined = JoinedStep.of(joined, _moved(0, 0))
    assert joined is not None
    assert not joined().field.any()
