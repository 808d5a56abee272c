"""The street scene and its frames."""

from __future__ import annotations

import operator
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.base import Mask, Size, StepFlow, readonly

from .painter import Drawing
from .truth import Truth, truth
from .world import SITES, World

SMALLEST_PX = 16
_KEPT_DRAWINGS = 3


@dataclass(frozen=True, slots=True)
class SceneBox:
    """An object in the picture.

    ``xyxy``: float pixels of its visible extent, right and bottom exclusive. ``visible``: the share of the
    pixels it covers in the picture that nothing hides, above 0 and up to 1. ``object_id`` is stable over time.
    """

    class_id: int
    object_id: int
    xyxy: tuple[float, float, float, float]
    visible: float


class SceneFrame:
    """One frame of a street; everything is made when first asked for, and its arrays are read-only.

    Used by one thread at a time, together with the other frames of its scene.
    """

    def __init__(self, scene: StreetScene, index: int) -> None:
        self.index = index
        self._scene = scene
        self._bgr: NDArray[np.uint8] | None = None
        self._classes: NDArray[np.uint8] | None = None
        self._truth: tuple[int, Truth] | None = None

    @property
    def bgr(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, the picture."""
        if self._bgr is None:
            canvas = self._scene._drawing(self.index).canvas
            self._bgr = readonly(cv2.cvtColor(canvas, cv2.COLOR_BGRA2BGR))
        return self._bgr

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(H, W) uint8, the CamVid label of each pixel; no pixel is without one."""
        if self._classes is None:
            drawing = self._scene._drawing(self.index)
            labels = np.array([piece.quad.label for piece in drawing.pieces], np.int16)
            self._classes = readonly(labels.astype(np.uint8).take(drawing.ids))
        return self._classes

    @property
    def boxes(self) -> tuple[SceneBox, ...]:
        """Cars, pedestrians and bicyclists of which at least one pixel shows, by ``object_id``."""
        return _boxes(self._scene._drawing(self.index))

    def step(self, previous_index: int | None = None) -> StepFlow:
        """For each cell of this frame, where it was in frame ``previous_index`` (default: the one before).

        Exact for each pixel's own surface. ``valid`` is False where that place lay outside the picture or was
        hidden there. The first frame has none before it: its default step is zero and valid nowhere.
        """
        known = self._truth_to(previous_index)
        if known is None:
            still = StepFlow.still(self._scene.size)
            return StepFlow(readonly(still.field), readonly(~still.valid))
        return StepFlow(readonly(known.field), readonly(known.visible))

    def occluded(self, previous_index: int | None = None) -> Mask:
        """(H, W) bool: the cell's place in the previous frame lay in the picture, with something else before it."""
        known = self._truth_to(previous_index)
        if known is None:
            width, height = self._scene.size
            return readonly(np.zeros((height, width), np.bool_))
        return readonly(known.inside & ~known.visible)

    def _truth_to(self, previous_index: int | None) -> Truth | None:
        previous = self.index - 1 if previous_index is None else previous_index
        if previous_index is None and self.index == 0:
            return None
        if self._truth is None or self._truth[0] != previous:
            before = self._scene._drawing(self._scene._checked(previous))
            self._truth = previous, truth(self._scene._drawing(self.index), before)
        return self._truth[1]


def _boxes(drawing: Drawing) -> tuple[SceneBox, ...]:
    """Boxes of the objects whose pieces show."""
    boxes = []
    for object_id in sorted(drawing.objects):
        whole = drawing.objects[object_id]
        left, top, right, bottom = whole.roi
        part = drawing.ids[top:bottom, left:right]
        own = (part >= whole.first) & (part <= whole.last)
        count = int(np.count_nonzero(own))
        if count:
            columns, rows = np.flatnonzero(own.any(0)), np.flatnonzero(own.any(1))
            low = float(left + columns[0]), float(top + rows[0])
            high = float(left + columns[-1] + 1), float(top + rows[-1] + 1)
            label = drawing.pieces[whole.last].quad.label
            boxes.append(SceneBox(label, object_id, (*low, *high), count / whole.pixels))
    return tuple(boxes)


class StreetScene:
    """A drive down a street that never ends, made up from ``seed``, with exact truth for every frame.

    ``size``: (width, height), at least 16 x 16. ``rate``: frames a second. ``length``: frames, or None for
    an endless street. Frame i shows time i / rate, so scenes that differ in rate show the same drive.
    ``kind``: "town" or "motorway". Raises UsageError for anything else in any of them.
    """

    def __init__(
        self,
        *,
        size: Size = (640, 360),
        rate: int | Fraction = 30,
        length: int | None = 300,
        seed: int = 0,
        kind: str = "town",
    ) -> None:
        self._size = _checked_size(size)
        self._rate = _checked_rate(rate)
        if length is not None and (not isinstance(length, int) or length < 1):
            raise UsageError(f"length {length!r} is no number of frames: at least 1, or None for endless")
        if not isinstance(seed, int) or seed < 0:
            raise UsageError(f"seed {seed!r} is no whole number from 0 up")
        if kind not in SITES:
            raise unknown_name("kind of street", kind, SITES)
        self._length = length
        self._seed = seed
        self._kind = kind
        self._world: World | None = None
        self._kept: OrderedDict[int, Drawing] = OrderedDict()

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self._size

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return self._rate

    @property
    def length(self) -> int | None:
        """Frames, or None for endless."""
        return self._length

    @property
    def seed(self) -> int:
        """What the street is made up from."""
        return self._seed

    @property
    def kind(self) -> str:
        """What the drive leads through: town or motorway."""
        return self._kind

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("an endless street has no len(); give length= a number of frames")
        return self._length

    def frame(self, index: int) -> SceneFrame:
        """Frame ``index``, in any order; IndexError outside 0 .. length - 1."""
        return SceneFrame(self, self._checked(index))

    def _checked(self, index: int) -> int:
        number = operator.index(index)
        if number < 0 or (self._length is not None and number >= self._length):
            last = "" if self._length is None else str(self._length - 1)
            raise IndexError(f"frame {number} is outside 0..{last}")
        return number

    def _drawing(self, index: int) -> Drawing:
        """The drawing of frame ``index``; the last few are kept for steps between them."""
        drawing = self._kept.get(index)
        if drawing is None:
            if self._world is None:
                self._world = World(self._size, self._seed, self._kind)
            drawing = self._world.draw(float(index / self._rate))
            self._kept[index] = drawing
            if len(self._kept) > _KEPT_DRAWINGS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return drawing


def _checked_size(size: Size) -> Size:
    try:
        width, height = map(operator.index, size)
    except (TypeError, ValueError):
        raise UsageError(f"size {size!r} is no pair (width, height) of whole numbers") from None
    if min(width, height) < SMALLEST_PX:
        raise UsageError(f"size {width}x{height} is too small: at least {SMALLEST_PX}x{SMALLEST_PX} pixels")
    return width, height


def _checked_rate(rate: int | Fraction) -> Fraction:
    try:
        fraction = Fraction(rate)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise UsageError(f"rate {rate!r} is no number of frames a second, such as 30") from None
    if fraction <= 0:
        raise UsageError(f"rate {rate!r} must be above 0 frames a second")
    return fraction
