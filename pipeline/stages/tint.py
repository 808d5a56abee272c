"""Tinting: class colours laid over a picture, in YUV 4:2:0, by one table look-up for each byte."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.models.labels import ClassSet
from keywarp.pipeline.picture import Pixels, YuvPlanes

from .colors import ColorScheme

# Large calm areas need less colour to be read than small things do.
_CALM = {"sky": 0.55, "building": 0.7, "road": 0.8, "pavement": 0.75, "tree": 0.85}

_LUT_TAKES_16_BITS = int(cv2.__version__.split(".")[0]) >= 5


def class_opacities(classes: ClassSet, opacity: float) -> NDArray[np.float64]:
    """(256,) opacity by label: ``opacity``, less for large calm classes, 0 for labels without a class."""
    by_label = np.zeros(256)
    by_label[: len(classes)] = [opacity * _CALM.get(name, 1.0) for name in classes.names]
    return by_label


class Tint:
    """Lays the colours of ``classes`` over pictures of one colour scheme.

    A byte of the result depends on the byte below it and the label there: a table of 65,536 bytes for each
    plane, addressed by ``label * 256 + byte``, has it exactly rounded. Keeps buffers: for one thread.
    """

    def __init__(self, classes: ClassSet, opacity: float, scheme: ColorScheme) -> None:
        self.classes = classes
        self.scheme = scheme
        rgb = classes.palette_bgr()[:, ::-1].astype(np.float64)
        alpha = class_opacities(classes, opacity)
        self._tables = [_blend_table(alpha, color) for color in scheme.rgb_to_yuv(rgb).T]
        self._pairs: dict[tuple[int, ...], NDArray[np.uint8]] = {}

    def apply(self, source: YuvPlanes, labels: Pixels, target: YuvPlanes) -> None:
        """Write ``source`` tinted by ``labels`` (H, W) into ``target``; both may be the same planes.

        A chroma sample takes the label of the upper left of its four pixels.
        """
        half = np.ascontiguousarray(labels[::2, ::2])
        self._look_up(0, source.y, labels, target.y)
        self._look_up(1, source.u, half, target.u)
        self._look_up(2, source.v, half, target.v)

    def _look_up(self, plane: int, source: Pixels, labels: Pixels, target: Pixels) -> None:
        pair = self._pairs.get(source.shape)
        if pair is None:
            pair = self._pairs[source.shape] = np.empty((*source.shape, 2), np.uint8)
        cv2.merge([source, labels], pair)
        address = pair.view("<u2")[..., 0]
        if _LUT_TAKES_16_BITS:
            cv2.LUT(address, self._tables[plane], target)
        else:
            np.take(self._tables[plane], address, out=target, mode="clip")


def _blend_table(alpha: NDArray[np.float64], color: NDArray[np.float64]) -> NDArray[np.uint8]:
    below = np.arange(256.0)
    blended = below + alpha[:, None] * (color[:, None] - below)  # (256 labels, 256 bytes)
    return np.rint(blended).clip(0, 255).astype(np.uint8).reshape(-1)
