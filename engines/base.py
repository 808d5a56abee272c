"""What every engine promises: a compiled :class:`Plan`, and :class:`Session` objects that run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

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

    Made by :meth:`Plan.session`. One thread at a time may call :meth:`infer`. Output arrays belong to
    the session and stay valid for ``buffers`` calls: until the next one with the default of 1. With 2,
    the features of one key frame outlive the computation of the next one without a copy.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...]) -> None:
        self._inputs = inputs

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the network once; arrays by tensor name in, arrays by tensor name out.

        Inputs are read in place where the engine can (C-contiguous arrays), and never written.
        Raises :class:`EngineError` for a missing or unknown name, a wrong dtype or shape.
        """
        if len(inputs) != len(self._inputs):
            raise EngineError(
                f"inputs {sorted(inputs)} given; this plan takes {[s.name for s in self._inputs]}"
            )
        for spec in self._inputs:
            if spec.name not in inputs:
                raise EngineError(f"input '{spec.name}' is missing; given: {sorted(inputs)}")
            spec.check(inputs[spec.name])
        return self._infer(inputs)

    @abstractmethod
    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the network on checked inputs."""

    def close(self) -> None:  # noqa: B027 - nothing to free is a fine default
        """Free what the session holds. May be called twice."""

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

    @abstractmethod
    def session(self, *, threads: int | None = None, buffers: int = 1) -> Session:
        """A new session on ``threads`` CPU threads (None: the engine's choice, where it has one)."""
