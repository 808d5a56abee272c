"""A trained network as the parts that run: what is exported to ONNX, and what the torch engine runs itself.

``key`` runs on key frames, and ``aggregate`` after it where they take in earlier ones; the others between them:
``warp_head`` where the flow comes without a scale map, ``warp_scale_head`` where it has one. How a network is cut
into them is said by its :class:`~keywarp.models.networks.definition.Decoding`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from keywarp.engines.errors import ModelError

from .base import SegmentationNetwork
from .definition import FEATURES, Decoding, Definition
from .registry import get_network
from .warp import propagate, warp_features


class Key(nn.Module):
    """Image, (1, H, W, 3) uint8 BGR -> what is carried without a scale map (1, C, h, w), the features (1, F, h, w)
    where those are something else, and labels (1, H, W) uint8.
    """

    def __init__(
        self, network: SegmentationNetwork, normalise: Callable[[Tensor], Tensor], decoding: Decoding
    ) -> None:
        super().__init__()
        self.network = network
        self.normalise = normalise
        self.decoding = decoding
        self.carry, self.labels = decoding.carry, decoding.labels

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        features = self.network.features(self.normalise(image))
        carried = self.carry(features)
        maps = (features,) if self.decoding.name == FEATURES else (carried, features)
        return *maps, self.labels(carried)


class WarpHead(nn.Module):
    """What is carried, (1, C, h, w), and flow (1, h, w, 2) in its cells -> labels (1, H, W) uint8."""

    def __init__(self, decoding: Decoding) -> None:
        super().__init__()
        self.labels = decoding.labels

    def forward(self, carried: Tensor, flow: Tensor) -> Tensor:
        """See the class."""
        labels: Tensor = self.labels(warp_features(carried, flow))
        return labels


class Aggregate(nn.Module):
    """What is carried of a key frame and of an ``earlier`` one, (1, C, h, w) each, the flow from the first to the
    second (1, h, w, 2) in cells, and ``weight`` (1, 1, h, w) -> their mixture (1, C, h, w) and its labels (1, H, W)
    uint8.

    The earlier one is warped and makes ``weight`` of the mixture, from 0 to 1. This is the sparsely recursive
    feature aggregation of "Towards High Performance Video Object Detection" (Zhu et al., CVPR 2018), with a weight
    that is given instead of learnt.
    """

    def __init__(self, decoding: Decoding) -> None:
        super().__init__()
        self.labels = decoding.labels

    def forward(
        self, carried: Tensor, earlier: Tensor, flow: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        together = torch.lerp(carried, warp_features(earlier, flow), weight)
        return together, self.labels(together)


class WarpScaleHead(nn.Module):
    """Features (1, F, h, w), flow (1, y, x, 2) and scale (1, F, y, x) -> labels (1, H, W) uint8.

    The flow is in cells of its own grid, which is the scale map's.
    """

    def __init__(self, decoding: Decoding) -> None:
        super().__init__()
        self.carry, self.labels = decoding.carry, decoding.labels

    def forward(self, features: Tensor, flow: Tensor, scale: Tensor) -> Tensor:
        """See the class."""
        labels: Tensor = self.labels(self.carry(propagate(features, flow, scale)))
        return labels


def inference_parts(definition: Definition[Any], network: SegmentationNetwork) -> dict[str, nn.Module]:
    """The parts ``key``, ``warp_head``, ``warp_scale_head`` and ``aggregate``, normalisations folded.

    The network is left as it was. Raises ModelError for weights that are NaN or infinite.
    """
    network = copy.deepcopy(network).eval()
    refuse_not_finite(network)
    definition.prepare(network)
    decoding = definition.decoding(network)
    parts = {
        "key": Key(network, definition.normalise, decoding),
        "warp_head": WarpHead(decoding),
        "warp_scale_head": WarpScaleHead(decoding),
        "aggregate": Aggregate(decoding),
    }
    return {name: part.eval() for name, part in parts.items()}


def part_of_weights(network: str, path: Path, part: str, classes: int) -> nn.Module:
    """One part of the network called ``network`` whose weights are in the file ``path``."""
    definition = get_network(network)
    return inference_parts(definition, definition.load(path, classes).network)[part]


def refuse_not_finite(network: nn.Module) -> None:
    """Raise ModelError if a weight or a statistic is NaN or infinite."""
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"weight '{name}' holds values that are not finite; train the network again")
