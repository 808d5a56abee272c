"""Propagation inside a network against the paper's equations in numpy, and its gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from keywarp.models.networks.warp import propagate, propagate_all, resize_flow, warp_features

Array = NDArray[np.float64]
WIDTH, HEIGHT, CHANNELS = 7, 5, 3
EXACT = 1e-12


def as_published(features: Array, flow: Array) -> Array:
    """Equations 3 and 4 of Zhu et al. 2017, word by word: features (C, h, w), flow (h, w, 2) -> (C, h, w).

    ``f_i(p) = sum over q of G(q, p + dp) f_k(q)`` with ``G(q, r) = g(qx, rx) g(qy, ry)``, ``g(a, b) = max(0, 1 -
    |a - b|)``. Places that are not wholly inside get less than all of their weight.
    """
    channels, height, width = features.shape
    warped = np.zeros_like(features)
    for py, px in np.ndindex(height, width):
        x, y = px + flow[py, px, 0], py + flow[py, px, 1]
        for qy, qx in np.ndindex(height, width):
            weight = max(0.0, 1 - abs(qx - x)) * max(0.0, 1 - abs(qy - y))
            for channel in range(channels):
                warped[channel, py, px] += weight * features[channel, qy, qx]
    return warped


def interior(flow: Array) -> NDArray[np.bool_]:
    """(h, w): whether all four cells around a source are in the picture."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


@pytest.fixture
def features() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, CHANNELS, HEIGHT, WIDTH)))


@pytest.fixture
def flow() -> Tensor:
    """Motion of up to two cells, whose sources are at least a tenth of a cell from where the gradient jumps."""
    rng = np.random.default_rng(1)
    whole = rng.integers(-2, 3, (1, HEIGHT, WIDTH, 2))
    return torch.from_numpy(whole + rng.uniform(0.1, 0.9, whole.shape))


def test_inside_the_picture_the_warp_is_that_of_the_paper(features: Tensor, flow: Tensor) -> None:
    inside = interior(flow[0].numpy())
    assert 0.2 < inside.mean() < 0.9
    expected = as_published(features[0].numpy(), flow[0].numpy())
    found = warp_features(features, flow)[0].numpy()
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=EXACT, rtol=0)


def test_outside_it_the_nearest_cell_of_the_border_is_taken(features: Tensor, flow: Tensor) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    source = np.dstack([columns, rows]) + flow[0].numpy()
    nearest = np.clip(source, 0, (WIDTH - 1, HEIGHT - 1)) - np.dstack([columns, rows])
    expected = as_published(features[0].numpy(), nearest)
    np.testing.assert_allclose(warp_features(features, flow)[0].numpy(), expected, atol=EXACT, rtol=0)


def test_features_are_multiplied_by_the_scale_map(features: Tensor, flow: Tensor) -> None:
    scale = torch.rand(features.shape, dtype=torch.float64)
    found = propagate(features, flow, scale)
    torch.testing.assert_close(found, warp_features(features, flow) * scale, atol=EXACT, rtol=0)
    assert torch.equal(propagate(features, flow, torch.ones_like(scale)), propagate(features, flow))


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (4, 3)])
def test_gradients_are_those_of_differences(features: Tensor, flow: Tensor, size: tuple[int, int]) -> None:
    width, height = size
    scale = torch.rand(1, CHANNELS, height, width, dtype=torch.float64) + 0.5
    inputs = (features, flow[:, :height, :width].clone(), scale)
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(propagate, inputs, eps=1e-6, atol=1e-7)


def test_outside_the_picture_there_is_no_gradient_of_the_flow(features: Tensor) -> None:
    flow = torch.full((1, HEIGHT, WIDTH, 2), 50.0, dtype=torch.float64, requires_grad=True)
    warp_features(features, flow).sum().backward()  # type: ignore[no-untyped-call]
    assert flow.grad is not None
    assert not flow.grad.any()


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_flow_of_a_coarser_grid_says_the_same_in_cells_of_the_finer_one(factor: int) -> None:
    flow = torch.tensor([1.5, -0.25]).expand(1, 3, 4, 2)
    like = torch.zeros(1, 8, 3 * factor, 4 * factor)
    expected = torch.tensor([1.5, -0.25]) * factor
    torch.testing.assert_close(resize_flow(flow, like), expected.expand(1, 3 * factor, 4 * factor, 2))


def test_a_flow_of_a_finer_grid_is_averaged() -> None:
    flow = torch.arange(32.0).view(1, 4, 4, 2)
    found = resize_flow(flow, torch.zeros(1, 1, 2, 2))
    expected = flow.view(1, 2, 2, 2, 2, 2).mean(dim=(2, 4)) / 2
    torch.testing.assert_close(found, expected)


def test_a_flow_of_another_shape_is_scaled_by_side() -> None:
    flow = torch.ones(1, 4, 8, 2)
    found = resize_flow(flow, torch.zeros(1, 1, 6, 4))
    torch.testing.assert_close(found, torch.tensor([0.5, 1.5]).expand(1, 6, 4, 2))


def test_several_maps_of_different_strides_move_along_one_flow() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 1, 32, 48)
    # a shift of 8 pixels: two cells of stride 4, one of stride 8; the flow's own grid has stride 4
    flow = torch.tensor([-2.0, 0.0]).expand(1, 8, 12, 2)
    fine, coarse = (torch.nn.functional.avg_pool2d(image, stride) for stride in (4, 8))
    coarse = torch.cat([coarse, -coarse], 1)
    scale = torch.cat([torch.full((1, 1, 8, 12), 2.0), torch.ones(1, 1, 8, 12), torch.zeros(1, 1, 8, 12)], 1)
    found = propagate_all([fine, coarse], flow, scale)
    torch.testing.assert_close(found[0][..., 2:], 2 * fine[..., :-2])
    torch.testing.assert_close(found[1][:, :1, :, 1:], coarse[:, :1, :, :-1])
    assert not found[1][:, 1].any()
    unscaled = propagate_all([fine, coarse], flow)
    torch.testing.assert_close(unscaled[1][..., 1:], coarse[..., :-1])


def test_a_batch_has_a_flow_for_each(features: Tensor, flow: Tensor) -> None:
    both = propagate(torch.cat([features, 2 * features]), torch.cat([flow, -flow]))
    torch.testing.assert_close(both[:1], propagate(features, flow))
    torch.testing.assert_close(both[1:], propagate(2 * features, -flow))
