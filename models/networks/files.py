"""Networks from files of weights."""

from __future__ import annotations

from pathlib import Path

from keywarp.engines.errors import ModelError
from keywarp.engines.weights import put_into, read_weights
from keywarp.engines.weights import write_weights as write_weights

from .enet import ENet


def load_enet(path: Path) -> ENet:
    """ENet in eval mode with weights from a file. Raises ModelError if they are not ENet's."""
    tensors = read_weights(path)
    if "fullconv.weight" not in tensors:
        raise ModelError(f"weights '{path}' are not of ENet: they lack 'fullconv.weight'")
    network = ENet(classes=tensors["fullconv.weight"].shape[1])
    put_into(network, tensors, path, "ENet")
    return network.eval()
