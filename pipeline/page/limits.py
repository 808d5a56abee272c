"""How much a viewer may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_BODY_BYTES = 64 * 1024
MOST_HEADER_BYTES = 16 * 1024
MOST_MESSAGE_BYTES = 4096
COMMANDS_PER_S = 30.0
MESSAGES_PER_S = 300.0
"""Acknowledgements and commands together; who sends more is no page of ours."""

SPARE_CONNECTIONS = 64
"""Connections beside the viewers': assets, metrics, snapshots."""

IDLE_S = 10.0
"""For a request's head or body to arrive, and for a closing connection to take what is left for it."""

ANSWER_S = 30.0
"""For an answer to be taken, where it is no stream."""

STUCK_S = 20.0
"""For a viewer to take a picture."""


class Allowance:
    """So many a second, and as many at once."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = per_s
        self._last_s = clock()

    def take(self) -> bool:
        """Use one up; False where none is left."""
        now_s = self._clock()
        self._left = min(self._per_s, self._left + (now_s - self._last_s) * self._per_s)
        self._last_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
