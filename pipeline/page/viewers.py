"""Viewers: each gets the newest picture as fast as it takes them, and no faster; none waits for another."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .feed import Feed
from .limits import COMMANDS_PER_S, MESSAGES_PER_S, STUCK_S, Allowance
from .ring import JpegPicture
from .trend import as_tick

MOST_UNACKNOWLEDGED = 2

PICTURE_HEADER = struct.Struct("<IIQII")
"""Before each JPEG: the picture's number modulo 2^32, flags, frame index, capture to sending in us, 0."""

_DELIVERIES = 512
_MOST_US = 2**32 - 1


class Viewers:
    """Who is looking. Pictures are asked for while anybody is."""

    def __init__(self, feed: Feed, most: int, hello: dict[str, Any]) -> None:
        self.feed = feed
        self.hello = hello
        self._most = most
        self._count = 0
        self._looking = 0
        self.sent = 0
        self.turned_away = 0
        self._deliveries_ms: deque[float] = deque(maxlen=_DELIVERIES)

    @property
    def is_full(self) -> bool:
        """Whether no further viewer is let in."""
        return self._count >= self._most

    def figures(self) -> dict[str, Any]:
        """Viewers and what they got; ``delivery_ms`` is from a picture's publication to its acknowledgement."""
        ordered = sorted(self._deliveries_ms)
        return {
            "viewers": self._count,
            "most_viewers": self._most,
            "looking": self._looking,
            "pictures_sent": self.sent,
            "turned_away": self.turned_away,
            "delivery_ms": {
                "count": len(ordered),
                "p50": round(ordered[len(ordered) // 2], 2) if ordered else None,
                "p95": round(ordered[int(len(ordered) * 0.95)], 2) if ordered else None,
            },
        }

    def delivered(self, picture_ns: int) -> None:
        """A picture published then has been drawn."""
        self._deliveries_ms.append((time.perf_counter_ns() - picture_ns) / 1e6)

    @contextmanager
    def seat(self) -> Iterator[asyncio.Event]:
        """A place among the viewers, with a bell that rings when there is something new."""
        bell = asyncio.Event()
        self._count += 1
        self.feed.listen(bell)
        try:
            yield bell
        finally:
            self._count -= 1
            self.feed.leave(bell)

    def look(self, by: int) -> None:
        """``by`` more viewers want pictures, or so many fewer."""
        self._looking += by
        self.feed.watch(self._looking > 0)


class MisbehavingError(Exception):
    """A viewer sends what no page of ours would."""


class Viewer:
    """One browser on a WebSocket: pictures, news and answers go out, acknowledgements and commands come in."""

    def __init__(
        self,
        viewers: Viewers,
        bell: asyncio.Event,
        send_text: Callable[[str], Awaitable[None]],
        send_bytes: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._viewers = viewers
        self._feed = viewers.feed
        self._bell = bell
        self._send_text = send_text
        self._send_bytes = send_bytes
        self._underway: dict[int, int] = {}
        self._answers: deque[dict[str, Any]] = deque()
        self._commands = Allowance(COMMANDS_PER_S)
        self._messages = Allowance(MESSAGES_PER_S)
        self._wants = False
        self._last_picture: JpegPicture | None = None
        self._version = -1
        self._recorded = self._feed.recorded

    async def send_all(self) -> None:
        """Send what there is, then wait for more, until cancelled or the viewer takes nothing any more."""
        self.want(True)
        try:
            await self._send(self._hello())
            while True:
                await self._bell.wait()
                self._bell.clear()
                await self._send_news()
                await self._send_picture()
        finally:
            self.want(False)

    def want(self, wants: bool) -> None:
        """Whether pictures are to come."""
        if wants != self._wants:
            self._wants = wants
            self._viewers.look(1 if wants else -1)
            self._bell.set()

    async def take(self, text: str) -> None:
        """A message from the viewer. Raises :class:`MisbehavingError`."""
        if not self._messages.take():
            raise MisbehavingError("too many messages")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise MisbehavingError("messages are JSON") from error
        if not isinstance(message, dict):
            raise MisbehavingError("messages are objects")
        if "ack" in message:
            self._acknowledge(message["ack"])
        elif isinstance(message.get("want"), bool):
            self.want(message["want"])
        else:
            await self._command(message)

    def _acknowledge(self, number: object) -> None:
        published_ns = self._underway.pop(number, None) if isinstance(number, int) else None
        if published_ns is not None:
            self._viewers.delivered(published_ns)
            self._bell.set()

    async def _command(self, message: dict[str, Any]) -> None:
        if not self._commands.take():
            answer: dict[str, Any] = {
                "ok": False,
                "error": f"at most {COMMANDS_PER_S:.0f} changes a second; wait a moment",
            }
        else:
            answer = await self._feed.change(message.get("set"))
        self._answers.append({"type": "answer", "id": message.get("id"), **answer})
        self._bell.set()

    async def _send_news(self) -> None:
        while self._answers:
            await self._send(self._answers.popleft())
        if self._version != self._feed.version:
            self._version = self._feed.version
            await self._send(self._news())

    async def _send_picture(self) -> None:
        picture = self._feed.picture
        if picture is None or picture is self._last_picture or not self._wants:
            return
        if len(self._underway) >= MOST_UNACKNOWLEDGED:
            return
        self._last_picture = picture
        number = picture.number % 2**32
        age_us = max(0, time.perf_counter_ns() - picture.capture_ns) // 1000
        head = PICTURE_HEADER.pack(number, picture.flags, picture.index, min(age_us, _MOST_US), 0)
        self._underway[number] = picture.published_ns
        await asyncio.wait_for(self._send_bytes(head + picture.jpeg), STUCK_S)
        self._viewers.sent += 1

    async def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message, separators=(",", ":"))
        await asyncio.wait_for(self._send_text(text), STUCK_S)

    def _hello(self) -> dict[str, Any]:
        trend = self._feed.trend
        return {
            "type": "hello",
            **self._viewers.hello,
            "trend": list(trend.points),
            "ticks": [as_tick(record) for record in trend.frames],
        }

    def _news(self) -> dict[str, Any]:
        records = self._feed.records_since(self._recorded)
        self._recorded = self._feed.recorded
        trend = self._feed.trend
        return {
            "type": "news",
            "health": self._feed.health,
            "stalled": self._feed.is_stalled,
            "knobs": self._feed.knobs,
            "stages": trend.stages(self._feed.names),
            "point": trend.points[-1] if trend.points else None,
            "ticks": [as_tick(record) for record in records],
            "abilities": self._feed.status.get("abilities", {}),
            "page": self._viewers.figures(),
        }
