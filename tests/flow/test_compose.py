"""Composition and warping, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keywarp.flow.base import KeyFlow, StepFlow, resize_field, resize_mask
from keywarp.flow.compose import cell_grid, extend, join
from keywarp.flow.warp import warp_image, warp_labels

SIZE = (12, 8)


def shift(dx: float, dy: float, size: tuple[int, int] = SIZE) -> StepFlow:
    still = StepFlow.still(size)
    return StepFlow(still.field + np.array([dx, dy], np.float32), still.valid)


def test_no_step_leaves_the_key_frame_as_it_is() -> None:
    flow = KeyFlow.start(SIZE)
    assert flow.age == 0
    assert not flow.field.any()
    assert flow.valid.all()


def test_constant_steps_add_up_and_the_age_counts_them() -> None:
    flow = KeyFlow.start(SIZE)
    for _ in range(3):
        flow = extend(shift(-1.5, 0.5), flow)
    assert flow.age == 3
    np.testing.assert_allclose(flow.field, np.broadcast_to([-4.5, 1.5], flow.field.shape), atol=1e-5)


def test_the_key_flow_is_read_where_the_step_points() -> None:
    # Only column 4 of the previous frame had moved; the step looks one column to the left.
    before = KeyFlow.start(SIZE)
    before.field[:, 4] = (-3.0, 0.0)
    flow = extend(shift(-1.0, 0.0), KeyFlow(before.field, before.valid, 1))
    assert flow.field[0, 5].tolist() == [-4.0, 0.0]
    assert flow.field[0, 4].tolist() == [-1.0, 0.0]


def test_a_cell_is_valid_only_where_the_whole_way_to_the_key_frame_is() -> None:
    hidden = shift(0, 0)
    hidden.valid[2, 3] = False
    flow = extend(shift(-1.0, 0.0), KeyFlow(hidden.field, hidden.valid, 1))
    assert not flow.valid[2, 4]  # points at the hidden cell
    assert not flow.valid[:, 0].any()  # points out of the picture
    assert flow.valid.sum() == SIZE[0] * SIZE[1] - SIZE[1] - 1


def test_joining_two_steps_is_chaining_them() -> None:
    joined = join(shift(-2.0, 1.0), shift(-1.0, 0.0))
    np.testing.assert_allclose(joined.field[3, 6], [-3.0, 1.0])


def test_composition_brings_the_key_flow_to_the_step_grid() -> None:
    before = KeyFlow(shift(-2.0, 0.0, (6, 4)).field, np.ones((4, 6), np.bool_), 1)
    flow = extend(shift(-1.0, 0.0), before)
    np.testing.assert_allclose(flow.field[4, 8], [-5.0, 0.0])


@pytest.mark.parametrize("size", [(24, 16), (6, 4), (9, 5)])
def test_resizing_scales_the_vectors_with_the_grid(size: tuple[int, int]) -> None:
    resized = resize_field(shift(3.0, -2.0).field, size)
    assert resized.shape == (size[1], size[0], 2)
    np.testing.assert_allclose(resized[1, 1], [3.0 * size[0] / 12, -2.0 * size[1] / 8], rtol=1e-5)
    assert resize_mask(np.ones((8, 12), np.bool_), size).all()


def test_the_cell_grid_is_x_then_y_and_cannot_be_written() -> None:
    grid = cell_grid(SIZE)
    assert grid[3, 7].tolist() == [7.0, 3.0]
    assert not grid.flags.writeable


def test_warping_brings_what_the_field_points_at() -> None:
    labels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    moved = warp_labels(labels, shift(-2.0, -1.0).field)
    np.testing.assert_array_equal(moved[1:, 2:], labels[:-1, :-2])
    np.testing.assert_array_equal(moved[0, 2:], labels[0, :-2])  # outside: the nearest border cell


def test_warping_a_picture_is_bilinear() -> None:
    picture = np.zeros((8, 12), np.uint8)
    picture[:, 6:] = 100
    assert warp_image(picture, shift(0.5, 0.0).field)[0, 5] == 50


def test_a_field_of_half_the_size_warps_a_full_size_map() -> None:
    labels = np.zeros((16, 24), np.uint8)
    labels[:, 12:] = 1
    moved = warp_labels(labels, shift(-2.0, 0.0).field)  # 2 cells of 2 pixels each
    assert moved[0, 15] == 0
    assert moved[0, 16] == 1
