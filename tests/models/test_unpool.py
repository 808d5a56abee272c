"""Pooling by places equals torch's pooling with indices, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

from keywarp.models.networks.unpool import IndexPooling, PlacePooling, Pooling

Make = Callable[[tuple[int, ...]], Tensor]
SHAPES = [(1, 1, 2, 2), (2, 3, 8, 6), (1, 16, 64, 96)]


def random(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape)


def ties(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(-1, 2, shape).float()


def equal(shape: tuple[int, ...]) -> Tensor:
    return torch.full(shape, -0.25)


def signed_zeros(shape: tuple[int, ...]) -> Tensor:
    return torch.where(torch.rand(shape) < 0.5, 0.0, -0.0)


def infinities(shape: tuple[int, ...]) -> Tensor:
    return torch.where(torch.rand(shape) < 0.5, torch.inf, -torch.inf)


@pytest.mark.parametrize("pooling", [IndexPooling(), PlacePooling()])
@pytest.mark.parametrize("make", [random, ties, equal, signed_zeros, infinities])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch_bit_for_bit(pooling: Pooling, make: Make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = make(shape)
    expected, index = F.max_pool2d(x, 2, return_indices=True)
    pooled, position = pooling.pool(x)
    assert torch.equal(pooled, expected)
    y = torch.randn(expected.shape)
    unpooled = pooling.unpool(y, position)
    assert torch.equal(unpooled, F.max_unpool2d(y, index, [2, 2]))
    assert not unpooled.isnan().any()


def test_all_256_orders_of_four_values() -> None:
    values = torch.cartesian_prod(*[torch.arange(4.0)] * 4)  # every pattern of ties
    x = values.view(1, 256, 2, 2)
    _, index = F.max_pool2d(x, 2, return_indices=True)
    _, position = PlacePooling().pool(x)
    y = torch.ones(1, 256, 1, 1)
    assert torch.equal(PlacePooling().unpool(y, position), F.max_unpool2d(y, index, [2, 2]))


@pytest.mark.parametrize("pooling", [IndexPooling(), PlacePooling()])
def test_gradients_flow_to_the_maxima(pooling: Pooling) -> None:
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    pooled, position = pooling.pool(x)
    pooling.unpool(pooled, position).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.sum() == pooled.numel()


@pytest.mark.parametrize("pooling", [IndexPooling(), PlacePooling()])
@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (1, 1, 2, 5)])
def test_odd_sizes_are_refused(pooling: Pooling, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"even.*{shape[3]}x{shape[2]}"):
        pooling.pool(torch.zeros(shape))
