"""Opening media containers, with errors in words for people."""

from __future__ import annotations

import time
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from keywarp.engines.errors import SourceError

from .location import LIVE_SCHEMES, SCHEMES, check_file, is_url, local_path, scheme_of, without_secrets

# Seconds until a peer that says nothing is given up.
OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
# A demuxer that fails this often in a row is at the end of what it can read.
MOST_READ_ERRORS = 32

_MP4_BOXES = frozenset({b"ftyp", b"mdat", b"moov", b"free", b"skip", b"wide", b"pnot", b"styp"})
# The index of an mp4 takes some 20 bytes for each frame and sound.
_END_BYTES = 16 * 2**20
_TRY_AN_OTHER = "give a video file that FFmpeg can read, such as .mp4, .mkv, .mov, .avi, .ts or .webm"


# What may follow the "#" of an RTSP URL, and FFmpeg's word for it.
TRANSPORTS = {"tcp": "tcp", "udp": "udp", "multicast": "udp_multicast", "http": "http"}

# How much FFmpeg may look at before it lets go of the first packet. RTSP says beforehand what is to come.
# "nobuffer" is of no help: it throws away what was looked at, the first key frame among it.
_LIVE_OPTIONS = {"analyzeduration": "1000000"}
_RTSP_OPTIONS = {"analyzeduration": "1", "probesize": "32", "fpsprobesize": "0"}


class Location:
    """A video's path or URL: what FFmpeg is given, and what people are shown.

    An RTSP URL may end with ``#udp``, ``#tcp`` (the default), ``#multicast`` or ``#http``: how the media comes.
    """

    def __init__(self, text: str) -> None:
        text, self.transport = _split_transport(text)
        self.is_url = is_url(text) and scheme_of(text) != "file"
        self.live = self.is_url and scheme_of(text) in LIVE_SCHEMES
        self.path: Path | None = None if self.is_url else local_path(text)
        self.name = without_secrets(text) if self.is_url else str(self.path)
        self.target = text if self.is_url else str(self.path)

    @property
    def kind(self) -> str:
        """``video`` or ``stream``, for messages."""
        return "stream" if self.is_url else "video"


def _split_transport(text: str) -> tuple[str, str | None]:
    if scheme_of(text) not in ("rtsp", "rtsps") or not is_url(text):
        return text, None
    url, hash_sign, transport = text.rpartition("#")
    if not hash_sign or "@" in transport:  # the hash belongs to a password
        return text, "tcp"
    if transport.lower() not in TRANSPORTS:
        raise SourceError(
            f"stream '{without_secrets(url)}' cannot come by '{transport}' "
            f"(accepted after the #: {', '.join(TRANSPORTS)})"
        )
    return url, TRANSPORTS[transport.lower()]


def open_container(location: Location, read_timeout_s: float | None = None) -> InputContainer:
    """Open a file or URL for reading. Raises :class:`SourceError`; waits for a network for seconds at most.

    ``read_timeout_s``: how long a read may take, ``READ_TIMEOUT_S`` where it is None.
    """
    if location.path is not None:
        check_file(location.path, "video")
    elif scheme_of(location.target) not in SCHEMES:
        raise SourceError(
            f"stream '{location.name}' has an unknown scheme '{scheme_of(location.target)}' "
            f"(accepted: {', '.join(sorted(SCHEMES))})"
        )
    start_s = time.monotonic()
    try:
        return _open(location, READ_TIMEOUT_S if read_timeout_s is None else read_timeout_s)
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        waited_s = time.monotonic() - start_s
        problem = SourceError(
            f"{location.kind} '{location.name}' {_what_is_wrong(location, error, waited_s)}"
        )
        # FFmpeg's own error repeats a URL together with its password: it must not be shown as the cause
        raise problem from (None if location.is_url else error)


def open_file(path: Path) -> InputContainer:
    """Open a local file for reading, whatever its name. Raises FFmpeg's own errors."""
    # "file:" since FFmpeg would take the start of a name such as "a:b.mp4" for a protocol
    return av.open(f"file:{path}", "r")


