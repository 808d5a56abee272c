"""Frames: one picture of a stream, with its place in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size, StepFlow
from keywarp.flow.compose import join
from keywarp.flow.motion_vectors import VectorChain

from .picture import Picture

Value = TypeVar("Value")


class OnDemand(Generic[Value]):
    """A value that is made when it is first asked for, once, by whichever thread asks."""

    __slots__ = ("_lock", "_make", "_value")

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make: Callable[[], Value] | None = make
        self._value: Value | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Value:
        """The value."""
        with self._lock:
            if self._make is not None:
                self._value = self._make()
                self._make = None  # what it was made from may go
        return self._value  # type: ignore[return-value]

    def anew(self) -> OnDemand[Value]:
        """The same value, to be made once more. Only before this one is made: what it takes is gone then."""
        with self._lock:
            if self._make is None:
                raise RuntimeError("this value was made already; what it was made from is gone")
            return OnDemand(self._make)


class JoinedStep(OnDemand[StepFlow]):
    """The step flow over one or more dropped frames, from the steps of each of them and the delivered one."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[OnDemand[StepFlow], ...]) -> None:
        super().__init__(lambda: reduce(lambda earlier, later: join(later, earlier), (p() for p in parts)))
        self._parts = parts

    @staticmethod
    def of(earlier: OnDemand[StepFlow] | None, later: OnDemand[StepFlow] | None) -> OnDemand[StepFlow] | None:
        """``later`` led to a frame that is dropped, and ``earlier`` from there on; None where one is unknown."""
        if earlier is None or later is None:
            return None
        # Flat up to a length, since a long stall would nest deeper than the interpreter allows.
        flat = isinstance(earlier, JoinedStep) and len(earlier._parts) < _FLAT_STEPS
        return JoinedStep((*(earlier._parts if flat else (earlier,)), later))  # type: ignore[attr-defined]


_FLAT_STEPS = 64
# Vectors of more frames in a row than this, joined, say little.
_MOST_JOINED = 16


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as a source delivers it.

    ``index`` counts the frames of the source from 0; a gap is a drop. ``pts`` is the presentation time in
    units of ``time_base`` seconds. ``capture_ns`` is the graph's clock when the picture was captured (live)
    or came out of the decoder. ``picture_type`` is the codec's I, P or B where it says so; None too where the codec
    knows no other than I. ``step`` makes the step flow from the previous delivered frame where the source knows it
    (a scene). ``vectors``: what the codec says of the motion since then, an entry for each frame of the stream,
    this one's last; empty where nothing is known of it.
    ``frozen``: the stream is interrupted, and this is its last picture again. ``after_gap``: the first frame
    after an interruption; nothing from before it may be carried on.
    """

    index: int
    pts: int
    time_base: Fraction
    capture_ns: int
    picture: Picture
    picture_type: str | None = None
    step: OnDemand[StepFlow] | None = None
    vectors: VectorChain = ()
    frozen: bool = False
    after_gap: bool = False

    def anew(self) -> Frame:
        """The same frame with nothing made of it yet, to be used again as if it had just come. Only of a frame that
        nobody has used."""
        step = None if self.step is None else self.step.anew()
        vectors = tuple(None if each is None else each.anew() for each in self.vectors)
        return replace(self, picture=self.picture.anew(), step=step, vectors=vectors)

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.picture.size

    @property
    def bgr(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, read-only."""
        return self.picture.bgr

    def scaled(self, size: Size) -> Picture:
        """The picture at ``size`` (width, height), made at most once."""
        return self.picture.scaled(size)

    def gray(self, size: Size | None = None) -> NDArray[np.uint8]:
        """Brightness, (H, W) uint8, read-only, at ``size`` (None: as it is)."""
        return self.picture.gray(size)

    def bgr_at(self, size: Size) -> NDArray[np.uint8]:
        """:attr:`bgr` scaled to ``size`` (width, height), made at most once."""
        return self.picture.bgr_at(size)

    @property
    def known_step(self) -> StepFlow | None:
        """The step flow from the previous delivered frame, where the source knows it."""
        return None if self.step is None else self.step()


def over_drop(lost: Frame, frame: Frame) -> Frame:
    """``frame``, once ``lost``, the one before it, is dropped: its step flow and vectors now lead over the gap."""
    chain = (*lost.vectors, *frame.vectors) if lost.vectors and frame.vectors else ()
    return replace(
        frame,
        step=JoinedStep.of(lost.step, frame.step),
        vectors=chain if len(chain) <= _MOST_JOINED else (),
        after_gap=lost.after_gap or frame.after_gap,
    )
