"""One try to read a live stream, in a thread that may be left behind."""

from __future__ import annotations

import threading
from collections import deque

from keywarp.engines.errors import SourceError
from keywarp.pipeline.frame import Frame, over_drop
from keywarp.pipeline.stage import StreamInfo
from keywarp.pipeline.threads import step_back

from .base import Source

# Frames that may wait to be taken: enough for what one packet of a network brings, too few to get old.
_HANDOVER_FRAMES = 4

UNREAD = "unread"
EARLY = "early"


class Connection:
    """A source that a thread of its own opens, reads and closes.

    Frames wait in a short queue, where the oldest gives way to the newest, counted in the source's losses: as
    ``early`` before :attr:`wanted` is set, as ``unread`` after it. ``changed`` is notified of all that happens.
    """

    def __init__(self, source: Source, changed: threading.Condition) -> None:
        self.source = source
        self.changed = changed
        self.info: StreamInfo | None = None
        self.error: BaseException | None = None
        self.finished = False
        self.wanted = False
        self.start_ns = self.heard_ns = source.clock.now_ns()
        self._left = False
        self._frames: deque[tuple[int, Frame]] = deque()
        # A daemon: a read that hangs must not keep the program from ending
        self._thread = threading.Thread(target=self._run, name="keywarp-reader", daemon=True)

    def start(self) -> None:
        """Begin to open the source."""
        self._thread.start()

    def take(self) -> tuple[int, Frame] | None:
        """The next frame, with the time when it was handed over; None where there is none yet."""
        with self.changed:
            return self._frames.popleft() if self._frames else None

    @property
    def has_news(self) -> bool:
        """Whether there is a frame to take, or the source has ended."""
        return self.finished or bool(self._frames)

    @property
    def is_over(self) -> bool:
        """Whether the source has ended, and all its frames are taken."""
        return self.finished and not self._frames

    def leave(self) -> None:
        """Let the thread close the source as soon as its call under way returns. Does not wait for it."""
        self._left = True
        self.source.interrupt()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end. False where it did not in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        step_back()
        kept = False
        try:
            info = self.source.open()
            kept = not info.live
            with self.changed:
                self.info = info
                self.changed.notify_all()
            if info.live and not self._left:
                self._read()
        except BaseException as error:  # noqa: BLE001 - it is raised or told by the thread that waits
            self.error = error
        finally:
            if not kept or self._left:
                self.source.close()
            with self.changed:
                self.finished = True
                self.changed.notify_all()

    def _read(self) -> None:
        clock = self.source.clock
        for frame in self.source.frames():
            if self._left:
                return
            with self.changed:
                self.heard_ns = clock.now_ns()
                self._frames.append((self.heard_ns, frame))
                if len(self._frames) > _HANDOVER_FRAMES:
                    self._drop_oldest()
                    self.source.losses.add(UNREAD if self.wanted else EARLY)
                self.changed.notify_all()
        if not self._left:
            raise SourceError("the stream ended")

    def _drop_oldest(self) -> None:
        _, lost = self._frames.popleft()
        came_ns, following = self._frames[0]
        self._frames[0] = came_ns, over_drop(lost, following)
