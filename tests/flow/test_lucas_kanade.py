"""Flow by gradients, on pictures whose motion is known."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.flow.build import make_step_estimator
from keywarp.flow.lucas_kanade import LucasKanadeFlow, pyramid_sizes
from keywarp.flow.scenes.street import StreetScene
from keywarp.flow.warp import warp_labels

from .shots import Shot

SIZE = (192, 128)
INNER = slice(12, -12), slice(12, -12)


def _texture() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (SIZE[1] + 64, SIZE[0] + 64)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2) + 3 * cv2.GaussianBlur(noise, (0, 0), 8)
    return np.asarray(cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX), np.float32)


def _view(x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """A part of the texture, (x, y) further, as a picture."""
    part = np.array([[1, 0, 32 + x], [0, 1, 32 + y]], np.float32)
    moved = cv2.warpAffine(_texture(), part, SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.dstack([np.clip(np.rint(moved), 0, 255).astype(np.uint8)] * 3)


def _found_px(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The flow in pixels, away from the edges."""
    step = LucasKanadeFlow(SIZE).step(Shot(previous), Shot(current))
    assert step.size == (SIZE[0] // 2, SIZE[1] // 2)
    assert step.field.dtype == np.float32
    return np.asarray(2 * step.field[INNER])


@pytest.mark.parametrize("shift", [(0.4, 0.0), (0.0, -0.9), (-1.3, 2.6), (7.5, -4.0), (-18.0, 9.0)])
def test_a_shift_is_found_to_a_small_part_of_a_pixel(shift: tuple[float, float]) -> None:
    found = _found_px(_view(), _view(*shift))
    assert np.median(found, axis=(0, 1)) == pytest.approx(shift, abs=0.05)
    assert np.linalg.norm(found - np.array(shift), axis=2).mean() < 0.3


def test_a_growing_picture_is_found_everywhere() -> None:
    middle = SIZE[0] / 2, SIZE[1] / 2
    grow = cv2.getRotationMatrix2D(middle, 0.0, 1.05)
    current = cv2.warpAffine(_view(), grow, SIZE, flags=cv2.INTER_CUBIC)
    found = _found_px(_view(), current)
    places = 2 * np.stack(np.meshgrid(np.arange(SIZE[0] // 2), np.arange(SIZE[1] // 2)), axis=2) + 0.5
    truth = ((places + 0.5 - middle) * (1 / 1.05 - 1))[INNER]
    assert np.linalg.norm(found - truth, axis=2).mean() < 0.2


def test_a_new_flow_does_not_change_the_one_before() -> None:
    estimator = LucasKanadeFlow(SIZE)
    one, other = Shot(_view()), Shot(_view(3, 1))
    first = estimator.step(one, other)
    kept = first.field.copy()
    estimator.step(other, one)
    assert np.array_equal(first.field, kept)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_stands_still(value: int) -> None:
    flat = np.full((SIZE[1], SIZE[0], 3), value, np.uint8)
    assert not _found_px(flat, flat).any()


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 9), (1.06, -4), (0.9, 0), (0.6, 30), (0.3, 0)])
def test_light_that_changes_is_no_motion(gain: float, offset: int) -> None:
    lighter = np.clip(_view() * gain + offset, 0, 255).astype(np.uint8)
    assert np.linalg.norm(_found_px(_view(), lighter), axis=2).mean() < 0.35


def test_motion_is_found_though_the_light_changes() -> None:
    darker = np.clip(0.7 * _view(5, -2) + 12, 0, 255).astype(np.uint8)
    assert np.median(_found_px(_view(), darker), axis=(0, 1)) == pytest.approx((5, -2), abs=0.1)


def test_noise_moves_little() -> None:
    rng = np.random.default_rng(3)
    one, other = (
        np.clip(_view() + rng.normal(0, 6, (SIZE[1], SIZE[0], 1)), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert np.linalg.norm(_found_px(one, other), axis=2).mean() < 0.4


def test_pictures_that_have_nothing_in_common_have_a_finite_flow() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.integers(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8) for _ in range(2))
    found = _found_px(one, other)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 2 * (1 + 2 + 4 + 8 + 16)  # two pixels a level, of five


def test_labels_of_a_street_are_carried_better_than_by_dis() -> None:
    scene = StreetScene(size=(480, 360), rate=15, length=6, seed=5)
    frames = [scene.frame(number) for number in range(6)]
    shots = [Shot(np.array(frame.bgr)) for frame in frames]

    def wrong(name: str) -> float:
        estimator, shares = make_step_estimator(name), []
        for (before, now), (previous, current) in zip(pairwise(frames), pairwise(shots), strict=True):
            step = estimator.step(previous, current)
            carried = warp_labels(before.classes, step.field)
            shares.append((carried != now.classes).mean())
        return float(np.mean(shares))

    found = {name: wrong(name) for name in ("lk:quick", "lk", "lk:fine", "dis")}
    assert found["lk:quick"] < 0.93 * found["dis"]
    assert found["lk"] < 0.93 * found["lk:quick"]
    assert found["lk:fine"] < 0.93 * found["lk"]


@pytest.mark.parametrize(
    ("size", "finest", "levels"),
    [
        ((192, 144), (192, 144), 5),
        ((221, 125), (222, 126), 5),
        ((960, 540), (960, 540), 7),
        ((23, 41), (24, 42), 3),
        ((1, 1), (2, 2), 1),
        ((5000, 1), (5000, 2), 1),
    ],
)
def test_every_level_is_about_half_of_the_next(size: Size, finest: Size, levels: int) -> None:
    sizes = pyramid_sizes(size)
    assert sizes[-1] == finest
    assert len(sizes) == levels
    for coarse, fine in pairwise(sizes):
        assert all(abs(2 * small - large) <= 2 for small, large in zip(coarse, fine, strict=True))
    assert all(side % 2 == 0 for each in sizes for side in each)


@pytest.mark.parametrize(
    ("name", "frame", "grid"),
    [
        ("lk:quick", (480, 360), (96, 72)),
        ("lk:quick", (1280, 720), (112, 64)),
        ("lk", (1280, 720), (168, 96)),
        ("lk:fine", (1280, 720), (224, 128)),
    ],
)
def test_the_grid_is_half_of_the_finest_pictures(name: str, frame: Size, grid: Size) -> None:
    shot = Shot(np.zeros((frame[1], frame[0], 3), np.uint8))
    assert make_step_estimator(name).step(shot, shot).size == grid


def test_cells_that_came_from_outside_are_invalid() -> None:
    step = LucasKanadeFlow(SIZE).step(Shot(_view()), Shot(_view(8, 0)))
    assert not step.valid[8:-8, -3:].any()
    assert step.valid[8:-8, :-5].mean() > 0.98


def test_rows_at_the_upper_and_the_lower_edge_are_alike() -> None:
    steps = [LucasKanadeFlow(SIZE).step(Shot(_view()), Shot(_view(0.5, 0.5), None)).field]
    upper, lower = (2 * np.mean([step[row, 8:-8] for step in steps], axis=(0, 1)) for row in (0, -1))
    assert upper == pytest.approx((0.5, 0.5), abs=0.1)
    assert lower == pytest.approx((0.5, 0.5), abs=0.1)


@pytest.mark.parametrize("value", [20, 245])
@pytest.mark.parametrize("share", [0.1, 0.25])
def test_what_comes_into_the_picture_does_not_carry_away_what_stands_still(value: int, share: float) -> None:
    scene = StreetScene(size=(480, 360), rate=15, length=6, seed=5)
    before = np.array(scene.frame(0).bgr)
    now = before.copy()
    edge = int(share * 480)
    now[60:, :edge] = value
    step = LucasKanadeFlow().step(Shot(before), Shot(now))
    cell_px = 480 / step.size[0]
    length_px = cell_px * np.linalg.norm(step.field, axis=2)
    assert length_px[:, int((edge + 20) / cell_px) :].mean() < 3


def test_an_unknown_preset_is_said() -> None:
    with pytest.raises(UsageError, match="unknown Lucas-Kanade preset 'slow'"):
        LucasKanadeFlow(None, "slow")
