"""Pairs of pictures to train on: drawn anew each time, rendered with exact flow, or taken from films.

A data set is named by a line of text, ``KIND:ARGUMENTS``:

* ``shapes:DIR,reach=0.12``: the pictures in ``DIR``, moved, and shapes cut out of them moving over them; exact
  flow. ``reach``: the longest shift of a shape, as a share of the width.
* ``street:seed=0,length=400,every=10,size=480x360,kind=town,distance=18``: frames 1, 11, 21, ... of a street scene,
  each with one of the ``distance`` frames before it; exact flow and labels.
* ``video:FILE,every=5,size=480x360,distance=9``: frames 5, 10, ... of any film, likewise; no flow and no labels.
* ``chairs:DIR``: pairs with their flow, as FlyingChairs has them, see :mod:`keywarp.models.chairs`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.base import Field, Mask
from keywarp.flow.scenes.chairs import make_pair
from keywarp.models.chairs import find_chairs
from keywarp.models.datasets import PICTURE_SUFFIXES

from .config import Part
from .dataset import parse_options, parse_size, whole_number
from .films import film_frames
from .memory import check_samples

Pixels = NDArray[np.uint8]
_WORTH = 3
"""A pair takes as much memory as so many labelled pictures: both pictures, the flow, where it is known, labels."""
_LARGEST_PX = 1024
"""Pictures that shapes are cut out of are shrunk to the area of a square with such a side."""
_CUT = 50.0
"""Mean difference in grey levels from which two frames of a film do not show the same scene."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures (H, W, 3) uint8 BGR, and what is known of them; None for what is not.

    ``field``: (H, W, 2) from the current picture to the key picture, x then y, in pixels, where ``valid`` (H, W).
    ``labels``: (H, W) uint8, the classes of the current picture, or VOID.
    """

    current: Pixels
    key: Pixels
    field: Field | None = None
    valid: Mask | None = None
    labels: Pixels | None = None


class PairSample(ABC):
    """Something that yields pairs."""

    @abstractmethod
    def pair(self, part: Part, rng: np.random.Generator) -> Pair:
        """A random pair of the size of ``part``. Several threads call it at once."""

    @abstractmethod
    def whole(self) -> Pair:
        """Always the same pair, to score on."""

    @property
    @abstractmethod
    def knows_flow(self) -> bool:
        """Whether its pairs come with their flow."""

    @property
    @abstractmethod
    def fingerprint(self) -> bytes:
        """What tells it from others."""


class Drawn(PairSample):
    """A picture of a pool as the background; textures come from all of them."""

    def __init__(self, pool: Sequence[Pixels], number: int, reach: float) -> None:
        self._pool, self._number, self._reach = pool, number, reach

    def pair(self, part: Part, rng: np.random.Generator) -> Pair:
        """Drawn anew."""

        def texture() -> Pixels:
            return self._pool[int(rng.integers(len(self._pool)))]

        made = make_pair(self._pool[self._number], texture, (part.width, part.height), rng, self._reach)
        return Pair(made.current, made.key, made.field, made.valid)

    def whole(self) -> Pair:
        """One that depends on the picture alone."""
        height, width = (side // 8 * 8 for side in self._pool[self._number].shape[:2])
        return self.pair(Part(width, height, 1, 1), np.random.default_rng(self._number))

    @property
    def knows_flow(self) -> bool:
        """Always."""
        return True

    @property
    def fingerprint(self) -> bytes:
        """The picture."""
        return np.ascontiguousarray(self._pool[self._number]).tobytes()


class Kept(PairSample):
    """A pair in memory, of which parts are cut."""

    def __init__(self, pair: Pair) -> None:
        self._pair = replace(pair, field=None)
        # half the memory; good to a sixteenth of a pixel
        self._field = None if pair.field is None else pair.field.astype(np.float16)

    def pair(self, part: Part, rng: np.random.Generator) -> Pair:
        """A random part of it, at random scale, mirrored every other time."""
        return cut(self.whole(), part, rng)

    def whole(self) -> Pair:
        """All of it."""
        field = None if self._field is None else self._field.astype(np.float32)
        return replace(self._pair, field=field)

    @property
    def knows_flow(self) -> bool:
        """Whether the pair has it."""
        return self._field is not None

    @property
    def fingerprint(self) -> bytes:
        """Both pictures."""
        return self._pair.current.tobytes() + self._pair.key.tobytes()


def cut(pair: Pair, part: Part, rng: np.random.Generator) -> Pair:
    """A part of the size of ``part``, scaled by its range and never beyond the pictures."""
    height, width = pair.current.shape[:2]
    least = max(part.width / width, part.height / height)
    scale = max(least, math.exp(rng.uniform(math.log(part.low), math.log(part.high))))
    size = max(part.width, round(width * scale)), max(part.height, round(height * scale))
    y, x = (
        int(rng.integers(whole - inner + 1))
        for whole, inner in ((size[1], part.height), (size[0], part.width))
    )
    flip = rng.random() < 0.5

    def cropped(array: NDArray[Any], how: int) -> NDArray[Any]:
        large = cv2.resize(array, size, interpolation=how)[y : y + part.height, x : x + part.width]
        return np.ascontiguousarray(large[:, ::-1] if flip else large)

    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    field = valid = labels = None
    if pair.field is not None and pair.valid is not None:
        factors = np.array([size[0] / width * (-1 if flip else 1), size[1] / height], np.float32)
        # by nearest neighbour: between two motions there is none in the middle
        field = cropped(pair.field, cv2.INTER_NEAREST) * factors
        valid = cropped(pair.valid.view(np.uint8), cv2.INTER_NEAREST).view(np.bool_)
    if pair.labels is not None:
        labels = cropped(pair.labels, cv2.INTER_NEAREST)
    return Pair(cropped(pair.current, smooth), cropped(pair.key, smooth), field, valid, labels)


def load_pairs(spec: str) -> list[PairSample]:
    """All samples of a data set, in memory and in a fixed order."""
    kind, _, arguments = spec.partition(":")
    if kind not in _KINDS:
        raise unknown_name("data set of pairs", kind, _KINDS)
    return list(_KINDS[kind](arguments))


def _shapes(arguments: str) -> Iterator[PairSample]:
    place, _, rest = arguments.partition(",")
    options = parse_options("shapes", rest, {"reach": "0.12"})
    if not place:
        raise UsageError("data set 'shapes:' names no folder; write shapes:DIR")
    folder = Path(place).expanduser()
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise UsageError(f"shapes:{place}: '{folder}' {what}; give a folder with JPEG or PNG files")
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise UsageError(
            f"shapes:{place}: there are no pictures in that folder; give one with JPEG or PNG files"
        )
    reach = _share(options["reach"])
    check_samples(len(paths), len(paths) * _LARGEST_PX**2, f"shapes:{place}")
    pool = [_shrunk(_picture(path)) for path in paths]
    for number in range(len(pool)):
        yield Drawn(pool, number, reach)


def _share(text: str) -> float:
    try:
        reach = float(text)
    except ValueError:
        reach = math.nan
    if not 0 < reach <= 1:
        raise UsageError(f"reach={text} in a data set: a share of the width is meant, above 0 and at most 1")
    return reach


def _shrunk(pixels: Pixels) -> Pixels:
    """A picture of no more pixels than parts of it will have."""
    factor = _LARGEST_PX / math.sqrt(pixels.shape[0] * pixels.shape[1])
    if factor >= 1:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _picture(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UsageError(f"'{path}' cannot be read as a picture; remove it or get another copy")
    return np.asarray(pixels, np.uint8)


def _street(arguments: str) -> Iterator[PairSample]:
    from keywarp.flow.scenes.street import StreetScene

    defaults = {
        "seed": "0",
        "length": "400",
        "every": "10",
        "size": "480x360",
        "kind": "town",
        "distance": "18",
    }
    options = parse_options("street", arguments, defaults)
    length, every = whole_number(options, "length", 2), whole_number(options, "every", 1)
    distance, size = whole_number(options, "distance", 1), parse_size(options["size"])
    seed = whole_number(options, "seed", 0)
    indices = range(1, length, every)
    check_samples(len(indices), len(indices) * _WORTH * math.prod(size), f"street:{arguments}")
    scene = StreetScene(size=size, rate=30, length=length, seed=seed, kind=options["kind"])
    rng = np.random.default_rng(seed)
    for index in indices:
        before = max(0, index - int(rng.integers(1, distance + 1)))
        frame = scene.frame(index)
        step = frame.step(before)
        yield Kept(
            Pair(
                frame.bgr.copy(), scene.frame(before).bgr.copy(), step.field, step.valid, frame.classes.copy()
            )
        )


def _video(arguments: str) -> Iterator[PairSample]:
    place, _, rest = arguments.partition(",")
    options = parse_options("video", rest, {"every": "5", "size": "480x360", "distance": "9", "seed": "0"})
    every, distance = whole_number(options, "every", 1), whole_number(options, "distance", 1)
    rng = np.random.default_rng(whole_number(options, "seed", 0))
    latest: list[Pixels] = []
    found = 0
    for number, pixels in enumerate(film_frames(Path(place).expanduser(), parse_size(options["size"]))):
        if number and number % every == 0:
            key = latest[-min(len(latest), int(rng.integers(1, distance + 1)))]
            if cv2.norm(pixels, key, cv2.NORM_L1) / pixels.size < _CUT:
                found += 1
                if found % 100 == 0:  # how long a film is may not be known
                    check_samples(100, 100 * _WORTH * pixels.size // 3, f"video:{arguments}")
                yield Kept(Pair(pixels, key))
        latest = [*latest, pixels][-distance:]
    if not found:
        raise UsageError(
            f"video:{place}: it has no two frames of one scene {every} apart; "
            "give a longer film, or a smaller every"
        )


def _chairs(arguments: str) -> Iterator[PairSample]:
    pairs = find_chairs(arguments)
    for number, files in enumerate(pairs):
        current, key, field, there = files.read()
        if number == 0:  # what later ones take is no longer free then
            check_samples(len(pairs), len(pairs) * _WORTH * field.size // 2, f"chairs:{arguments}")
        yield Kept(Pair(current, key, np.where(there[..., np.newaxis], field, np.float32(0)), there))


_KINDS: dict[str, Callable[[str], Iterator[PairSample]]] = {
    "shapes": _shapes,
    "street": _street,
    "video": _video,
    "chairs": _chairs,
}
