"""Waiting for a moment of a clock, in a way that can be broken off."""

from __future__ import annotations

import time

from keywarp.pipeline.clock import Clock

# How soon a stop is noticed; a clock that stands still or jumps, as in tests, is looked at as often.
_LOOK_S = 0.02


class Pace:
    """Waits until a clock shows a time; :meth:`stop` ends all waiting, from any thread or signal handler."""

    def __init__(self) -> None:
        self._stopped = False  # no threading.Event: it has a lock, which a signal handler must not take

    def wait_until(self, clock: Clock, due_ns: int) -> bool:
        """Wait until ``clock`` shows ``due_ns``. False where the waiting was stopped."""
        while not self._stopped:
            left_s = (due_ns - clock.now_ns()) / 1e9
            if left_s <= 0:
                return True
            time.sleep(min(left_s, _LOOK_S))
        return False

    def stop(self) -> None:
        """End this waiting, and all to come."""
        self._stopped = True
