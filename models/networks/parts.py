"""A trained network as the parts that run: what is exported to ONNX, and what the torch engine runs itself."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from keywarp.engines.errors import ModelError

from .enet import ENet
from .fast_head import FastLabels
from .files import load_enet
from .fold import fold_norms
from .normalise import normalise
from .unpool import PlacePooling
from .warp import warp_features


class Key(nn.Module):
    """Image, (1, H, W, 3) uint8 BGR -> features (1, 16, H/2, W/2) and labels (1, H, W) uint8."""

    def __init__(self, network: ENet) -> None:
        super().__init__()
        self.network = network
        self.labels = FastLabels(network.fullconv)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        features = self.network.features(normalise(image))
        return features, self.labels(features)


class WarpHead(nn.Module):
    """Features (1, 16, h, w) and flow (1, h, w, 2) in their cells -> labels (1, 2h, 2w) uint8."""

    def __init__(self, network: ENet) -> None:
        super().__init__()
        self.labels = FastLabels(network.fullconv)

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        """See the class."""
        labels: Tensor = self.labels(warp_features(features, flow))
        return labels


def inference_parts(network: ENet) -> dict[str, nn.Module]:
    """The parts ``key`` and ``warp_head``, normalisations folded. The network is left as it was.

    Raises ModelError for weights that are NaN or infinite.
    """
    network = copy.deepcopy(network).eval()
    refuse_not_finite(network)
    network.pooling = PlacePooling()
    fold_norms(network)
    return {"key": Key(network).eval(), "warp_head": WarpHead(network).eval()}


def part_of_weights(path: Path, part: str) -> nn.Module:
    """One part of the ENet whose weights are in the safetensors file ``path``."""
    return inference_parts(load_enet(path))[part]


def refuse_not_finite(network: nn.Module) -> None:
    """Raise ModelError if a weight or a statistic is NaN or infinite."""
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"weight '{name}' holds values that are not finite; train the network again")
