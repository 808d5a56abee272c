"""Labelled pictures and films made for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.models.labels import CAMVID

Pixels = NDArray[np.uint8]

SIZE = (32, 24)


def flat(label: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A label map of one class."""
    return np.full(size[::-1], label, np.uint8)


def mixed(seed: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A label map of all classes, no two neighbours alike for long."""
    return np.random.default_rng(seed).integers(0, len(CAMVID), size[::-1], np.uint8)


def picture_of(labels: Pixels) -> Pixels:
    """The picture from which :class:`FakeModel` reads just these labels."""
    return cv2.merge([labels, labels, labels])


def write_labels(folder: Path, maps: Sequence[Pixels]) -> Path:
    """The maps as ``0.png``, ``1.png``, ..., so that only the natural order is right for more than ten."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, labels in enumerate(maps):
        cv2.imwrite(str(folder / f"{index}.png"), labels)
    return folder


def write_pairs(folder: Path, shown: Sequence[Pixels], true: Sequence[Pixels] | None = None) -> Path:
    """Pictures in ``folder`` that show the labels ``shown``, and beside it the true ones (None: the same)."""
    write_labels(folder.with_name(f"{folder.name}_labels"), shown if true is None else true)
    return write_labels(folder, [picture_of(labels) for labels in shown])
