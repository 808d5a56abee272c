"""The page as a sink: pictures and figures go to a server process, commands come back from it."""

from __future__ import annotations

import logging
import math
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from keywarp.engines.errors import KeywarpError, MissingPackageError, SinkError, UsageError
from keywarp.models.base import LEVELS
from keywarp.pipeline.config import ServeConfig
from keywarp.pipeline.controls import MOST_INTERVAL, Controls
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, Propagation
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import Sink, StreamInfo

from .address import is_loopback, listen, url_of
from .child import ServerProcess
from .jpeg import encode_jpeg, most_bytes
from .ring import FROZEN, KEY, MOST_STAGES, PROPAGATED, FrameRecord, Ring

_log = logging.getLogger(__name__)

_SHORTEST_TOKEN = 8
_TOKEN_BYTES = 24


class PageSink(Sink):
    """Shows the overlay on a web page, with the run's figures and its controls.

    ``config`` says where it listens and who may look; ``controls`` are what viewers change; ``status`` gives
    ``{"report": ..., "health": ...}`` of the run, called from a thread of the sink's own, up to 4 times a second.
    ``on_open`` is called with :attr:`url` once the page can be opened.

    ``process`` never waits for a viewer nor for the server: pictures lie in shared memory, the newest wins. It
    encodes only while somebody looks. The server is a process of its own; when it dies it is started again a few
    times, then the run goes on without it; ``notes`` say so. ``open`` raises :class:`SinkError` where the address
    cannot be had and :class:`MissingPackageError` without its packages.
    """

    name = "page"
    reads = (OVERLAY, PROPAGATION)

    def __init__(
        self,
        config: ServeConfig,
        controls: Controls,
        status: Callable[[], Mapping[str, Any]],
        *,
        title: str = "",
        on_open: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._controls = controls
        self._status = status
        self._title = title
        self._on_open = on_open
        self._token = _token(config)
        self._names: dict[str, int] = {}
        self._ring: Ring | None = None
        self._server: ServerProcess | None = None
        self._last: tuple[Picture, int, int, int] | None = None
        self._publishing = threading.Lock()
        self._published: int | None = None
        self._own_ms = 0.0
        self._status_failed = False
        self._figures: dict[str, Any] = {}
        self.too_large = 0
        self.notes: list[str] = []
        self.url = ""

    def open(self, info: StreamInfo) -> None:
        """Take the address and start the server."""
        for package in ("starlette", "uvicorn", "websockets"):
            if find_spec(package) is None:
                raise MissingPackageError(
                    f"the page (--serve) needs the package '{package}', which is not installed; "
                    f"install it with: pip install {package}"
                )
        listener = listen(self._config.host, self._config.port)
        try:
            self._ring = Ring.create(most_bytes(info.size, self._config.width))
        except OSError as error:
            listener.close()
            raise SinkError(
                f"the page gets no shared memory: {error.strerror}; give it more room in /dev/shm, "
                "or a smaller picture: --set serve.width=640"
            ) from error
        port = int(listener.getsockname()[1])
        self.url = url_of(self._config.host, port, self._token)
        self._server = ServerProcess(
            listener,
            self._settings(info, port),
            on_message=self._take,
            news=self._news,
            on_gone=self._gone,
            note=self.notes.append,
        )
        self._server.start()
        if self._on_open is not None:
            self._on_open(self.url)

    def process(self, packet: Packet) -> None:
        """Take over one frame."""
        ring, server = self._ring, self._server
        assert ring is not None
        assert server is not None
        start_ns = time.perf_counter_ns()
        frame = packet.frame
        propagation = packet.get(PROPAGATION)
        flags = _flags(propagation, frame.frozen)
        self._last = (packet[OVERLAY], frame.index, flags, frame.capture_ns)
        if ring.watching and self._publishing.acquire(blocking=False):
            try:
                self._publish()
            finally:
                self._publishing.release()
        now_ns = time.perf_counter_ns()
        ring.put_record(self._record(packet, propagation, flags, now_ns))
        self.written += 1
        self._own_ms = (time.perf_counter_ns() - start_ns) / 1e6

    def close(self) -> None:
        """End the server, and with it the page."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._ring is not None:
            self._ring.close(remove=True)
            self._ring = None
        if self.too_large:
            self.notes.append(f"the page left out {self.too_large} pictures whose JPEG was too large")

    def _publish(self) -> None:
        """Encode and hand over the last picture. The caller holds the lock."""
        ring, server, last = self._ring, self._server, self._last
        if ring is None or server is None or last is None:
            return
        picture, index, flags, capture_ns = last
        jpeg = encode_jpeg(picture, width=self._config.width, quality=self._config.quality)
        if ring.put_picture(jpeg, index, flags, (capture_ns, time.perf_counter_ns())):
            self._published = index
            server.wake()
        else:
            self.too_large += 1

    def _record(
        self, packet: Packet, propagation: Propagation | None, flags: int, now_ns: int
    ) -> FrameRecord:
        stages_ms = [math.nan] * len(self._names)
        total_ms = 0.0
        for span in tuple(packet.spans):  # other sinks add theirs meanwhile
            work_ms = span.work_ns / 1e6
            if "." not in span.name:
                total_ms += work_ms
            self._note_stage(stages_ms, span.name, work_ms)
        self._note_stage(stages_ms, self.name, self._own_ms)
        latency_ms = max(0, now_ns - packet.frame.capture_ns) / 1e6
        key_age = propagation.age if propagation is not None else 0
        return FrameRecord(packet.frame.index, now_ns, flags, key_age, total_ms, latency_ms, tuple(stages_ms))

    def _note_stage(self, stages_ms: list[float], name: str, work_ms: float) -> None:
        place = self._names.get(name)
        if place is None:
            if len(self._names) >= MOST_STAGES:
                return
            place = self._names[name] = len(self._names)
            stages_ms.append(math.nan)
        stages_ms[place] = work_ms

    def _settings(self, info: StreamInfo, port: int) -> dict[str, Any]:
        assert self._ring is not None
        return {
            "ring": self._ring.name,
            "host": self._config.host,
            "port": port,
            "token": self._token,
            "hosts": [*self._config.hosts, *_own_names(self._config.host)],
            "viewers": self._config.viewers,
            "title": self._title or info.name,
            "size": list(info.size),
            "choices": {"level": list(LEVELS), "flow": sorted(self._controls.flows)},
            "most_interval": MOST_INTERVAL,
        }

    def _news(self) -> dict[str, Any]:
        """What the server is told several times a second. In the thread of the link to it."""
        try:
            self._figures = dict(self._status())
        except Exception as error:  # noqa: BLE001 - figures that fail must not end the page; the last ones stay
            if not self._status_failed:
                _log.warning("the page gets no figures: %s", error)
            self._status_failed = True
        return {
            "type": "status",
            "names": list(self._names),
            "knobs": self._controls.as_dict(),
            "status": self._figures,
        }

    def _take(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Do what the server asks for. In the thread of the link to it."""
        if message.get("type") == "picture":
            self._publish_last()
            return None
        if message.get("type") != "change":
            return None
        answer: dict[str, Any] = {"type": "answer", "id": message.get("id"), "ok": True}
        try:
            self._controls.change(message["changes"])
        except KeywarpError as error:
            answer |= {"ok": False, "error": str(error)}
        return answer | {"knobs": asdict(self._controls.knobs)}

    def _publish_last(self) -> None:
        with self._publishing:
            last = self._last
            if last is not None:
                self._publish()

    def _gone(self) -> None:
        """The server died, and its viewers with it."""
        if self._ring is not None:
            self._ring.watching = False


def _flags(propagation: Propagation | None, frozen: bool) -> int:
    kind = 0 if propagation is None else KEY if propagation.is_key else PROPAGATED
    return kind | (FROZEN if frozen else 0)


def _own_names(host: str) -> tuple[str, ...]:
    """This machine's names, where others can reach it."""
    if is_loopback(host):
        return ()
    name = socket.gethostname()
    return name, f"{name}.local"


def _token(config: ServeConfig) -> str | None:
    """The token that viewers need; None where none is asked for and only this machine can look."""
    if config.token is None:
        return None if is_loopback(config.host) else secrets.token_urlsafe(_TOKEN_BYTES)
    if len(config.token) < _SHORTEST_TOKEN or not config.token.isprintable():
        raise UsageError(
            f"serve.token is too easy to guess: give at least {_SHORTEST_TOKEN} printable characters, "
            "or leave it out and one is made up"
        )
    return config.token
