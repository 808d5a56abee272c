"""Records of frames, posted to a web server."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from keywarp.engines.errors import UsageError
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stage import Sink, StreamInfo

from .jsonl import FrameRecord
from .options import split_options, whole
from .outbox import DeliveryError, Outbox

_TIMEOUT_S = 5.0
_MOST_OF_ANSWER = 65_536
_TRY_AGAIN = frozenset({408, 425, 429})
_ACCEPTED = "webhook:http://HOST[:PORT]/PATH or webhook:https://..., with ,every=N and ,batch=N where wanted"


class WebhookSink(Sink):
    """Posts the :class:`FrameRecord` of every ``every``-th frame to an HTTP server.

    The body is one JSON object, or with ``batch`` an array of up to so many, no more than a second's.
    ``place`` is a URL; a user and a password in it become basic authorization. Messages have its scheme and
    host only. An answer of 2xx counts as taken, also in ``written``; 408, 425, 429, 5xx and a broken
    connection are tried again, which may bring a record twice; anything else is refused for good.
    Redirections are not followed. What else happens, happens as :class:`Outbox` says.
    """

    name = "webhook"

    def __init__(self, place: str, *, every: int = 1, batch: int | None = None) -> None:
        url = _checked(place)
        self._record = FrameRecord()
        self.reads = self._record.reads
        self._every = every
        self._frames = 0
        self._is_list = batch is not None
        self._post = _Post(url)
        self._outbox = Outbox(
            self._deliver,
            place=f"webhook {self._post.shown}",
            batch=batch or 1,
            abort=self._post.abort,
        )
        self.notes: list[str] = []

    @classmethod
    def parse(cls, text: str) -> WebhookSink:
        """``URL[,every=N][,batch=N]``."""
        place, options = split_options(text, {"every": whole, "batch": whole})
        return cls(place, **options)

    @property
    def lost(self) -> Mapping[str, int]:
        """Records that were not sent, by cause, so far."""
        return dict(self._outbox.lost)

    def open(self, info: StreamInfo) -> None:
        """Get ready; the server is first asked when there is a record."""
        self._record = replace(self._record, live=info.live)
        self._outbox.open(info.live)

    def process(self, packet: Packet) -> None:
        """Hand the frame's record over."""
        if self._frames % self._every == 0:
            self._outbox.put(self._record.line(packet))
        self._frames += 1
        self.written = self._outbox.sent

    def interrupt(self) -> None:
        """Wait for the server no longer."""
        self._outbox.interrupt()

    def close(self) -> None:
        """Send what is left."""
        try:
            self._outbox.close()
        finally:
            self._post.close()
            self.written = self._outbox.sent
            note = self._outbox.note()
            self.notes = [] if note is None else [note]

    def _deliver(self, records: list[bytes]) -> None:
        self._post(b"[" + b",".join(records) + b"]" if self._is_list else records[0])


class _Post:
    """Requests over one connection that is kept as long as the server keeps it."""

    def __init__(self, url: SplitResult) -> None:
        assert url.hostname is not None
        self._host, self._port = url.hostname, url.port
        self._is_tls = url.scheme == "https"
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "keywarp"} | _authorization(url)
        self._connection: HTTPConnection | None = None
        self.shown = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"

    def __call__(self, body: bytes) -> None:
        """One request. Raises :class:`DeliveryError`."""
        try:
            status = self._request(body)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise DeliveryError("the server's certificate is not trusted", is_final=True) from error
        except TimeoutError as error:
            self.close()
            raise DeliveryError("no answer in time") from error
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise DeliveryError(_in_words(error)) from error
        if not 200 <= status < 300:
            raise DeliveryError(f"HTTP {status}", is_final=status < 500 and status not in _TRY_AGAIN)

    def _request(self, body: bytes) -> int:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        connection.request("POST", self._target, body, self._headers)
        answer = connection.getresponse()
        answer.read(_MOST_OF_ANSWER)
        if not answer.isclosed():
            self.close()
        return answer.status

    def _connect(self) -> HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        return HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)

    def abort(self) -> None:
        """End a request under way; any thread may call."""
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _checked(place: str) -> SplitResult:
    try:
        url = urlsplit(place)
        is_good = (
            url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
        )
    except ValueError:
        is_good = False
    if not is_good or any(letter <= " " or letter > "~" for letter in place):
        raise UsageError(f"a webhook is given as {_ACCEPTED}")
    return url


def _authorization(url: SplitResult) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _in_words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    if isinstance(error, ConnectionError):
        return "connection lost"
    return getattr(error, "strerror", None) or type(error).__name__
