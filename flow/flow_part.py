"""A FlowNet as the part that runs: what is exported to ONNX, and what the torch engine runs itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from keywarp.engines.errors import unknown_name
from keywarp.engines.weights import load_into, put_into

from .card import FlowCard
from .flownet import FLOWNETS, FlowNet

WHITE = 255.0


class FlowPart(nn.Module):
    """Pictures ``image`` and ``key``, (1, H, W, 3) uint8 BGR -> ``flow`` and, where it has one, ``scale``.

    The flow, (1, h, w, 2) float32, leads from ``image`` to ``key``, x then y, in cells of its own grid; the scale
    map is (1, C, h, w) float32. H and W are even; with a stride of 8, h is H / 8 rounded up.
    """

    def __init__(self, network: FlowNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, key: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """See the class."""
        flows, scale = self.network.pyramid_of(torch.cat([_halved(image), _halved(key)], 1))
        field = flows[-1].permute(0, 2, 3, 1)  # (1, h, w, 2)
        return field if scale is None else (field, scale)


def _halved(image: Tensor) -> Tensor:
    """(1, H, W, 3) uint8 -> (1, 3, H/2, W/2) float32 from 0 to 1: the mean of 2x2 pixels.

    As average pooling, but summed in the pictures' own layout, since engines are slow to pool few channels.
    """
    rows = image[:, ::2].float() + image[:, 1::2].float()
    sums = rows[:, :, ::2] + rows[:, :, 1::2]
    return sums.permute(0, 3, 1, 2) * (1 / (4 * WHITE))


def load_flownet(card: FlowCard, weights: Path) -> FlowNet:
    """The network of a card in eval mode with weights from a file.

    Raises UsageError for an unknown name, ModelError for weights of another network.
    """
    made = _made(card)
    load_into(made, weights, card.network)
    return made.eval()


def part_of_file(card: FlowCard, path: Path) -> nn.Module:
    """The part of a card's network, with the weights that are in its ONNX file.

    Raises UsageError for an unknown name, ModelError for a file of another network.
    """
    part = FlowPart(_made(card))
    graph = onnx.load_model(path).graph
    tensors = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in graph.initializer
        if tensor.name.startswith("network.")
    }
    put_into(part, tensors, path, card.network)
    return part.eval()


def _made(card: FlowCard) -> FlowNet:
    if card.network not in FLOWNETS:
        raise unknown_name("flow network", card.network, FLOWNETS)
    return FLOWNETS[card.network](scale_channels=card.scale_channels, stride_px=card.stride_px)
