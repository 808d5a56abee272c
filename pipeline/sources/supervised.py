"""A live source that is watched over: it comes back when it breaks off, and its output never stalls."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from keywarp.engines.errors import KeywarpError, SourceError
from keywarp.flow.base import Size
from keywarp.pipeline.clock import Clock, MonotonicClock
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.stage import Losses, StreamInfo, StreamState, StreamStatus

from .base import Source
from .connection import Connection
from .realtime import RealTime

_NS = 10**9
# How soon an interrupt is noticed: its caller may be a signal handler, which takes no lock and wakes nobody.
_LOOK_S = 0.05
_CLOSE_S = 0.5
# A frame that is so much overdue is stood in for by the last one again, at this rate at most.
_OVERDUE_NS = _NS // 2
_SHORTEST_PERIOD_NS = _NS // 30
_LONGEST_PERIOD_NS = _NS
# How long a try to connect may take: at least, as a multiple of the first opening, and at most.
_LEAST_PATIENCE_NS = 3 * _NS
_PATIENCE_TIMES = 3
_MOST_PATIENCE_NS = 20 * _NS
# A stream that is slower than the watchdog expects: so many of its periods are no silence.
_SILENT_PERIODS = 3
_JITTER = 0.2
_MOST_NOTES = 20


class SupervisedSource(Source):
    """A live source, made anew by ``make`` for each connection, and read by a thread of its own.

    When the stream ends, breaks off, or brings nothing for ``silence_s`` (or three of its own periods), it is
    ``lost`` in :attr:`status`, and ``reconnect`` says how it is sought again; after ``tries`` in a row without
    a frame, ``frames`` raises :class:`SourceError`. Meanwhile, and whenever a frame is half a second overdue, the
    last one comes again, ``frozen``, at the stream's rate but 30 a second at most, captured now. The first good
    frame after frozen ones is ``after_gap``. Indices and times rise over all of it; times follow the clock. What
    comes back at another size is scaled to the first one's.

    :meth:`open` tries once and raises at once. A stream that turns out not to be live (a film by HTTP) is read as
    it is, without any of this. Frames that the graph does not take in time are dropped, the oldest first, and
    counted: ``early`` before it is ready, ``unread`` after. :meth:`interrupt` ends everything, an opening too, at
    once; a read that hangs is left to end by its own timeout in the background.
    """

    def __init__(self, make: Callable[[], Source], reconnect: ReconnectConfig | None = None) -> None:
        self._make = make
        self._config = reconnect or ReconnectConfig()
        self.clock: Clock = MonotonicClock()
        self.status = StreamStatus()
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._others: list[Connection] = []
        self._past = Losses()
        self._past_notes: list[str] = []
        self._sizes: dict[Size, int] = {}
        self._interrupted = False
        self._info: StreamInfo | None = None
        self._opening_ns = 0
        self._wants_vectors = False

    @property
    def losses(self) -> Losses:  # type: ignore[override]
        """What no connection could deliver, all together."""
        total = Losses(dict(self._past.by_cause))
        for connection in self._all():
            for cause, frames in dict(connection.source.losses.by_cause).items():
                total.add(cause, frames)
        return total

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """What the connections have to say, each thing once, and how often the stream came back."""
        said = [*self._past_notes, *(note for each in self._all() for note in list(each.source.notes))]
        notes = list(dict.fromkeys(said))[:_MOST_NOTES]
        name = self._info.name if self._info else ""
        if self.status.reconnects:
            notes.append(f"'{name}' was lost and came back {_times(self.status.reconnects)}")
        for (width, height), times in self._sizes.items():
            notes.append(f"'{name}' came back with {width}x{height} pixels {_times(times)}: scaled")
        return notes

    def want_vectors(self) -> None:
        """Want them of every connection."""
        self._wants_vectors = True

    def open(self) -> StreamInfo:
        """Open the stream. One try, which raises what the source raises."""
        self._interrupted = False
        start_ns = self.clock.now_ns()
        connection = self._connect()
        while connection.info is None and not connection.finished and not self._interrupted:
            self._wait(_LOOK_S)
        if connection.info is None:
            self._leave()
            raise connection.error or SourceError("the source was interrupted before its first frame")
        self._info = info = connection.info
        self._opening_ns = self.clock.now_ns() - start_ns
        self._enter("live")
        return info

    def frames(self) -> Iterator[Frame]:
        """The frames, fresh and frozen, for as long as the stream can be had back."""
        connection, info = self._connection, self._info
        if connection is None or info is None:
            raise SourceError("the source is not open; call open() first")
        try:
            if info.live:
                connection.wanted = True
                yield from _Watch(self, info, connection).frames()
            else:
                yield from connection.source.frames()
        finally:
            self._enter("ended", self.status.reason)

    def interrupt(self) -> None:
        """End everything within a moment, an opening too."""
        self._interrupted = True
        connection = self._connection
        if connection is not None:
            connection.source.interrupt()

    def close(self) -> None:
        """Leave the connection. Waits half a second for its thread, which else ends by itself."""
        connection = self._connection
        self._leave()
        if connection is not None:
            connection.join(_CLOSE_S)
        self._forget_ended()

    def _all(self) -> list[Connection]:
        return [*list(self._others), *([self._connection] if self._connection else [])]

    def _connect(self) -> Connection:
        self._forget_ended()
        source = self._make()
        source.clock = self.clock
        if self._wants_vectors:
            source.want_vectors()
        self._connection = connection = Connection(source, self._changed)
        connection.start()
        return connection

    def _leave(self) -> None:
        """Go on without the connection; its thread ends when it can."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._others.append(connection)
            connection.leave()

    def _forget_ended(self) -> None:
        """Keep of connections that are over only what they counted."""
        for connection in [each for each in self._others if each.join(0)]:
            connection.source.close()  # its thread leaves one open that is not live
            self._others.remove(connection)
            for cause, frames in connection.source.losses.by_cause.items():
                self._past.add(cause, frames)
            new = [note for note in connection.source.notes if note not in self._past_notes]
            self._past_notes += new[: _MOST_NOTES - len(self._past_notes)]

    def _wait(self, timeout_s: float) -> None:
        """Until something happens in a connection, for a moment at most; not at all where it just did."""
        with self._changed:
            if self._connection is None or not self._connection.has_news:
                self._changed.wait(max(0.0, min(timeout_s, _LOOK_S)))

    def _enter(self, state: StreamState, reason: str = "") -> None:
        status = self.status
        if state != status.state:
            status.since_ns = self.clock.now_ns()
        status.reason = reason
        status.state = state


