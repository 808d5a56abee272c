"""An engine without a runtime: networks are Python functions. For tests of whatever runs plans."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .base import Array, Engine, NetworkSource, Plan, Session, TensorSpec
from .buffers import OutputRing
from .errors import EngineError, unknown_name

Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class FakeNetwork:
    """A function from input arrays to output arrays, by name; ``inputs`` gives each input's dtype.

    The outputs' names, dtypes and shapes are what ``compute`` returns for zeros.
    """

    compute: Compute
    inputs: Mapping[str, DTypeLike]


@dataclass(frozen=True, slots=True)
class FakeCall:
    """One ``infer``: which network, and copies of its inputs."""

    network: str
    inputs: Mapping[str, Array]


class FakeEngine(Engine):
    """Compiles sources by their ``name`` among ``networks``; files and modules are not looked at.

    ``calls`` lists every ``infer`` of every session, oldest first. The calls numbered in ``fail_on``,
    counted from 1 over all sessions, raise :class:`EngineError`. Each call takes ``seconds_per_call``
    by way of ``sleep``. Output arrays are overwritten exactly when :class:`Session` permits it, so a
    test catches code that holds them for too long. Usable from several threads.
    """

    name = "fake"
    precisions = ("f32", "f16")

    def __init__(
        self,
        networks: Mapping[str, FakeNetwork],
        *,
        fail_on: Collection[int] = (),
        seconds_per_call: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.calls: list[FakeCall] = []
        self._networks = networks
        self._fail_on = frozenset(fail_on)
        self._seconds_per_call = seconds_per_call
        self._sleep = sleep
        self._lock = Lock()

    def missing(self) -> str | None:
        """None: there is nothing to install."""
        return None

    def record(self, network: str, inputs: Mapping[str, Array]) -> None:
        """Note a call, take its time, and fail if it is one of those that shall."""
        with self._lock:
            self.calls.append(FakeCall(network, {k: v.copy() for k, v in inputs.items()}))
            number = len(self.calls)
        if self._seconds_per_call > 0:
            self._sleep(self._seconds_per_call)
        if number in self._fail_on:
            raise EngineError(f"call {number} of the fake engine was told to fail")

    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        if source.name not in self._networks:
            raise unknown_name("fake network", source.name, self._networks)
        network = self._networks[source.name]
        if set(shapes) != set(network.inputs):
            raise EngineError(f"shapes of {sorted(shapes)} given, not of {sorted(network.inputs)}")
        inputs = tuple(
            TensorSpec(name, np.dtype(dtype), tuple(shapes[name])) for name, dtype in network.inputs.items()
        )
        return FakePlan(self, source.name, network.compute, inputs, outputs, precision)


class FakePlan(Plan):
    """A fake network at one size."""

    engine = "fake"

    def __init__(
        self,
        owner: FakeEngine,
        name: str,
        compute: Compute,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> None:
        results = compute({spec.name: np.zeros(spec.shape, spec.dtype) for spec in inputs})
        for wanted in outputs or ():
            if wanted not in results:
                raise unknown_name(f"output of '{name}'", wanted, results)
        chosen = tuple(results) if outputs is None else outputs
        self.precision = precision
        self.inputs = inputs
        self.outputs = tuple(TensorSpec(n, results[n].dtype, results[n].shape) for n in chosen)
        self._owner = owner
        self._name = name
        self._compute = compute

    def _session(self, threads: int | None, buffers: int) -> Session:
        ring = OutputRing(self.outputs, buffers)
        return FakeSession(self._owner, self._name, self._compute, self.inputs, ring)


class FakeSession(Session):
    """Runs the function and writes what it returns into the session's own arrays."""

    def __init__(
        self,
        owner: FakeEngine,
        name: str,
        compute: Compute,
        inputs: tuple[TensorSpec, ...],
        ring: OutputRing,
    ) -> None:
        super().__init__(inputs)
        self._owner = owner
        self._name = name
        self._compute = compute
        self._ring = ring

    def _infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self._owner.record(self._name, inputs)
        results: Mapping[str, Any] = self._compute(inputs)
        outputs, _ = self._ring.turn()
        for name, array in outputs.items():
            np.copyto(array, results[name], casting="no")
        return outputs
