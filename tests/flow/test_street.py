"""The street's truth, proven against its own pictures, which know nothing of the flow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError
from keywarp.flow.base import StepFlow
from keywarp.flow.scenes.street import SceneBox, SceneFrame, StreetScene, labels
from keywarp.flow.scenes.street.world import SITES
from keywarp.models.labels import CAMVID

SIZE = (320, 180)
KINDS = sorted(SITES)

# Half a pixel of difference in minification, and mixed edges, leave a few grey levels.
PHOTOMETRIC_LEVELS = 4.0
LABELS_AGREE = 0.99
COMPOSED_PX = 0.35
# How many times worse a frame is restored by no step, and by the step backwards. Much of a motorway is smooth.
WORSE = {"town": (2.5, 5.0), "motorway": (1.6, 3.2)}


DRIVES = {
    "noon": (0, "town"), "evening": (1, "town"), "overcast": (2, "town"),
    "motorway": (0, "motorway"), "motorway in the evening": (1, "motorway"),
    "motorway with a bonnet": (15, "motorway"),
}  # fmt: skip


@cache
def drive(seed: int, kind: str) -> StreetScene:
    """A drive at ``SIZE``, long enough for all; its textures, painted at the first frame, take a second."""
    return StreetScene(size=SIZE, length=900, seed=seed, kind=kind)


@pytest.fixture(scope="module", params=list(DRIVES.values()), ids=list(DRIVES))
def scene(request: pytest.FixtureRequest) -> StreetScene:
    return drive(*request.param)


@pytest.fixture(scope="module", autouse=True)
def _forget_drives() -> Iterator[None]:
    yield
    drive.cache_clear()


def warped(picture: NDArray[Any], step: StepFlow, factor: float = 1.0) -> NDArray[Any]:
    """``picture`` sampled at each cell's old place; labels by the nearest cell."""
    height, width = step.valid.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    how = cv2.INTER_LINEAR if picture.ndim == 3 or picture.dtype.kind == "f" else cv2.INTER_NEAREST
    field = step.field * factor
    result: NDArray[Any] = cv2.remap(picture, x + field[..., 0], y + field[..., 1], how)
    return result