class _Watch:
    """What ``frames`` of a live stream does: takes what comes, repeats what does not, and gets the stream back."""

    def __init__(self, owner: SupervisedSource, info: StreamInfo, connection: Connection) -> None:
        self._owner = owner
        self._clock = owner.clock
        self._config = owner._config
        self._info = info
        self._times = RealTime(info.time_base)
        self._index = -1
        self._last: Frame | None = None
        self._first_of = connection
        self._gap = False
        self._period_ns = _period_ns(info.rate)
        self._is_guess = info.rate is None
        self._fresh_ns = self._shown_ns = self._clock.now_ns()
        self._own_s: Fraction | None = None
        self._lost = False
        self._failed = 0
        self._delay_s = self._config.first_s
        self._next_try_ns = 0
        self._patience_ns = self._first_patience_ns = min(
            _MOST_PATIENCE_NS, max(_LEAST_PATIENCE_NS, _PATIENCE_TIMES * owner._opening_ns)
        )

    def frames(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            self._last = frame
            yield frame

    def _next(self) -> Frame | None:
        """The next frame, fresh or frozen; None where all is to end."""
        owner = self._owner
        while not owner._interrupted:
            now_ns = self._clock.now_ns()
            connection = owner._connection
            if connection is None:
                if now_ns >= self._next_try_ns:
                    owner._connect()
            elif (taken := connection.take()) is not None:
                return self._fresh(connection, *taken)
            elif (trouble := self._trouble(connection, now_ns)) is not None:
                self._lose(connection, trouble, now_ns)
            if self._last is not None and now_ns >= self._frozen_due_ns():
                return self._freeze(self._last, now_ns)
            owner._wait((self._frozen_due_ns() - now_ns) / _NS)
        return None

    def _fresh(self, connection: Connection, came_ns: int, frame: Frame) -> Frame:
        anew = self._first_of is not connection or self._last is None
        if self._lost:
            self._found(connection, frame)
        self._measure(frame, anew)
        self._fresh_ns = self._shown_ns = self._clock.now_ns()
        picture = frame.picture
        if picture.size != self._info.size:
            picture = picture.scaled(self._info.size)
        gap, self._gap = self._gap, False
        self._index += 1
        return replace(
            frame,
            index=self._index,
            pts=self._times.place(frame.pts, frame.time_base, came_ns, anew=anew),
            time_base=self._info.time_base,
            picture=picture,
            step=None if gap else frame.step,
            vectors=() if gap else frame.vectors,
            after_gap=gap,
        )

    def _found(self, connection: Connection, frame: Frame) -> None:
        """The stream is back, with ``frame``."""
        owner = self._owner
        self._lost, self._gap, self._failed = False, True, 0
        self._patience_ns = self._first_patience_ns
        self._first_of = connection
        connection.wanted = True
        if frame.picture.size != self._info.size:
            owner._sizes[frame.picture.size] = owner._sizes.get(frame.picture.size, 0) + 1
        owner.status.reconnects += 1
        owner._enter("live")

    def _measure(self, frame: Frame, anew: bool) -> None:
        """Follow the stream's own period, by its times."""
        own_s, before_s = frame.pts * frame.time_base, self._own_s
        self._own_s = own_s
        if before_s is not None and own_s > before_s and not anew:
            period_ns = min(_LONGEST_PERIOD_NS * 10, round((own_s - before_s) * _NS))
            self._period_ns += (period_ns - self._period_ns) // (1 if self._is_guess else 8)
            self._is_guess = False

    def _freeze(self, last: Frame, now_ns: int) -> Frame:
        self._gap = True
        self._shown_ns = now_ns
        self._index += 1
        pts = self._times.repeat(now_ns)
        return replace(
            last,
            index=self._index,
            pts=pts,
            capture_ns=now_ns,
            step=None,
            vectors=(),
            frozen=True,
            after_gap=False,
        )

    def _frozen_due_ns(self) -> int:
        period_ns = min(_LONGEST_PERIOD_NS, max(_SHORTEST_PERIOD_NS, self._period_ns))
        if self._last is not None and (self._lost or self._last.frozen):
            return self._shown_ns + period_ns
        return self._fresh_ns + max(self._period_ns, _SHORTEST_PERIOD_NS) + _OVERDUE_NS

    def _trouble(self, connection: Connection, now_ns: int) -> str | None:
        """Why the connection is to be given up; None where it is not."""
        if connection.is_over:
            error = connection.error
            if error is not None and not isinstance(error, KeywarpError):
                raise error
            return "it came back as a film with an end" if error is None else str(error)
        if self._lost:
            if now_ns - connection.start_ns < self._patience_ns:
                return None
            self._patience_ns = self._first_patience_ns = min(_MOST_PATIENCE_NS, 2 * self._patience_ns)
            return "it did not answer in time"
        silence_ns = max(round(self._config.silence_s * _NS), _SILENT_PERIODS * self._period_ns)
        if now_ns - connection.heard_ns < silence_ns:
            return None
        return f"nothing came for {silence_ns / _NS:.1f} s"

    def _lose(self, connection: Connection, reason: str, now_ns: int) -> None:
        """Give the connection up, and say when to try again."""
        owner, config = self._owner, self._config
        owner._leave()
        if self._lost:
            self._failed += 1
        else:
            self._lost = True
            owner._enter("lost", reason)
            if now_ns - connection.start_ns > self._delay_s * _NS:
                self._delay_s = config.first_s
        if config.tries is not None and self._failed >= config.tries:
            raise SourceError(self._given_up(config.tries, reason))
        self._next_try_ns = now_ns + round(self._delay_s * (1 - _JITTER * random.random()) * _NS)
        self._delay_s = min(config.longest_s, 2 * self._delay_s)

    def _given_up(self, tries: int, reason: str) -> str:
        lost = f"'{self._info.name}' was lost ({self._owner.status.reason})"
        if not tries:
            return f"{lost}; let it be sought again with reconnect.tries"
        return f"{lost} and could not be had back in {'1 try' if tries == 1 else f'{tries} tries'}: {reason}"


def _period_ns(rate: Fraction | None) -> int:
    return round(_NS / rate) if rate else _NS // 25


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
