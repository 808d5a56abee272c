"""The scene from above: its promises, and what its views show over many frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.scenes.above import AboveScene
from keywarp.flow.scenes.above.camera import random_camera
from keywarp.flow.scenes.street import labels

SMALL = (160, 120)


def test_a_frame_has_the_promised_shapes() -> None:
    scene = AboveScene(size=(97, 64), length=3, seed=1)
    frame = scene.frame(2)
    assert len(scene) == 3
    assert scene.size == (97, 64)
    assert frame.bgr.shape == (64, 97, 3)
    assert frame.classes.shape == (64, 97)
    assert frame.bgr.dtype == frame.classes.dtype == np.uint8
    assert not frame.bgr.flags.writeable
    assert not frame.classes.flags.writeable


def test_seed_and_index_alone_make_a_frame() -> None:
    scene = AboveScene(size=SMALL, length=9, seed=4)
    late = scene.frame(7)
    scene.frame(0)
    for again in (scene.frame(7), AboveScene(size=SMALL, length=8, seed=4).frame(7)):
        np.testing.assert_array_equal(late.bgr, again.bgr)
        np.testing.assert_array_equal(late.classes, again.classes)
    assert (late.bgr != AboveScene(size=SMALL, length=9, seed=5).frame(7).bgr).any()
    assert (late.bgr != scene.frame(6).bgr).any()


def test_most_is_road_and_the_rest_is_there_too() -> None:
    scene = AboveScene(size=SMALL, length=120, seed=0)
    counts = np.stack([np.bincount(scene.frame(i).classes.ravel(), minlength=256) for i in range(120)])
    shares = counts / counts.sum(1, keepdims=True)
    assert not counts[:, len(labels.NAMES) :].any()
    assert not counts[:, labels.SKY].any()
    assert shares[:, labels.ROAD].mean() > 0.6
    assert (shares[:, labels.ROAD] > 0.95).mean() > 0.2
    assert (shares[:, labels.CAR] > 0.02).mean() > 0.25
    for label in set(range(len(labels.NAMES))) - {labels.SKY, labels.SIGN}:
        assert counts[:, label].any(), labels.NAMES[label]


def test_pictures_are_neither_black_nor_white() -> None:
    scene = AboveScene(size=SMALL, length=30, seed=2)
    means = [scene.frame(index).bgr.mean() for index in range(30)]
    assert min(means) > 10
    assert max(means) < 240
    assert np.std(means) > 10


def test_the_horizon_is_never_seen() -> None:
    rng = np.random.default_rng(0)
    for size in ((480, 360), (64, 200), (16, 16)):
        for _ in range(100):
            camera = random_camera(rng, size)
            corners = camera.ground_corners()
            points = np.column_stack([corners, np.zeros(4)])
            assert (camera.local(points)[:, 2] > 0).all()


def test_the_ground_is_seen_where_the_camera_projects_it() -> None:
    camera = random_camera(np.random.default_rng(3), SMALL)
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0.3, -0.7, 0]])
    mapped = np.column_stack([points[:, :2], np.ones(3)]) @ camera.ground_to_px().T
    np.testing.assert_allclose(camera.to_px(camera.local(points)), mapped[:, :2] / mapped[:, 2:], atol=1e-6)
    np.testing.assert_allclose(mapped[0, :2] / mapped[0, 2], (80, 60), atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (640, 64)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    scene = AboveScene(size=size, length=8, seed=3)
    for index in range(8):
        assert scene.frame(index).classes.shape == size[::-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (15, 64)}, "size 15x64 is below 16x16"),
        ({"size": (64,)}, "no pair of whole numbers"),
        ({"size": 64}, "no pair of whole numbers"),
        ({"size": (64.0, 64)}, "no pair of whole numbers"),
        ({"length": 0}, "length 0"),
        ({"length": None}, "length None"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_what_makes_no_scene_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AboveScene(**wrong)


@pytest.mark.parametrize("index", [-1, 4])
def test_frames_end(index: int) -> None:
    with pytest.raises(IndexError, match=rf"frame {index} is outside 0\.\.3"):
        AboveScene(size=SMALL, length=4).frame(index)
