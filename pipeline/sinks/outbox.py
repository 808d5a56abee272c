"""An outbox: records on their way to a server, sent by a thread of their own: nobody waits for a network."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from keywarp.engines.errors import SinkError

_log = logging.getLogger("keywarp")

_CAPACITY = 256
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PATIENCE_S = 30.0
_GRACE_S = 1.0
_ABORT_GRACE_S = 0.3
_POLL_S = 0.05

ENDED = "not sent when the run ended"


class DeliveryError(Exception):
    """A server did not take a record. ``cause`` is said to the user; ``is_final``: asking again cannot help."""

    def __init__(self, cause: str, *, is_final: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.is_final = is_final


class Outbox:
    """A bounded queue and the thread that empties it through ``deliver``, in order.

    ``deliver`` gets up to ``batch`` records (they wait for each other ``batch_wait_s`` at most) and raises
    :class:`DeliveryError`; it is called again after 0.1 s, then after twice that, up to 5 s. ``abort`` makes a
    ``deliver`` under way fail soon. ``sent`` counts records taken by the server, ``lost`` the others, by cause.

    For a ``live`` stream ``put`` never waits: the oldest record gives way, and what the server refuses is
    counted and passed over. For a file ``put`` waits for room, every record is sent, and a server that
    takes none for 30 s, or refuses one, is a :class:`SinkError`. After :meth:`interrupt` and for live
    streams, :meth:`close` ends within 1.5 s, whatever the server does.
    """

    def __init__(
        self,
        deliver: Callable[[list[bytes]], None],
        *,
        place: str,
        batch: int = 1,
        batch_wait_s: float = 1.0,
        capacity: int = _CAPACITY,
        patience_s: float = _PATIENCE_S,
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        self._deliver, self._abort = deliver, abort
        self._place = place
        self._batch, self._batch_wait_s = batch, batch_wait_s
        self._capacity = max(capacity, batch)
        self._patience_s = patience_s
        self._waiting: deque[bytes] = deque()
        self._underway = 0  # records of the batch that is being sent
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._live = False
        self._is_ending = False
        self._interrupted = False
        self._deadline_s: float | None = None
        self._attempt_since_s: float | None = None
        self._failing_since_s: float | None = None
        self._failure: DeliveryError | None = None
        self._has_given_up = False
        self.sent = 0
        self.lost: Counter[str] = Counter()

    def open(self, live: bool) -> None:
        """Start the thread."""
        self._live = live
        self._thread = threading.Thread(target=self._work, name="keywarp-outbox", daemon=True)
        self._thread.start()

    def put(self, record: bytes) -> None:
        """Hand over a record. Raises :class:`SinkError` where a file's records cannot be sent."""
        with self._changed:
            if not self._live:
                self._wait_for_room()
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self.lost[self._cause()] += 1
            self._waiting.append(record)
            self._changed.notify_all()
        self._end_endless_attempt()

    def interrupt(self) -> None:
        """The run is to end: no waiting any more. Takes no lock."""
        self._interrupted = True

    def close(self) -> None:
        """Send what is left, or what can be sent in time, and end the thread. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        while thread.is_alive() and not self._is_late():
            thread.join(_POLL_S)
            self._end_endless_attempt()
        if thread.is_alive():
            self._abort()
            thread.join(_ABORT_GRACE_S)
        with self._changed:
            self._lose(len(self._waiting) + self._underway, ENDED)
            self._waiting.clear()
            self._underway = 0
        self._check()

    def note(self) -> str | None:
        """What was not sent, and why; None where all was."""
        if not self.lost:
            return None
        causes = ", ".join(f"{count} {cause}" for cause, count in self.lost.most_common())
        lost = self.lost.total()
        return f"{self._place}: {lost} of {lost + self.sent} records were not sent ({causes})"

    def _wait_for_room(self) -> None:
        while len(self._waiting) >= self._capacity and not self._interrupted:
            self._check()
            self._changed.wait(_POLL_S)
            self._end_endless_attempt()
        self._check()

    def _check(self) -> None:
        if self._has_given_up and not self._interrupted:
            self._interrupted = True  # say it once
            cause = self._failure.cause if self._failure else "unknown"
            raise SinkError(
                f"{self._place} does not take the records: {cause}; {self.sent} were sent. Check the address and "
                "the server, or write a file: --sink out.jsonl"
            )

    def _cause(self) -> str:
        return "too slow" if self._failure is None else self._failure.cause

    def _lose(self, count: int, cause: str) -> None:
        if count:
            self.lost[cause] += count

    def _lose_underway(self, cause: str) -> None:
        with self._changed:
            self._lose(self._underway, cause)
            self._underway = 0

    def _is_late(self) -> bool:
        """Whether the time to send what is left is over; it runs from the first time that this is asked."""
        if self._deadline_s is None and (self._live or self._interrupted):
            self._deadline_s = time.monotonic() + _GRACE_S
        return self._deadline_s is not None and time.monotonic() >= self._deadline_s

    def _end_endless_attempt(self) -> None:
        """A server that sends a byte now and then would hold the thread forever."""
        since_s = self._attempt_since_s
        if since_s is not None and time.monotonic() - since_s > self._patience_s:
            self._abort()

    def _work(self) -> None:
        while batch := self._take():
            if not self._send(batch):
                return

    def _take(self) -> list[bytes]:
        """The next records, as soon as there are enough; none at the end."""
        with self._changed:
            while not self._waiting and not self._is_ending:
                self._changed.wait()
            full_by_s = time.monotonic() + self._batch_wait_s
            while len(self._waiting) < self._batch and not self._is_ending:
                left_s = full_by_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._underway = len(taken)
            self._changed.notify_all()
            return taken

    def _send(self, batch: list[bytes]) -> bool:
        """Send a batch, trying until it is taken; False where nothing more is to be sent."""
        pause_s = _FIRST_PAUSE_S
        while True:
            failure = self._try(batch)
            if failure is None:
                return True
            is_lost = failure.is_final if self._live else self._is_hopeless(failure)
            if is_lost:
                self._lose_underway(failure.cause)
                self._has_given_up = not self._live
                if self._has_given_up:
                    return False
            if not self._pause(pause_s):
                self._lose_underway(f"{ENDED} ({failure.cause})")
                return False
            if is_lost:
                return True
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try(self, batch: list[bytes]) -> DeliveryError | None:
        self._attempt_since_s = time.monotonic()
        try:
            self._deliver(batch)
        except DeliveryError as error:
            if self._failure is None:
                self._failing_since_s = time.monotonic()
                if not self._is_ending:  # else it may be what close() has broken off
                    _log.warning("%s does not take records: %s", self._place, error.cause)
            self._failure = error
            return error
        except Exception as error:  # noqa: BLE001 - a thread that ended would let the queue fill up silently
            _log.debug("delivery failed", exc_info=True)
            self._failure = DeliveryError(type(error).__name__, is_final=True)
            return self._failure
        finally:
            self._attempt_since_s = None
        self._failure = None
        with self._changed:
            self.sent += self._underway
            self._underway = 0
        return None

    def _is_hopeless(self, failure: DeliveryError) -> bool:
        since_s = self._failing_since_s
        return failure.is_final or (since_s is not None and time.monotonic() - since_s > self._patience_s)

    def _pause(self, pause_s: float) -> bool:
        """Wait before another try; False where there is no time for one."""
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s:
            if self._interrupted or (self._live and self._is_ending):
                return False
            time.sleep(min(_POLL_S, max(0.0, until_s - time.monotonic())))
        return True
