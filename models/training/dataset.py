"""Labelled pictures to train on: folders laid out like CamVid, and rendered street scenes.

A data set is named by a line of text, ``KIND:ARGUMENTS``:

* ``camvid:DIR``: pictures ``DIR/STEM.png`` or ``.jpg``, labels ``DIR_labels/STEM.png`` (one channel, 8 bits);
  or the same in ``DIR/train`` and ``DIR/train_labels``.
* ``pictures:DIR,labels=DIR,map=cityscapes``: label maps with numbers of their own, see
  :mod:`keywarp.models.training.class_map`.
* ``street:seed=0,length=400,every=10,size=480x360,kind=town``: frames 0, 10, 20, ... of a street scene, through a
  ``town`` or along a ``motorway``.
* ``above:seed=0,length=400,every=10,size=480x360``: views 0, 10, 20, ... of a drawn place seen from above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.models.datasets import LabelMap, Pair, Pixels, find_pairs, labels_beside, parse_data
from keywarp.models.datasets import Sample as Sample
from keywarp.models.labels import ClassSet

from .class_map import ClassMap, find_nested
from .memory import check_samples

_STREET = {"seed": "0", "length": "400", "every": "1", "size": "480x360", "kind": "town"}


def load_data(spec: str, classes: ClassSet) -> list[Sample]:
    """All samples of a data set, in memory and in a fixed order."""
    kind, _, arguments = spec.partition(":")
    if kind == "camvid":
        return list(_folder(parse_data(spec)[1], classes))
    if kind == "pictures":
        return list(_mapped(arguments, classes))
    if kind == "street":
        return list(_street(arguments))
    if kind == "above":
        return list(_above(arguments))
    raise unknown_name("data set", kind, ("camvid", "pictures", "street", "above"))


def _folder(pictures: Path, classes: ClassSet) -> Iterator[Sample]:
    split = "train" if (pictures / "train").is_dir() else None
    yield from _read(find_pairs(pictures, split), partial(LabelMap.read, classes=classes))


def _mapped(arguments: str, classes: ClassSet) -> Iterator[Sample]:
    place, _, rest = arguments.partition(",")
    options = parse_options("pictures", rest, {"labels": "", "map": "", "picture_end": "", "label_end": ""})
    pictures = Path(place).expanduser()
    labels = Path(options["labels"]).expanduser() if options["labels"] else labels_beside(pictures)
    table = ClassMap.named(options["map"], classes) if options["map"] else None
    pairs = find_nested(pictures, labels, options["picture_end"], options["label_end"])
    yield from _read(pairs, table.read if table else partial(LabelMap.read, classes=classes))


def _read(pairs: Sequence[Pair], labels_of: Callable[[LabelMap], Pixels]) -> Iterator[Sample]:
    folder = str(pairs[0].picture.parent)
    check_samples(len(pairs), sum(math.prod(pair.labels.size) for pair in pairs), folder)
    for pair in pairs:
        yield Sample(pair.read_picture(), labels_of(pair.labels))


def _street(arguments: str) -> Iterator[Sample]:
    from keywarp.flow.scenes.street import StreetScene

    options = parse_options("street", arguments, _STREET)
    length, every = whole_number(options, "length", 1), whole_number(options, "every", 1)
    size, indices = parse_size(options["size"]), range(0, length, every)
    check_samples(len(indices), len(indices) * math.prod(size), f"street:{arguments}")
    seed = whole_number(options, "seed", 0)
    scene = StreetScene(size=size, rate=30, length=length, seed=seed, kind=options["kind"])
    for index in indices:
        frame = scene.frame(index)
        yield Sample(frame.bgr.copy(), frame.classes.copy())


def _above(arguments: str) -> Iterator[Sample]:
    from keywarp.flow.scenes.above import AboveScene

    options = parse_options(
        "above", arguments, {"seed": "0", "length": "400", "every": "1", "size": "480x360"}
    )
    length, every = whole_number(options, "length", 1), whole_number(options, "every", 1)
    size, indices = parse_size(options["size"]), range(0, length, every)
    check_samples(len(indices), len(indices) * math.prod(size), f"above:{arguments}")
    scene = AboveScene(size=size, length=length, seed=whole_number(options, "seed", 0))
    for index in indices:
        frame = scene.frame(index)
        yield Sample(frame.bgr.copy(), frame.classes.copy())


def parse_options(kind: str, text: str, defaults: dict[str, str]) -> dict[str, str]:
    """``NAME=VALUE,...`` over ``defaults``. Raises UsageError for a name that is not among them."""
    options = dict(defaults)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in defaults:
            raise unknown_name(f"option of data set '{kind}'", name, defaults)
        options[name] = value
    return options


def whole_number(options: dict[str, str], name: str, least: int) -> int:
    """The option ``name`` as a number. Raises UsageError unless it is one of at least ``least``."""
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
