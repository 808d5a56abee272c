"""One budget of CPU threads for all that compute. Left alone, each library takes every core for itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import cv2

from keywarp.engines.errors import UsageError


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# How far decoding, drawing and encoding step back behind the models, whose results everything waits for. Enough
# to settle who goes first on a full machine, too little to lose much to other programs.
_NICE = 4


def step_back() -> None:
    """Let the engines' threads have a core before the calling one, where the system has priorities for threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Shared:
    """A setting of the whole process that several runs at once may want: the first makes it, the last undoes it.

    ``make`` makes it and returns what undoes it.
    """

    def __init__(self, make: Callable[[], Callable[[], None]]) -> None:
        self._make = make
        self._undo: Callable[[], None] = lambda: None
        self._holders = 0
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block the setting is made."""
        with self._lock:
            if self._holders == 0:
                self._undo = self._make()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._undo()


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """How many threads each part may use at once."""

    engine: int
    decoder: int
    encoder: int
    opencv: int

    @staticmethod
    def divide(total: int | None, models: int = 1) -> ThreadBudget:
        """The shares of ``total`` threads (None: all cores of this process), for each of ``models`` an engine.

        No part gets more than ``total``; at times the parts together want more, and share the cores. The engine
        may use all, since a key frame's full run holds up every frame behind it; several models divide them.
        Decoder and encoder take half each, as they run beside each other. OpenCV's work is too small to share.
        """
        if total is not None and total < 1:
            raise UsageError(f"{total} threads are not possible; give 1 or more, or leave it to the machine")
        threads = total or available_cores()
        half = max(1, threads // 2)
        return ThreadBudget(engine=max(1, threads // models), decoder=half, encoder=half, opencv=1)

    @contextmanager
    def applied_to_opencv(self) -> Iterator[None]:
        """Within the block OpenCV, whose number of threads is the whole process's, keeps to its share."""
        with _OPENCV.held():
            cv2.setNumThreads(self.opencv)
            yield


def _keep_opencv() -> Callable[[], None]:
    before = cv2.getNumThreads()
    return lambda: cv2.setNumThreads(before)


_OPENCV = Shared(_keep_opencv)
