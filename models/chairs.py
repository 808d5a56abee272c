"""FlyingChairs (Dosovitskiy et al. 2015) in a folder: NAME_img1.ppm, NAME_img2.ppm, NAME_flow.flo for each pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Field, Mask
from keywarp.flow.flo import known, read_flo

from .datasets import read_bgr

Pixels = NDArray[np.uint8]

_FLOW = "_flow"


@dataclass(frozen=True, slots=True)
class ChairsFiles:
    """The files of one pair, named by that of the flow.

    It leads from img1 to img2, in img1's grid: img1 is the current picture, img2 the one that the flow leads to.
    """

    flow: Path

    @property
    def name(self) -> str:
        """What their names begin with."""
        return self.flow.stem.removesuffix(_FLOW)

    @property
    def pictures(self) -> tuple[Path, Path]:
        """img1 and img2."""
        first, second = (self.flow.with_name(f"{self.name}_img{number}.ppm") for number in (1, 2))
        return first, second

    def read(self) -> tuple[Pixels, Pixels, Field, Mask]:
        """img1 and img2, (H, W, 3) uint8 BGR each, the flow (H, W, 2), and (H, W) bool where it is known.

        Raises :class:`UsageError` where one cannot be read, or they are not of one size.
        """
        field = read_flo(self.flow)
        first, second = (self._read(path, field) for path in self.pictures)
        return first, second, field, known(field)

    def _read(self, path: Path, field: Field) -> Pixels:
        pixels = read_bgr(path)
        if pixels.shape[:2] != field.shape[:2]:
            raise UsageError(
                f"picture '{path}' is {pixels.shape[1]}x{pixels.shape[0]}, its flow '{self.flow.name}' "
                f"{field.shape[1]}x{field.shape[0]}; they have one size"
            )
        return pixels


def find_chairs(place: str) -> list[ChairsFiles]:
    """All pairs of the folder ``place``, by name; no picture is read.

    Raises :class:`UsageError` where there is no such folder, it holds none, or one is not whole.
    """
    if not place:
        raise UsageError("flow data 'chairs:' names no folder; write chairs:DIR")
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise UsageError(f"the folder of flow data '{folder}' does not exist; write chairs:DIR")
    flows = sorted(path for path in folder.glob(f"*{_FLOW}.flo") if not path.name.startswith("."))
    if not flows:
        raise UsageError(
            f"'{folder}' holds no flow data; each pair has NAME_img1.ppm, NAME_img2.ppm and NAME_flow.flo"
        )
    pairs = [ChairsFiles(path) for path in flows]
    for pair in pairs:
        for picture in pair.pictures:
            if not picture.is_file():
                raise UsageError(f"flow file '{pair.flow}' has no picture '{picture.name}' beside it")
    return pairs
