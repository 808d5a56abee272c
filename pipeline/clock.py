"""The clock is an argument: everything that measures time is given one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time. ``now_ns`` never goes back; its zero has no meaning."""

    def now_ns(self) -> int:
        """The time in nanoseconds."""
        ...


class MonotonicClock:
    """The machine's own clock."""

    now_ns = staticmethod(time.perf_counter_ns)


class ManualClock:
    """A clock that stands still until it is moved, for tests."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The time that the clock was last moved to."""
        return self._now_ns

    def advance_ms(self, milliseconds: float) -> None:
        """Move the clock on."""
        self._now_ns += round(milliseconds * 1e6)
