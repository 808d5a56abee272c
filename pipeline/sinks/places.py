"""Where outputs go: no two to one place, and none onto what is read; and how to speak of them."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from enum import Enum, auto
from fnmatch import fnmatch
from pathlib import Path

from keywarp.engines.errors import SourceError, UsageError
from keywarp.pipeline.gst.presets import GST_FILE
from keywarp.pipeline.gst.secrets import without_credentials
from keywarp.pipeline.sources.images import SUFFIXES, find_images
from keywarp.pipeline.sources.location import is_url, local_path, scheme_of
from keywarp.pipeline.sources.parse import from_environment

from .output import is_same
from .png import NUMBERED
from .timed import TimedNames

WINDOW = "window"

_NOWHERE = frozenset({"null", "null:overlay", WINDOW})
_NO_PLACE = _NOWHERE | {"jsonl:-"}
_IN_PLACE = frozenset({"jsonl", "png", "record", "snapshot", "v4l2"})
_ON_NETWORK = frozenset({"webhook"})
_WITH_OPTIONS = frozenset({"record", "snapshot"})
_FOLDERS = frozenset({"png", "record", "snapshot"})
_OPTIONS = re.compile(r"(,(\w+=[^,]*|off))*$")

_Mark = str | tuple[int, int]


class _What(Enum):
    """What is taken of a place: itself, or one sort of the files that may come to lie in the folder."""

    ITSELF = auto()
    ANY_PICTURE = auto()
    NUMBERED_PICTURE = auto()
    LABEL_MAPS = auto()
    SNAPSHOTS = auto()


_Claim = tuple[_What, _Mark]


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
    taken = dict[_Claim, str]()
    for source in filter(None, sources):
        for what, place in _read_places(source):
            taken |= dict.fromkeys(_claims(what, place), f"the source '{source}'")
    windows = 0
    for text in outputs:
        windows += text == WINDOW
        target = place_of(text)
        if target is None:
            continue
        kind = _folder_kind(text)
        for claim in _wanted(kind, target):
            if claim in taken and kind is None and claim[0] is _What.ITSELF:
                raise UsageError(f"output '{text}' would overwrite {taken[claim]}; give it another name")
            if claim in taken:
                raise UsageError(
                    f"output '{text}' would overwrite {taken[claim]}, or lie among it; give it another place"
                )
        taken |= dict.fromkeys(_kept_from_others(kind, target), f"output '{text}'")
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


def _read_places(source: str) -> Iterator[tuple[_What, Path]]:
    """What no output may take of the places that a source's text names; none of what is on the network.

    A folder is refused to all that write into it. Of a glob, or a single picture, only what would replace a picture
    or be found by the glob: its folder may well be that of other files.
    """
    text = from_environment(source.strip()).removeprefix(GST_FILE)
    if is_url(text) and scheme_of(text) != "file":
        return
    path = local_path(text.partition(",")[0] if text.startswith("/dev/") else text)
    with suppress(SourceError, OSError):  # none of that name, or no name at all
        if glob.has_magic(str(path)) and not path.exists():
            yield from _of_glob(path)
            return
    yield _What.ITSELF, path
    yield _What.ANY_PICTURE, path
    for picture in (path, Path(os.path.realpath(path))):  # what a link leads to may be replaced, too
        if NUMBERED.fullmatch(picture.name):
            yield _What.LABEL_MAPS, picture.parent


def _of_glob(pattern: Path) -> Iterator[tuple[_What, Path]]:
    found = frozenset(find_images(str(pattern)))
    for folder in {path.parent for path in found}:
        yield _What.ANY_PICTURE, folder
        yield _What.LABEL_MAPS, folder
        # A snapshot that the glob finds would be read by the next run; files so named may be deleted.
        names = TimedNames(folder, ".jpg")
        if fnmatch(names.next(time.time_ns()).name, pattern.name) or not found.isdisjoint(names.existing()):
            yield _What.SNAPSHOTS, folder


def _folder_kind(text: str) -> str | None:
    """Which of the sinks that write many files into a folder a text names; None for all others."""
    kind, colon, _ = text.partition(":")
    if not colon:
        return "png" if text.endswith("/") else None
    return kind if kind in _FOLDERS else None


def _wanted(kind: str | None, target: Path) -> list[_Claim]:
    """What an output takes, the place itself first."""
    claims = _claims(_What.ITSELF, target)
    if kind == "png":
        claims += _claims(_What.LABEL_MAPS, target)
    elif kind == "snapshot":
        claims += _claims(_What.SNAPSHOTS, target)
    elif kind is None and target.suffix.lower() in SUFFIXES:
        claims += _claims(_What.ANY_PICTURE, target.parent)
        if NUMBERED.fullmatch(target.name):
            claims += _claims(_What.NUMBERED_PICTURE, target.parent)
    return claims


def _kept_from_others(kind: str | None, target: Path) -> list[_Claim]:
    """What no further output may take beside this one."""
    claims = _claims(_What.ITSELF, target)
    if kind == "png":
        claims += _claims(_What.NUMBERED_PICTURE, target)
    elif kind is None and NUMBERED.fullmatch(target.name):
        claims += _claims(_What.LABEL_MAPS, target.parent)
    return claims


def _claims(what: _What, place: Path) -> list[_Claim]:
    return [(what, mark) for mark in _marks(place)]


def _marks(place: Path) -> set[_Mark]:
    """What tells a place from all others, whatever it is called: its real path, and what it is on the disk."""
    with suppress(OSError, ValueError):
        status = place.stat()
        return {os.path.realpath(place), (status.st_dev, status.st_ino)}
    return {os.path.realpath(place)}
