"""Presentation times that rise, whatever the container says."""

from __future__ import annotations

from fractions import Fraction

GLITCH_FRAMES = 3
"""A time that is less than this many frames early is a slip of the encoder, a greater step back a new beginning."""


class Timeline:
    """Gives each frame its time, in ticks of ``time_base`` seconds: the container's own wherever it rises.

    A frame without a time follows the one before it by one frame's duration; a stream that starts again
    (joined recordings) goes on from there; a time that is a little too early moves up by one tick.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._step = max(1, round(1 / (time_base * (rate or 25))))
        self._glitch = GLITCH_FRAMES * self._step
        self._offset = 0
        self._last: int | None = None

    def place(self, pts: int | None) -> int:
        """The time of the next frame, given what the container says."""
        self._last = self._next(pts)
        return self._last

    def _next(self, pts: int | None) -> int:
        last = self._last
        if pts is None:
            return 0 if last is None else last + self._step
        moved = pts + self._offset
        if last is None or moved > last:
            return moved
        if last - moved < self._glitch:
            return last + 1
        self._offset += last + self._step - moved
        return last + self._step