def is_live(container: InputContainer, location: Location) -> bool:
    """Whether what comes is made while it is read: by the scheme; by HTTP, what has no length and no end."""
    endless = container.duration is None and (is_hls(container) or container.size < 0)
    return location.live or (location.is_url and endless)


def is_hls(container: InputContainer) -> bool:
    """Whether the video comes in files that a list names."""
    return container.format.name.startswith("hls")


def _open(location: Location, read_timeout_s: float) -> InputContainer:
    if location.path is not None:
        container = open_file(location.path)
    else:
        timeout = (OPEN_TIMEOUT_S, read_timeout_s)
        container = av.open(location.target, "r", options=_options(location), timeout=timeout)
    if container.format.name == "tty":  # FFmpeg would film any .txt as a terminal
        container.close()
        raise ValueError("a text file")
    return container


def _options(location: Location) -> dict[str, str]:
    if location.transport is not None:
        return {**_RTSP_OPTIONS, "rtsp_transport": location.transport}
    return dict(_LIVE_OPTIONS) if location.live else {}


def video_stream(container: InputContainer, location: Location) -> VideoStream:
    """The stream to decode: the first that is a film and not an album's cover. Raises :class:`SourceError`."""
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not films:
        audio = "only audio" if container.streams.audio else "no video"
        raise SourceError(f"{location.kind} '{location.name}' holds {audio}; {_TRY_AN_OTHER}")
    if films[0].codec_context is None:
        raise SourceError(
            f"{location.kind} '{location.name}' is encoded in a way that this FFmpeg has no decoder for; "
            "convert it first, for instance with: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        )
    return films[0]


def in_words(error: BaseException) -> str:
    """FFmpeg's reason, without the name of the file or URL, which may hold a password."""
    if isinstance(error, av.error.ExitError):
        return "nothing came for too long"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _what_is_wrong(location: Location, error: Exception, waited_s: float) -> str:
    if location.path is not None:
        return _wrong_file(location.path, error)
    if isinstance(error, av.error.ExitError) or waited_s >= OPEN_TIMEOUT_S:
        return f"did not answer within {OPEN_TIMEOUT_S:.0f} s; check the address and the network"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return f"refused us ({in_words(error)}); check user and password in the URL"
    if isinstance(error, av.error.InvalidDataError):
        return "answers with something that is no video; check the address"
    return f"cannot be opened: {in_words(error)}; check the address and that the server is running"


def _wrong_file(path: Path, error: Exception) -> str:
    if isinstance(error, av.error.PermissionError):
        return "may not be read by this user; change its permissions (chmod +r)"
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as reason:
        return f"cannot be read: {reason.strerror}"
    if start[4:8] in _MP4_BOXES and _ends_with(path, b"moov"):
        return (
            "is damaged: bytes are missing or added before its index ('moov'), which is not where the file says it "
            "is, and without it nothing can be decoded; get a sound copy"
        )
    if start[4:8] in _MP4_BOXES:
        return (
            "is incomplete: its index ('moov') is missing, as when a recording or copy was cut off, and without it "
            "nothing can be decoded; get a complete copy"
        )
    if _is_text(start):
        return f"is a text file, not a video; {_TRY_AN_OTHER}"
    if isinstance(error, av.error.EOFError):
        return f"holds no frame: it ends before the first one; {_TRY_AN_OTHER}"
    if isinstance(error, av.error.InvalidDataError):
        return f"is no video, or damaged from the start; {_TRY_AN_OTHER}"
    return f"cannot be opened: {in_words(error)}; {_TRY_AN_OTHER}"


def _ends_with(path: Path, word: bytes) -> bool:
    """Whether ``word`` is somewhere in the last part of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        return word in file.read(_END_BYTES)


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode(errors="strict")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # a letter cut in two at the end is still text
            return False
        text = start[: error.start].decode()
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)
