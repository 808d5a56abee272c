"""The flow `auto`, on motion that gradients cannot find, so that what it finds it has from vectors."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.flow.base import Field, Size, StepFlow
from keywarp.flow.build import make_step_estimator
from keywarp.flow.measured import choose
from keywarp.flow.motion_vectors import MotionVectors, VectorChain, step_grid

from .shots import Shot
from .test_motion_vectors import Block, blocks_of, both_shots, everywhere

Pixels = NDArray[np.uint8]

SIZE = (160, 120)
# Several grains of the texture: too far for gradients, and too fine for a coarse search. Whole pixels of the
# reduced pictures, so that what is right fits exactly.
MOVE = (20, -12)
ASTRAY = (90, 70)


def grain(size: Size, grain_px: int = 4) -> Pixels:
    """A texture without anything coarse."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1] // grain_px, size[0] // grain_px, 3))
    return cv2.resize(noise.astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def moving(now: VectorChain, before: VectorChain = (None,)) -> tuple[Shot, Shot]:
    """The texture, and what comes from :data:`MOVE` further."""
    wide = grain((320, 240))
    starts = (80, 60), (80 + MOVE[0], 60 + MOVE[1])
    first, second = (np.ascontiguousarray(wide[y : y + SIZE[1], x : x + SIZE[0]]) for x, y in starts)
    return Shot(first, vectors=before), Shot(second, vectors=now)


def in_px(step: StepFlow, size: Size = SIZE) -> Field:
    return step.field * np.array([size[0] / step.size[0], size[1] / step.size[1]], np.float32)


def uniform(vector_px: tuple[int, int], cell_px: int = 8) -> Field:
    """A field of the same vector everywhere, on a grid of such cells."""
    columns, rows = SIZE[0] // cell_px, SIZE[1] // cell_px
    return np.full((rows, columns, 2), [side / cell_px for side in vector_px], np.float32)


def assert_all(field: NDArray[np.floating], vector: tuple[float, float]) -> None:
    np.testing.assert_allclose(field, np.broadcast_to(vector, field.shape), atol=1e-4)


def errors_px(name: str, shots: tuple[Shot, Shot]) -> NDArray[np.floating]:
    """Of each cell whose surroundings both pictures show."""
    found = in_px(make_step_estimator(name).step(*shots))
    height, width = found.shape[:2]
    return np.linalg.norm(found[height // 5 : -height // 5, width // 5 : -width // 5] - MOVE, axis=2)


def over(frames: int, way: str = "past") -> NDArray[np.void]:
    """Blocks as a codec has them that looked so many frames further, in a scene that moves evenly."""
    sign, source = (1, -1) if way == "past" else (-1, 1)
    return everywhere(SIZE, sign * frames * MOVE[0], sign * frames * MOVE[1], source)


def of_b_frame(told: NDArray[np.void] | None = None) -> MotionVectors:
    """Vectors both ways that lead astray, but those that are ``told``."""
    both = [everywhere(SIZE, *ASTRAY, source) for source in (-1, 1)]
    if told is not None:
        both[int(told["source"][0] > 0)] = told
    return MotionVectors(np.concatenate(both), SIZE)


def of_p_frame(told: NDArray[np.void] | None = None) -> MotionVectors:
    return MotionVectors(everywhere(SIZE, *ASTRAY) if told is None else told, SIZE)


def test_gradients_do_not_find_this_motion() -> None:
    assert errors_px("lk", moving(())).min() > 5
    assert errors_px("auto", moving(())).min() > 5
    assert errors_px("auto", moving((of_b_frame(),), (of_b_frame(),))).min() > 5, "vectors astray are no help"


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("way", ["past", "future"])
@pytest.mark.parametrize("whose", ["now", "before"])
def test_vectors_of_b_frames_make_a_step_whichever_frame_they_lead_to(
    whose: str, way: str, frames: int
) -> None:
    vectors: dict[str, MotionVectors] = {"now": of_b_frame(), "before": of_b_frame()}
    vectors[whose] = of_b_frame(over(frames, way))
    assert errors_px("auto", moving((vectors["now"],), (vectors["before"],))).max() < 1e-4


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (of_p_frame(over(1)), of_p_frame()),
        (of_p_frame(over(2)), of_p_frame()),
        (of_p_frame(), of_p_frame(over(1))),
        (of_p_frame(over(3)), None),
        (of_p_frame(), of_b_frame(over(2))),
        (of_p_frame(over(3)), of_b_frame()),
        (of_b_frame(), of_p_frame(over(3))),
        (None, of_b_frame(over(3, "future"))),
    ],
    ids=[
        "this frame's",
        "this frame's over two",
        "the previous one's",
        "after an intra frame over three",
        "a B-frame before, over two",
        "over a B-frame before",
        "a B-frame, over three before",
        "an intra frame, a B-frame before",
    ],
)
def test_one_frame_may_have_b_frames_vectors_and_the_other_not(
    now: MotionVectors | None, before: MotionVectors | None
) -> None:
    assert errors_px("auto", moving((now,), (before,))).max() < 1e-4


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (of_b_frame(over(4)), of_b_frame()),
        (of_p_frame(over(3)), of_p_frame()),
        (of_p_frame(), of_p_frame(over(2))),
    ],
)
def test_not_every_distance_is_tried_and_fewer_without_b_frames(
    now: MotionVectors, before: MotionVectors
) -> None:
    """What is tried costs time; the benchmarks and scores in docs/flow.md are of this choice."""
    assert errors_px("auto", moving((now,), (before,))).min() > 3


