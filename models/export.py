"""A torch module as an ONNX file whose height and width are symbols; the same weights yield the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]
from torch.onnx import TrainingMode

OPSET = 17
TRACED_SIZE = (96, 64)
"""Width and height that parts are traced at; any would do, as they are symbols in the files."""
_SYMBOLS = "HWhwyx"


def to_onnx(
    module: nn.Module, inputs: Mapping[str, Tensor], shapes: Mapping[str, str], *, as_trained: bool = False
) -> bytes:
    """A module as an ONNX file whose height and width are symbols.

    ``shapes`` has a letter for each dimension of each input and output, in order: H, W, h, w, y and x are
    symbols of the file, all else stays as traced. Names in ``shapes`` but not in ``inputs`` are outputs.

    ``as_trained``: with every weight and statistic of the module under its name, as fp16, for engines to fold. They
    have to be fp16 numbers already: so the file is half as large, and loses nothing.

    The exporter is torch's older one, by tracing: its graphs ran as fast as the newer one's, are ready in
    a tenth of the time, and need no further package.
    """
    axes = {
        name: {i: letter for i, letter in enumerate(shape) if letter in _SYMBOLS}
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
                do_constant_folding=not as_trained,
                training=TrainingMode.PRESERVE if as_trained else TrainingMode.EVAL,
            )
        return _cleaned(path.read_bytes(), shapes, as_trained)


@contextmanager
def _exporter_warnings_ignored() -> Iterator[None]:
    """Of its age, of sizes that it takes for constants (tests export for one size and run at others), and of
    constants that it leaves for engines to fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        yield


def _cleaned(data: bytes, shapes: Mapping[str, str], halved: bool) -> bytes:
    """The file with the dimensions of ``shapes``, without the name of the exporter's version."""
    model = onnx.load_model_from_string(data)
    model.producer_name, model.producer_version = "keywarp", ""
    _give_each_its_own_constant(model.graph)
    if halved:
        _halve(model.graph)
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


def _halve(graph: onnx.GraphProto) -> None:
    """Keep fp16 numbers as fp16, each with a cast that engines do once, as they compile."""
    casts = []
    for tensor in [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, name))
        casts.append(onnx.helper.make_node("Cast", [name], [f"{name}.f32"], to=onnx.TensorProto.FLOAT))
    renamed = {cast.input[0]: cast.output[0] for cast in casts}
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
