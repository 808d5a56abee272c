"""Labelled pictures in folders: pictures in one, PNG label maps of the same names in another.

``camvid:DIR`` names such a pair of folders: pictures in ``DIR/STEM.png`` or ``.jpg``, labels in
``DIR_labels/STEM.png``; ``DIR`` may hold several pairs, its splits: ``DIR/train`` and ``DIR/train_labels``. A label
map has one channel of 8 bits, or a palette, and holds the classes' numbers; the number after the last class and 255
are void.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError, unknown_name

from .labels import CLASS_SETS, VOID, ClassSet

Pixels = NDArray[np.uint8]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABELS = "_labels"

_PNG_HEADER_BYTES = 26
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_GRAY, _PALETTE = 0, 3
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, (H, W, 3) uint8 BGR, and its labels, (H, W) uint8: a class, or VOID for no class."""

    bgr: Pixels
    labels: Pixels


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A file with the true class of every pixel of one picture."""

    path: Path

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, from the first bytes of the file."""
        return _read_header(self.path).size

    def read(self, classes: ClassSet) -> Pixels:
        """(H, W) uint8: a class, or VOID. Raises :class:`UsageError` for values that ``classes`` has not."""
        return _void_last(_read_values(self.path), self.path, classes)

    def values(self) -> Pixels:
        """(H, W) uint8, the numbers as they are in the file."""
        return _read_values(self.path)

    def check_size(self, size: tuple[int, int], owner: str = "picture") -> None:
        """Raise :class:`UsageError` unless this has the width and height of its picture."""
        if self.size != size:
            raise UsageError(
                f"labels '{self.path}' are {self.size[0]}x{self.size[1]}, "
                f"their {owner} is {size[0]}x{size[1]}; a label map has its {owner}'s size"
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture's file and its labels."""

    picture: Path
    labels: LabelMap

    def read_picture(self) -> Pixels:
        """(H, W, 3) uint8 BGR. Raises :class:`UsageError` where it has another size than its labels."""
        bgr = read_bgr(self.picture)
        self.labels.check_size((bgr.shape[1], bgr.shape[0]))
        return bgr

    def read(self, classes: ClassSet) -> Sample:
        """Picture and labels."""
        return Sample(self.read_picture(), self.labels.read(classes))


def parse_data(spec: str) -> tuple[ClassSet, Path]:
    """The classes and the folder that ``camvid:DIR`` names."""
    kind, colon, folder = spec.partition(":")
    if kind not in CLASS_SETS:
        raise unknown_name("data set", kind, CLASS_SETS)
    if not colon or not folder:
        raise UsageError(f"data set '{spec}' names no folder; write {kind}:DIR")
    return CLASS_SETS[kind], Path(folder).expanduser()


def find_pairs(folder: Path, split: str | None = None) -> list[Pair]:
    """The pictures of a data set, by name, each with the file of its labels. Reads no picture.

    ``split``: those in ``folder/split``, with labels in ``folder/split_labels``; None: those in ``folder`` itself,
    with labels in ``folder_labels``. Raises :class:`UsageError` where the folders do not exist (it lists the splits
    that do), hold no pictures, or leave one without labels.
    """
    pictures = folder if split is None else folder / split
    if not pictures.is_dir() or not labels_beside(pictures).is_dir():
        _raise_no_such(folder, pictures, split)
    paths = sorted(p for p in pictures.iterdir() if _is_picture(p))
    if not paths:
        raise UsageError(f"'{pictures}' holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return pair_up(paths, labels_beside(pictures))


def pair_up(pictures: Iterable[Path], labels: Path) -> list[Pair]:
    """Each picture with the PNG of its name in the folder ``labels``; :class:`UsageError` if one has none."""
    pairs = [Pair(picture, LabelMap(labels / f"{picture.stem}.png")) for picture in pictures]
    for pair in pairs:
        if not pair.labels.path.is_file():
            raise UsageError(
                f"picture '{pair.picture}' has no labels: '{pair.labels.path}' does not exist; "
                "add it, or take the picture away"
            )
    return pairs


def labels_beside(pictures: Path) -> Path:
    """The folder of labels that belongs to a folder of pictures: the same name and ``_labels``."""
    pictures = pictures if pictures.name else pictures.resolve()
    return pictures.with_name(pictures.name + LABELS)


def splits_of(folder: Path) -> list[str]:
    """The names of the sub-folders that have labels beside them."""
    with suppress(OSError):
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and labels_beside(p).is_dir())
    return []


def read_bgr(path: Path) -> Pixels:
    """A picture file as (H, W, 3) uint8 BGR, turned as its EXIF says."""
    pixels = None
    with suppress(OSError, cv2.error):
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise UsageError(f"picture '{path}' cannot be read: is it damaged, or may this user not read it?")
    return pixels


def _read_values(path: Path) -> Pixels:
    """The values of a PNG with one channel of 8 bits, or a palette's indices: (H, W) uint8."""
    header = _read_header(path)
    with suppress(OSError, cv2.error, av.error.FFmpegError, StopIteration):
        found = _palette_indices(path) if header.is_palette else _gray_values(path)
        if found.shape == header.size[::-1]:
            return found
    raise UsageError(f"labels '{path}' cannot be read: the file is damaged; make it again")


@dataclass(frozen=True, slots=True)
class _Header:
    size: tuple[int, int]
    is_palette: bool


def _read_header(path: Path) -> _Header:
    """What the first bytes of a label map say."""
    try:
        with path.open("rb") as file:
            start = file.read(_PNG_HEADER_BYTES)
    except OSError as error:
        raise UsageError(f"labels '{path}' cannot be read: {error.strerror}") from error
    is_png = len(start) == _PNG_HEADER_BYTES and start.startswith(_PNG_START)
    depth, color = (start[24], start[25]) if is_png else (0, 0)
    if color != _PALETTE and (depth, color) != (8, _GRAY):
        raise UsageError(
            f"labels '{path}' are not a PNG with one channel of 8 bits, or with a palette; "
            "write the number of each pixel's class as such a PNG"
        )
    return _Header(
        (int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")), color == _PALETTE
    )


def _gray_values(path: Path) -> Pixels:
    found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.empty((0, 0), np.uint8) if found is None else found


def _palette_indices(path: Path) -> Pixels:
    with av.open(BytesIO(path.read_bytes()), "r", format="png_pipe") as file:
        frame = next(file.decode(video=0))
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: frame.height, : frame.width].copy()


def _void_last(found: Pixels, path: Path, classes: ClassSet) -> Pixels:
    found = np.where(found == len(classes), np.uint8(VOID), found)
    wrong = found[(found >= len(classes)) & (found != VOID)]
    if wrong.size:
        raise UsageError(
            f"labels '{path}' hold the value {wrong[0]}; class set '{classes.name}' has "
            f"0 to {len(classes) - 1}, and {len(classes)} or {VOID} for void"
        )
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _raise_no_such(folder: Path, pictures: Path, split: str | None) -> NoReturn:
    missing = pictures if not pictures.is_dir() else labels_beside(pictures)
    said = f"data set folder '{missing}' does not exist"
    splits = splits_of(folder)
    if splits:
        raise UsageError(f"{said}; give one of the splits in '{folder}': {', '.join(splits)}")
    raise UsageError(
        f"{said}; a data set is pictures in DIR and labels of the same names in DIR{LABELS}, or splits of it: "
        f"DIR/NAME and DIR/NAME{LABELS}"
    )
