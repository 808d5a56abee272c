"""A source made of numbers: for tests of everything that takes frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np

from keywarp.engines.errors import SourceError, UsageError
from keywarp.flow.base import Size, StepFlow, readonly
from keywarp.pipeline.frame import Frame, OnDemand
from keywarp.pipeline.picture import Picture, Pixels
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .pace import Pace


class SyntheticSource(Source):
    """Given pictures, or a texture that moves by ``motion_px`` (x to the right, y down) each frame.

    The moving texture's step flow is exact; ``pictures`` have none. ``indices``: the frames delivered, rising
    (default: 0 to ``length`` - 1); a gap is a drop, and the step flow leads over it. ``pts``: as many times
    in units of ``time_base`` (default: the indices). ``live``: what a graph takes for a camera; with
    ``paced`` frames come by the clock at their times. ``fails_at``: the index at which reading fails with
    :class:`SourceError`. Opened again, it starts again.
    """

    def __init__(
        self,
        pictures: Sequence[Pixels] | None = None,
        *,
        size: Size = (64, 48),
        length: int = 10,
        motion_px: tuple[int, int] = (2, 1),
        indices: Sequence[int] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 25),
        live: bool = False,
        paced: bool = False,
        fails_at: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._pictures = pictures
        self._indices = list(
            range(length if pictures is None else len(pictures)) if indices is None else indices
        )
        self._pts = list(self._indices if pts is None else pts)
        if len(self._pts) != len(self._indices) or not (_rises(self._indices) and _rises(self._pts)):
            raise UsageError("indices and pts rise, and there are as many of each")
        self._size = size if not pictures else (pictures[0].shape[1], pictures[0].shape[0])
        self._texture = np.random.default_rng(seed).integers(0, 256, (*self._size[::-1], 3), np.uint8)
        self._motion_px = motion_px
        self._time_base = time_base
        self._live, self._paced, self._fails_at = live, paced, fails_at
        self._pace = Pace()
        self.closed = 0
        """How often :meth:`close` was called."""

    def open(self) -> StreamInfo:
        """Start."""
        self._pace = Pace()
        return StreamInfo(
            name="synthetic",
            size=self._size,
            rate=1 / self._time_base,
            time_base=self._time_base,
            frame_count=None if self._live else len(self._indices),
            live=self._live,
            knows_step=True,
        )

    def frames(self) -> Iterator[Frame]:
        """The frames."""
        start_ns = self.clock.now_ns()
        previous: int | None = None
        for index, pts in zip(self._indices, self._pts, strict=True):
            due_ns = start_ns + round((pts - self._pts[0]) * self._time_base * 10**9)
            if self._paced and not self._pace.wait_until(self.clock, due_ns):
                return
            if self._fails_at is not None and index >= self._fails_at:
                raise SourceError(f"the synthetic source fails at frame {self._fails_at}, as it was told to")
            yield Frame(
                index,
                pts,
                self._time_base,
                self.clock.now_ns(),
                self._picture(index),
                step=self._step(index, previous),
            )
            previous = index

    def _picture(self, index: int) -> Picture:
        if self._pictures is not None:
            return Picture.from_bgr(readonly(self._pictures[index]))
        x, y = self._motion_px
        return Picture.from_bgr(readonly(np.roll(self._texture, (y * index, x * index), axis=(0, 1))))

    def _step(self, index: int, previous: int | None) -> OnDemand[StepFlow] | None:
        if self._pictures is not None:
            return None
        frames = 0 if previous is None else index - previous
        return OnDemand(
            partial(translation, self._size, (frames * self._motion_px[0], frames * self._motion_px[1]))
        )

    def interrupt(self) -> None:
        """End any waiting, and the stream with it."""
        self._pace.stop()

    def close(self) -> None:
        """End any waiting."""
        self.closed += 1
        self._pace.stop()


def translation(size: Size, motion_px: tuple[int, int]) -> StepFlow:
    """The step flow of a whole picture that moved by ``motion_px``; invalid where it came into view."""
    width, height = size
    x, y = motion_px
    still = StepFlow.still(size)
    field = still.field - np.array(motion_px, np.float32)
    columns, rows = np.arange(width) - x, np.arange(height) - y
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return StepFlow(readonly(field), readonly(inside))


def _rises(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
