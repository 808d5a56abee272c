"""ENet against table 1 of its paper, and its declared cut against a real forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from keywarp.models.networks.enet import ENet, asymmetric, regular

# Table 1 of Paszke et al. (2016): output channels and size of each block for a picture of 512x512
TABLE_1 = [
    ("initial", 16, 256),
    ("down1", 64, 128),
    *[(f"stage1.{i}", 64, 128) for i in range(4)],
    ("down2", 128, 64),
    *[(f"stage2.{i}", 128, 64) for i in range(8)],
    *[(f"stage3.{i}", 128, 64) for i in range(8)],
    ("up4", 64, 128),
    *[(f"stage4.{i}", 64, 128) for i in range(2)],
    ("up5", 16, 256),
    ("stage5", 16, 256),
    ("fullconv", 11, 512),
]


@pytest.fixture(scope="module")
def network() -> ENet:
    torch.manual_seed(0)
    return ENet().eval()


def test_every_block_has_the_shape_of_table_1(network: ENet) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = []
    for name, _, _ in TABLE_1:

        def note(_: nn.Module, __: object, output: object, name: str = name) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            assert isinstance(tensor, Tensor)
            shapes[name] = tuple(tensor.shape)

        hooks.append(network.get_submodule(name).register_forward_hook(note))
    # an eighth of the paper's size, so that the test is quick: all blocks scale with the picture
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert shapes == {name: (1, c, size // 8, size // 8) for name, c, size in TABLE_1}


def test_context_stages_are_regular_dilated_and_asymmetric_in_turn(network: ENet) -> None:
    for stage in (network.stage2, network.stage3):
        kernels = []
        for block in stage:
            convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)][1:-1]
            kernels.append([(c.kernel_size, c.dilation[0]) for c in convs])
        three, asym = (3, 3), [((5, 1), 1), ((1, 5), 1)]
        assert kernels == [
            [(three, 1)], [(three, 2)], asym, [(three, 4)],
            [(three, 1)], [(three, 8)], asym, [(three, 16)],
        ]  # fmt: skip


def test_inner_width_is_a_quarter_and_convolutions_before_a_norm_have_no_bias() -> None:
    for block in (regular(128, dropout=0.0), asymmetric(64, dropout=0.0)):
        convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
        assert all(conv.bias is None for conv in convs)
        assert convs[0].out_channels == convs[0].in_channels // 4


def test_dropout_is_as_published(network: ENet) -> None:
    def rates(*parts: str) -> set[float]:
        modules = [m for part in parts for m in network.get_submodule(part).modules()]
        return {m.p for m in modules if isinstance(m, nn.Dropout2d)}

    assert rates("down1", "stage1") == {0.01}
    assert rates("down2", "stage2", "stage3", "up4", "stage4", "up5", "stage5") == {0.1}


def test_activations_are_prelu_in_the_encoder_and_relu_in_the_decoder(network: ENet) -> None:
    def kinds(*parts: str) -> set[type[nn.Module]]:
        modules = [m for part in parts for m in network.get_submodule(part).modules()]
        return {type(m) for m in modules if isinstance(m, nn.PReLU | nn.ReLU)}

    assert kinds("initial", "down1", "stage1", "down2", "stage2", "stage3") == {nn.PReLU}
    assert kinds("up4", "stage4", "up5", "stage5") == {nn.ReLU}


@pytest.mark.parametrize("size", [(8, 8), (64, 40)])
@pytest.mark.parametrize("classes", [2, 11, 20])
def test_declared_channels_and_strides_are_those_of_a_forward_pass(
    size: tuple[int, int], classes: int
) -> None:
    width, height = size
    network = ENet(classes=classes).eval()
    x = torch.randn(2, 3, height, width)
    with torch.no_grad():
        features = network.features(x)
        stride = network.feature_stride_px
        assert features.shape == (2, network.feature_channels, height // stride, width // stride)
        assert features.min() >= 0
        scores = network.head(features)
        assert scores.shape == (2, classes, height, width)
        assert torch.equal(scores, network(x))


@pytest.mark.parametrize("size", [(12, 16), (15, 16), (16, 20)])
def test_sizes_off_the_stride_are_refused(network: ENet, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"multiples of 8.*{size[0]}x{size[1]}"):
        network.features(torch.zeros(1, 3, size[1], size[0]))
