"""One contract over all step estimators, on pictures whose motion is known."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.flow.build import make_step_estimator, step_names
from keywarp.flow.scenes.street import StreetScene
from keywarp.flow.sizes import picture_size
from keywarp.pipeline.picture import Picture

from .shots import Shot

SIZE = (320, 180)


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    scene = StreetScene(size=SIZE, rate=30, length=4, seed=0)
    frames = [scene.frame(i) for i in (1, 2)]
    return [Shot(np.array(frame.bgr), frame.step()) for frame in frames]


@pytest.mark.parametrize("name", step_names())
def test_the_flow_has_the_sign_and_scale_of_the_true_motion(name: str, shots: list[Shot]) -> None:
    found = make_step_estimator(name).step(*shots)
    truth = shots[1].known_step
    assert truth is not None
    truth = truth.resized(found.size)
    moving = truth.valid & (np.linalg.norm(truth.field, axis=2) > 0.2)
    assert moving.mean() > 0.1

    def error(field: np.ndarray) -> float:
        return float(np.linalg.norm(field - truth.field, axis=2)[moving].mean())

    assert error(found.field) < 0.5 * error(np.zeros_like(truth.field))
    assert error(found.field) < 0.3 * error(-truth.field)


@pytest.mark.parametrize("name", step_names())
def test_a_field_is_float32_with_a_mask_of_its_size(name: str, shots: list[Shot]) -> None:
    found = make_step_estimator(name, (160, 96)).step(*shots)
    assert found.field.dtype == np.float32
    assert found.field.shape == (*found.valid.shape, 2)
    assert found.valid.dtype == np.bool_


@pytest.mark.parametrize("name", [name for name in step_names() if name != "source"])
def test_pictures_of_other_sizes_before_leave_nothing_behind(name: str) -> None:
    used = make_step_estimator(name)
    rng = np.random.default_rng(2)
    for size in ((320, 180), (40, 40), (352, 264), (320, 180), (641, 479), (1, 1), (3, 900), (70_000, 1)):
        pixels = rng.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
        before = Shot(cv2.GaussianBlur(pixels, (0, 0), 3))
        now = Shot(np.roll(before.bgr_at(size), 1, axis=1))
        found, fresh = used.step(before, now), make_step_estimator(name).step(before, now)
        np.testing.assert_array_equal(found.field, fresh.field)
        assert np.isfinite(found.field).all()


@pytest.mark.parametrize("name", [name for name in step_names() if name.startswith("dis")])
def test_a_picture_against_itself_stands_still(name: str, shots: list[Shot]) -> None:
    found = make_step_estimator(name).step(shots[0], shots[0])
    assert np.abs(found.field).max() < 0.05
    assert found.valid.all()


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (640, 1),
        (15, 15),
        (16, 16),
        (41, 23),
        (80, 16),
        (100, 31),
        (640, 24),
        (5000, 40),
        (32, 32),
        (64, 33),
    ],
)
def test_pictures_of_any_size_have_a_flow(size: Size) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    shot = Shot(pixels)
    found = make_step_estimator("dis").step(shot, shot)
    assert np.isfinite(found.field).all()


def test_the_search_picture_keeps_the_shape_and_never_grows() -> None:
    assert picture_size((640, 360), 352 * 264, 8) == (408, 232)
    assert picture_size((1920, 1080), 352 * 264, 8) == (408, 232)
    assert picture_size((96, 64), 352 * 264, 8) == (96, 64)
    assert picture_size((5000, 1), 352 * 264, 8) == (5000, 1)


def test_cells_that_came_from_outside_are_invalid() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (45, 80)).astype(np.uint8)
    wide = np.kron(pixels, np.ones((8, 8), np.uint8))
    before, after = (np.dstack([wide[:, s : s + 560]] * 3) for s in (0, 12))  # the camera turns right
    found = make_step_estimator("dis", (560, 360)).step(Shot(before), Shot(after))
    assert np.median(found.field[..., 0]) == pytest.approx(12 * found.size[0] / 560, abs=0.1)
    assert not found.valid[:, -2:].any()
    assert found.valid[:, :-8].mean() > 0.95


def test_unknown_names_and_a_source_that_knows_no_flow_are_said(shots: list[Shot]) -> None:
    with pytest.raises(UsageError, match=r"unknown flow 'dis:fst'; did you mean 'dis:fast'"):
        make_step_estimator("dis:fst")
    blind = Shot(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UsageError, match="knows no flow"):
        make_step_estimator("source").step(blind, blind)


def test_a_film_whose_rows_are_padded_in_memory_has_a_flow_at_its_own_size() -> None:
    frame = av.VideoFrame(100, 100, "yuv420p")
    assert frame.planes[0].line_size > 100
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    picture = Picture.from_av(frame)
    found = make_step_estimator("dis").step(Shot(picture), Shot(picture))
    assert not found.field.any()
