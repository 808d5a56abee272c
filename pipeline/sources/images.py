"""Folders and globs of pictures."""

from __future__ import annotations

import glob
import re
from collections.abc import Container, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from keywarp.engines.errors import SourceError
from keywarp.flow.base import Size, readonly
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture, Pixels
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .location import check_exists, check_plain
from .rate import Rate, exact_rate

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
UNREADABLE = "unreadable"

_MOST_NAMES = 3
# What stands before the pixels of a PNG file: colour profiles are a few KB.
_HEAD_BYTES = 16_384


class ImageSource(Source):
    """The pictures of a folder, those that a glob matches, or a single one, in natural order (2 before 10).

    Grey, transparent, palette and 16-bit pictures become 8-bit BGR. Pictures of another size than the first
    readable one are scaled to it; unreadable ones are left out, which leaves a gap in ``index`` and time,
    and are counted as ``unreadable``. Of an animated one (PNG, WebP) only the first picture is read, which
    ``notes`` says. ``rate``: frames a second, since pictures have no times.
    """

    def __init__(self, folder_or_glob: str | Path, *, rate: Rate = 25) -> None:
        super().__init__()
        self._place = str(Path(folder_or_glob).expanduser())
        self._rate = exact_rate(rate)
        self._paths: list[Path] = []
        self._first: tuple[int, Pixels] | None = None
        self._size: Size = (0, 0)
        self._unreadable: list[str] = []
        self._resized: list[str] = []
        self._animated: list[str] = []

    def open(self) -> StreamInfo:
        """List the pictures and read the first."""
        self._paths = find_images(self._place)
        for index, path in enumerate(self._paths):
            pixels = self._read(path)
            if pixels is not None:
                self._first = index, pixels
                self._size = pixels.shape[1], pixels.shape[0]
                break
        else:
            raise SourceError(
                f"none of the {len(self._paths)} pictures in '{self._place}' can be read: are they damaged, or may "
                f"they not be read by this user? (first: '{self._paths[0].name}')"
            )
        return StreamInfo(
            name=self._place,
            size=self._size,
            rate=self._rate,
            time_base=Fraction(1, self._rate),
            frame_count=len(self._paths),
            paths=self._origins(),
        )

    def _origins(self) -> tuple[Path, ...]:
        """The folder or the one picture; for a glob all folders in which it found something."""
        place = Path(self._place)
        return (place,) if place.exists() else tuple(dict.fromkeys(path.parent for path in self._paths))

    def frames(self) -> Iterator[Frame]:
        """The pictures, each read when it is its turn."""
        if self._first is None:
            raise SourceError(f"pictures '{self._place}' are not open; call open() first")
        start, pixels = self._first
        self._first = None
        try:
            yield self._deliver(start, pixels)
            for index in range(start + 1, len(self._paths)):
                found = self._read(self._paths[index])
                if found is not None:
                    yield self._deliver(index, found)
        finally:
            self._sum_up()

    def _read(self, path: Path) -> Pixels | None:
        pixels = read_bgr(path)
        if pixels is None:
            self.losses.add(UNREADABLE)
            self._unreadable.append(path.name)
        elif is_animated(path):
            self._animated.append(path.name)
        return pixels

    def _deliver(self, index: int, pixels: Pixels) -> Frame:
        picture = Picture.from_bgr(readonly(pixels))
        if picture.size != self._size:
            self._resized.append(f"{self._paths[index].name} {picture.size[0]}x{picture.size[1]}")
            picture = picture.scaled(self._size)
        return Frame(index, index, Fraction(1, self._rate), self.clock.now_ns(), picture)

    def _sum_up(self) -> None:
        width, height = self._size
        if self._resized:
            self.notes.append(
                f"{len(self._resized)} of {len(self._paths)} pictures have another size than the first and were "
                f"scaled to {width}x{height}: {_some(self._resized)}"
            )
        if self._animated:
            self.notes.append(
                f"{len(self._animated)} of {len(self._paths)} pictures are animated, and only the first picture of "
                f"each was read: {_some(self._animated)}; make videos of them to read them whole"
            )
        if self._unreadable:
            self.notes.append(
                f"{len(self._unreadable)} of {len(self._paths)} pictures could not be read: "
                f"{_some(self._unreadable)}"
            )

    def close(self) -> None:
        """Let go of the first picture."""
        self._first = None


def find_images(place: str) -> list[Path]:
    """The pictures of a folder or glob, or the one file, in natural order. Raises :class:`SourceError`."""
    path = Path(place)
    kinds = f"(accepted: {', '.join(SUFFIXES)})"
    if path.is_dir():
        found = _images(path.iterdir())
        if not found:
            raise SourceError(f"folder '{place}' holds no pictures {kinds}; give another folder, or a glob")
    elif path.exists():
        check_plain(path, "picture")
        return [path]
    elif glob.has_magic(place):
        found = _images(Path(match) for match in glob.iglob(place, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not found:
            raise SourceError(f"no picture matches '{place}' {kinds}; check the pattern")
    else:
        check_exists(path, "folder or glob of pictures")
        found = []
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their value: 2 before 10."""
    parts = re.findall(r"\d+|\D+", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def read_bgr(path: Path) -> Pixels | None:
    """A picture file as (H, W, 3) uint8 BGR, turned as its EXIF says; None where it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return pixels if pixels is not None and pixels.size else None


def is_animated(path: Path, suffixes: Container[str] = (".png", ".webp")) -> bool:
    """Whether a picture file, if its name ends so, is a film by its head: APNG or an animated WebP."""
    if path.suffix.lower() not in suffixes:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    if head.startswith(b"\x89PNG"):
        count = head.partition(b"IDAT")[0].partition(b"acTL")[2][:4]
        return int.from_bytes(count, "big") > 1
    # The second bit of the flags of an extended WebP
    return head[8:16] == b"WEBPVP8X" and any(flags & 2 for flags in head[20:21])


def _images(paths: Iterable[Path]) -> list[Path]:
    return [
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def _some(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
