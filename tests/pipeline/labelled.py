"""Labelled pictures and films, and pictures with true flow, made for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Field
from keywarp.flow.flo import write_flo
from keywarp.models.labels import CAMVID

Pixels = NDArray[np.uint8]

SIZE = (32, 24)
FLOW_SIZE = (64, 48)


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


def moved(motion_px: tuple[float, float], size: tuple[int, int] = FLOW_SIZE) -> Field:
    """The flow of a picture that moved as a whole by that much: backwards."""
    return np.broadcast_to(-np.array(motion_px, np.float32), (size[1], size[0], 2)).copy()


def write_chairs(folder: Path, motions_px: list[tuple[int, int]], size: tuple[int, int] = FLOW_SIZE) -> Path:
    """Pairs in which everything is in img1 where it was in img2, moved."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (x, y) in enumerate(motions_px, 1):
        texture = np.random.default_rng(number).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
        key = cv2.resize(texture, size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"pair_{number}_img2.ppm"), key)
        cv2.imwrite(str(folder / f"pair_{number}_img1.ppm"), np.roll(key, (y, x), (0, 1)))
        write_flo(folder / f"pair_{number}_flow.flo", moved((x, y), size))
    return folder
