"""Arrays between a caller and an engine on the host: inputs bound in place, outputs in rotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle

import numpy as np

from .base import Array, TensorSpec


class InputFeed:
    """Hands inputs to an engine's ``bind(spec, array)``, which is called only for memory not yet bound.

    A C-contiguous array is bound as it is; any other is copied, at each call, to an array kept for that.
    What ``bind`` gets is C-contiguous, aligned, writable in name (so that runtimes take it: the frames of
    a video are read-only views) and must only be read. The last inputs stay referenced until the next
    call or :meth:`release`.
    """

    def __init__(self, specs: tuple[TensorSpec, ...], bind: Callable[[TensorSpec, Array], None]) -> None:
        self._specs = specs
        self._bind = bind
        self._bound: dict[str, Array] = {}
        self._staged: dict[str, Array] = {}

    def __call__(self, inputs: Mapping[str, Array]) -> None:
        """Bind checked ``inputs``."""
        for spec in self._specs:
            array = inputs[spec.name]
            flags = array.flags
            if not (flags.c_contiguous and flags.aligned):
                array = self._stage(spec, array)
            if self._bound.get(spec.name) is not array:
                self._bind(spec, _writable(array))
                self._bound[spec.name] = array

    def release(self) -> None:
        """Let go of all arrays."""
        self._bound.clear()
        self._staged.clear()

    def _stage(self, spec: TensorSpec, array: Array) -> Array:
        if spec.name not in self._staged:
            self._staged[spec.name] = np.empty(spec.shape, spec.dtype)
        np.copyto(self._staged[spec.name], array)
        return self._staged[spec.name]


class OutputRing:
    """``buffers`` sets of output arrays; :meth:`turn` gives the least recently given set."""

    def __init__(self, specs: tuple[TensorSpec, ...], buffers: int) -> None:
        sets = [{s.name: np.zeros(s.shape, s.dtype) for s in specs} for _ in range(buffers)]
        self._sets = cycle(sets)
        self._single = buffers == 1
        self._given: dict[str, Array] | None = None

    def turn(self) -> tuple[dict[str, Array], bool]:
        """The set to write next, and whether it differs from that of the call before."""
        if self._single and self._given is not None:
            return self._given, False
        self._given = next(self._sets)
        return self._given, True


class _Memory:
    """Another array's memory, offered as writable; keeps that array alive."""

    def __init__(self, array: Array) -> None:
        self.owner = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def _writable(array: Array) -> Array:
    return array if array.flags.writeable else np.asarray(_Memory(array))
