"""From a trained FlowNet to the files of a flow: an ONNX part, fp16 weights and a card.

The part ``flow`` takes ``image`` and ``key``, uint8 BGR (1, H, W, 3), to ``flow`` float32 (1, h, w, 2), in cells
of its own grid, and where the network has one to ``scale`` float32 (1, C, h, w). Division by 255 and halving are
inside. H and W are symbols: engines fix them when they compile. The file holds the weights as they were trained,
under their names and as fp16, so that it is all that the card needs. The same weights yield byte-equal files.
"""

from __future__ import annotations

from pathlib import Path

import torch

from keywarp.engines.card import file_entries
from keywarp.engines.errors import ModelError
from keywarp.flow.card import FlowCard
from keywarp.flow.flow_part import FlowPart, load_flownet
from keywarp.flow.flownet import FlowNet

from .export import TRACED_SIZE, to_onnx
from .networks.parts import refuse_not_finite


def export_flownet(weights: Path, out: Path, *, name: str, trained: FlowCard) -> Path:
    """Write ``NAME.flow.onnx`` and the card; its path.

    ``trained``: the card of the weights, which training writes. Raises ModelError for weights of another network
    than it names, or with values that are not finite in fp16.
    """
    network = load_flownet(trained, weights)
    out.mkdir(parents=True, exist_ok=True)
    paths = {"flow": out / f"{name}.flow.onnx"}
    paths["flow"].write_bytes(flow_part(network))
    parameters = sum(p.numel() for p in network.parameters())
    card = trained.model_copy(update={"name": name, "parameters": parameters, "files": file_entries(paths)})
    card_path = out / f"{name}.json"
    card_path.write_text(card.to_json())
    return card_path


def flow_part(network: FlowNet) -> bytes:
    """The ONNX file of a network. The network is left as it was.

    Raises ModelError for weights that are NaN, infinite or beyond fp16.
    """
    refuse_not_finite(network)
    _refuse_beyond_fp16(network)
    width, height = (2 * side for side in TRACED_SIZE)
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    shapes = {"image": "1HW3", "key": "1HW3", "flow": "1hw2"}
    if network.scale_channels is not None:
        shapes["scale"] = "1Chw"
    part = FlowPart(network).eval()
    return to_onnx(part, {"image": image, "key": image}, shapes, as_trained=True)


def _refuse_beyond_fp16(network: FlowNet) -> None:
    """Raise ModelError if a weight or a statistic is too large for the kind of number that the file keeps."""
    most = torch.finfo(torch.float16).max
    for name, value in network.state_dict().items():
        largest = float(value.abs().max())
        if largest > most and value.is_floating_point():
            raise ModelError(
                f"weight '{name}' holds {largest:g}; an exported flow keeps its weights as fp16, which ends at "
                f"{most:g}; train the network again, with lower rate and matrix_rate"
            )
