"""One budget of CPU threads for all that compute. Left alone, each library takes every core for itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2

from keywarp.engines.errors import UsageError


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """How many threads each part may use at once."""

    engine: int
    decoder: int
    encoder: int
    opencv: int

    @staticmethod
    def divide(total: int | None) -> ThreadBudget:
        """The shares of ``total`` threads (None: all cores of this process).

        The engine may use all of them, since nothing else on a frame can run beside a key frame's full run.
        Decoder and encoder take half each: they run beside each other. OpenCV's work is too small to share.
        """
        if total is not None and total < 1:
            raise UsageError(f"{total} threads are not possible; give 1 or more, or leave it to the machine")
        cores = (
            total or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        half = max(1, cores // 2)
        return ThreadBudget(engine=cores, decoder=half, encoder=half, opencv=1)

    def apply_to_opencv(self) -> None:
        """Set OpenCV's own number of threads, which is one for the whole process."""
        cv2.setNumThreads(self.opencv)