def test_of_the_vectors_before_only_the_last_count() -> None:
    right, astray = of_b_frame(over(2, "future")), of_b_frame()
    assert errors_px("auto", moving((astray,), (astray, right))).max() < 1e-4
    assert errors_px("auto", moving((astray,), (right, astray))).min() > 3


def test_vectors_of_dropped_frames_are_joined() -> None:
    parts = [MotionVectors(everywhere(SIZE, x, y), SIZE) for x, y in ((8, -8), (12, -4))]
    assert errors_px("auto", moving(tuple(parts))).max() < 1e-4
    shots = moving((parts[0], None, parts[1]))
    step, usual = (make_step_estimator(name).step(*shots) for name in ("auto", "lk"))
    np.testing.assert_array_equal(step.field, usual.resized(step_grid(SIZE)).field)


def test_before_the_first_vectors_the_flow_is_that_of_gradients() -> None:
    shots = moving((None,), before=())
    step, usual = (make_step_estimator(name).step(*shots) for name in ("auto", "lk"))
    np.testing.assert_array_equal(step.field, usual.resized(step_grid(SIZE)).field)


@pytest.mark.parametrize("fused", [True, False])
def test_gradients_run_on_the_kernel_that_is_asked_for(fused: bool) -> None:
    shots = both_shots((), move=(3, 2))
    step, usual = (make_step_estimator(name, fused=fused).step(*shots) for name in ("auto", "lk"))
    np.testing.assert_array_equal(step.field, usual.field)


def test_cells_are_valid_that_come_from_inside_the_picture() -> None:
    step = make_step_estimator("auto").step(*moving((MotionVectors(over(1), SIZE),)))
    height, width = step.valid.shape
    y, x = np.mgrid[:height, :width]
    x, y = x + step.field[..., 0], y + step.field[..., 1]
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    np.testing.assert_array_equal(step.valid, inside)
    usual = make_step_estimator("lk").step(*moving(())).resized(step.size)
    assert (usual.valid != inside).any(), "others than where gradients lead"


def test_what_comes_from_outside_is_compared_with_the_border() -> None:
    wide = grain((320, 240))
    wide[:, 200:] = wide[:, 200:201]  # lines that lead out of the picture on the right
    first, second = (Shot(np.ascontiguousarray(wide[y : y + 120, 80:240])) for y in (60, 60 + MOVE[1]))
    _, better = choose([uniform(MOVE)], uniform((0, 0)), first, second)
    assert better[3:, -3:].all()


# --- block by block


