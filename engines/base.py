"""What every engine promises: a compiled :class:`Plan`, and :class:`Session` objects that run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError, KeywarpError, MissingPackageError, UsageError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of one input or output. The shape is static: a plan has one size."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def check(self, array: Array) -> None:
        """Raise :class:`EngineError` unless ``array`` has this dtype and shape."""
        if array.dtype != self.dtype or array.shape != self.shape:
            raise EngineError(
                f"input '{self.name}' is {array.dtype}{list(array.shape)}; "
                f"this plan takes {self.dtype}{list(self.shape)}"
            )


class Session(ABC):
    """One runner of a plan, with its own threads or stream and its own buffers.

    Made by :meth:`Plan.session`. One thread at a time may call :meth:`infer`; different sessions, of one
    plan too, may run at once. Output arrays are C-contiguous, belong to the session and stay valid for
    ``buffers`` calls: until the next one with the default of 1. With 2, the features of one key frame
    outlive the computation of the next one without a copy.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...]) -> None:
        self._inputs = inputs
        self._closed = False

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the network once; arrays by tensor name in, arrays by tensor name out.

        Inputs are read in place where the engine can (C-contiguous arrays, read-only ones too), are
        copied otherwise, and are never written; the session may refer to them until its next call.
        Raises :class:`EngineError` for a missing or unknown name, a wrong dtype or shape, a session
        that is closed, and whatever the runtime below raises.
        """
        if self._closed:
            raise EngineError("this session is closed; make a new one with plan.session()")
        if len(inputs) != len(self._inputs):
            raise EngineError(
                f"inputs {sorted(inputs)} given; this plan takes {[s.name for s in self._inputs]}"
            )
        for spec in self._inputs:
            if spec.name not in inputs:
                raise EngineError(f"input '{spec.name}' is missing; given: {sorted(inputs)}")
            spec.check(inputs[spec.name])
        try:
            return self._infer(inputs)
        except KeywarpError:
            raise
        except Exception as error:
            raise EngineError(f"{type(self).__name__} failed: {error}") from error

    @abstractmethod
    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the network on checked inputs."""

    def close(self) -> None:
        """Free what the session holds; outputs already given stay readable. May be called twice."""
        if not self._closed:
            self._closed = True
            self._close()

    def _close(self) -> None:  # noqa: B027 - nothing to free is a fine default
        """Free what the session holds; called once."""

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Plan(ABC):
    """A network compiled for one device, input size and precision. Immutable, usable from any thread.

    ``engine`` and ``precision`` name what really runs, which may differ from what was asked for where
    an engine only takes a hint; whoever reports a timing reports these.
    """

    engine: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def session(self, *, threads: int | None = None, buffers: int = 1) -> Session:
        """A new session on ``threads`` CPU threads (None: the engine's choice, where it has one).

        May take as long as a compilation, where the threads are compiled in. Raises
        :class:`UsageError` for fewer than one thread or buffer, :class:`EngineError` where the runtime
        refuses.
        """
        if buffers < 1 or (threads is not None and threads < 1):
            raise UsageError(f"a session needs at least 1 thread and 1 buffer; given: {threads}, {buffers}")
        try:
            return self._session(threads, buffers)
        except KeywarpError:
            raise
        except Exception as error:
            raise EngineError(f"engine '{self.engine}' cannot make a session: {error}") from error

    @abstractmethod
    def _session(self, threads: int | None, buffers: int) -> Session:
        """A new session, from checked arguments."""


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """What an engine compiles: one network, in each form that an engine may take it.

    ``onnx_path`` holds the ONNX file, whose height and width may be symbolic. ``module`` makes the same
    network as a ``torch.nn.Module`` that takes and returns tensors in the order of the ONNX file's inputs
    and outputs; None where there is only the ONNX file. Only the torch engine calls it.
    """

    name: str
    onnx_path: Path
    module: Callable[[], Any] | None = None


class Engine(ABC):
    """A runtime that compiles networks. Construction is cheap and imports nothing heavy.

    ``name`` is what ``--engine`` accepts; ``precisions`` what ``--precision`` accepts, the default first.
    """

    name: str
    precisions: tuple[str, ...] = ("f32",)

    @property
    def on_cpu(self) -> bool:
        """Whether its networks run on the processor, so that others may take over a part of their work there."""
        return False

    @abstractmethod
    def missing(self) -> str | None:
        """None where this engine can run here, else one sentence on what to install."""

    def compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        outputs: tuple[str, ...] | None = None,
        precision: str | None = None,
    ) -> Plan:
        """Compile ``source`` for the input ``shapes`` (by name), keeping only ``outputs`` (None: all).

        The plan takes all the network's inputs, those too that only a dropped output needs.
        Raises :class:`UsageError` for a precision that the engine, or an input or output that the
        network has not, :class:`MissingPackageError` where the engine is not installed, and
        :class:`EngineError` for a network that it cannot take or a shape that the network cannot take.
        """
        wanted = self.precisions[0] if precision is None else precision
        if wanted not in self.precisions:
            raise UsageError(
                f"engine '{self.name}' has no precision '{wanted}' (accepted: {', '.join(self.precisions)})"
            )
        reason = self.missing()
        if reason is not None:
            raise MissingPackageError(reason)
        try:
            return self._compile(source, shapes, outputs, wanted)
        except KeywarpError:
            raise
        except ImportError as error:
            raise MissingPackageError(
                f"engine '{self.name}' is installed but cannot be imported: {error}; reinstall it"
            ) from error
        except Exception as error:
            sizes = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise EngineError(
                f"engine '{self.name}' cannot compile '{source.name}' for {sizes}: {error}"
            ) from error

    @abstractmethod
    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        """Compile on checked arguments."""
