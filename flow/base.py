"""Flow: the types that carry it, and what every estimator promises.

Conventions, everywhere in keywarp: a field has shape (H, W, 2), float32, x (columns, to the right) then
y (rows, down), in pixels *of its own grid*; it runs backwards in time, from a cell of the current frame to
where that cell was before. Sampling an old picture at ``cell + field[cell]`` lines it up with the new one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.base import Engine

if TYPE_CHECKING:
    from .motion_vectors import VectorChain

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Size = tuple[int, int]
"""(width, height) in pixels, as OpenCV has it."""


def resize_field(field: Field, size: Size) -> Field:
    """The same motion on a grid of ``size``: resized bilinearly, vectors in pixels of the new grid."""
    height, width = field.shape[:2]
    if (width, height) == size:
        return field
    factors = size[0] / width, size[1] / height, 0.0, 0.0
    if size[0] > width:  # scale the vectors where there are fewer of them
        return cv2.resize(cv2.multiply(field, factors), size, interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), factors)


def resize_mask(mask: Mask, size: Size) -> Mask:
    """A validity mask on a grid of ``size``, by nearest neighbour."""
    if mask.shape == (size[1], size[0]):
        return mask
    return cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)


@dataclass(frozen=True, slots=True)
class StepFlow:
    """For each cell of the CURRENT frame, where it was in the PREVIOUS DELIVERED frame.

    ``field``: (H, W, 2) float32, x then y, in pixels of its own grid. ``valid``: (H, W) bool; False where
    the previous frame shows nothing of this cell (outside the picture, or known to be hidden). The arrays
    are read-only by convention and shared by all models.
    """

    field: Field
    valid: Mask

    @property
    def size(self) -> Size:
        """Width and height of the grid."""
        return self.field.shape[1], self.field.shape[0]

    def resized(self, size: Size) -> StepFlow:
        """The same flow on a grid of ``size`` (width, height)."""
        return StepFlow(resize_field(self.field, size), resize_mask(self.valid, size))

    @staticmethod
    def still(size: Size) -> StepFlow:
        """The flow of a scene in which nothing moves."""
        width, height = size
        return StepFlow(np.zeros((height, width, 2), np.float32), np.ones((height, width), np.bool_))


@dataclass(frozen=True, slots=True)
class KeyFlow:
    """For each cell of the CURRENT frame, where it was in a KEY frame: one model's steps, composed.

    Fields as in :class:`StepFlow`; ``age`` counts the delivered frames since the key frame, 0 on it.
    """

    field: Field
    valid: Mask
    age: int

    @staticmethod
    def start(size: Size) -> KeyFlow:
        """The key flow on the key frame itself: zero everywhere."""
        still = StepFlow.still(size)
        return KeyFlow(still.field, still.valid, 0)


@dataclass(frozen=True, slots=True)
class PairFlow:
    """A FlowNet's answer for one pair (key, current): flow to the key frame, and that model's scale map.

    ``field`` (H, W, 2) as in :class:`StepFlow`, current to key. ``scale`` is (C, H, W) float32, the factor
    by which each warped feature is multiplied (Zhu et al. 2017, section 4.1), or None for 1 everywhere.
    """

    field: Field
    valid: Mask
    scale: NDArray[np.float32] | None = None


class Image(Protocol):
    """What an estimator may ask of a frame; :class:`keywarp.pipeline.frame.Frame` offers it."""

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        ...

    def gray(self, size: Size | None = None) -> NDArray[np.uint8]:
        """Brightness, (H, W) uint8, at ``size`` (None: as it is); made at most once, read-only."""
        ...

    def bgr_at(self, size: Size) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, C-contiguous, scaled to ``size``; made at most once, read-only."""
        ...

    @property
    def known_step(self) -> StepFlow | None:
        """The step flow from the previous delivered frame, where the source knows it."""
        ...

    @property
    def picture_type(self) -> str | None:
        """The codec's I, P or B, where it says so."""
        ...

    @property
    def vectors(self) -> VectorChain:
        """The codec's motion vectors of the frames since the previous delivered one, this one last; empty where
        nothing is known of them."""
        ...


class StepEstimator(ABC):
    """Estimates step flow between consecutive delivered frames.

    ``name`` is what ``--flow`` accepts. One thread at a time may call :meth:`step`: models that run side by
    side have an estimator each. Estimators keep no memory of frames. ``needs_known_step`` says that the flow
    is the source's own, so that it works only where :attr:`Image.known_step` is not None. ``wants_vectors``: it
    uses :attr:`Image.vectors`, which sources export only when they are wanted; ``needs_vectors``: it is for streams
    that have them.
    """

    name: str
    needs_known_step: bool = False
    wants_vectors: bool = False
    needs_vectors: bool = False

    @abstractmethod
    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow of ``current``; both pictures have the same size."""


@dataclass(frozen=True, slots=True)
class PairSetup:
    """How a pair estimator is to run: on which engine, in which precision, on how many threads (None: the engine's
    choice). ``scale_for``: the model whose features a scale map is wanted for, None where none is.
    """

    engine: Engine
    precision: str | None = None
    threads: int | None = None
    scale_for: str | None = None


class PairEstimator(ABC):
    """Estimates flow, and a scale map where it has one, for one pair of key frame and current frame.

    ``name`` is what ``--flow`` accepts. ``open``, then any number of pairs from one thread, then ``close``; then it
    may be opened again.
    """

    name: str

    @abstractmethod
    def open(self, setup: PairSetup, frame_size: Size) -> None:
        """Get ready for frames of one size. Raises UsageError for a size that it cannot take."""

    @property
    @abstractmethod
    def grid_size(self) -> Size:
        """Width and height of the flow's grid, once open."""

    @property
    @abstractmethod
    def scale_channels(self) -> int | None:
        """The channels of the scale map, once open; None where the flow comes without one."""

    @abstractmethod
    def pair(self, key: Image, current: Image) -> PairFlow:
        """The flow from ``current`` to ``key``; both pictures have the size of the frames.

        Its arrays may be the estimator's own: valid until the next call.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what was opened. May be called twice, and before ``open``."""


def readonly(array: NDArray[Any]) -> NDArray[Any]:
    """A view of ``array`` that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view