def mosaic(
    coded: Size, block_px: int, step_px: int, telling: list[str]
) -> tuple[Pixels, Pixels, Field, dict[str, MotionVectors]]:
    """Two pictures, the second made of blocks of the first, each from somewhere else; where from, in pixels; and
    the vectors of both. In each block one kind of vectors, of those ``telling``, leads there, if over several
    frames, and the other kinds astray.
    """
    rng = np.random.default_rng(5)
    before = grain(coded)
    now, motion = np.empty_like(before), np.empty((coded[1], coded[0], 2), np.float32)
    told: dict[tuple[str, int], list[Block]] = {kind: [] for kind in product(("before", "now"), (-1, 1))}
    kinds = [kind for kind in told if kind[0] in telling]
    for top, left in product(range(0, coded[1], block_px), range(0, coded[0], block_px)):
        x, y = (int(rng.integers((side - block_px) // step_px + 1)) * step_px for side in coded)
        block = slice(top, top + block_px), slice(left, left + block_px)
        now[block] = before[y : y + block_px, x : x + block_px]
        motion[block] = x - left, y - top
        right, frames = kinds[rng.integers(len(kinds))], int(rng.integers(1, 4))
        for kind, blocks in told.items():
            vector = -kind[1] * frames * motion[top, left] if kind == right else rng.integers(-80, 80, 2)
            blocks.append((left, top, block_px, block_px, float(vector[0]), float(vector[1])))
    vectors = {
        whose: np.concatenate([blocks_of(told[whose, source], source) for source in (-1, 1)])
        for whose in ("before", "now")
    }
    return before, now, motion, {whose: MotionVectors(blocks, coded) for whose, blocks in vectors.items()}


@pytest.mark.parametrize("telling", [["before", "now"], ["before"]], ids=["either", "an intra frame"])
@pytest.mark.parametrize(
    ("coded", "size", "block_px", "step_px"),
    [
        ((160, 120), (160, 120), 8, 4),
        ((320, 240), (160, 120), 8, 8),
        ((160, 128), (320, 256), 16, 4),
        ((160, 128), (320, 128), 16, 4),
        ((1280, 720), (1280, 720), 16, 8),
    ],
    ids=["whole", "scaled down", "scaled up", "stretched", "large"],
)
def test_each_block_takes_the_vector_that_fits_it(
    coded: Size, size: Size, block_px: int, step_px: int, telling: list[str]
) -> None:
    *pictures, motion, vectors = mosaic(coded, block_px, step_px, telling)
    first, second = (cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) for pixels in pictures)
    now = vectors["now"] if "now" in telling else None
    shots = Shot(first, vectors=(vectors["before"],)), Shot(second, vectors=(now,))
    step = make_step_estimator("auto").step(*shots)
    assert step.size == step_grid(size)
    x, y = (
        (2 * np.arange(cells) + 1) * side // (2 * cells) for cells, side in zip(step.size, coded, strict=True)
    )
    np.testing.assert_allclose(in_px(step, coded), motion[np.ix_(y, x)], atol=1e-3)


def halves() -> tuple[Shot, Shot]:
    """Left, coarse texture that has hardly moved, of which vectors are wrong; right, grain that has moved far."""
    size = 320, 160
    rng = np.random.default_rng(1)
    soft = cv2.resize(
        rng.integers(0, 255, (12, 24, 3)).astype(np.uint8), (360, 200), interpolation=cv2.INTER_CUBIC
    )
    fine = grain((360, 200))
    pictures = []
    for (x, y), (far_x, far_y) in (((10, 10), (10, 20)), ((12, 11), (10 + MOVE[0], 20 + MOVE[1]))):
        pixels = soft[y : y + size[1], x : x + size[0]].copy()
        pixels[:, 160:] = fine[far_y : far_y + size[1], far_x : far_x + 160]
        pictures.append(pixels)
    first, second = pictures
    return Shot(first), Shot(second, vectors=(MotionVectors(everywhere(size, *MOVE), size),))


def test_vectors_that_are_wrong_leave_the_flow_of_gradients_as_it_is() -> None:
    first, second = halves()
    size = first.size
    step, usual = (make_step_estimator(name).step(first, second) for name in ("auto", "lk"))
    usual = usual.resized(step.size)
    left, right = np.s_[6:-6, 6:30], np.s_[6:-6, 46:-8]
    np.testing.assert_array_equal(step.field[left], usual.field[left])
    assert np.linalg.norm(in_px(usual, size)[left] - (2, 1), axis=2).max() < 1
    assert_all(in_px(step, size)[right], MOVE)
    assert np.linalg.norm(in_px(usual, size)[right] - MOVE, axis=2).min() > 5


def test_a_small_thing_that_is_fast_has_its_vector() -> None:
    still = cv2.resize(grain((40, 30)), SIZE, interpolation=cv2.INTER_CUBIC)
    first, second = still.copy(), still.copy()
    thing = grain((16, 16))
    first[48:64, 112:128] = second[64:80, 48:64] = thing
    blocks = everywhere(SIZE, 0, 0)
    on_it = (blocks["dst_x"] == 56) & (blocks["dst_y"] == 72)
    assert on_it.sum() == 1
    blocks["motion_x"][on_it], blocks["motion_y"][on_it] = 4 * 64, 4 * -16
    shots = Shot(first), Shot(second, vectors=(MotionVectors(blocks, SIZE),))
    found, usual = (
        in_px(make_step_estimator(name).step(*shots).resized(step_grid(SIZE))) for name in ("auto", "lk")
    )
    thing_cells = np.s_[16:20, 12:16]
    assert_all(found[thing_cells], (64, -16))
    assert np.linalg.norm(usual[thing_cells] - (64, -16), axis=2).min() > 10
    elsewhere = np.ones(found.shape[:2], np.bool_)
    elsewhere[thing_cells] = False
    assert ((found == usual) | (found == 0))[elsewhere].all()


# --- how much better a vector must be


@pytest.mark.parametrize(
    ("here", "there", "taken"),
    [
        (100, 100, False),
        (101, 100, False),
        (102, 100, True),
        (110, 109, False),
        (110, 108, True),
        (99, 101, False),
    ],
)
def test_a_vector_must_fit_better_by_a_grey_level_and_a_half(here: int, there: int, taken: bool) -> None:
    """All is 100 now. Before, it was ``here`` where a vector leads nowhere, and ``there`` where it leads to."""
    before = np.full((120, 160, 3), here, np.uint8)
    before[:, 80:] = there
    blocks = everywhere(SIZE, 80, 0)
    shots = Shot(before), Shot(np.full_like(before, 100), vectors=(MotionVectors(blocks, SIZE),))
    found, usual = (
        make_step_estimator(name).step(*shots).resized(step_grid(SIZE)) for name in ("auto", "lk")
    )
    left = np.s_[2:-2, 2:16]
    assert not usual.field[left].any()
    assert_all(in_px(found)[left], (80 * taken, 0))


def repeating(
    vectors: NDArray[np.void], before: MotionVectors | None, until_px: int = 160
) -> tuple[Shot, Shot]:
    """A block on the left that is like any place of a pattern which repeats, from 40 pixels on."""
    first = grain(SIZE)
    first[:, 40:until_px] = np.tile(grain((8, 8), 2), (15, (until_px - 40) // 8, 1))
    second = first.copy()
    second[32:64, :16] = first[32:64, 40:56]
    return Shot(first, vectors=(before,)), Shot(second, vectors=(MotionVectors(vectors, SIZE),))


def test_of_vectors_that_fit_alike_this_frames_is_taken_and_as_it_is() -> None:
    vectors, block = everywhere(SIZE, 144, 0), np.s_[8:16, :4]
    both = np.concatenate([everywhere(SIZE, -48, 0, 1), vectors])
    for before in (None, of_p_frame(), of_b_frame(everywhere(SIZE, -72, 0, 1))):
        for told in (vectors, both):
            step = make_step_estimator("auto").step(*repeating(told, before))
            assert_all(in_px(step)[block], (144, 0))
    nearer = make_step_estimator("auto").step(*repeating(vectors, None, until_px=136))
    assert_all(in_px(nearer)[block], (72, 0))


def test_of_many_guesses_two_are_looked_at_closely() -> None:
    """From further off a board of single pixels is grey, and all guesses fit alike."""
    board = np.uint8(255) * (np.indices((60, 80)).sum(axis=0, dtype=np.uint8) & np.uint8(1))
    shots = [Shot(np.dstack([pixels] * 3)) for pixels in (board, 255 - board)]
    still, right = uniform((0, 0)), uniform((2, 0))  # a pixel of these pictures, which are half as large
    for guesses, is_found in (
        ([still, right, still, still], True),
        ([still, still, right, still], False),
        ([still, still, right], True),
    ):
        found, better = choose(guesses, still, *shots)
        np.testing.assert_array_equal(found[:, :-1], (right if is_found else still)[:, :-1])
        assert (better[:, :-1] == is_found).all()


def test_parts_of_a_pixel_tell() -> None:
    first, second = both_shots((), move=(3, 1))
    guesses = [uniform(move) for move in ((2, 1), (4, 1), (3, 1))]
    found, _ = choose(guesses, uniform((0, 0)), first, second)
    assert (found == uniform((3, 1))).all(axis=2)[1:-1, 1:-1].mean() > 0.95


def test_vectors_are_compared_with_the_usual_flow_on_whatever_grid_that_is() -> None:
    shots, middle = moving(()), np.s_[3:-3, 3:-3]
    found, better = choose([uniform((0, 0))], uniform(MOVE, 4), *shots)
    assert found.shape == (15, 20, 2)
    assert better.dtype == np.bool_
    assert not better[middle].any()
    found, better = choose([uniform(MOVE)], uniform((0, 0), 4), *shots)
    assert better[middle].all()
    assert_all(found * 8, MOVE)


# --- large and long pictures


class Watched(Shot):
    """Remembers the sizes at which its brightness was asked for."""

    def __init__(self, pixels: Pixels, vectors: VectorChain) -> None:
        super().__init__(pixels, vectors=vectors)
        self.asked: list[Size] = []

    def gray(self, size: Size | None = None) -> np.ndarray:
        self.asked.append(size or self.size)
        return super().gray(size)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)])
def test_large_pictures_are_compared_at_a_reduced_size(size: Size) -> None:
    vectors = MotionVectors(everywhere(size, 8, 0), size)
    first, second = (Watched(grain(size), (vectors,)) for _ in range(2))
    make_step_estimator("auto").step(first, second)
    assert max(width * height for width, height in first.asked + second.asked) <= 110_000


@pytest.mark.parametrize("size", [(16, 16000), (16000, 16), (4, 9000)])
def test_long_pictures_have_a_flow(size: Size) -> None:
    both = np.concatenate([everywhere(size, 0, 1, -1), everywhere(size, 0, -1, 1)])
    first, second = (Shot(grain(size), vectors=(MotionVectors(both, size),)) for _ in range(2))
    step = make_step_estimator("auto").step(first, second)
    assert step.size == step_grid(size)
    assert np.isfinite(step.field).all()
