"""Presentation times of a stream that comes back: they follow the real time that passed."""

from __future__ import annotations

from fractions import Fraction

# A stream whose own times are this far from the clock's has jumped, and is set right.
_MOST_DRIFT_NS = 5 * 10**9


class RealTime:
    """Places frames of one connection after another, and repeated ones, on one rising line of times.

    Within a connection the stream's own times are kept; each connection begins where the clock is. Times are in
    ticks of ``time_base`` seconds.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._ns_per_tick = time_base * 10**9
        self._start: tuple[int, Fraction] | None = (
            None  # the clock's and the stream's time of the first frame
        )
        self._offset = Fraction(0)
        self._last: int | None = None

    def place(self, pts: int, time_base: Fraction, now_ns: int, *, anew: bool) -> int:
        """The time of a frame that came ``now_ns``, ``pts`` in ticks of its own ``time_base``.

        ``anew``: it is the first of its connection.
        """
        own = pts * time_base / self._time_base
        if self._start is None:
            self._start = now_ns, own
        away = self._real(now_ns) - (own + self._offset)
        if anew or abs(away) * self._ns_per_tick > _MOST_DRIFT_NS:
            self._offset += away
        return self._rise(own + self._offset)

    def repeat(self, now_ns: int) -> int:
        """The time of the last frame again, ``now_ns``."""
        return self._rise(self._real(now_ns))

    def _real(self, now_ns: int) -> Fraction:
        assert self._start is not None
        start_ns, own = self._start
        return own + (now_ns - start_ns) / self._ns_per_tick

    def _rise(self, ticks: Fraction) -> int:
        self._last = round(ticks) if self._last is None else max(self._last + 1, round(ticks))
        return self._last
