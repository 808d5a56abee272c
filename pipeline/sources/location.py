"""Where a stream lies: files and URLs, and how to speak of them in messages."""

from __future__ import annotations

import difflib
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from keywarp.engines.errors import SourceError

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "tcp"})
SCHEMES = LIVE_SCHEMES | {"http", "https"}


def is_url(text: str) -> bool:
    """Whether ``text`` names something on the network (or a ``file://``), not a path."""
    return "://" in text


def scheme_of(url: str) -> str:
    """The part before ``://``, in small letters."""
    return url.partition("://")[0].lower()


def without_secrets(url: str) -> str:
    """``url`` as it may be shown: no user, no password, no query, which may hold a token."""
    scheme, _, rest = url.partition("://")
    place = _without_user(rest).partition("?")[0].partition("#")[0]
    return f"{scheme}://{place}"


def _without_user(rest: str) -> str:
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return host.rpartition("@")[2] + rest[len(host) :]
    # A password with a slash, a question mark or a hash in it that is not escaped, as in "anna:a/b@host":
    # what stands after the colon is no port.
    _, colon, port = host.rpartition(":")
    if "@" in rest and colon and not port.isdecimal() and not host.startswith("["):
        return rest.rpartition("@")[2]
    return rest


def local_path(text: str) -> Path:
    """The path that ``text``, a path or a ``file://`` URL, names."""
    if is_url(text) and scheme_of(text) == "file":
        return Path(url2pathname(urlsplit(text).path))
    return Path(text).expanduser()


def check_file(path: Path, kind: str) -> None:
    """Raise :class:`SourceError` unless ``path`` is a file with something in it that may be read."""
    check_exists(path, kind)
    check_plain(path, kind)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{kind} '{path}' is a folder; give a file in it, or a folder of pictures")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{kind} '{path}' may not be read by this user; change its permissions (chmod +r)")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceError(f"{kind} '{path}' is empty (0 bytes); was it copied or recorded to the end?")


def check_plain(path: Path, kind: str) -> None:
    """Raise :class:`SourceError` for pipes, sockets and devices, which exist: to open one may wait without end. Not
    for those that are open already, such as ``/dev/stdin``.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_open_already(path):
        return
    what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise SourceError(
        f"{kind} '{path}' is {what}, not a file; give a file, a camera (0 or /dev/video0), a URL, or gst: and a "
        "GStreamer pipeline"
    )


def is_open_already(path: Path) -> bool:
    """Whether ``path`` stands for a pipe or file that this process was given, as ``/dev/stdin`` does."""
    return path.is_absolute() and path.parts[1:3] in (("dev", "stdin"), ("dev", "fd"), ("proc", "self"))


def check_exists(path: Path, kind: str) -> None:
    """Raise :class:`SourceError` with names like it in the same folder, unless ``path`` exists."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"{kind} '{path}' does not exist{_names_like(path)}") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{kind} '{path}' cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _names_like(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f": there is no folder '{folder}'"
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return ""
    same_stem = sorted(name for name in names if Path(name).stem == path.stem)
    near = same_stem[:2] or difflib.get_close_matches(path.name, names, n=2, cutoff=0.8)
    if not near:
        return f" (folder '{folder}' has no file of that name)"
    return "; did you mean " + " or ".join(f"'{folder / name}'" for name in near) + "?"
