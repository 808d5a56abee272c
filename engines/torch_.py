"""PyTorch itself, on the CPU: the reference that compiled plans are compared with."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import Array, Engine, NetworkSource, Plan, Session, TensorSpec
from .buffers import InputFeed
from .errors import EngineError, missing_package
from .onnx_file import OnnxFile


class TorchEngine(Engine):
    """Runs ``source.module()`` as it is, in float32; names and order come from the ONNX file.

    The module computes all its outputs, also those that the plan leaves out.
    """

    name = "torch"

    @property
    def on_cpu(self) -> bool:
        """Always."""
        return True

    def missing(self) -> str | None:
        """None where PyTorch is installed."""
        if importlib.util.find_spec("torch") is not None:
            return None
        return str(missing_package("torch", "torch", "engine 'torch'"))

    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        if source.module is None:
            raise EngineError(
                f"network '{source.name}' is only an ONNX file, without a torch module; "
                "use engine 'openvino' or 'onnxruntime'"
            )
        file = OnnxFile.read(source.onnx_path)
        network = _Network(source.module().eval(), file, file.choose_outputs(outputs))
        return TorchPlan(network, file.input_specs(shapes))


class TorchPlan(Plan):
    """One module in evaluation mode, shared by all sessions; the outputs' shapes are those of zeros."""

    engine = "torch"
    precision = "f32"

    def __init__(self, network: _Network, inputs: tuple[TensorSpec, ...]) -> None:
        import torch

        self._network = network
        self.inputs = inputs
        zeros = {s.name: torch.from_numpy(np.zeros(s.shape, s.dtype)) for s in inputs}
        self.outputs = tuple(
            TensorSpec(name, array.dtype, array.shape) for name, array in network(zeros).items()
        )

    def _session(self, threads: int | None, buffers: int) -> Session:
        return TorchSession(self.inputs, self._network, threads)


class TorchSession(Session):
    """Calls the module; each call makes new output arrays, so they stay valid for good.

    PyTorch has one count of threads for the whole process: a session made with ``threads`` sets it at
    each call, and sessions that differ take turns at it. Between calls its threads spin for some
    milliseconds (measured: 6 to 11 ms of CPU time after each call); start Python with ``OMP_WAIT_POLICY=passive``
    in the environment where other threads need the cores.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...], network: _Network, threads: int | None) -> None:
        super().__init__(inputs)
        import torch

        self._torch: Any = torch
        self._network = network
        self._threads = threads
        self._tensors: dict[str, Any] = {}
        self._feed = InputFeed(inputs, self._bind)

    def _bind(self, spec: TensorSpec, array: Array) -> None:
        self._tensors[spec.name] = self._torch.from_numpy(array)

    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self._feed(inputs)
        if self._threads is not None and self._torch.get_num_threads() != self._threads:
            self._torch.set_num_threads(self._threads)
        return self._network(self._tensors)

    def _close(self) -> None:
        self._tensors.clear()
        self._feed.release()


class _Network:
    """A module called with tensors by name, giving the chosen outputs as arrays of their own."""

    def __init__(self, module: Any, file: OnnxFile, outputs: tuple[str, ...]) -> None:
        self._module = module
        self._inputs = tuple(declared.name for declared in file.inputs)
        self._all_outputs = file.outputs
        self._outputs = outputs

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        import torch

        given = [tensors[name] for name in self._inputs]
        with torch.inference_mode():
            results = self._module(*given)
            results = results if isinstance(results, tuple | list) else (results,)
            if len(results) != len(self._all_outputs):
                raise EngineError(
                    f"the torch module gives {len(results)} outputs; "
                    f"its ONNX file has {list(self._all_outputs)}"
                )
            named = dict(zip(self._all_outputs, results, strict=True))
            taken = {tensor.untyped_storage().data_ptr() for tensor in given}
            return {name: _own_array(named[name], taken) for name in self._outputs}


def _own_array(tensor: Any, taken: set[int]) -> Array:
    """The tensor's memory as an array; a copy where it is the memory of an input."""
    tensor = tensor.contiguous()
    if tensor.untyped_storage().data_ptr() in taken:
        tensor = tensor.clone()
    array: Array = tensor.numpy()
    return array
