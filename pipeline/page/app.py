"""The routes of the page: pictures, figures, controls, and the files that the browser needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from .feed import Feed
from .limits import ANSWER_S, COMMANDS_PER_S, IDLE_S, MOST_BODY_BYTES, STUCK_S, Allowance
from .metrics import CONTENT_TYPE, prometheus_text
from .viewers import MisbehavingError, Viewer, Viewers

ASSETS = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "link.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "panels.js": "text/javascript; charset=utf-8",
    "controls.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
}
"""Every file that the page is made of, beside ``page.html``, and its type. No other is ever opened."""

_SNAPSHOT_S = 3.0
_CANCEL_AGAIN_S = 0.1
_BOUNDARY = b"keywarp-picture"
_HEALTHY = ("live",)
_FULL = "all seats are taken: try again later, or raise serve.viewers\n"


class Site:
    """The routes over one feed."""

    def __init__(self, feed: Feed, viewers: Viewers) -> None:
        self._feed = feed
        self._viewers = viewers
        self._commands = Allowance(COMMANDS_PER_S)
        folder = files(__package__ or "") / "assets"
        self._page = (folder / "page.html").read_bytes()
        self._assets = {name: (folder / name).read_bytes() for name in ASSETS}

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/assets/{name}", self.asset, methods=["GET"]),
            Route("/stream.mjpg", self.stream, methods=["GET"]),
            Route("/snapshot.jpg", self.snapshot, methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
            Route("/report", self.report, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/controls", self.controls, methods=["GET"]),
            Route("/controls", self.change, methods=["POST"]),
            Route("/ws", self.no_socket, methods=["GET"]),
            WebSocketRoute("/ws", self.socket),
        ]

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return Response(self._page, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """One of its files."""
        name = request.path_params["name"]
        if name not in self._assets:
            return PlainTextResponse("there is no such file\n", 404)
        return Response(self._assets[name], headers={"content-type": ASSETS[name]})

    async def stream(self, request: Request) -> Response:
        """Pictures one after another, for whatever shows them in an ``img``."""
        if self._viewers.is_full:
            self._viewers.turned_away += 1
            return PlainTextResponse(_FULL, 503)
        if request.method == "HEAD":
            return Response(media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
        return _PictureStream(self._viewers)

    async def snapshot(self, request: Request) -> Response:
        """The newest picture."""
        picture = await self._feed.fresh_picture(_SNAPSHOT_S)
        if picture is None:
            return PlainTextResponse("there is no picture yet\n", 503)
        headers = {"content-disposition": f'inline; filename="keywarp-{picture.index:06d}.jpg"'}
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    async def health(self, request: Request) -> Response:
        """The run's health: 200 while frames come, else 503."""
        health = dict(self._feed.health)
        if self._feed.is_stalled:
            health |= {"state": "stalled", "reason": "the run says nothing"}
        return _Json(health, 200 if health.get("state") in _HEALTHY else 503)

    async def report(self, request: Request) -> Response:
        """All figures."""
        return _Json({**self._feed.status, "page": self._viewers.figures()})

    async def metrics(self, request: Request) -> Response:
        """All figures, for Prometheus."""
        text = prometheus_text(self._feed.status, self._viewers.figures())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def controls(self, request: Request) -> Response:
        """What the controls are set to."""
        return _Json(self._feed.knobs)

    async def change(self, request: Request) -> Response:
        """Change controls: an object of names and values."""
        if not self._commands.take():
            return _Json({"ok": False, "error": f"at most {COMMANDS_PER_S:.0f} changes a second"}, 429)
        try:
            body = await asyncio.wait_for(_body(request), IDLE_S)
        except asyncio.TimeoutError:
            return _Json({"ok": False, "error": "the request took too long to arrive"}, 408)
        if body is None:
            return _Json({"ok": False, "error": f"at most {MOST_BODY_BYTES} bytes, please"}, 413)
        try:
            changes = json.loads(body)
        except (ValueError, RecursionError):
            return _Json({"ok": False, "error": 'send JSON, such as {"interval": 5}'}, 400)
        answer = await self._feed.change(changes)
        return _Json(answer, 200 if answer["ok"] else 400)

    async def no_socket(self, request: Request) -> Response:
        """Says why a WebSocket might not open."""
        if self._viewers.is_full:
            return PlainTextResponse(_FULL, 503)
        return PlainTextResponse("this is for WebSockets\n", 426, headers={"upgrade": "websocket"})

    async def socket(self, websocket: WebSocket) -> None:
        """Pictures, news and commands of one browser."""
        if self._viewers.is_full:
            self._viewers.turned_away += 1
            await websocket.send_denial_response(PlainTextResponse(_FULL, 503))
            return
        with self._viewers.seat() as bell:
            await websocket.accept()
            viewer = Viewer(self._viewers, bell, websocket.send_text, websocket.send_bytes)
            await first_of(viewer.send_all(), _take_all(websocket, viewer))


async def _take_all(websocket: WebSocket, viewer: Viewer) -> None:
    """Hand what the browser says to ``viewer`` until it leaves."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            if message.get("text") is None:
                raise MisbehavingError("messages are text")
            await viewer.take(message["text"])
        except MisbehavingError as error:
            await websocket.close(1008, str(error))
            return


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, then end the others; what a viewer's leaving breaks is no error."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    for task in done:
        error = None if task.cancelled() else task.exception()
        left = (OSError, WebSocketDisconnect, ClientDisconnect, asyncio.TimeoutError)
        if error is not None and not isinstance(error, left) and type(error).__name__ != "ClientDisconnected":
            raise error


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: before Python 3.12 ``wait_for`` may swallow a cancellation as it ends."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # who leaves breaks things; nobody is to hear of it


class _Json(JSONResponse):
    """JSON in ASCII: half a character that a viewer sent is no reason to fail."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":")).encode()


async def _body(request: Request) -> bytes | None:
    """The request's body; None where it is too large."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY_BYTES:
            return None
    return data


class _PictureStream(Response):
    """The newest picture as often as the viewer takes one, by ``multipart/x-mixed-replace``."""

    def __init__(self, viewers: Viewers) -> None:
        super().__init__(media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
        del self.headers["content-length"]
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer leaves, or takes nothing for long."""
        await send({"type": "http.response.start", "status": 200, "headers": list(self.raw_headers)})
        with self._viewers.seat() as bell:
            self._viewers.look(1)
            try:
                await first_of(self._send_all(bell, send), _until_left(receive))
            finally:
                self._viewers.look(-1)

    async def _send_all(self, bell: asyncio.Event, send: Send) -> None:
        async for part in self._parts(bell):
            body: Message = {"type": "http.response.body", "body": part, "more_body": True}
            await asyncio.wait_for(send(body), STUCK_S)
            self._viewers.sent += 1

    async def _parts(self, bell: asyncio.Event) -> AsyncIterator[bytes]:
        last = None
        yield b"--" + _BOUNDARY + b"\r\n"
        while True:
            picture = self._viewers.feed.picture
            if picture is None or picture is last:
                bell.clear()
                await bell.wait()
                continue
            last = picture
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n".encode()
            yield head + picture.jpeg + b"\r\n--" + _BOUNDARY + b"\r\n"


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Deadline:
    """Ends requests whose answer is not taken in time, streams apart."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "http" and scope["path"] != "/stream.mjpg":
            await asyncio.wait_for(self._app(scope, receive, send), ANSWER_S)
        else:
            await self._app(scope, receive, send)


def make_app(feed: Feed, viewers: Viewers) -> Starlette:
    """The application, yet without its guard."""
    return Starlette(routes=Site(feed, viewers).routes())
