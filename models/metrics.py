"""Scores of label maps against truth, all of them from one confusion matrix.

Pixels without a true class (void) count nowhere. A class that occurs in neither truth nor result has no figures
(NaN) and takes part in no mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Figures = NDArray[np.float64]

_VALUES = 256


def confusion(truth: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int) -> Counts:
    """Pixels by (true class, given class), (classes, classes); truth beyond the classes is ignored.

    Raises ValueError where a pixel with a true class is given none, or the two maps differ in shape.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"truth {truth.shape} and labels {labels.shape} are compared pixel by pixel")
    pairs = np.minimum(truth, classes).astype(np.uint16) * np.uint16(_VALUES) + labels
    counts = np.bincount(pairs.ravel().astype(np.intp), minlength=(classes + 1) * _VALUES)
    table = counts.reshape(-1, _VALUES)[:classes]
    if table[:, classes:].any():
        raise ValueError(f"labels are 0 to {classes - 1}; the largest given is {labels.max()}")
    return table[:, :classes]


@dataclass(frozen=True)
class Scores:
    """All figures of a confusion matrix, ``counts``: (classes, classes), by true and by given class.

    Everything is a fraction of 1; NaN where there is nothing to say. Arrays are by class.
    """

    counts: Counts

    @cached_property
    def hits(self) -> Figures:
        """Pixels of each class that were given it."""
        return np.diag(self.counts).astype(np.float64)

    @cached_property
    def true(self) -> Figures:
        """Pixels of each class in the truth."""
        return self.counts.sum(1).astype(np.float64)

    @cached_property
    def given(self) -> Figures:
        """Pixels of each class in the result."""
        return self.counts.sum(0).astype(np.float64)

    @property
    def class_share(self) -> Figures:
        """The share of the true pixels that each class has."""
        return _ratio(self.true, np.full_like(self.true, self.true.sum()))

    @property
    def class_accuracy(self) -> Figures:
        """The share of a class's true pixels that were given it: its recall. NaN where it is never true."""
        return _ratio(self.hits, self.true)

    @property
    def class_iou(self) -> Figures:
        """Intersection over union: hits by pixels that are of the class, or were given it, or both."""
        return _ratio(self.hits, self.true + self.given - self.hits)

    @property
    def class_dice(self) -> Figures:
        """Twice the hits by the pixels of the class and those given it; the F1 score of the class."""
        return _ratio(2 * self.hits, self.true + self.given)

    @property
    def pixel_accuracy(self) -> float:
        """The share of the pixels that were given their class."""
        return float(_ratio(self.hits.sum(keepdims=True), self.true.sum(keepdims=True))[0])

    @property
    def mean_accuracy(self) -> float:
        """The mean accuracy of the classes that are in the truth."""
        return _mean(self.class_accuracy)

    @property
    def miou(self) -> float:
        """The mean IoU of the classes in truth or result: one that is given, but never true, counts as 0."""
        return _mean(self.class_iou)

    @property
    def fw_iou(self) -> float:
        """The mean IoU of the classes in the truth, each with the weight of its share (frequency-weighted)."""
        weighed = self.class_share * self.class_iou
        return float("nan") if np.isnan(weighed).all() else float(np.nansum(weighed))

    @property
    def dice(self) -> float:
        """The mean Dice of the classes in truth or result."""
        return _mean(self.class_dice)


CLASS_FIGURES: dict[str, Callable[[Scores], Figures]] = {
    "iou": lambda scores: scores.class_iou,
    "accuracy": lambda scores: scores.class_accuracy,
    "dice": lambda scores: scores.class_dice,
    "share": lambda scores: scores.class_share,
}
"""The figures that each class has, by the name that reports give them."""


def scores(counts: Counts) -> dict[str, float]:
    """``miou`` and ``accuracy`` of all pixels, 0 to 1; 0 where there are none."""
    found = Scores(counts)
    return {"miou": _or_0(found.miou), "accuracy": _or_0(found.pixel_accuracy)}


def _ratio(part: Figures, whole: Figures) -> Figures:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean(figures: Figures) -> float:
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if known.size else float("nan")


def _or_0(value: float) -> float:
    return 0.0 if np.isnan(value) else value