def away_from_edges(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    kernel = np.ones((3, 3), np.uint8)
    flat: NDArray[np.bool_] = cv2.dilate(classes, kernel) == cv2.erode(classes, kernel)
    return flat


def photometric(frame: SceneFrame, before: SceneFrame, factor: float) -> float:
    step = frame.step(before.index)
    difference = cv2.absdiff(warped(before.bgr, step, factor), frame.bgr)
    return float(difference[step.valid].mean())


def test_labels_are_camvids() -> None:
    assert CAMVID.names == labels.NAMES
    ids = [getattr(labels, name.upper()) for name in CAMVID.names]
    assert ids == list(range(len(CAMVID)))


@pytest.mark.parametrize("index", [1, 47, 120, 333])
def test_warping_by_the_step_restores_the_picture(scene: StreetScene, index: int) -> None:
    frame, before = scene.frame(index), scene.frame(index - 1)
    right = photometric(frame, before, 1.0)
    assert right < PHOTOMETRIC_LEVELS
    still, backwards = WORSE[scene.kind]
    assert still * right < photometric(frame, before, 0.0)
    assert backwards * right < photometric(frame, before, -1.0)


@pytest.mark.parametrize("index", [5, 90, 256])
@pytest.mark.parametrize("gap", [1, 3])
def test_labels_follow_the_step(scene: StreetScene, index: int, gap: int) -> None:
    frame, before = scene.frame(index), scene.frame(index - gap)
    step = frame.step(index - gap)
    agree = warped(before.classes, step) == frame.classes
    assert agree[step.valid & away_from_edges(frame.classes)].mean() > LABELS_AGREE
    assert agree[step.valid].mean() > 0.97


@pytest.mark.parametrize("index", [3, 150])
def test_a_step_over_a_gap_is_three_steps_composed(scene: StreetScene, index: int) -> None:
    frame = scene.frame(index)
    field, valid = frame.step().field.copy(), frame.step().valid.copy()
    for back in (1, 2):
        step = scene.frame(index - back).step()
        so_far = StepFlow(field, valid)
        field = field + warped(step.field, so_far)
        valid = valid & (warped(step.valid.view(np.uint8), so_far) > 0)
    whole = frame.step(index - 3)
    both = valid & whole.valid & away_from_edges(frame.classes)
    apart = np.hypot(*np.moveaxis(field - whole.field, 2, 0))[both]
    assert both.mean() > 0.5
    assert np.median(apart) < 0.02
    assert (apart < COMPOSED_PX).mean() > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_is_exact_where_it_can_be_computed_by_hand(kind: str) -> None:
    """A point of the road, by the camera's own projection at both times."""
    from keywarp.flow.scenes.street.camera import view_at

    scene = drive(3, kind)
    frame = scene.frame(60)
    rig = SITES[kind](3, SIZE).rig
    views = [scene._drawing(index).view for index in (60, 59)]
    assert views[0].eye[2] == view_at(2.0, SIZE, 0.0, rig).eye[2]
    rows, columns = np.nonzero(frame.classes == labels.ROAD)
    assert len(rows) > 5000
    for row, column in list(zip(rows, columns, strict=True))[::997]:
        ray = np.linalg.inv(views[0].project) @ np.array([column, row, 1.0])
        point = views[0].eye + ray * (-views[0].eye[1] / ray[1])
        x, y, depth = views[1].project @ (point - views[1].eye)
        expected = np.array([x / depth - column, y / depth - row])
        np.testing.assert_allclose(frame.step().field[row, column], expected, atol=2e-3)


def test_valid_occluded_and_outside_are_all_there_is(scene: StreetScene) -> None:
    frame = scene.frame(77)
    step, occluded = frame.step(), frame.occluded()
    height, width = step.valid.shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    place = np.stack([x, y], 2) + step.field
    inside = np.all((place > -0.5) & (place < np.array([width, height]) - 0.5), axis=2)
    assert not (step.valid & occluded).any()
    assert np.array_equal(step.valid | occluded, inside)
    assert 0 < occluded.mean() < 0.15


@pytest.mark.parametrize(("seed", "kind"), [(0, "town"), (9, "motorway")])
def test_what_a_passing_car_reveals_is_occluded(seed: int, kind: str) -> None:
    """Road that shows now where the frame before showed a car was hidden, and is flagged."""
    scene = drive(seed, kind)
    flagged = []
    for index in range(10, 200, 20):
        frame, before = scene.frame(index), scene.frame(index - 3)
        covered = warped(before.classes, frame.step(index - 3)) == labels.CAR
        revealed = covered & (frame.classes == labels.ROAD)
        revealed &= cv2.erode(revealed.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
        flagged.append(frame.occluded(index - 3)[revealed])
    known = np.concatenate(flagged)
    assert len(known) > 20
    assert known.mean() > 0.99


def test_the_first_frame_has_no_step(scene: StreetScene) -> None:
    frame = scene.frame(0)
    assert not frame.step().valid.any()
    assert not frame.step().field.any()
    assert not frame.occluded().any()
    same = frame.step(0)
    assert same.valid.all()
    assert np.abs(same.field).max() < 1e-2


def test_boxes_hold_exactly_the_objects_pixels(scene: StreetScene) -> None:
    for index in (20, 200):
        frame = scene.frame(index)
        drawing = scene._drawing(index)
        owners = np.array([piece.quad.object_id for piece in drawing.pieces])[drawing.ids]
        found = {box.object_id: box for box in frame.boxes}
        assert set(found) == set(np.unique(owners).tolist()) - {-1}
        for object_id, box in found.items():
            rows, columns = np.nonzero(owners == object_id)
            low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
            assert box.xyxy == (*map(float, low), *map(float, high))
            assert set(frame.classes[rows, columns].tolist()) == {box.class_id}
            assert 0 < box.visible <= 1
        assert np.array_equal(owners >= 0, np.isin(frame.classes, labels.OBJECT_LABELS))


def height_px(box: SceneBox) -> float:
    return box.xyxy[3] - box.xyxy[1]


def test_objects_keep_their_ids(scene: StreetScene) -> None:
    now = {box.object_id: box for box in scene.frame(101).boxes if box.visible > 0.5 and height_px(box) > 2}
    before = {box.object_id: box for box in scene.frame(100).boxes}
    shared = set(now) & set(before)
    assert len(shared) >= 0.9 * len(now) > 0
    assert all(now[i].class_id == before[i].class_id for i in shared)


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_gives_the_same_frames(kind: str) -> None:
    first, second = (StreetScene(size=(160, 90), seed=5, kind=kind) for _ in range(2))
    forwards = [first.frame(i) for i in range(0, 60, 7)]
    kept = [(f.bgr.copy(), f.classes.copy(), f.boxes) for f in forwards]
    for index in (42, 0, 56, 7):
        frame = second.frame(index)
        bgr, classes, boxes = kept[index // 7]
        assert np.array_equal(frame.bgr, bgr)
        assert np.array_equal(frame.classes, classes)
        assert frame.boxes == boxes
    assert np.array_equal(second.frame(8).step().field, first.frame(8).step().field)


def test_seeds_differ() -> None:
    first, second = (StreetScene(size=(96, 64), seed=seed).frame(3).bgr for seed in (0, 3))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("town", set()), ("motorway", {labels.PAVEMENT, labels.PEDESTRIAN, labels.BICYCLIST})],
)
def test_every_class_appears(kind: str, missing: set[int]) -> None:
    seen: set[int] = set()
    for seed in (0, 1):
        scene = drive(seed, kind)
        for index in range(0, 900, 30):
            seen |= set(np.unique(scene.frame(index).classes).tolist())
    assert seen == set(range(11)) - missing


def test_a_motorway_is_mostly_road_with_something_along_its_edge() -> None:
    shares = np.zeros(11)
    for seed in range(6):
        classes = drive(seed, "motorway").frame(30).classes
        assert np.mean(classes[-20:] == labels.ROAD) > 0.7
        shares += np.bincount(classes.ravel(), minlength=11) / classes.size / 6
    assert shares[labels.ROAD] > 0.3
    assert shares[labels.FENCE] > 0.01
    assert shares[labels.TREE] > 0.05


def test_a_bonnet_stays_where_it_is() -> None:
    scene = drive(15, "motorway")
    step = scene.frame(9).step()
    assert np.abs(step.field[-3:]).max() < 1e-3
    assert step.valid[-3:].all()


def test_shadows_on_a_motorway_are_road() -> None:
    """A frame whose road lies half in the shade of trees, and half in the sun."""
    frame = drive(0, "motorway").frame(30)
    lower = frame.bgr[-60:, 120:].mean(2)
    assert np.mean(frame.classes[-60:, 120:] == labels.ROAD) > 0.95
    dark, bright = np.percentile(lower, [10, 85])
    assert dark < 0.65 * bright


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown kind of street 'motorwy'; did you mean 'motorway'.*town"):
        StreetScene(kind="motorwy")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(16, 16), (96, 64), (641, 359), (200, 400), (1280, 720)], ids=str)
