"""Connections: not more than so many, and none that is held open for nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from .limits import IDLE_S

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

_LOOK_S = 2.0


class Connections:
    """Counts open connections and breaks off those that do not get on.

    A connection that finishes no request within 10 s, or takes as long to take what is left for it once it is
    closing, is aborted; what is busy with an answer or a WebSocket has time limits of its own.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[asyncio.Transport, tuple[object, float]] = {}

    def protocol(self) -> type[H11Protocol]:
        """The HTTP protocol of a server whose connections are watched here."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        watch = self._watch

        class Watched(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if not watch(transport):
                    transport.abort()

            def handle_websocket_upgrade(self, event: Any) -> None:
                if any(name in (b"content-length", b"transfer-encoding") for name, _ in event.headers):
                    self.send_400_response("No body with an upgrade, please.")
                    return
                super().handle_websocket_upgrade(event)

        return Watched

    async def reap(self) -> None:
        """Look after them, forever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look(time.monotonic())

    def look(self, now_s: float) -> None:
        """Abort those that have not got on for long, forget those that are closed."""
        for transport, (before, since_s) in list(self._open.items()):
            if _is_closed(transport):
                del self._open[transport]
                continue
            state = _state(transport)
            if state is None or state != before:
                self._open[transport] = (state, now_s)
            elif now_s - since_s > IDLE_S:
                transport.abort()

    def _watch(self, transport: asyncio.Transport) -> bool:
        """Whether there is room for one more."""
        if len(self._open) >= self._most:
            self.look(time.monotonic())
        if len(self._open) >= self._most:
            return False
        self._open[transport] = (None, time.monotonic())
        return True


def _is_closed(transport: asyncio.Transport) -> bool:
    found = transport.get_extra_info("socket")
    return found is None or found.fileno() == -1


def _state(transport: asyncio.Transport) -> object:
    """What must change for a connection to get on; None while it is busy."""
    if transport.is_closing():
        return "closing"
    protocol = transport.get_protocol()
    if not hasattr(protocol, "cycle"):  # a WebSocket
        return None if getattr(protocol, "handshake_complete", True) else "handshake"
    cycle = protocol.cycle
    if cycle is None:
        return "new"
    return cycle if cycle.response_complete else None  # not its id, which the next one may have
