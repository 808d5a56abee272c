"""The course of a run: what all its threads know of it, and change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from .clock import Clock
from .frame import Frame


class Course:
    """The state of one run: its clock, what was counted, whether it is to end, and the first error.

    ``paused`` is asked before each frame. ``interrupts`` are called by every :meth:`stop`: they let what waits for
    a device or a person return soon. ``frames_in`` counts the source's frames, ``frozen`` those shown again while
    it was interrupted; only the source's thread counts them. Any thread may call the methods.
    """

    def __init__(self, clock: Clock, paused: Callable[[], bool]) -> None:
        self.clock = clock
        self.paused = paused
        self.interrupts: list[Callable[[], None]] = []
        self.stopping = False
        self.error: BaseException | None = None
        self.frames_in = 0
        self.frozen = 0
        self.dropped: Counter[str] = Counter()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Let the run end after the current frame. Takes no lock: a signal handler may call it."""
        self.stopping = True
        for interrupt in self.interrupts:
            interrupt()

    def fail(self, error: BaseException) -> None:
        """Let the run end because of ``error``; where there was one before, that is the one that counts."""
        with self._lock:
            if self.error is None:
                self.error = error
        self.stop()

    def drop(self, frame: Frame, cause: str) -> None:
        """Count a frame that is dropped. A frozen one counts nowhere."""
        if frame.frozen:
            return
        with self._lock:  # the source's thread and the first stage's both drop
            self.dropped[cause] += 1
