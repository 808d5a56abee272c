"""Any source at another size."""

from __future__ import annotations

import numpy as np
import pytest

from keywarp.engines.errors import SourceError, UsageError
from keywarp.flow.base import Size
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.synthetic import SyntheticSource

from .films import read_all


@pytest.mark.parametrize("size", [(32, 24), (65, 49), (200, 1), (1, 1)])
def test_frames_have_the_size(size: tuple[int, int]) -> None:
    info, frames = read_all(ScaledSource(SyntheticSource(length=2), size))
    assert info.size == size
    for frame in frames:
        assert frame.size == size
        assert frame.bgr.shape == (size[1], size[0], 3)


def test_all_else_stays() -> None:
    inner = SyntheticSource(length=3, indices=[0, 2, 3], pts=[0, 7, 9])
    _, plain = read_all(SyntheticSource(length=3, indices=[0, 2, 3], pts=[0, 7, 9]))
    _, frames = read_all(ScaledSource(inner, (32, 24)))
    assert [(frame.index, frame.pts) for frame in frames] == [(0, 0), (2, 7), (3, 9)]
    step, expected = frames[1].known_step, plain[1].known_step
    assert step is not None
    assert expected is not None
    np.testing.assert_array_equal(step.field, expected.field)
    assert inner.closed == 1


def test_the_same_size_costs_nothing() -> None:
    inner = SyntheticSource(length=1)
    source = ScaledSource(inner, (64, 48))
    source.open()
    frame = next(source.frames())
    assert frame.bgr.base is not None
    assert frame.size == (64, 48)
    source.close()


def test_clock_losses_and_notes_are_the_other_sources() -> None:
    inner = SyntheticSource()
    source = ScaledSource(inner, (32, 24))
    clock = ManualClock()
    source.clock = clock
    inner.losses.add("late", 2)
    inner.notes.append("a note")
    assert inner.clock is source.clock is clock
    assert source.losses.total == 2
    assert source.notes == ["a note"]
    assert source.source is inner


def test_errors_pass_through() -> None:
    source = ScaledSource(SyntheticSource(fails_at=0), (32, 24))
    with pytest.raises(SourceError):
        read_all(source)


@pytest.mark.parametrize("size", [(20_000, 20_000), (16_385, 16), (16, 16_385), (16_384, 16_384)])
def test_a_size_is_no_larger_than_can_be_scaled_to(size: Size) -> None:
    with pytest.raises(
        UsageError, match=r"up to 16384 pixels a side, and 134 million in all; given: \d+x\d+"
    ):
        ScaledSource(SyntheticSource(), size)


def test_the_longest_side_can_be_scaled_to() -> None:
    source = ScaledSource(SyntheticSource(), (16_384, 8))
    source.open()
    assert next(source.frames()).bgr.shape == (8, 16_384, 3)
    source.close()


def test_a_size_is_at_least_one_pixel() -> None:
    with pytest.raises(UsageError, match="at least 1x1"):
        ScaledSource(SyntheticSource(), (0, 24))
