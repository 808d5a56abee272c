"""How much work a network is: parameters and operations, whole and by part, counted by ptflops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import ptflops
import torch
from torch import Tensor, nn

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.flownet import FLOWNETS, FlowNet

from .networks.base import SegmentationNetwork

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

FLOPS_PER_MAC = 2
BYTES_FP16 = 2


@dataclass(frozen=True, slots=True)
class Complexity:
    """Work for one picture of ``width`` x ``height`` pixels.

    ``macs``: multiply-accumulates, with normalisations and activations counted as ptflops does;
    ``flops`` is twice that, which is how Paszke et al. (2016, table 5) and most papers count.
    ``fp16_bytes``: size of the parameters in half precision. ``parts``: MACs by part.
    """

    width: int
    height: int
    parameters: int
    macs: int
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """Floating point operations."""
        return self.macs * FLOPS_PER_MAC

    @property
    def fp16_bytes(self) -> int:
        """Size of the parameters in half precision."""
        return self.parameters * BYTES_FP16

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has."""
        return {**asdict(self), "flops": self.flops, "fp16_bytes": self.fp16_bytes}


def complexity(network: SegmentationNetwork, size: tuple[int, int]) -> Complexity:
    """Parameters and operations of a network on pictures of ``size`` (width, height) in pixels.

    Raises UsageError for a size that is not a multiple of the network's stride.
    """
    width, height = size
    stride_px = network.input_stride_px
    if width < stride_px or height < stride_px or width % stride_px or height % stride_px:
        raise UsageError(f"size {width}x{height}: both have to be multiples of {stride_px}")
    feature_px = network.feature_stride_px
    feature_shape = (network.feature_channels, height // feature_px, width // feature_px)
    parts = {
        "features": count_macs(_Features(network), (3, height, width)),
        "head": count_macs(_Head(network), feature_shape),
    }
    parameters = sum(p.numel() for p in network.parameters())
    return Complexity(width, height, parameters, sum(parts.values()), parts)


def flow_complexity(name: str, size: tuple[int, int]) -> Complexity:
    """Parameters and operations of a flow network, without scale map, on a pair of pictures of ``size`` (width,
    height) in pixels, which it halves itself.

    Raises UsageError for an unknown name and for a size that it cannot take.
    """
    if name not in FLOWNETS:
        raise unknown_name("flow network", name, FLOWNETS)
    network, (width, height) = hollow(FLOWNETS[name]), size
    smallest_px = network.smallest_side_px
    if min(size) < smallest_px:
        raise UsageError(
            f"size {width}x{height}: {name} takes pictures of at least {smallest_px}x{smallest_px}"
        )
    parameters = sum(p.numel() for p in network.parameters())
    return Complexity(width, height, parameters, count_macs(Pair(network), (6, height, width)))


def hollow(make: Callable[[], AnyNetwork]) -> AnyNetwork:
    """A network whose weights are all 0, made without the time that random ones take."""
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    for value in network.state_dict().values():
        value.zero_()
    return network


class Pair(nn.Module):
    """A flow network on a pair in one tensor (N, 6, H, W), which is what ptflops can make up."""

    def __init__(self, network: FlowNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pair: Tensor) -> Tensor:
        """The flow alone."""
        flow: Tensor = self.network(pair[:, :3], pair[:, 3:])[0]
        return flow


class _Features(nn.Module):
    """The features of a network as a module of its own, which is what ptflops counts."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.features(x)


class _Head(nn.Module):
    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        return self.network.head(features)


def count_macs(part: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a module on one input of ``shape`` (C, H, W), as ptflops counts them.

    Transposed convolutions are counted at their input's resolution: each of its values meets each weight once. A
    module on the device ``meta`` is counted without computing; its convolutions, normalisations, activations and
    pooling only, as other operations are taken apart there, and their pieces counted.
    """
    was_training = part.training
    with torch.no_grad():
        if next(
            part.parameters()
        ).is_meta:  # torch imports some of itself here, which ptflops' patches would break
            part.eval()(torch.empty(1, *shape, device="meta"))
        macs, _ = ptflops.get_model_complexity_info(
            part.eval(),
            shape,
            as_strings=False,
            print_per_layer_stat=False,
            backend="pytorch",
        )
    part.train(was_training)
    if not isinstance(macs, int | float):
        raise UsageError(f"ptflops cannot count {type(part).__name__} at {shape}")
    return int(macs)
