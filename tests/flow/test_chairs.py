"""Made pairs: their flow is exact, and depends on the seed alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.flow.scenes.chairs import FlowPair, make_pair
from keywarp.flow.scenes.chairs.motion import Affine, Drive
from keywarp.flow.warp import warp_image

SIZE = 192, 128


def smooth(seed: int) -> NDArray[np.uint8]:
    """A picture without sharp edges, which interpolation would soften."""
    noise = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (300, 200), interpolation=cv2.INTER_CUBIC), np.uint8)


def made(seed: int) -> FlowPair:
    return make_pair(smooth(seed), lambda: smooth(seed + 100), SIZE, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_the_key_warped_along_the_flow_is_the_current_picture(seed: int) -> None:
    pair = made(seed)
    width, height = SIZE
    assert pair.current.shape == pair.key.shape == (height, width, 3)
    assert pair.field.shape == (height, width, 2)
    assert pair.field.dtype == np.float32
    assert pair.valid.shape == (height, width)
    difference = np.abs(warp_image(pair.key, pair.field).astype(int) - pair.current).mean(axis=2)
    hidden = difference[pair.valid] > 20  # what a shape hides in the key picture cannot be found there
    assert np.median(difference[pair.valid]) < 2
    assert hidden.mean() < 0.35


def test_the_seed_decides_everything() -> None:
    one, again, other = made(1), made(1), made(2)
    assert np.array_equal(one.current, again.current)
    assert np.array_equal(one.field, again.field)
    assert not np.array_equal(one.field, other.field)


def test_a_shift_is_the_same_everywhere() -> None:
    field = Affine(np.array([[1.0, 0, 3], [0, 1, -2]])).field((8, 6))
    assert np.array_equal(field, np.broadcast_to(np.array([3, -2], np.float32), (6, 8, 2)))


def test_what_a_car_passes_was_nearer_to_where_it_heads() -> None:
    drive = Drive(focal_px=100, horizon=(48, 32), way=1, left=2, right=2, far=20, turn=(0, 0))
    field = drive.field((96, 64))
    to_horizon = np.array([48, 32]) - (20, 60)
    there = field[60, 20]
    assert there @ to_horizon > 0
    assert np.linalg.norm(field[32, 48]) < 0.1
    # On the ground at depth 100 / 28 of its heights; before, it was one farther away.
    depth = 100 / 28
    assert there == pytest.approx(to_horizon * (1 - depth / (depth + 1)), abs=1e-3)
