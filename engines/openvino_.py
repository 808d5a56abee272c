"""OpenVINO: the engine of the base install, on Intel, AMD and Arm processors."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Array, Engine, NetworkSource, Plan, Session, TensorSpec
from .buffers import InputFeed, OutputRing
from .errors import EngineError, UsageError
from .onnx_file import OnnxFile

if TYPE_CHECKING:
    import openvino as ov

# OpenVINO's bindings make tables on first use, some under a lock of C++ and some under the interpreter's: two
# threads that each hold one wait for ever. What comes before the first inference is done by one at a time.
_PREPARING = Lock()

_CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class OpenVinoEngine(Engine):
    """Compiles the ONNX file for one OpenVINO device: ``CPU``, or ``GPU``, ``NPU`` with Intel's drivers.

    ``bf16`` and ``f16`` work where the device says so; elsewhere compiling raises
    :class:`EngineError`. OpenVINO itself would run bfloat16 by default where it can, and float32 in
    silence where it cannot.
    """

    name = "openvino"
    precisions = ("f32", "bf16", "f16")

    def __init__(self, device: str = "CPU") -> None:
        self.device = device

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return self.device == "CPU"

    def missing(self) -> str | None:
        """None where OpenVINO is installed."""
        if importlib.util.find_spec("openvino") is not None:
            return None
        return (
            "engine 'openvino' needs the package 'openvino', which is not installed; "
            "install it with: pip install openvino"
        )

    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        file = OnnxFile.read(source.onnx_path)
        inputs = file.input_specs(shapes)
        chosen = file.choose_outputs(outputs)
        with _PREPARING:
            self._check_device(precision)
            return OpenVinoPlan(_pruned(file, inputs, chosen), inputs, chosen, self.device, precision)

    def _check_device(self, precision: str) -> None:
        devices: list[str] = _core().available_devices
        if not any(d == self.device or d.split(".")[0] == self.device for d in devices):
            raise UsageError(
                f"OpenVINO finds no device '{self.device}' here (accepted: {', '.join(devices)})"
            )
        able = _core().get_property(self.device, "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITY[precision] not in able:
            possible = [name for name, code in _CAPABILITY.items() if code in able]
            raise EngineError(
                f"the {self.device} of this machine cannot run OpenVINO in '{precision}' "
                f"(it can: {', '.join(possible)})"
            )


class OpenVinoPlan(Plan):
    """A network reshaped and pruned; compiled when a session asks for it, as threads are compiled in.

    ``precision`` is what runs: a device that compiles to another one than asked for is an error. Each
    open session has a compiled model to itself, since requests of one model wait for each other (two
    sessions of one thread: 8.5 ms a call sharing a model, 4.2 ms with one each). Those of closed
    sessions serve the next session with as many threads.
    """

    engine = "openvino"

    def __init__(
        self,
        model: ov.Model,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[str, ...],
        device: str,
        precision: str,
    ) -> None:
        self.precision = precision
        self.inputs = inputs
        self.outputs = tuple(
            _output_spec(name, port) for name, port in zip(outputs, model.outputs, strict=True)
        )
        self._model = model
        self._device = device
        self._spare: dict[int | None, list[ov.CompiledModel]] = {}

    def _session(self, threads: int | None, buffers: int) -> Session:
        with _PREPARING:
            spare = self._spare.setdefault(threads, [])
            compiled = spare.pop() if spare else self._compiled(threads)
        ring = OutputRing(self.outputs, buffers)
        return OpenVinoSession(self.inputs, compiled, ring, lambda: spare.append(compiled))

    def _compiled(self, threads: int | None) -> ov.CompiledModel:
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._device == "CPU":
            # Pinned threads cannot make way for the decoder and the other threads of a pipeline.
            config |= {"NUM_STREAMS": "1", "ENABLE_CPU_PINNING": False}
            if threads is not None:
                config["INFERENCE_NUM_THREADS"] = threads
        compiled = _core().compile_model(self._model, self._device, config)
        running = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if running != self.precision:
            raise EngineError(
                f"asked for '{self.precision}', OpenVINO's {self._device} would run '{running}'"
            )
        return compiled


class OpenVinoSession(Session):
    """One infer request, on a compiled model of its own; runs in the calling thread and its helpers."""

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        compiled: ov.CompiledModel,
        ring: OutputRing,
        give_back: Callable[[], None],
    ) -> None:
        super().__init__(inputs)
        self._request: Any = compiled.create_infer_request()
        self._tensor = _tensor_class()
        self._ring = ring
        self._feed = InputFeed(inputs, self._bind)
        self._give_back = give_back

    def _bind(self, spec: TensorSpec, array: Array) -> None:
        self._request.set_tensor(spec.name, self._tensor(array, shared_memory=True))

    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self._feed(inputs)
        outputs, changed = self._ring.turn()
        if changed:
            for name, array in outputs.items():
                self._request.set_tensor(name, self._tensor(array, shared_memory=True))
        self._request.infer(share_outputs=True)
        return outputs

    def _close(self) -> None:
        self._feed.release()
        self._request = None
        self._give_back()


@cache
def _core() -> ov.Core:
    import openvino as ov

    return ov.Core()


def _tensor_class() -> Any:
    import openvino as ov

    return ov.Tensor


def _pruned(file: OnnxFile, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> ov.Model:
    """The network with only ``outputs``, in that order, at the static shapes of ``inputs``."""
    import openvino as ov

    model = _core().read_model(str(file.path))
    ports = {name: port for port in model.outputs for name in port.get_names()}
    kept = ov.Model([ports[name].node for name in outputs], model.get_parameters(), file.path.stem)
    kept.reshape({spec.name: list(spec.shape) for spec in inputs})
    return kept


def _output_spec(name: str, port: Any) -> TensorSpec:
    shape = port.get_partial_shape()
    if shape.is_dynamic:
        raise EngineError(f"output '{name}' has no fixed shape ({shape}); a plan has one size")
    return TensorSpec(name, np.dtype(port.get_element_type().to_dtype()), tuple(shape.to_shape()))
