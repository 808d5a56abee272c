"""Signals that end a run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

_ONE_SIGNAL_S = 0.5


class Stoppable(Protocol):
    """A run, or several."""

    def stop(self) -> None:
        """End it. Safe in a signal handler."""
        ...


@contextmanager
def signals_stop(run: Stoppable) -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the stream in good order; a second one, later, ends the process at once.

    Not one that comes with the first: `timeout`, and terminals, send one to the process and one to its group.
    """
    caught: list[int] = []
    first_s = 0.0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first_s
        if caught and time.monotonic() < first_s + _ONE_SIGNAL_S:
            return
        first_s = time.monotonic()
        if caught:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        caught.append(number)
        run.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
