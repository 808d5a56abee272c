"""The server's end of the line: pictures and news of the run come in, commands go out, viewers are told."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections import deque
from typing import Any

from .ring import FrameRecord, JpegPicture, Ring
from .trend import Trend

_TICK_S = 0.25
_MOST_LINE_BYTES = 4 << 20
_ANSWER_S = 3.0
_WAKE_BYTES = 4096
_FRESH_S = 0.5
_STALLED_S = 5.0


class GoneError(Exception):
    """The pipeline has gone."""


class Feed:
    """What the server knows of the run, and the viewers' bells that it rings when that changes.

    ``picture`` is the newest one. ``version`` counts the news: at each tick there is a new :meth:`news`.
    """

    def __init__(self, ring: Ring, wake: socket.socket, channel: socket.socket) -> None:
        self._ring = ring
        self._wake = wake
        self._channel = channel
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._taken = 0
        self._bells: set[asyncio.Event] = set()
        self._status_s = -float("inf")
        self.trend = Trend()
        self.picture: JpegPicture | None = None
        self.names: list[str] = []
        self.knobs: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.version = 0
        self.recorded = 0
        self._records: deque[tuple[int, FrameRecord]] = deque(maxlen=256)

    async def run(self) -> None:
        """Listen until the pipeline is gone, then return."""
        for one in (self._wake, self._channel):
            one.setblocking(False)
        reader, self._writer = await asyncio.open_connection(sock=self._channel, limit=_MOST_LINE_BYTES)
        self._say({"type": "ready"})
        tasks = [asyncio.create_task(work) for work in (self._pictures(), self._lines(reader), self._ticks())]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, GoneError | OSError):
                raise error

    def listen(self, bell: asyncio.Event) -> None:
        """Ring ``bell`` at each picture and each piece of news."""
        self._bells.add(bell)

    def leave(self, bell: asyncio.Event) -> None:
        """No longer."""
        self._bells.discard(bell)

    @property
    def is_stalled(self) -> bool:
        """Whether the pipeline has said nothing for long."""
        return time.monotonic() - self._status_s > _STALLED_S

    @property
    def health(self) -> dict[str, Any]:
        """The run's health as last told; empty where it has not been."""
        found = self.status.get("health")
        return found if isinstance(found, dict) else {}

    def watch(self, watching: bool) -> None:
        """Ask for pictures from now on, or for no more."""
        if watching and not self._ring.watching:
            self.picture = None  # it may be old
            self._say({"type": "picture"})  # the last one, should no other come soon
        self._ring.watching = watching

    async def fresh_picture(self, wait_s: float) -> JpegPicture | None:
        """The newest picture; where it is old, one that is asked for now. None where there is none at all."""
        before = self.picture
        if before is not None and time.perf_counter_ns() - before.published_ns < _FRESH_S * 1e9:
            return before
        deadline_s = time.monotonic() + wait_s
        while self.picture is before and time.monotonic() < deadline_s:
            self._say({"type": "picture"})  # again and again: the first frame may be yet to come
            await self._wait_for_bell()
        return self.picture

    async def change(self, changes: object) -> dict[str, Any]:
        """Have controls changed; the answer has ``ok``, the ``knobs`` as they are now, and ``error`` in words."""
        if not isinstance(changes, dict) or not changes:
            return {"ok": False, "error": 'give the controls to change, such as {"interval": 5}'}
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._say({"type": "change", "id": number, "changes": changes})
        try:
            found = await asyncio.wait_for(answer, _ANSWER_S)
        except asyncio.TimeoutError:
            return {"ok": False, "error": "the run did not answer; try again"}
        finally:
            self._answers.pop(number, None)
        return {key: found[key] for key in ("ok", "error", "knobs") if key in found}

    def records_since(self, count: int) -> list[FrameRecord]:
        """The records after the first ``count`` of :attr:`recorded`, as far as they are still known."""
        return [record for place, record in self._records if place >= count]

    async def _wait_for_bell(self) -> None:
        bell = asyncio.Event()
        self.listen(bell)
        try:
            await bell.wait()  # rings at each tick at the latest
        finally:
            self.leave(bell)

    async def _pictures(self) -> None:
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(self._wake, _WAKE_BYTES):
            if self.picture is None or self._ring.pictures != self.picture.number:
                self.picture = self._ring.picture() or self.picture
                self._ring_bells()
        raise GoneError

    async def _lines(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if message["type"] == "status":
                self._take_status(message)
            elif message["type"] == "answer":
                self._take_answer(message)
        raise GoneError

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            records, self._taken = self._ring.records_since(self._taken)
            self._records.extend((self.recorded + i, record) for i, record in enumerate(records))
            self.recorded += len(records)
            self.trend.add(records, time.perf_counter_ns())
            self.version += 1
            self._ring_bells()

    def _take_status(self, message: dict[str, Any]) -> None:
        self._status_s = time.monotonic()
        self.names, self.knobs, self.status = message["names"], message["knobs"], message["status"]

    def _take_answer(self, message: dict[str, Any]) -> None:
        self.knobs = message["knobs"]
        self.version += 1
        answer = self._answers.get(message["id"])
        if answer is not None and not answer.done():
            answer.set_result(message)
        self._ring_bells()

    def _ring_bells(self) -> None:
        for bell in self._bells:
            bell.set()

    def _say(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
