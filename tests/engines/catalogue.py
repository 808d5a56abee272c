"""Tiny networks that every engine must run, with what they shall compute.

The expected values come from ``onnx.reference``, an implementation in numpy apart from all engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from keywarp.engines.base import Array, NetworkSource
from keywarp.engines.fake import FakeNetwork

F32, U8, I64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
_WEIGHT = np.random.default_rng(7).standard_normal((4, 3, 3, 3)).astype(np.float32)

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """One network: its graph, the same as a torch function, and the sizes the contract runs it at."""

    name: str
    graph: Callable[[], onnx.GraphProto]
    torch_forward: Callable[..., Any]
    shapes: Shapes
    dtype: type[np.generic] = np.float32

    def proto(self) -> onnx.ModelProto:
        return helper.make_model(self.graph(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def source(self, folder: Path) -> NetworkSource:
        path = folder / f"{self.name}.onnx"
        onnx.save(self.proto(), path)
        return NetworkSource(self.name, path, self._module)

    def fake(self) -> FakeNetwork:
        return FakeNetwork(self.expected, dict.fromkeys(self.shapes, self.dtype))

    def expected(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        proto = self.proto()
        for attribute in (a for node in proto.graph.node for a in node.attribute):
            if attribute.s == b"bilinear":  # the evaluator knows only its name since opset 20
                attribute.s = b"linear"
        evaluator = ReferenceEvaluator(proto)
        names = evaluator.output_names
        return dict(zip(names, evaluator.run(None, dict(inputs)), strict=True))

    def sample(self, seed: int = 0) -> dict[str, Array]:
        rng = np.random.default_rng(seed)
        return {n: self._random(rng, shape) for n, shape in self.shapes.items()}

    def _random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        if self.dtype is np.uint8:
            return rng.integers(0, 256, shape, dtype=np.uint8)
        return rng.uniform(-1, 1, shape).astype(np.float32)

    def _module(self) -> Any:
        import torch

        forward = self.torch_forward

        class Module(torch.nn.Module):
            def forward(self, *inputs: Any) -> Any:
                return forward(*inputs)

        return Module()


def _value(name: str, dtype: int, dims: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def _graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, Array] | None = None,
) -> onnx.GraphProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    return helper.make_graph(nodes, "g", inputs, outputs, tensors)


def _identity() -> onnx.GraphProto:
    x, y = (_value(name, F32, [1, 2, "h", "w"]) for name in "xy")
    return _graph([helper.make_node("Identity", ["x"], ["y"])], [x], [y])


def _two() -> onnx.GraphProto:
    a, b, total, apart = (_value(n, F32, ["n", 3]) for n in ("a", "b", "sum", "difference"))
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    return _graph(nodes, [a, b], [total, apart])


def _invert() -> onnx.GraphProto:
    x, y = (_value(name, U8, [1, "h", "w", 3]) for name in "xy")
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=F32),
        helper.make_node("Sub", ["white", "real"], ["inverse"]),
        helper.make_node("Cast", ["inverse"], ["y"], to=U8),
    ]
    return _graph(nodes, [x], [y], {"white": np.array([255], np.float32)})


def _conv() -> onnx.GraphProto:
    x = _value("x", F32, [1, 3, "h", "w"])
    y = _value("y", F32, [1, 4, "h_out", "w_out"])
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["c"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    return _graph(nodes, [x], [y], {"weight": _WEIGHT})


def _grid_sample() -> onnx.GraphProto:
    x = _value("x", F32, [1, 2, "h", "w"])
    grid = _value("grid", F32, [1, "gh", "gw", 2])
    y = _value("y", F32, [1, 2, "gh", "gw"])
    sample = helper.make_node(
        "GridSample", ["x", "grid"], ["y"], mode="bilinear", padding_mode="zeros", align_corners=1
    )
    return _graph([sample], [x, grid], [y])


def _labels() -> onnx.GraphProto:
    x, y = _value("x", F32, [1, 5, "h", "w"]), _value("y", I64, [1, "h", "w"])
    return _graph([helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)], [x], [y])


def _add() -> onnx.GraphProto:
    """The file lets the two sizes differ; the network does not."""
    x, y, z = _value("x", F32, ["n"]), _value("y", F32, ["m"]), _value("z", F32, ["n"])
    return _graph([helper.make_node("Add", ["x", "y"], ["z"])], [x, y], [z])


def _torch_conv(x: Any) -> Any:
    import torch

    return torch.conv2d(x, torch.from_numpy(_WEIGHT), stride=2, padding=1).relu()


def _torch_grid_sample(x: Any, grid: Any) -> Any:
    import torch

    return torch.nn.functional.grid_sample(x, grid, align_corners=True)


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry("identity", _identity, lambda x: x, {"x": (1, 2, 3, 4)}),
        Entry("two", _two, lambda a, b: (a + b, a - b), {"a": (2, 3), "b": (2, 3)}),
        Entry("invert", _invert, lambda x: 255 - x, {"x": (1, 4, 5, 3)}, np.uint8),
        Entry("conv", _conv, _torch_conv, {"x": (1, 3, 9, 12)}),
        Entry(
            "grid_sample",
            _grid_sample,
            _torch_grid_sample,
            {"x": (1, 2, 6, 8), "grid": (1, 4, 5, 2)},
        ),
        Entry("add", _add, lambda x, y: x + y, {"x": (4,), "y": (4,)}),
        Entry("labels", _labels, lambda x: x.argmax(1), {"x": (1, 5, 4, 6)}),
    )
}
