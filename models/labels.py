"""Class names and colours of the label sets that keywarp's models use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""The label of pixels without a class: ignored in training and in scores."""


@dataclass(frozen=True, slots=True)
class ClassSet:
    """Names and RGB colours of classes 0..N-1, in label order."""

    name: str
    names: tuple[str, ...]
    colors_rgb: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.names)

    def palette_bgr(self) -> NDArray[np.uint8]:
        """(256, 3) uint8, BGR by label; labels beyond the last class are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = np.array(self.colors_rgb, np.uint8)[:, ::-1]
        return table


# The 11 classes of CamVid as Badrinarayanan et al. (SegNet, 2015) group them; the colours are chosen to be
# told apart on top of a picture, after those of Cityscapes.
CAMVID = ClassSet(
    "camvid",
    (
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    (
        (70, 130, 180), (110, 96, 104), (214, 204, 148), (128, 64, 128), (244, 35, 232), (86, 152, 50),
        (240, 200, 0), (190, 140, 130), (20, 60, 220), (230, 30, 60), (255, 120, 20),
    ),
)  # fmt: skip

CLASS_SETS = {CAMVID.name: CAMVID}
