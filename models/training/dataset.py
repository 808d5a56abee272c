"""Labelled pictures to train on: folders laid out like CamVid, and rendered street scenes.

A data set is named by a line of text, ``KIND:ARGUMENTS``:

* ``camvid:DIR``: pictures ``DIR/STEM.png`` or ``.jpg``, labels ``DIR_labels/STEM.png`` (one channel, 8 bits);
  or the same in ``DIR/train`` and ``DIR/train_labels``.
* ``street:seed=0,length=400,every=10,size=480x360``: frames 0, 10, 20, ... of a street scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.models.labels import VOID, ClassSet

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, (H, W, 3) uint8 BGR, and its labels, (H, W) uint8: a class, or VOID for no class."""

    bgr: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def load_data(spec: str, classes: ClassSet) -> list[Sample]:
    """All samples of a data set, in memory and in a fixed order."""
    kind, _, arguments = spec.partition(":")
    if kind == "camvid":
        return list(_folder(Path(arguments), classes))
    if kind == "street":
        return list(_street(arguments))
    raise unknown_name("data set", kind, ("camvid", "street"))


def _folder(pictures: Path, classes: ClassSet) -> Iterator[Sample]:
    if (pictures / "train").is_dir():
        pictures /= "train"
    labels = pictures.with_name(pictures.name + "_labels")
    for folder in (pictures, labels):
        if not folder.is_dir():
            raise UsageError(
                f"data set folder '{folder}' does not exist; 'camvid:DIR' takes pictures in DIR and "
                "labels of the same names in DIR_labels, or DIR/train and DIR/train_labels"
            )
    paths = sorted(p for p in pictures.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise UsageError(f"'{pictures}' holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    for path in paths:
        yield read_sample(path, labels / f"{path.stem}.png", classes)


def read_sample(picture: Path, labels: Path, classes: ClassSet) -> Sample:
    """A picture and its labels from files; the label that follows the last class means void."""
    bgr = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if bgr is None:
        raise UsageError(f"picture '{picture}' cannot be read")
    if not labels.is_file():
        raise UsageError(f"picture '{picture}' has no labels: '{labels}' does not exist")
    found = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
    if found is None or found.ndim != 2 or found.dtype != np.uint8:
        raise UsageError(f"labels '{labels}' are not a picture of one channel of 8 bits")
    if found.shape != bgr.shape[:2]:
        raise UsageError(
            f"labels '{labels}' are {found.shape[1]}x{found.shape[0]}, "
            f"their picture is {bgr.shape[1]}x{bgr.shape[0]}"
        )
    return Sample(bgr.astype(np.uint8, copy=False), _void_last(found, labels, classes))


def _void_last(found: NDArray[np.uint8], path: Path, classes: ClassSet) -> NDArray[np.uint8]:
    found = np.where(found == len(classes), np.uint8(VOID), found)
    wrong = found[(found >= len(classes)) & (found != VOID)]
    if wrong.size:
        raise UsageError(
            f"labels '{path}' hold the value {wrong[0]}; class set '{classes.name}' has "
            f"0 to {len(classes) - 1}, and {len(classes)} or {VOID} for void"
        )
    return found


def _street(arguments: str) -> Iterator[Sample]:
    from keywarp.flow.scenes.street import StreetScene

    options = _options(arguments, {"seed": "0", "length": "400", "every": "1", "size": "480x360"})
    length, every = _integer(options, "length", 1), _integer(options, "every", 1)
    scene = StreetScene(
        size=parse_size(options["size"]), rate=30, length=length, seed=_integer(options, "seed", 0)
    )
    for index in range(0, length, every):
        frame = scene.frame(index)
        yield Sample(frame.bgr.copy(), frame.classes.copy())


def _options(text: str, defaults: dict[str, str]) -> dict[str, str]:
    options = dict(defaults)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in defaults:
            raise unknown_name("option of data set 'street'", name, defaults)
        options[name] = value
    return options


def _integer(options: dict[str, str], name: str, least: int) -> int:
    text = options[name]
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"{name}={text} in a data set: a whole number of at least {least} is meant")
    return int(text)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from ``WIDTHxHEIGHT``."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"'{text}' is not a size; write WIDTHxHEIGHT, such as 480x360")
    return int(width), int(height)
