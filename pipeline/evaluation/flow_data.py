"""Pictures with true flow: FlyingChairs in a folder, and the drawn street."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.base import Field, Mask, StepFlow, readonly
from keywarp.models.chairs import find_chairs
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
    kind, _, rest = spec.partition(":")
    if kind not in KINDS:
        raise unknown_name("flow data", kind, KINDS)
    if kind == CHAIRS:
        return [Chairs(rest)]
    distances, options = _take_distance(rest)
    return [Street(f"{STREET}:{options}", distance) for distance in distances]


class Chairs(FlowData):
    """FlyingChairs in the folder ``place``, see :mod:`keywarp.models.chairs`."""

    def __init__(self, place: str) -> None:
        self._pairs = find_chairs(place)
        self.name = f"{CHAIRS}:{Path(place).expanduser()}"
        self.distance = 1

    def __len__(self) -> int:
        return len(self._pairs)

    def examples(self) -> Iterator[FlowExample]:
        """Each pair, read when it is its turn."""
        for files in self._pairs:
            current, to, truth, valid = files.read()
            yield FlowExample(files.name, (readonly(to), readonly(current)), truth, valid)


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
