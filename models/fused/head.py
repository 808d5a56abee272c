"""Labels of features, warped or as they are, in one pass over the picture.

What ``warp_head`` does where a network ends in a 3x3 transposed convolution of stride 2, as ENet does: sample the
features along the flow, put out the scores of all classes for 2 x 2 pixels a cell, take the best class of each
pixel. An engine writes features and scores to memory between these steps; here a row of cells stays in the
processor's cache, and scores stay in registers. It takes less than a third of the engine's time (docs/networks.md),
with the labels that an engine finds at f32, but where two classes score the same to six digits.

The kernels are C++ (``_rows.cpp``), compiled when keywarp is installed, for each instruction set that a processor
may have; :func:`kernels` lists those of this one. Where there was no compiler the engine runs the ONNX part.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import EngineError
from keywarp.engines.onnx_file import OnnxFile
from keywarp.flow.base import Field, Size

try:
    from . import _rows
except ImportError as error:
    _rows = None  # type: ignore[assignment]
    _why: str | None = str(error)
else:
    _why = None

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

_LANES = 16
# So many classes at most are scored together: their sums have to stay in registers.
_MOST_TOGETHER, _STEP = 12, 4
_MOST_CLASSES = 240
# (row parity, column parity, cell below, cell to the right) of each tap, in the order of the kernels
_TAPS = (
    (0, 0, 0, 0),
    (0, 1, 0, 0),
    (0, 1, 0, 1),
    (1, 0, 0, 0),
    (1, 0, 1, 0),
    (1, 1, 0, 0),
    (1, 1, 0, 1),
    (1, 1, 1, 0),
    (1, 1, 1, 1),
)


def kernels() -> tuple[str, ...]:
    """Those that run here, the quickest first, of ``avx512``, ``avx2``, ``plain``; none if none were compiled."""
    return () if _rows is None else _rows.kernels()


def missing() -> str | None:
    """None where there are kernels, else why not."""
    return _why


class FusedHead:
    """The head of one network at one size, on ``threads`` threads (None: as many as there are cores). Any thread
    may call it; calls wait for each other.

    ``grid`` is the width and height of the features, ``even`` (2 C, K, 1, 2) and ``odd`` (2 C, K, 2, 2) the
    convolutions of :class:`keywarp.models.networks.fast_head.FastLabels`, ``bias`` (2 C) is that of both, for C
    classes and K channels. ``kernel`` is one of :func:`kernels`. Use :meth:`of_part`.
    """

    def __init__(
        self,
        grid: Size,
        even: Floats,
        odd: Floats,
        bias: Floats,
        *,
        threads: int | None = 1,
        kernel: str | None = None,
    ) -> None:
        classes, self._channels = even.shape[0] // 2, even.shape[1]
        self._width, self._height = grid
        groups = -(-classes // _MOST_TOGETHER)
        self._group = -(-classes // (groups * _STEP)) * _STEP
        self._groups = groups
        self.kernel = kernel or kernels()[0]
        self._weights, self._bias = self._ordered(classes, (even, odd), bias)
        stride = -(-self._width // _LANES) * _LANES + _LANES
        strips = min(threads or os.cpu_count() or 1, self._height)
        rows = np.linspace(0, self._height, strips + 1).astype(int)
        self._strips = list(zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True))
        self._scratch = [np.zeros((2, self._channels, stride), np.float32) for _ in self._strips]
        self._pool = ThreadPoolExecutor(strips - 1, "keywarp-head") if strips > 1 else None
        self._turn = threading.Lock()

    @classmethod
    def of_part(
        cls, path: Path, classes: int, channels: int, grid: Size, *, threads: int | None
    ) -> FusedHead | None:
        """The head in the ONNX file ``warp_head``; None where there are no kernels for it here.

        Raises :class:`EngineError` for a file that holds no such head.
        """
        if _rows is None or channels % _LANES or not 0 < classes <= _MOST_CLASSES:
            return None
        file = OnnxFile.read(path)
        shapes = {"even": (2 * classes, channels, 1, 2), "odd": (2 * classes, channels, 2, 2)}
        try:
            parts = {row: file.floats(f"labels.{row}.weight").reshape(shape) for row, shape in shapes.items()}
            bias = file.floats("labels.even.bias").reshape(2 * classes)
        except ValueError as error:
            raise EngineError(f"'{path}' holds another head than its card says: {error}") from error
        return cls(grid, parts["even"], parts["odd"], bias, threads=threads)

    def pack(self, features: Floats) -> Floats:
        """Features (1, K, h, w) as :meth:`warped` takes them: (h, w, K), so that a cell is read at once."""
        packed = np.empty((self._height, self._width, self._channels), np.float32)
        _rows.pack(_flat(features), packed, self._channels, self._height * self._width)
        return packed

    def warped(self, packed: Floats, flow: Field) -> Labels:
        """Labels (2 h, 2 w) of features sampled at ``cell + flow[cell]``; flow (h, w, 2) in cells.

        Places outside take the nearest cell, as :func:`keywarp.models.networks.warp.warp_features` has it; so does
        what is not a number (the first row or column).
        """
        return self._run(packed, np.ascontiguousarray(flow, np.float32))

    def plain(self, features: Floats) -> Labels:
        """Labels (2 h, 2 w) of features (1, K, h, w) as they are."""
        return self._run(_flat(features), None)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _run(self, features: Floats, flow: Field | None) -> Labels:
        labels = np.empty((2 * self._height, 2 * self._width), np.uint8)

        def strip(number: int) -> None:
            first, last = self._strips[number]
            _rows.labels(
                self.kernel,
                features,
                flow,
                self._weights,
                self._bias,
                self._scratch[number],
                labels,
                self._height,
                self._width,
                self._channels,
                self._groups,
                self._group,
                first,
                last,
            )

        with self._turn:
            others = [self._pool.submit(strip, i) for i in range(1, len(self._strips))] if self._pool else []
            try:
                strip(0)
            finally:
                wait(others)
        for other in others:
            other.result()
        return labels

    def _ordered(self, classes: int, kernels: tuple[Floats, Floats], bias: Floats) -> tuple[Floats, Floats]:
        """Weights (groups, K, taps, group) and biases (groups, group); classes that fill a group up never win."""
        width = self._groups * self._group
        weights = np.zeros((width, self._channels, len(_TAPS)), np.float32)
        for number, (row, column, below, right) in enumerate(_TAPS):
            by_pixel = kernels[row].reshape(classes, 2, *kernels[row].shape[1:])
            weights[:classes, :, number] = by_pixel[:, column, :, below, right]
        biases = np.full(width, -np.inf, np.float32)
        biases[:classes] = bias[::2]
        grouped = weights.reshape(self._groups, self._group, self._channels, len(_TAPS))
        return np.ascontiguousarray(grouped.transpose(0, 2, 3, 1)), biases


def _flat(features: Floats) -> Floats:
    return np.ascontiguousarray(features, np.float32)
