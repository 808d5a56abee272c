"""Scores of label maps against truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion(truth: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int) -> Counts:
    """Pixels by (true class, given class), (classes, classes); truth beyond the classes is ignored."""
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + np.minimum(labels[known], classes - 1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_iou(counts: Counts) -> NDArray[np.float64]:
    """Intersection over union of each class, NaN for classes in neither truth nor labels."""
    hit = np.diag(counts).astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)


def scores(counts: Counts) -> dict[str, float]:
    """``miou``, the mean over the classes that occur in the truth, and ``accuracy`` of all pixels, 0 to 1."""
    present: NDArray[Any] = counts.sum(1) > 0
    if not present.any():
        return {"miou": 0.0, "accuracy": 0.0}
    miou = float(class_iou(counts)[present].mean())
    return {"miou": miou, "accuracy": float(np.trace(counts) / counts.sum())}
