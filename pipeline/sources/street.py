"""The procedural street as a source: frames with exact step flow, for demos, tests and training."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

from keywarp.flow.base import Size, StepFlow
from keywarp.flow.scenes.street import StreetScene
from keywarp.pipeline.frame import Frame, OnDemand
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .pace import Pace
from .rate import Rate, exact_rate

LATE = "late"


class StreetSource(Source):
    """A drive down a made-up street; each frame knows its exact step flow from the one before it.

    ``length``: frames, None for endless. The same arguments give the same frames. With ``live`` the frames
    come at ``rate`` by the clock, as from a camera: what could not be drawn in time is left out, counted as
    ``late``, and the step flow leads over the gap. :attr:`scene` has the truth: classes, boxes, occlusion.
    """

    def __init__(
        self,
        *,
        size: Size = (640, 360),
        rate: Rate = 30,
        length: int | None = 300,
        seed: int = 0,
        live: bool = False,
    ) -> None:
        super().__init__()
        self._rate = exact_rate(rate)
        make = partial(StreetScene, size=size, rate=self._rate, length=length, seed=seed)
        self._drawn = make()  # only for drawing, under the lock: steps are asked for by other threads
        self._lock = threading.Lock()
        self._scene = make()
        self._length = length
        self._live = live
        self._pace = Pace()

    @property
    def scene(self) -> StreetScene:
        """The same street, for the caller to ask for the truth of a frame by its index; one thread at a time."""
        return self._scene

    @property
    def is_live(self) -> bool:
        """Whether frames come by the clock."""
        return self._live

    def open(self) -> StreamInfo:
        """Build the street and draw its first frame, which takes longest."""
        self._pace = Pace()
        with self._lock:
            _ = self._drawn.frame(0).bgr
        options = f"seed={self._scene.seed}" + (",live=1" if self._live else "")
        return StreamInfo(
            name=f"street:{options}",
            size=self._scene.size,
            rate=self._rate,
            time_base=Fraction(1, self._rate),
            frame_count=None if self._live else self._length,
            live=self._live,
            knows_step=True,
        )

    def frames(self) -> Iterator[Frame]:
        """The frames, drawn one by one."""
        start_ns = self.clock.now_ns()
        previous, index = None, 0
        while self._length is None or index < self._length:
            if self._live and not self._pace.wait_until(
                self.clock, start_ns + round(index / self._rate * 10**9)
            ):
                return
            yield self._draw(index, previous)
            previous, index = index, self._next(index, start_ns)

    def _next(self, index: int, start_ns: int) -> int:
        following = index + 1
        if not self._live:
            return following
        due = int((self.clock.now_ns() - start_ns) * self._rate / 10**9)
        if self._length is not None:
            due = min(due, self._length)
        if due > following:
            self.losses.add(LATE, due - following)
        return max(following, due)

    def _draw(self, index: int, previous: int | None) -> Frame:
        capture_ns = self.clock.now_ns()
        with self._lock:
            pixels = self._drawn.frame(index).bgr
        if not self._live:
            capture_ns = self.clock.now_ns()
        step = OnDemand(partial(self._step, index, previous))
        return Frame(index, index, Fraction(1, self._rate), capture_ns, Picture.from_bgr(pixels), step=step)

    def _step(self, index: int, previous: int | None) -> StepFlow:
        with self._lock:
            return self._drawn.frame(index).step(previous)

    def interrupt(self) -> None:
        """End any waiting, and the stream with it."""
        self._pace.stop()

    def close(self) -> None:
        """End any waiting; frames that were delivered stay good."""
        self._pace.stop()
