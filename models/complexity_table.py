"""What a feature network costs over a flow network: table 2 of Deep Feature Flow (Zhu et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from keywarp.flow.flownet import FLOWNETS

from .complexity import Pair, count_macs, hollow
from .networks.deeplab import DeepLab
from .networks.resnet import BLOCKS_50, BLOCKS_101, ResNet

SIZE = (1000, 600)
"""About the pictures of ImageNet VID as the authors scale them, the shorter side to 600 pixels."""

PUBLISHED: Mapping[tuple[str, str], float] = {
    ("resnet-50", "flownet"): 9.20,
    ("resnet-50", "flownet-half"): 33.56,
    ("resnet-50", "flownet-inception"): 68.97,
    ("resnet-101", "flownet"): 12.71,
    ("resnet-101", "flownet-half"): 46.30,
    ("resnet-101", "flownet-inception"): 95.24,
}

_WITH_SCALE = {"flownet": True, "flownet-half": True, "flownet-inception": False}
"""Whether the published figure seems to count the scale map: the paper does not say."""

_BLOCKS = {"resnet-50": BLOCKS_50, "resnet-101": BLOCKS_101}

NOTES = (
    "Counted by ptflops: multiply-accumulates, with normalisations, activations and pooling as it counts them.",
    "Transposed convolutions at their input's resolution.",
    "Feature network: ResNet v1 with strides in the 1x1 convolutions, as the authors', conv5 at stride 16, and the "
    "1024-channel 3x3 layer of dilation 6; without the classifier.",
    "Flow network: both pictures at half their size. S: the 1x1 layer of the scale map for 1024 channels at stride "
    "16.",
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Work of a feature network over that of a flow network, with and without the scale map's layer.

    ``compared`` is the one of the two that the published figure seems to be.
    """

    features: str
    flow: str
    with_scale: float
    without_scale: float
    compared: float
    published: float

    @property
    def error(self) -> float:
        """How much more than the published figure it is, as a share of that."""
        return self.compared / self.published - 1

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RatioTable:
    """Multiply-accumulates of each network on pictures of ``size``, of flow networks with and without scale map."""

    size: tuple[int, int]
    feature_macs: dict[str, int]
    flow_macs: dict[str, int]
    scaled_flow_macs: dict[str, int]

    @property
    def is_comparable(self) -> bool:
        """Whether the pictures are of the size that the published figures are for."""
        return self.size == SIZE

    @property
    def notes(self) -> tuple[str, ...]:
        """What was counted, and how it compares with what was published."""
        return (*NOTES, self._compared() if self.is_comparable else self._not_compared())

    def _compared(self) -> str:
        """How far the compared figures are from the published ones, at most."""
        found = {
            flow: max(abs(self.ratio(features, flow).error) for features in self.feature_macs)
            for flow in self.flow_macs
        }
        listed = ", ".join(
            f"{flow} {'with' if _WITH_SCALE[flow] else 'without'} S {100 * error:.1f} %"
            for flow, error in found.items()
        )
        return (
            "* compared with the published figure, the nearer of the two: the paper does not say whether S is "
            f"counted. It differs from it by at most: {listed}."
        )

    def _not_compared(self) -> str:
        published, own = (f"{width}x{height}" for width, height in (SIZE, self.size))
        return f"The published figures are for pictures of {published}; those for {own} are not compared with them."

    def ratio(self, features: str, flow: str) -> Ratio:
        """One cell of the table."""
        macs = self.feature_macs[features]
        scaled, plain = macs / self.scaled_flow_macs[flow], macs / self.flow_macs[flow]
        compared = scaled if _WITH_SCALE[flow] else plain
        return Ratio(features, flow, scaled, plain, compared, PUBLISHED[features, flow])

    def ratios(self) -> Iterator[Ratio]:
        """All cells of the table."""
        return (self.ratio(features, flow) for features in self.feature_macs for flow in self.flow_macs)

    def to_dict(self) -> dict[str, Any]:
        """The counts and notes, in types that JSON has."""
        return {**asdict(self), "notes": list(self.notes)}


def ratio_table(size: tuple[int, int] = SIZE) -> RatioTable:
    """The table for pictures of ``size`` (width, height) in pixels."""
    width, height = size
    return RatioTable(
        size,
        {name: count_macs(_features(name), (3, height, width)) for name in _BLOCKS},
        {flow: _flow_macs(flow, size, None) for flow in _WITH_SCALE},
        {flow: _flow_macs(flow, size, DeepLab.feature_channels) for flow in _WITH_SCALE},
    )


def _features(name: str) -> nn.Module:
    """The features alone, for pictures of any size: the authors' need not be multiples of 16."""
    with torch.device("meta"):  # of layers that are counted alike without computing
        network = DeepLab(backbone=ResNet(blocks=_BLOCKS[name], stride_first=True))
    return nn.Sequential(network.backbone, network.reduce, nn.ReLU())


def _flow_macs(name: str, size: tuple[int, int], scale_channels: int | None) -> int:
    """A flow network whose answer has the features' stride, with a scale map for so many channels or without."""
    stride_px = DeepLab.feature_stride_px
    network = hollow(lambda: FLOWNETS[name](scale_channels=scale_channels, stride_px=stride_px))
    return count_macs(Pair(network), (6, size[1], size[0]))
