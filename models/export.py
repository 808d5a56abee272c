"""From trained weights to the files of a model: ONNX parts, fp16 weights and a card.

ENet becomes two parts. ``key`` runs on key frames: ``image`` uint8 BGR (1, H, W, 3) to ``features`` float32
(1, 16, H/2, W/2) and ``labels`` uint8 (1, H, W); an engine asked for the labels alone drops the other output.
``warp_head`` runs between them: ``features`` of the key frame and ``flow`` float32 (1, H/2, W/2, 2), in cells of
the features' grid, to ``labels``. H and W are symbols, multiples of 8: engines fix them when they compile.
Normalisation and argmax are inside. The same weights yield byte-equal files.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from keywarp.engines.errors import ModelError

from .card import Provenance
from .labels import CAMVID, ClassSet
from .networks.enet import ENet
from .networks.files import load_enet
from .networks.parts import inference_parts
from .training.card import enet_card

OPSET = 17
TRACED_SIZE = (96, 64)
"""Width and height that parts are traced at; any would do, as they are symbols in the files."""


def export_enet(
    weights: Path,
    out: Path,
    *,
    name: str,
    provenance: Provenance,
    classes: ClassSet = CAMVID,
    size: tuple[int, int] = (640, 360),
) -> Path:
    """Write ``NAME.key.onnx``, ``NAME.warp_head.onnx``, ``NAME.safetensors`` and the card; its path.

    ``size`` is the input that the card names as the best. Raises ModelError for weights that are not
    ENet's, are of another number of classes, or hold NaN or infinity.
    """
    network = load_enet(weights)
    if network.classes != len(classes):
        raise ModelError(
            f"weights '{weights}' are for {network.classes} classes; "
            f"class set '{classes.name}' has {len(classes)}"
        )
    out.mkdir(parents=True, exist_ok=True)
    paths = {part: out / f"{name}.{part}.onnx" for part in ("key", "warp_head")}
    for part, data in enet_parts(network).items():
        paths[part].write_bytes(data)
    paths["weights"] = out / f"{name}.safetensors"
    if paths["weights"].resolve() != weights.resolve():
        shutil.copyfile(weights, paths["weights"])
    card = enet_card(network, name, paths, provenance, classes, size)
    card_path = out / f"{name}.json"
    card_path.write_text(card.to_json())
    return card_path


def enet_parts(network: ENet) -> dict[str, bytes]:
    """ONNX files of a network's parts, by name. The network is left as it was."""
    parts = inference_parts(network)
    width, height = TRACED_SIZE
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    features = torch.zeros(1, network.feature_channels, height // 2, width // 2)
    flow = torch.zeros(1, height // 2, width // 2, 2)
    return {
        "key": to_onnx(
            parts["key"], {"image": image}, {"image": "1HW3", "features": "1Chw", "labels": "1HW"}
        ),
        "warp_head": to_onnx(
            parts["warp_head"],
            {"features": features, "flow": flow},
            {"features": "1Chw", "flow": "1hw2", "labels": "1HW"},
        ),
    }


def to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], shapes: Mapping[str, str]) -> bytes:
    """A module as an ONNX file whose height and width are symbols.

    ``shapes`` has a letter for each dimension of each input and output, in order: H, W, h and w are
    symbols of the file, all else stays as traced. Names in ``shapes`` but not in ``inputs`` are outputs.

    The exporter is torch's older one, by tracing: its graphs ran as fast as the newer one's, are ready in
    a tenth of the time, and need no further package.
    """
    axes = {
        name: {i: letter for i, letter in enumerate(shape) if letter in "HWhw"}
        for name, shape in shapes.items()
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        with torch.no_grad(), _exporter_warnings_ignored():
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                path,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[name for name in shapes if name not in inputs],
                dynamic_axes=axes,
            )
        return _cleaned(path.read_bytes(), shapes)


@contextmanager
def _exporter_warnings_ignored() -> Iterator[None]:
    """Of its age, of sizes that it takes for constants (tests export for one size and run at others), and of
    constants that it leaves for engines to fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        yield


def _cleaned(data: bytes, shapes: Mapping[str, str]) -> bytes:
    """The file with the dimensions of ``shapes`` and without the name of the exporter's version."""
    model = onnx.load_model_from_string(data)
    model.producer_name, model.producer_version = "keywarp", ""
    _give_each_its_own_constant(model.graph)
    for value in [*model.graph.input, *model.graph.output]:
        for dim, letter in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
            if letter.isdigit():
                dim.dim_value = int(letter)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _give_each_its_own_constant(graph: onnx.GraphProto) -> None:
    """Undo the sharing of equal constants, behind which engines do not see what they could fuse."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shared = [n for n in graph.node if n.op_type == "Identity" and n.input[0] in constants]
    for node in shared:
        own = graph.initializer.add()
        own.CopyFrom(constants[node.input[0]])
        own.name = node.output[0]
        graph.node.remove(node)
