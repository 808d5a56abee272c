"""What an ONNX file says of its inputs and outputs, read without the package ``onnx``.

Every engine checks names and shapes against this one reading, so a wrong request gets the same message
whatever engine it meets. Only the few protobuf fields needed are walked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .base import Array, TensorSpec
from .errors import EngineError, unknown_name

# Field numbers of onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPHS = (6, 11)
_INITIALIZER_TYPE, _INITIALIZER_FLOATS, _INITIALIZER_NAME, _INITIALIZER_RAW = 2, 4, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIM = 1
_DIM_VALUE, _DIM_NAME = 1, 2

_WIRE_VARINT, _WIRE_BYTES = 0, 2
_WIRE_FIXED_SIZE = {1: 8, 5: 4}
_MAX_VARINT_BITS = 63

_DTYPES: dict[int, type[np.generic]] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}

Dim = int | str | None


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """One input as the file declares it; a dimension is a size, a symbol's name, or None for any."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """The inputs (those that are no initializers) and the outputs of one ONNX file, in its order."""

    path: Path
    inputs: tuple[OnnxInput, ...]
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> OnnxFile:
        """Read the file; :class:`EngineError` naming ``path`` where it is missing or no ONNX."""
        graph = _graph(path, memoryview(_read_bytes(path)))
        try:
            constants = {_text(v, _INITIALIZER_NAME) for v in _children(graph, _GRAPH_INITIALIZER)}
            inputs = tuple(
                _input(path, value)
                for value in _children(graph, _GRAPH_INPUT)
                if _text(value, _VALUE_NAME) not in constants
            )
            outputs = tuple(_text(value, _VALUE_NAME) for value in _children(graph, _GRAPH_OUTPUT))
        except _BROKEN as error:
            raise _broken(path) from error
        return cls(path, inputs, outputs)

    def choose_outputs(self, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        """``wanted``, or all outputs for None; :class:`UsageError` for a name the file has not."""
        if wanted is None:
            return self.outputs
        for name in wanted:
            if name not in self.outputs:
                raise unknown_name(f"output of '{self.path}'", name, self.outputs)
        return wanted

    def input_specs(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        """The inputs at ``shapes``, one for each input.

        Raises :class:`UsageError` for a name that the file has not, :class:`EngineError` for a missing
        one and for a shape that contradicts the file.
        """
        names = [declared.name for declared in self.inputs]
        for name in shapes:
            if name not in names:
                raise unknown_name(f"input of '{self.path}'", name, names)
        missing = [name for name in names if name not in shapes]
        if missing:
            raise EngineError(f"'{self.path}' needs a shape for each input; missing: {missing}")
        self.symbols(shapes)
        return tuple(TensorSpec(i.name, i.dtype, tuple(shapes[i.name])) for i in self.inputs)

    def symbols(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The size of each symbolic dimension at ``shapes``."""
        sizes: dict[str, int] = {}
        for declared in self.inputs:
            shape = shapes[declared.name]
            fits = len(shape) == len(declared.dims) and all(
                size > 0 and (dim is None or size == _size(dim, size, sizes))
                for size, dim in zip(shape, declared.dims, strict=True)
            )
            if not fits:
                known = f", where {sizes}" if sizes else ""
                raise EngineError(
                    f"input '{declared.name}' of '{self.path}' cannot be {list(shape)}; "
                    f"the file says {list(declared.dims)}{known}"
                )
        return sizes

    def check_finite(self) -> None:
        """Raise :class:`EngineError` that names the first weight with a NaN or an infinity in it.

        An engine may hide such weights: a fused activation turns NaN into 0.
        """
        graph = _graph(self.path, memoryview(_read_bytes(self.path)))
        for tensor in _children(graph, _GRAPH_INITIALIZER):
            if not np.isfinite(_floats(tensor)).all():
                raise EngineError(
                    f"weight '{_text(tensor, _INITIALIZER_NAME)}' of '{self.path}' is not finite"
                )

    def floats(self, name: str) -> Array:
        """The values of the weight ``name``, in one row; :class:`EngineError` where the file has no such floats."""
        graph = _graph(self.path, memoryview(_read_bytes(self.path)))
        for tensor in _children(graph, _GRAPH_INITIALIZER):
            if _text(tensor, _INITIALIZER_NAME) == name and len(values := _floats(tensor)):
                return values
        raise EngineError(f"'{self.path}' has no weight '{name}' of floats")

    def pruned(self, outputs: tuple[str, ...]) -> bytes:
        """The file's bytes with only ``outputs``, the nodes that they need, and all inputs."""
        data = memoryview(_read_bytes(self.path))
        kept = _kept_fields(_graph(self.path, data), outputs)
        return b"".join(
            _bytes_field(_MODEL_GRAPH, kept) if field.number == _MODEL_GRAPH else field.raw
            for field in _fields(data)
        )


class _Field(NamedTuple):
    """One protobuf field: which it is, its payload or its integer, and all its bytes."""

    number: int
    value: memoryview
    integer: int
    raw: memoryview


_BROKEN = (IndexError, KeyError, ValueError)
_NOTHING = memoryview(b"")


def _size(dim: int | str, size: int, sizes: dict[str, int]) -> int:
    return dim if isinstance(dim, int) else sizes.setdefault(dim, size)


def _broken(path: Path) -> EngineError:
    return EngineError(f"'{path}' is no ONNX file, or is damaged; export or fetch it again")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"the ONNX file '{path}' cannot be read: {error.strerror}") from error


def _graph(path: Path, data: memoryview) -> memoryview:
    try:
        for graph in _children(data, _MODEL_GRAPH):
            return graph
    except _BROKEN as error:
        raise _broken(path) from error
    raise _broken(path)


def _kept_fields(graph: memoryview, outputs: tuple[str, ...]) -> bytes:
    """The graph less the other outputs and less the nodes that ``outputs`` do not need."""
    needed = set(outputs)
    kept: list[memoryview] = []
    for field in reversed(list(_fields(graph))):  # nodes come sorted: a user after what it uses
        if field.number == _GRAPH_NODE:
            if needed.isdisjoint(_texts(field.value, _NODE_OUTPUT)):
                continue
            needed.update(_reads(field.value))
        elif field.number == _GRAPH_OUTPUT and _text(field.value, _VALUE_NAME) not in outputs:
            continue
        kept.append(field.raw)
    return b"".join(reversed(kept))


def _reads(node: memoryview) -> Iterator[str]:
    """The names that a node reads, those too that the bodies of an If or a Loop may take from outside."""
    yield from _texts(node, _NODE_INPUT)
    for attribute in _children(node, _NODE_ATTRIBUTE):
        for number in _ATTRIBUTE_GRAPHS:
            for body in _children(attribute, number):
                for inner in _children(body, _GRAPH_NODE):
                    yield from _reads(inner)
                for output in _children(body, _GRAPH_OUTPUT):
                    yield _text(output, _VALUE_NAME)


def _floats(tensor: memoryview) -> Array:
    """The values of a tensor of floats; none for other tensors."""
    code = next((f.integer for f in _fields(tensor) if f.number == _INITIALIZER_TYPE), 0)
    dtype = np.dtype(_DTYPES.get(code, np.uint8))
    if dtype.kind != "f":
        return np.empty(0, np.float32)
    raw = _child(tensor, _INITIALIZER_RAW)
    if len(raw):
        return np.frombuffer(raw, dtype.newbyteorder("<"))
    return np.frombuffer(_child(tensor, _INITIALIZER_FLOATS), "<f4")


def _input(path: Path, value: memoryview) -> OnnxInput:
    name = _text(value, _VALUE_NAME)
    tensor = _child(_child(value, _VALUE_TYPE), _TYPE_TENSOR)
    code = next((f.integer for f in _fields(tensor) if f.number == _TENSOR_ELEMENT), 0)
    if code not in _DTYPES:
        raise EngineError(f"input '{name}' of '{path}' has ONNX element type {code}, not supported")
    shape = _child(tensor, _TENSOR_SHAPE)
    dims = tuple(_dim(value) for value in _children(shape, _SHAPE_DIM))
    return OnnxInput(name, np.dtype(_DTYPES[code]), dims)


def _dim(value: memoryview) -> Dim:
    for field in _fields(value):
        if field.number == _DIM_VALUE:
            return field.integer
        if field.number == _DIM_NAME:
            return str(field.value, "utf-8") or None
    return None


def _children(data: memoryview, number: int) -> Iterator[memoryview]:
    return (field.value for field in _fields(data) if field.number == number)


def _child(data: memoryview, number: int) -> memoryview:
    return next(_children(data, number), _NOTHING)


def _texts(data: memoryview, number: int) -> Iterator[str]:
    return (str(value, "utf-8") for value in _children(data, number))


def _text(data: memoryview, number: int) -> str:
    return next(_texts(data, number), "")


def _fields(data: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        integer, value = 0, _NOTHING
        if kind == _WIRE_VARINT:
            integer, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == _WIRE_BYTES else (_WIRE_FIXED_SIZE[kind], at)
            value = data[at : at + size]
            at += size
        if at > len(data):
            raise IndexError("a field runs past the end")
        yield _Field(number, value, integer, data[start:at])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS + 1, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number longer than 64 bits")


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint_bytes(number << 3 | _WIRE_BYTES) + _varint_bytes(len(value)) + value


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
