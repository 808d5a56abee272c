"""Where outputs go: no two to one place, and none onto what is read; and how to speak of them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from keywarp.engines.errors import SourceError, UsageError
from keywarp.pipeline.gst.presets import GST_FILE
from keywarp.pipeline.gst.secrets import without_credentials
from keywarp.pipeline.sources.images import SUFFIXES, find_images
from keywarp.pipeline.sources.location import is_url, local_path, scheme_of
from keywarp.pipeline.sources.parse import from_environment

from .output import is_same
from .png import NUMBERED

WINDOW = "window"

_NOWHERE = frozenset({"null", "null:overlay", WINDOW})
_NO_PLACE = _NOWHERE | {"jsonl:-"}
_IN_PLACE = frozenset({"jsonl", "png", "record", "snapshot", "v4l2"})
_ON_NETWORK = frozenset({"webhook"})
_WITH_OPTIONS = frozenset({"record", "snapshot"})
_OPTIONS = re.compile(r"(,(\w+=[^,]*|off))*$")

_Mark = str | tuple[int, int]


def place_of(text: str) -> Path | None:
    """The file, folder or device that a sink's text names, None where it writes none."""
    kind, colon, place = text.partition(":")
    if text in _NO_PLACE or (colon and kind in _ON_NETWORK) or "://" in text:
        return None
    if colon and kind in _IN_PLACE:
        return Path(_OPTIONS.sub("", place, count=1) if kind in _WITH_OPTIONS else place).absolute()
    return Path(text).absolute()


def shown(text: str) -> str:
    """A sink's text as it may be shown: no user, no password, no query, and of a webhook the host only."""
    kind, colon, place = text.partition(":")
    if colon and kind in _ON_NETWORK:
        scheme, _, rest = place.partition("://")
        host = re.split(r"[/?#,]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{kind}:{scheme}://{host}"
    return without_credentials(text).partition("#")[0] if "://" in text else text


def is_harmless(text: str) -> bool:
    """Whether several sources may have this one output: nothing is written by it."""
    return text in _NOWHERE


def check_places(outputs: Iterable[str], *sources: str | None) -> None:
    """Raise :class:`UsageError` where two of ``outputs`` would write one file or folder, one of them would write
    what a source is read from, or two would open a window. ``outputs``: texts of sinks, and paths of other files.

    One place may have several names: by links, by ``..`` or as a URL.
    """
    taken = dict[_Mark, str]()
    for source in filter(None, sources):
        for place in _read_places(source):
            taken |= dict.fromkeys(_marks(place), f"the source '{source}'")
    windows = 0
    for text in outputs:
        windows += text == WINDOW
        target = place_of(text)
        if target is None:
            continue
        own = _marks(target)
        for mark in own & taken.keys():
            raise UsageError(f"output '{text}' would overwrite {taken[mark]}; give it another name")
        for mark in (_marks(target.parent) if target.suffix.lower() in SUFFIXES else set()) & taken.keys():
            raise UsageError(
                f"output '{text}' would overwrite {taken[mark]}, or lie among it; give it another place"
            )
        taken |= dict.fromkeys(own, f"output '{text}'")
    if windows > 1:
        raise UsageError(
            f"{windows} outputs would be windows, and there can be only one; show pages with --serve, or write "
            "files, such as --sink out/camera{n}.mp4"
        )


def check_not_read(outputs: Iterable[str | Path], read: Collection[Path], what: str = "what is read") -> None:
    """Raise :class:`UsageError` where one of ``outputs`` would take the place of one of the files and folders that
    are ``read``, or be a picture in one of them."""
    for output in outputs:
        place = place_of(str(output))
        if place is None:
            continue
        file = place.resolve()
        is_picture = file.suffix.lower() in SUFFIXES
        if any(is_same(file, path) or (is_picture and is_same(file.parent, path)) for path in read):
            raise UsageError(
                f"output '{output}' would overwrite {what}, or lie among it; give it another place"
            )


def _read_places(source: str) -> list[Path]:
    """The file or the folders that a source's text names; none of what is on the network."""
    text = from_environment(source.strip()).removeprefix(GST_FILE)
    if is_url(text) and scheme_of(text) != "file":
        return []
    path = local_path(text.partition(",")[0] if text.startswith("/dev/") else text)
    with suppress(SourceError, OSError):  # none of that name, or no name at all
        if glob.has_magic(str(path)) and not path.exists():
            return list({found.parent for found in find_images(str(path))})
    return [path, path.parent] if NUMBERED.fullmatch(path.name) else [path]


def _marks(place: Path) -> set[_Mark]:
    """What tells a place from all others, whatever it is called: its real path, and what it is on the disk."""
    with suppress(OSError, ValueError):
        status = place.stat()
        return {os.path.realpath(place), (status.st_dev, status.st_ino)}
    return {os.path.realpath(place)}
