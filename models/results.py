"""Results: what a model says about a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .labels import VOID, ClassSet


@dataclass(frozen=True, slots=True)
class SegmentationMap:
    """A class for every pixel of a frame.

    ``labels``: (H, W) uint8 in the frame's own size, values below ``len(classes)``, or VOID where nothing is
    known. Read-only by convention: sinks and later frames share it.
    """

    labels: NDArray[np.uint8]
    classes: ClassSet

    @staticmethod
    def void(size: tuple[int, int], classes: ClassSet) -> SegmentationMap:
        """A map of ``size`` (width, height) in which nothing is known."""
        return SegmentationMap(np.full(size[::-1], VOID, np.uint8), classes)

    def agreement(self, other: SegmentationMap) -> float:
        """The share of the pixels, 0 to 1, that have the same class in a map of the same size."""
        return 1 - cv2.countNonZero(cv2.absdiff(self.labels, other.labels)) / self.labels.size

    def shares(self) -> dict[str, float]:
        """The share of the picture, 0 to 1, that each class covers, by name."""
        count = len(self.classes)
        counts = cv2.calcHist([self.labels], [0], None, [count], [0, count]).ravel()
        return {
            name: float(pixels) / self.labels.size
            for name, pixels in zip(self.classes.names, counts, strict=True)
        }
