"""The street as a source. The scene itself has its own tests in tests/flow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.street import StreetSource

from .films import JumpingClock, read_all

SIZE = (64, 48)


def test_frames_and_steps_are_the_scenes() -> None:
    source = StreetSource(size=SIZE, length=3, seed=5)
    info, frames = read_all(source)
    assert info.name == "street:seed=5"
    assert (info.size, info.rate, info.time_base, info.live) == (SIZE, Fraction(30), Fraction(1, 30), False)
    for index, frame in enumerate(frames):
        truth = source.scene.frame(index)
        np.testing.assert_array_equal(frame.bgr, truth.bgr)
        step = frame.known_step
        assert step is not None
        np.testing.assert_array_equal(step.field, truth.step().field)
        np.testing.assert_array_equal(step.valid, truth.step().valid)


def test_another_seed_is_another_street() -> None:
    one, other = (read_all(StreetSource(size=SIZE, length=1, seed=seed))[1][0].bgr for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_steps_may_be_asked_for_late_and_from_another_thread() -> None:
    source = StreetSource(size=SIZE, length=12)
    source.open()
    frames = list(source.frames())
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(frames[2].known_step))
    thread.start()
    thread.join()
    source.close()
    expected = source.scene.frame(2).step()
    np.testing.assert_array_equal(results[0].field, expected.field)  # type: ignore[attr-defined]


def test_live_frames_come_by_the_clock() -> None:
    source = StreetSource(size=SIZE, rate=10, length=5, live=True)
    source.clock = JumpingClock(10)
    info, frames = read_all(source)
    assert info.live
    assert info.frame_count is None
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    captured = [frame.capture_ns / 1e6 for frame in frames]
    np.testing.assert_allclose(np.diff(captured), 100, atol=25)  # as coarse as the clock


def test_live_frames_that_come_too_late_are_left_out() -> None:
    source = StreetSource(size=SIZE, rate=10, length=9, live=True)
    source.clock = JumpingClock(90)  # read several times a frame
    _, frames = read_all(source)
    assert source.losses.by_cause == {"late": 9 - len(frames)}
    assert 1 < len(frames) < 9
    first, second = frames[:2]
    assert second.index > 1
    step = second.known_step
    assert step is not None
    expected = source.scene.frame(second.index).step(first.index)
    np.testing.assert_array_equal(step.field, expected.field)


@pytest.mark.parametrize("end", [StreetSource.close, StreetSource.interrupt])
def test_waiting_ends_when_the_source_is_closed_or_interrupted(end: Callable[[StreetSource], None]) -> None:
    source = StreetSource(size=SIZE, rate=0.01, live=True)
    source.clock = ManualClock()
    source.open()
    stream = source.frames()
    next(stream)
    ended_s: list[float] = []

    def act() -> None:
        end(source)
        ended_s.append(time.monotonic())

    ending = threading.Timer(0.1, act)
    ending.start()
    assert list(stream) == []
    ending.join()
    assert time.monotonic() - ended_s[0] < 0.1
    source.close()


def test_a_scaled_source_passes_an_interrupt_on() -> None:
    source = ScaledSource(StreetSource(size=SIZE, rate=0.01, live=True), (32, 24))
    source.open()
    stream = source.frames()
    next(stream)
    source.interrupt()
    assert list(stream) == []
    source.close()


def test_an_endless_street() -> None:
    source = StreetSource(size=SIZE, length=None)
    assert source.open().frame_count is None
    assert next(source.frames()).index == 0
    source.close()


def test_bad_values() -> None:
    with pytest.raises(UsageError, match="frame rate"):
        StreetSource(rate=0)
    with pytest.raises(UsageError, match="too small"):
        StreetSource(size=(1, 1))
    with pytest.raises(UsageError, match="length"):
        StreetSource(length=0)
