"""Pictures with true flow: FlyingChairs in a folder, and the drawn street."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.base import Field, Mask, StepFlow, readonly
from keywarp.flow.flo import known, read_flo
from keywarp.pipeline.frame import Frame, OnDemand
from keywarp.pipeline.picture import Picture, Pixels

from .streets import street_of

CHAIRS, STREET = "chairs", "street"
KINDS = (CHAIRS, STREET)
DISTANCES = (1, 5)
_MOST_PAIRS = 24
_TIME_BASE = Fraction(1, 30)


@dataclass(frozen=True, slots=True)
class FlowExample:
    """Consecutive pictures, the key frame's first, with the true flow from the last of them to the first.

    ``pictures``: (H, W, 3) uint8 BGR each. ``truth``: (H, W, 2) in pixels, known where ``valid``. ``steps`` make
    the exact step flow of each picture but the first, where the data has it.
    """

    name: str
    pictures: Sequence[Pixels]
    truth: Field
    valid: Mask
    steps: Sequence[Callable[[], StepFlow]] | None = None

    def frames(self) -> list[Frame]:
        """The pictures as frames that nobody has looked at yet: no brightness and no other size is made."""
        known: Sequence[Callable[[], StepFlow] | None] = self.steps or [None] * (len(self.pictures) - 1)
        steps = [None, *known]
        return [
            Frame(
                i, i, _TIME_BASE, 0, Picture.from_bgr(pixels), step=None if step is None else OnDemand(step)
            )
            for i, (pixels, step) in enumerate(zip(self.pictures, steps, strict=True))
        ]


class FlowData(ABC):
    """Examples of one kind. ``distance``: how many frames the last picture of each lies after the first.

    ``knows_step``: whether the examples have steps of their own.
    """

    name: str
    distance: int
    knows_step: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def examples(self) -> Iterator[FlowExample]:
        """One after the other, always in the same order."""


def flow_data(spec: str) -> list[FlowData]:
    """``chairs:DIR``, or ``street:`` with the options of the source and ``distance=5``.

    Without a distance the street has two: a frame after the other, and 5 frames apart. Raises
    :class:`UsageError` for anything else.
    """
    kind, colon, rest = spec.partition(":")
    if kind not in KINDS:
        raise unknown_name("flow data", kind, KINDS)
    if kind == CHAIRS:
        if not colon or not rest:
            raise UsageError(f"flow data '{spec}' names no folder; write {CHAIRS}:DIR")
        return [Chairs(Path(rest).expanduser())]
    distances, options = _take_distance(rest)
    return [Street(f"{STREET}:{options}", distance) for distance in distances]


class Chairs(FlowData):
    """FlyingChairs (Dosovitskiy et al. 2015): NAME_img1.ppm, NAME_img2.ppm, NAME_flow.flo in one folder.

    Their flow leads from img1 to img2, in img1's grid: img1 is the current picture, and img2 the one that the
    flow leads to.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{CHAIRS}:{folder}"
        self.distance = 1
        if not folder.is_dir():
            raise UsageError(f"the folder of flow data '{folder}' does not exist; write {CHAIRS}:DIR")
        self._files = sorted(folder.glob("*_flow.flo"))
        self._files = [path for path in self._files if not path.name.startswith(".")]
        if not self._files:
            raise UsageError(
                f"'{folder}' holds no flow data; each pair has NAME_img1.ppm, NAME_img2.ppm and NAME_flow.flo"
            )
        for path in self._files:
            for picture in _pictures_of(path):
                if not picture.is_file():
                    raise UsageError(f"flow file '{path}' has no picture '{picture.name}' beside it")

    def __len__(self) -> int:
        return len(self._files)

    def examples(self) -> Iterator[FlowExample]:
        """Each pair, read when it is its turn."""
        for path in self._files:
            truth = read_flo(path)
            to, current = (_read(picture, truth, path) for picture in _pictures_of(path)[::-1])
            yield FlowExample(path.stem.removesuffix("_flow"), (to, current), truth, known(truth))


class Street(FlowData):
    """The drawn street, with its exact flow from frame i to frame i - ``distance``.

    ``options``: the source's text. At most 24 places, evenly over the street's length; their pixels count where
    they are in sight in both frames.
    """

    knows_step = True

    def __init__(self, options: str, distance: int) -> None:
        self._scene, length = street_of(options)
        if not 1 <= distance < length:
            raise UsageError(
                f"a distance of {distance} frames is not possible in a street of {length}; "
                f"it is 1 to {length - 1}"
            )
        self.name = options
        self.distance = distance
        last = length - 1
        self._places = sorted({*np.linspace(distance, last, min(_MOST_PAIRS, length - distance)).astype(int)})

    def __len__(self) -> int:
        return len(self._places)

    def examples(self) -> Iterator[FlowExample]:
        """Drawn when it is their turn."""
        for place in map(int, self._places):
            frames = [self._scene.frame(index) for index in range(place - self.distance, place + 1)]
            pictures = [frame.bgr for frame in frames]
            truth = frames[-1].step(place - self.distance)
            steps = [frame.step for frame in frames[1:]]
            yield FlowExample(str(place), pictures, truth.field, truth.valid, steps)


def _take_distance(options: str) -> tuple[Sequence[int], str]:
    """The distances that the street's options name, and the other options."""
    distances: Sequence[int] = DISTANCES
    others = []
    for part in options.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key != "distance" or not equals:
            others.append(part)
        elif value.isascii() and value.isdecimal() and int(value):
            distances = [int(value)]
        else:
            raise UsageError(
                f"{STREET}: option 'distance' is a number of frames, such as 5; given: '{value}'"
            )
    return distances, ",".join(others)


def _pictures_of(flow: Path) -> list[Path]:
    stem = flow.stem.removesuffix("_flow")
    return [flow.with_name(f"{stem}_img{number}.ppm") for number in (1, 2)]


def _read(path: Path, truth: Field, flow: Path) -> Pixels:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if pixels is None:
        raise UsageError(f"picture '{path}' cannot be read; is it damaged?")
    if pixels.shape[:2] != truth.shape[:2]:
        raise UsageError(
            f"picture '{path}' is {pixels.shape[1]}x{pixels.shape[0]}, its flow '{flow.name}' "
            f"{truth.shape[1]}x{truth.shape[0]}; they have one size"
        )
    return readonly(pixels)
