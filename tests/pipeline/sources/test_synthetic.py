"""The source that tests are made with."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import SourceError, UsageError
from keywarp.flow.compose import cell_grid
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.synthetic import SyntheticSource, translation

from .films import pictures, read_all


@pytest.mark.parametrize("motion_px", [(2, 1), (-3, 0), (0, 5), (0, 0)])
@pytest.mark.parametrize("indices", [[0, 1, 2], [0, 2, 5]])
def test_the_step_flow_is_exact_over_gaps_too(motion_px: tuple[int, int], indices: list[int]) -> None:
    _, frames = read_all(SyntheticSource(motion_px=motion_px, indices=indices))
    assert [frame.index for frame in frames] == indices
    for previous, current in pairwise(frames):
        step = current.known_step
        assert step is not None
        source = cell_grid(step.size) + step.field
        warped = cv2.remap(previous.bgr, source, None, cv2.INTER_NEAREST)
        np.testing.assert_array_equal(warped[step.valid], current.bgr[step.valid])
        assert step.valid.mean() > 0.5


def test_what_came_into_view_is_invalid() -> None:
    step = translation((4, 3), (1, -1))
    assert step.field[0, 0].tolist() == [-1, 1]
    assert step.valid.tolist() == [[False, True, True, True], [False, True, True, True], [False] * 4]


def test_given_pictures_and_times() -> None:
    given = pictures(3)
    info, frames = read_all(SyntheticSource(given, pts=[5, 6, 90], time_base=Fraction(1, 100)))
    assert (info.size, info.frame_count) == ((64, 48), 3)
    assert [frame.pts for frame in frames] == [5, 6, 90]
    assert all(
        frame.bgr is not pixels and frame.step is None for frame, pixels in zip(frames, given, strict=True)
    )
    np.testing.assert_array_equal(frames[2].bgr, given[2])


def test_it_fails_when_told_to() -> None:
    source = SyntheticSource(length=5, fails_at=2)
    source.open()
    got: list[Frame] = []
    with pytest.raises(SourceError, match="frame 2"):
        got.extend(source.frames())
    assert len(got) == 2


def test_paced_frames_wait_for_their_time() -> None:
    source = SyntheticSource(length=3, time_base=Fraction(1, 10), live=True, paced=True)
    clock = ManualClock()
    source.clock = clock
    source.open()
    stream = source.frames()
    assert next(stream).capture_ns == 0
    clock.advance_ms(100)
    assert next(stream).capture_ns == 100_000_000
    source.close()
    assert list(stream) == [], "closed: nobody waits for the third"
    assert source.closed == 1


def test_nothing_at_all() -> None:
    info, frames = read_all(SyntheticSource(length=0))
    assert (info.frame_count, frames) == (0, [])


@pytest.mark.parametrize("wrong", [{"indices": [0, 0]}, {"pts": [1]}, {"length": 2, "pts": [3, 2]}])
def test_numbers_that_do_not_rise(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="rise"):
        SyntheticSource(**wrong)  # type: ignore[arg-type]
