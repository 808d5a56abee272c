"""FlowNets with random weights, exported to a folder: what runs before anybody has trained one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from keywarp.engines.card import Provenance, file_entries
from keywarp.engines.weights import write_weights
from keywarp.flow.card import FlowCard, PairInput
from keywarp.flow.flownet import FLOWNETS, FlowNet
from keywarp.models.export_flow import export_flownet

PROVENANCE = Provenance(
    data=["none"], licence="none", recipe="none", command="none", seed=0, training_minutes=0
)


def random_flownet(name: str, scale_channels: int | None = None, stride_px: int = 8) -> FlowNet:
    """A network with statistics and slopes that differ, as trained ones do, in eval mode; its scale map is 1."""
    torch.manual_seed(0)
    network = FLOWNETS[name](scale_channels=scale_channels, stride_px=stride_px)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def write_flownet(
    folder: Path,
    network: FlowNet,
    name: str = "flownet-inception",
    scale_for: str | None = None,
) -> Path:
    """The network's files in ``folder``, as `keywarp export` writes them; the path of the card."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "trained.safetensors"
    write_weights(network, weights)
    trained = FlowCard(
        name="trained",
        network=name,
        description="random weights",
        input=PairInput(width=640, height=360),
        stride_px=network.stride_px,
        scale_for=scale_for,
        scale_channels=network.scale_channels,
        parameters=sum(p.numel() for p in network.parameters()),
        files=file_entries({"weights": weights}),
        provenance=PROVENANCE,
    )
    (folder / "trained.json").write_text(trained.to_json())
    return export_flownet(weights, folder, name=name, trained=trained)
