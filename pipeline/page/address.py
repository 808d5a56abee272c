"""Where the page listens: loopback or not, the socket, and the address to show."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from urllib.parse import quote

from keywarp.engines.errors import SinkError

_BACKLOG = 128
# What the kernel may hold for one viewer who reads slowly: about a second of pictures, not a minute of old ones.
_SEND_BUFFER_BYTES = 256 * 1024
_REASONS = {
    errno.EADDRINUSE: "the port is taken by another program",
    errno.EACCES: "ports below 1024 need rights that this user lacks",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``, an address or ``localhost``."""
    if host.lower() == "localhost":
        return True
    address = as_ip(host)
    return address is not None and address.is_loopback


def is_wildcard(host: str) -> bool:
    """Whether ``host`` stands for all addresses of this machine: ``0.0.0.0``, ``::``."""
    address = as_ip(host)
    return address is not None and address.is_unspecified


def as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``host`` as an IP address; None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Port 0 takes any free one. Raises :class:`SinkError` in words."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"the page cannot listen on '{host}': no such host; give an address of this machine, "
            "such as 127.0.0.1 or 0.0.0.0 for all"
        ) from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        _set_up(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise SinkError(
            f"the page cannot listen on {joined(host, port)}: {reason}; "
            f"choose another address or port, or port 0 for any free one: --serve {joined(host, 0)}"
        ) from error
    return listener


def _set_up(listener: socket.socket) -> None:
    if sys.platform == "win32":  # there SO_REUSEADDR would share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def joined(host: str, port: int) -> str:
    """``host:port``, with brackets where they are needed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(host: str, port: int, token: str | None) -> str:
    """The address to open in a browser; for all of a machine's addresses, the one that others reach it by."""
    shown = own_address() if is_wildcard(host) else host
    query = f"?token={quote(token, safe='')}" if token is not None else ""
    return f"http://{joined(shown, port)}/{query}"


def own_address() -> str:
    """This machine's address towards other networks, or its name where it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: only the route is looked up
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
