"""The FlowNets' shapes, sizes and beginnings, as their docstrings have them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywarp.flow.flownet import FLOW_FACTOR, FLOWNETS, FlowNet
from keywarp.flow.inception import Inception, Reduction


@pytest.fixture(scope="module", params=sorted(FLOWNETS))
def flownet(request: pytest.FixtureRequest) -> FlowNet:
    torch.manual_seed(0)
    return FLOWNETS[request.param](scale_channels=5).eval()


@pytest.mark.parametrize("size", [(64, 64), (65, 71), (96, 136), (100, 67)])
@torch.no_grad()
def test_a_cell_for_each_eight_pixels_and_any_size(flownet: FlowNet, size: tuple[int, int]) -> None:
    height, width = size
    current, key = torch.rand(2, 1, 3, height, width)
    flow, scale = flownet(current, key)
    grid = -(-height // flownet.stride_px), -(-width // flownet.stride_px)
    assert flow.shape == (1, 2, *grid)
    assert scale is not None
    assert scale.shape == (1, 5, *grid)


@torch.no_grad()
def test_a_stride_of_sixteen_pools_the_last_level() -> None:
    network = FLOWNETS["flownet-inception"](scale_channels=3, stride_px=16).eval()
    flow, scale = network(*torch.rand(2, 1, 3, 72, 136))
    assert flow.shape == (1, 2, 5, 9)
    assert scale is not None
    assert scale.shape == (1, 3, 5, 9)


@torch.no_grad()
def test_the_scale_map_starts_at_exactly_one(flownet: FlowNet) -> None:
    current, key = torch.rand(2, 2, 3, 64, 96)
    _, scale = flownet(current, key)
    assert scale is not None
    assert torch.equal(scale, torch.ones_like(scale))


@torch.no_grad()
def test_the_pyramid_ends_in_the_flow(flownet: FlowNet) -> None:
    current, key = torch.rand(2, 1, 3, 128, 192)
    flows, _ = flownet.pyramid(current, key)
    assert [flow.shape[-2:] for flow in flows] == [(1, 2), (2, 3), (4, 6), (8, 12), (16, 24)]
    assert torch.equal(flows[-1], flownet(current, key)[0])


@torch.no_grad()
def test_the_order_of_the_pictures_matters(flownet: FlowNet) -> None:
    current, key = torch.rand(2, 1, 3, 64, 64)
    assert not torch.allclose(flownet(current, key)[0], flownet(key, current)[0])


@torch.no_grad()
def test_the_flow_is_multiplied_by_two_and_a_half() -> None:
    network = FLOWNETS["flownet-half"]().eval()
    last = network.predict[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    last.bias.copy_(torch.tensor([1.0, -2.0]))
    flow, scale = network(*torch.rand(2, 1, 3, 64, 64))
    assert scale is None
    assert flow[0, :, 3, 4].tolist() == [FLOW_FACTOR, -2 * FLOW_FACTOR]


def test_half_has_half_the_kernels_in_every_layer() -> None:
    whole, half = (FLOWNETS[name]().state_dict() for name in ("flownet", "flownet-half"))
    assert whole.keys() == half.keys()
    for name, weight in whole.items():
        if weight.ndim == 4:
            transposed = name.startswith("enlarge")
            outputs = weight.shape[1 if transposed else 0], half[name].shape[1 if transposed else 0]
            assert outputs[0] == outputs[1] * (1 if outputs[0] == 2 else 2)


def test_inception_blocks_have_the_widths_of_the_table() -> None:
    """Zhu et al. 2017: 64 at conv2, 128, 256, 384, 512."""
    network = FLOWNETS["flownet-inception"]()
    blocks = [m for m in network.modules() if isinstance(m, Inception | Reduction)]
    widths = [block(torch.rand(1, _inputs(block), 16, 16)).shape for block in blocks]
    assert [shape[1] for shape in widths] == [64, 128, 128, 256, 256, 384, 384, 512, 512]
    assert [shape[2] for shape in widths] == [16, 16, 16, 8, 16, 8, 16, 8, 16]


def _inputs(block: nn.Module) -> int:
    return next(m for m in block.modules() if isinstance(m, nn.Conv2d)).in_channels
