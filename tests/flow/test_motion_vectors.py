"""Vectors made by hand, painted; and the flows that are made of them, on textures whose motion is known."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.flow.base import Field, Mask, Size
from keywarp.flow.build import make_step_estimator, wants_vectors
from keywarp.flow.lucas_kanade import LucasKanadeFlow
from keywarp.flow.motion_vectors import (
    UPRIGHT,
    VECTOR,
    MotionVectors,
    Turn,
    VectorChain,
    block_grid,
    joined_past,
    step_grid,
)

from .shots import Shot

Block = tuple[int, int, int, int, float, float]
"""Left, top, width, height, and where it came from: x, y further."""
TURNS: list[Turn] = [
    UPRIGHT,
    (0, 1, -1, 0),
    (0, -1, 1, 0),
    (-1, 0, 0, -1),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def blocks_of(blocks: list[Block], source: int = -1, scale: int = 4) -> NDArray[np.void]:
    made = np.zeros(len(blocks), VECTOR)
    for row, (left, top, width, height, x, y) in zip(made, blocks, strict=True):
        row["source"], row["w"], row["h"] = source, width, height
        row["dst_x"], row["dst_y"] = left + width // 2, top + height // 2
        row["motion_x"], row["motion_y"], row["motion_scale"] = scale * x, scale * y, scale
    return made


def everywhere(size: Size, x: float, y: float, source: int = -1) -> NDArray[np.void]:
    places = product(range(0, size[1], 16), range(0, size[0], 16))
    return blocks_of([(left, top, 16, 16, x, y) for top, left in places], source)


def random_blocks(size: Size, seed: int) -> list[Block]:
    """Macroblocks, cut as H.264 cuts them or left out, with vectors of their own in quarters of a pixel."""
    rng = np.random.default_rng(seed)
    made: list[Block] = []
    for top, left in product(range(0, size[1], 16), range(0, size[0], 16)):
        cut = [(16, 16), (16, 8), (8, 16), (8, 8), None][rng.integers(5)]
        if cut is None:
            continue
        for y, x in product(range(0, 16, cut[1]), range(0, 16, cut[0])):
            vector = rng.integers(-40, 40, 2) / 4
            made.append((left + x, top + y, *cut, float(vector[0]), float(vector[1])))
    return made


def painted_slowly(blocks: list[Block], size: Size) -> tuple[Field, Mask]:
    """Pixel by pixel, with no care for time."""
    field, told = np.zeros((size[1], size[0], 2), np.float32), np.zeros((size[1], size[0]), np.bool_)
    for left, top, width, height, x, y in blocks:
        field[top : top + height, left : left + width] = x, y
        told[top : top + height, left : left + width] = True
    return field, told


@pytest.mark.parametrize("size", [(64, 48), (100, 60), (16, 16), (50, 33)])
@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_are_painted_where_they_lie(size: Size, seed: int) -> None:
    blocks = random_blocks(size, seed) or [(0, 0, 8, 8, 1.0, 2.0)]
    found = MotionVectors(blocks_of(blocks), size).painted("past", size)
    assert found is not None
    field, told = painted_slowly(blocks, size)
    np.testing.assert_array_equal(found.told, told)
    np.testing.assert_array_equal(found.field[told], field[told])
    assert found.share == pytest.approx(told.mean())


def test_a_grid_of_other_cells_has_the_vector_of_their_middles_in_its_own_pixels() -> None:
    vectors = MotionVectors(blocks_of([(0, 0, 16, 16, 8.0, 4.0), (16, 0, 16, 16, -2.5, 0.25)]), (32, 16))
    found = vectors.painted("past", (8, 2))
    assert found is not None
    assert found.field.shape == (2, 8, 2)
    assert found.field.dtype == np.float32
    np.testing.assert_array_equal(found.field[0, 0], [2.0, 0.5])
    np.testing.assert_array_equal(found.field[1, 7], [-0.625, 0.03125])


@pytest.mark.parametrize("turn", TURNS)
def test_vectors_turn_with_the_picture(turn: Turn) -> None:
    size = 64, 32
    blocks = random_blocks(size, 3)
    made = blocks_of(blocks)
    upright, turned_size = MotionVectors(made, size).painted("past", size), size if turn[0] else size[::-1]
    found = MotionVectors(made, size, turn).painted("past", turned_size)
    assert upright is not None
    assert found is not None
    a, b, c, d = turn
    for x, y in product(range(0, size[0], 5), range(0, size[1], 3)):
        across, down = a * x + c * y, b * x + d * y
        across += turned_size[0] - 1 if a + c < 0 else 0
        down += turned_size[1] - 1 if b + d < 0 else 0
        vector = upright.field[y, x]
        expected = a * vector[0] + c * vector[1], b * vector[0] + d * vector[1]
        np.testing.assert_allclose(found.field[down, across], expected)
        assert found.told[down, across] == upright.told[y, x]


def test_cells_without_a_block_take_after_those_around_them() -> None:
    made = blocks_of([(0, 0, 8, 8, 4.0, 0.0), (16, 0, 8, 8, 8.0, 0.0)])
    found = MotionVectors(made, (64, 8)).painted("past", (8, 1))
    assert found is not None
    assert found.told[0].tolist() == [True, False, True, False, False, False, False, False]
    np.testing.assert_allclose(found.field[0, :, 0] * 8, [4, 6, 8, 8, 8, 8, 8, 8])


def test_past_and_future_are_told_apart() -> None:
    both = np.concatenate([everywhere((32, 32), 2, 0, -1), everywhere((32, 32), -3, 0, 1)])
    vectors = MotionVectors(both, (32, 32))
    assert vectors.has_future
    past, future = vectors.painted("past", (32, 32)), vectors.painted("future", (32, 32))
    assert past is not None
    assert future is not None
    assert np.unique(past.field[..., 0]).tolist() == [2]
    assert np.unique(future.field[..., 0]).tolist() == [-3]
    alone = MotionVectors(everywhere((32, 32), 2, 0), (32, 32))
    assert not alone.has_future
    assert alone.painted("future", (32, 32)) is None


@pytest.mark.parametrize("made", [blocks_of([]), blocks_of([(-64, 0, 16, 16, 1, 1), (900, 0, 8, 8, 1, 1)])])
def test_no_blocks_in_the_picture_are_no_field(made: NDArray[np.void]) -> None:
    assert MotionVectors(made, (64, 48)).painted("past", (16, 12)) is None


def test_a_vector_without_a_scale_is_in_pixels() -> None:
    made = blocks_of([(0, 0, 16, 16, 3.0, 1.0)], scale=1)
    made["motion_scale"] = 0
    found = MotionVectors(made, (16, 16)).painted("past", (16, 16))
    assert found is not None
    np.testing.assert_array_equal(found.field[5, 5], [3, 1])


def test_steps_over_dropped_frames_add_up() -> None:
    size = 96, 64
    chain = MotionVectors(everywhere(size, 2, 1), size), MotionVectors(everywhere(size, 3, -2), size)
    found = joined_past(chain, size)
    assert found is not None
    np.testing.assert_allclose(found.field[20:40, 20:60], np.broadcast_to([5.0, -1.0], (20, 40, 2)))
    assert joined_past((chain[0], None), size) is None
    assert joined_past((), size) is None


def test_grids() -> None:
    assert step_grid((480, 360)) == (120, 90)
    assert step_grid((1280, 720)) == (320, 180)
    assert step_grid((1920, 1080)) == (240, 135)
    assert step_grid((3840, 2160)) == (240, 135)
    assert step_grid((1, 1)) == (1, 1)
    turned = MotionVectors(blocks_of([]), (64, 40), (0, 1, -1, 0))
    assert block_grid(turned, (640, 480)) == (5, 8)
    assert block_grid(None, (640, 480)) == (80, 60)


# --- flows

SIZE = (160, 120)


def shot(offset: tuple[int, int], vectors: VectorChain, size: Size = SIZE) -> Shot:
    """The texture from ``offset`` on, with its vectors."""
    x, y = offset
    return Shot(np.ascontiguousarray(texture()[y : y + size[1], x : x + size[0]]), vectors=vectors)


def texture() -> NDArray[np.uint8]:
    """Coarse and fine detail, as pictures of the world have."""
    rng = np.random.default_rng(0)
    layers = [rng.integers(0, 255, (3 * n, 4 * n, 3)).astype(np.uint8) for n in (4, 12, 30)]
    large = [cv2.resize(layer, (480, 360), interpolation=cv2.INTER_CUBIC) for layer in layers]
    return np.mean(large, axis=0).astype(np.uint8)


def both_shots(
    now: VectorChain, before: VectorChain = (None,), move: tuple[int, int] = (8, 4)
) -> tuple[Shot, Shot]:
    """A picture, and the next one, whose contents came from ``move`` further."""
    return shot((40, 40), before), shot((40 + move[0], 40 + move[1]), now)


def error_px(name: str, shots: tuple[Shot, Shot], move: tuple[int, int] = (8, 4)) -> float:
    """The mean error of a flow over the middle of the picture, in pixels of it."""
    step = make_step_estimator(name).step(*shots)
    scale = np.array([SIZE[0] / step.size[0], SIZE[1] / step.size[1]])
    height, width = step.valid.shape
    middle = step.field[height // 5 : -height // 5, width // 5 : -width // 5]
    return float(np.linalg.norm(middle * scale - move, axis=2).mean())


def test_codec_takes_the_vectors_at_their_word() -> None:
    vectors = MotionVectors(everywhere(SIZE, 8, 4), SIZE)
    assert error_px("codec", both_shots((vectors,))) == 0
    assert error_px("codec", both_shots((MotionVectors(everywhere(SIZE, 16, 8), SIZE),))) > 8


def test_auto_falls_back_to_gradients_where_vectors_lead_astray() -> None:
    astray = MotionVectors(everywhere(SIZE, -13, 9), SIZE)
    assert error_px("codec", both_shots((astray,))) > 10
    wild = both_shots((astray,), move=(3, 2))
    assert error_px("auto", wild, move=(3, 2)) <= error_px("lk", wild, move=(3, 2)) + 0.1


def test_codec_warns_of_b_frames_once(caplog: pytest.LogCaptureFixture) -> None:
    past = MotionVectors(everywhere(SIZE, 8, 4), SIZE)
    both = MotionVectors(np.concatenate([past.blocks, everywhere(SIZE, -8, -4, source=1)]), SIZE)
    codec = make_step_estimator("codec")
    codec.step(*both_shots((past,)))
    assert not caplog.messages
    for _ in range(2):
        codec.step(*both_shots((both,)))
    (said,) = caplog.messages
    assert "B-frames" in said
    assert "--flow auto or lk" in said


def test_auto_mends_single_blocks() -> None:
    blocks = everywhere(SIZE, 8, 4)
    blocks["motion_x"][::9] = -200
    shots = both_shots((MotionVectors(blocks, SIZE),))
    assert error_px("auto", shots) < 0.3 * error_px("codec", shots)


@pytest.mark.parametrize("name", ["codec", "auto"])
@pytest.mark.parametrize("chain", [(), (None,), (None, None), (MotionVectors(blocks_of([]), SIZE),)])
def test_a_frame_without_vectors_has_the_flow_that_is_searched(name: str, chain: VectorChain) -> None:
    shots = both_shots(chain, move=(3, 2))
    step, plain = make_step_estimator(name).step(*shots), LucasKanadeFlow().step(*shots)
    if name == "auto" and not chain:
        np.testing.assert_array_equal(step.field, plain.field)
    else:
        np.testing.assert_array_equal(step.field, plain.resized(step_grid(SIZE)).field)


def test_vectors_of_dropped_frames_lead_over_the_gap() -> None:
    part = MotionVectors(everywhere(SIZE, 4, 2), SIZE)
    assert error_px("codec", both_shots((part, part))) == 0
    assert error_px("auto", both_shots((part, part))) < 0.1
    unknown = both_shots((part, None), move=(3, 2))
    assert error_px("auto", unknown, move=(3, 2)) == pytest.approx(
        error_px("lk", unknown, move=(3, 2)), abs=0.05
    )


def test_codec_leaves_large_holes_to_dis_and_calls_small_ones_invalid() -> None:
    blocks = everywhere(SIZE, 3, 2)
    few = blocks[blocks["dst_x"] < 60]
    step = make_step_estimator("codec").step(*both_shots((MotionVectors(few, SIZE),), move=(3, 2)))
    right = step.field[10:-4, 25:-4] * 4
    np.testing.assert_allclose(np.median(right, axis=(0, 1)), [3, 2], atol=0.5)
    assert step.valid[5:-5, 25:-5].mean() > 0.9
    most = blocks[10:]
    step = make_step_estimator("codec").step(*both_shots((MotionVectors(most, SIZE),), move=(3, 2)))
    assert not step.valid[:4].any()
    assert step.valid[5:-5, 5:-5].all()
    np.testing.assert_allclose(step.field[:4] * 4, np.broadcast_to([3.0, 2.0], (4, 40, 2)))


@pytest.mark.parametrize("name", ["codec", "auto"])
def test_cells_from_outside_the_picture_are_invalid(name: str) -> None:
    step = make_step_estimator(name).step(*both_shots((MotionVectors(everywhere(SIZE, 8, 4), SIZE),)))
    assert not step.valid[:, -1].any()
    assert step.valid[2:-3, 2:-4].all()
    assert step.field.dtype == np.float32
    assert step.valid.dtype == np.bool_


@pytest.mark.parametrize("name", ["codec", "auto"])
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (100, 31)])
def test_pictures_of_any_size_have_a_flow(name: str, size: Size) -> None:
    chain = (MotionVectors(everywhere(size, 1, 0), size),)
    found = make_step_estimator(name).step(shot((0, 0), chain, size), shot((1, 0), chain, size))
    assert np.isfinite(found.field).all()
    assert found.size == step_grid(size)
    sized = make_step_estimator(name, (7, 5)).step(shot((0, 0), (), size), shot((1, 0), chain, size))
    assert sized.size == step_grid(size), "whatever is searched"


def test_a_given_size_is_that_of_the_pictures_that_are_searched() -> None:
    size, shots = (96, 72), both_shots((), move=(3, 2))
    plain, default = LucasKanadeFlow(size).step(*shots), LucasKanadeFlow().step(*shots)
    assert plain.size != default.size
    np.testing.assert_array_equal(make_step_estimator("auto", size).step(*shots).field, plain.field)
    found = make_step_estimator("codec", size).step(*shots)
    np.testing.assert_array_equal(found.field, plain.resized(step_grid(SIZE)).field)


def test_only_flows_that_use_vectors_want_them() -> None:
    assert [name for name in ("lk", "dis", "source", "codec", "auto", "nosuch") if wants_vectors(name)] == [
        "codec",
        "auto",
    ]
