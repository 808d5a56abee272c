"""ONNX Runtime, on the CPU: a second opinion on every network, and the engine for odd platforms."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Array, Engine, NetworkSource, Plan, Session, TensorSpec
from .buffers import InputFeed, OutputRing
from .errors import missing_package
from .onnx_file import OnnxFile

if TYPE_CHECKING:
    import onnxruntime as ort

_LOG_FATAL = 4


class OnnxRuntimeEngine(Engine):
    """Compiles the ONNX file for ONNX Runtime's CPU provider, in float32."""

    name = "onnxruntime"

    @property
    def on_cpu(self) -> bool:
        """Always."""
        return True

    def missing(self) -> str | None:
        """None where ONNX Runtime is installed."""
        if importlib.util.find_spec("onnxruntime") is not None:
            return None
        return str(missing_package("onnxruntime", "onnxruntime", "engine 'onnxruntime'"))

    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        file = OnnxFile.read(source.onnx_path)
        return OnnxRuntimePlan(file, file.input_specs(shapes), file.choose_outputs(outputs))


class OnnxRuntimePlan(Plan):
    """A network at one size. Loaded once for each count of threads; sessions of a count share it.

    Sessions that share may run at once, on their calling threads and one set of helpers. The outputs'
    shapes are those of a run on zeros.
    """

    engine = "onnxruntime"
    precision = "f32"

    def __init__(self, file: OnnxFile, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> None:
        self.inputs = inputs
        self._file = file
        self._names = outputs
        self._lock = Lock()
        self._loaded: dict[int, ort.InferenceSession] = {}
        zeros = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in inputs}
        results = self._runtime(None).run(list(outputs), zeros)
        self.outputs = tuple(
            TensorSpec(name, array.dtype, array.shape) for name, array in zip(outputs, results, strict=True)
        )

    def _session(self, threads: int | None, buffers: int) -> Session:
        ring = OutputRing(self.outputs, buffers)
        return OnnxRuntimeSession(self.inputs, self._runtime(threads), ring)

    def _runtime(self, threads: int | None) -> ort.InferenceSession:
        # A count of our own, always: ONNX Runtime pins its threads to cores when it chooses.
        count = _available_cores() if threads is None else threads
        with self._lock:
            if count not in self._loaded:
                self._loaded[count] = self._load(count)
            return self._loaded[count]

    def _load(self, threads: int) -> ort.InferenceSession:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _LOG_FATAL  # what it would print, it raises too
        # Waiting threads would spin and hold a core each, between frames too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        shapes = {spec.name: spec.shape for spec in self.inputs}
        for symbol, size in self._file.symbols(shapes).items():
            options.add_free_dimension_override_by_name(symbol, size)
        model: str | bytes = str(self._file.path)
        if set(self._names) != set(self._file.outputs):
            model = self._file.pruned(self._names)
            folder = str(self._file.path.parent)
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxRuntimeSession(Session):
    """Runs with inputs and outputs bound to host memory, so that no call copies or allocates them."""

    def __init__(
        self, inputs: tuple[TensorSpec, ...], runtime: ort.InferenceSession, ring: OutputRing
    ) -> None:
        super().__init__(inputs)
        self._runtime: Any = runtime
        self._binding: Any = runtime.io_binding()
        self._ring = ring
        self._feed = InputFeed(inputs, self._bind)

    def _bind(self, spec: TensorSpec, array: Array) -> None:
        self._binding.bind_input(spec.name, "cpu", 0, spec.dtype.type, spec.shape, array.ctypes.data)

    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self._feed(inputs)
        outputs, changed = self._ring.turn()
        if changed:
            for name, array in outputs.items():
                self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._runtime.run_with_iobinding(self._binding)
        return outputs

    def _close(self) -> None:
        self._binding = None
        self._runtime = None
        self._feed.release()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