def test_any_size(size: tuple[int, int], kind: str) -> None:
    scene = StreetScene(size=size, seed=1, kind=kind)
    frame = scene.frame(4)
    width, height = size
    assert frame.bgr.shape == (height, width, 3)
    assert frame.bgr.dtype == frame.classes.dtype == np.uint8
    assert frame.classes.shape == (height, width)
    assert frame.classes.max() <= 10
    step = frame.step()
    assert step.field.shape == (height, width, 2)
    assert step.field.dtype == np.float32
    assert step.valid.dtype == np.bool_
    assert np.isfinite(step.field).all()
    assert step.valid.mean() > 0.6


def test_arrays_are_read_only() -> None:
    frame = StreetScene(size=(96, 64)).frame(1)
    for array in (frame.bgr, frame.classes, frame.step().field, frame.step().valid):
        assert not array.flags.writeable
    assert frame.bgr is frame.bgr


def test_length_and_rate() -> None:
    scene = StreetScene(size=(96, 64), rate=Fraction(30000, 1001), length=7, seed=2)
    assert (len(scene), scene.size, scene.rate) == (7, (96, 64), Fraction(30000, 1001))
    assert scene.frame(6).index == 6
    for index in (-1, 7):
        with pytest.raises(IndexError, match="outside"):
            scene.frame(index)
    with pytest.raises(IndexError, match="outside"):
        scene.frame(3).step(7)


def test_an_endless_street_goes_on() -> None:
    scene = StreetScene(size=(160, 90), length=None, seed=4)
    with pytest.raises(TypeError, match="endless"):
        len(scene)
    frame = scene.frame(200_000)
    assert len(np.unique(frame.classes)) >= 5
    assert photometric(frame, scene.frame(199_999), 1.0) < PHOTOMETRIC_LEVELS + 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (15, 200)}, {"size": (200, 15)}, {"size": (64,)}, {"size": "640x360"}, {"rate": 0},
        {"rate": -30}, {"rate": "fast"}, {"length": 0}, {"length": -3}, {"length": 2.5},
        {"seed": -1}, {"seed": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        StreetScene(**wrong)
