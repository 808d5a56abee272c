"""Who may ask: host, token and origin of every request are checked here, before any route is looked at."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .address import as_ip, is_loopback
from .limits import MOST_BODY_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)

_REASONS = {
    400: "this request cannot be understood",
    401: "a token is needed: open the address that keywarp printed, or send 'Authorization: Bearer TOKEN'",
    403: "this came from another site's page",
    413: f"at most {MOST_BODY_BYTES} bytes, please",
    421: "this page is not served under that name; add it with --set serve.hosts='[NAME]'",
}


@dataclass(frozen=True)
class Rules:
    """Who may look: ``token`` (None: everybody who reaches it), under which names, ``host`` being the bound one."""

    host: str
    port: int
    token: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def cookie_name(self) -> str:
        """Cookies know no ports, so their names do."""
        return f"keywarp_{self.port}"

    @property
    def cookie(self) -> str:
        """What a browser keeps in the token's place."""
        return hashlib.sha256(f"keywarp page {self.token}".encode()).hexdigest()

    def accepts_host(self, value: str) -> bool:
        """Whether the Host header's ``value`` names this page: nobody else's name may lead here."""
        name = _host_name(value)
        if name is None:
            return False
        if is_loopback(name) or name == self.host.lower() or name in {host.lower() for host in self.hosts}:
            return True
        # An address is no name that someone else's DNS could turn on us.
        return not is_loopback(self.host) and as_ip(name) is not None

    def accepts_token(self, given: str) -> bool:
        """Whether ``given`` is the token."""
        return self.token is not None and _same(given, self.token)

    def accepts_cookie(self, header: str) -> bool:
        """Whether the Cookie header has what :attr:`cookie` says."""
        # Not by http.cookies, which reads none where another program on this host has set a strange one.
        pairs = (pair.strip().partition("=") for pair in header.split(";"))
        return any(name == self.cookie_name and _same(value, self.cookie) for name, _, value in pairs)

    def accepts_origin(self, origin: str, host: str) -> bool:
        """Whether ``origin`` is a page under the name that was asked for."""
        return origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


class Guard:
    """Answers what may not pass with 400, 401, 403, 413 or 421; the rest passes, with headers on its way back."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        headers = _Headers(scope["headers"])
        status = self._status(scope, headers)
        if status is not None:
            await _refuse(scope, send, status)
        elif self._brings_token_to_page(scope):
            await self._clean_address(send)
        else:
            await self._app(scope, receive, _secured(send))

    def _status(self, scope: Scope, headers: _Headers) -> int | None:
        if headers.malformed:
            return 400
        if not self._rules.accepts_host(headers.host):
            return 421
        if self._rules.token is not None and not self._may_pass(scope, headers):
            return 401
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if (
            changes
            and headers.origin is not None
            and not self._rules.accepts_origin(headers.origin, headers.host)
        ):
            return 403
        if headers.content_bytes > MOST_BODY_BYTES:
            return 413
        return None

    def _may_pass(self, scope: Scope, headers: _Headers) -> bool:
        kind, _, credentials = headers.authorization.partition(" ")
        if kind.lower() == "bearer" and self._rules.accepts_token(_as_typed(credentials.strip())):
            return True
        given = _query_token(scope)
        if given is not None and self._rules.accepts_token(given):
            return True
        return self._rules.accepts_cookie(headers.cookie)

    def _brings_token_to_page(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"] == "/"
            and self._rules.token is not None
            and _query_token(scope) is not None
        )

    async def _clean_address(self, send: Send) -> None:
        """Keep the token as a cookie, and take it out of the address bar and the history.

        Not a strict cookie: a browser that comes by a link in a mail would not send it with the next request.
        """
        cookie = f"{self._rules.cookie_name}={self._rules.cookie}; Path=/; HttpOnly; SameSite=Lax"
        headers = ((b"location", b"./"), (b"set-cookie", cookie.encode()))
        await _answer(send, 303, b"", headers)


class _Headers:
    """The headers that matter here. ``malformed`` where one that must be single is not, or cannot be read."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        found: dict[bytes, list[str]] = {}
        for name, value in raw:
            found.setdefault(name.lower(), []).append(value.decode("latin-1"))
        self.host = _first(found, b"host")
        self.origin = found[b"origin"][0] if b"origin" in found else None
        self.authorization = _first(found, b"authorization")
        self.cookie = "; ".join(found.get(b"cookie", []))
        length = _first(found, b"content-length")
        self.malformed = bool(
            any(len(found.get(name, [])) > 1 for name in (b"host", b"origin", b"authorization"))
            or (length and not (length.isascii() and length.isdecimal()))
        )
        self.content_bytes = int(length[:18]) if length and not self.malformed else 0


def _first(found: dict[bytes, list[str]], name: bytes) -> str:
    return found.get(name, [""])[0]


def _as_typed(value: str) -> str:
    """A header's value as UTF-8, which is what programs send for letters beyond ASCII."""
    return value.encode("latin-1").decode(errors="replace")


def _query_token(scope: Scope) -> str | None:
    try:
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    except ValueError:
        return None
    return next((value for name, value in query if name == "token"), None)


def _host_name(value: str) -> str | None:
    """The name in a Host header, lower case, without its port; None where it is none."""
    try:
        parts = urlsplit(f"//{value}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    if parts.netloc != value or "@" in value or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(
        given.encode(errors="surrogateescape"), wanted.encode(errors="surrogateescape")
    )


def _secured(send: Send) -> Send:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            message["headers"] += [header for header in SECURITY_HEADERS if header[0] not in own]
        elif message["type"] == "websocket.http.response.start":
            # Some versions of uvicorn add length and type of their own beside ours, which clients refuse.
            message["headers"] = list(SECURITY_HEADERS)
        await send(message)

    return with_headers


async def _refuse(scope: Scope, send: Send, status: int) -> None:
    prefix = "websocket." if scope["type"] == "websocket" else ""
    headers = ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
    await _answer(send, status, _REASONS[status].encode() + b"\n", headers, prefix=prefix)


async def _answer(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...], *, prefix: str = ""
) -> None:
    own = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    )
    start = {
        "type": f"{prefix}http.response.start",
        "status": status,
        "headers": [*(() if prefix else own), *headers, *SECURITY_HEADERS],
    }
    await send(start)
    await send({"type": f"{prefix}http.response.body", "body": body, "more_body": False})
