"""Pictures whose labels have the numbers of another data set.

``pictures:DIR,labels=DIR,map=NAME,picture_end=TEXT,label_end=TEXT`` takes every picture below DIR, in sub-folders
too, and from the same place below ``labels`` (DIR_labels if not given) the PNG of its name, with ``label_end``
instead of ``picture_end`` at the name's end. No name may hold a comma. ``map`` is ``cityscapes``, or a YAML file
with a line ``NUMBER: CLASS`` for each number that is a class; all others are void. Without a map the numbers are
the classes' own.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.models.datasets import PICTURE_SUFFIXES, LabelMap, Pair, Pixels
from keywarp.models.labels import VOID, ClassSet

# The labelIds of Cityscapes (Cordts et al., CVPR 2016) by the classes of CamVid, grouped as SegNet's authors did:
# walls are buildings, traffic lights are signs, all motor vehicles are cars.
CITYSCAPES = {
    7: "road", 8: "pavement", 9: "pavement", 11: "building", 12: "building", 13: "fence", 14: "fence", 17: "pole",
    18: "pole", 19: "sign", 20: "sign", 21: "tree", 22: "tree", 23: "sky", 24: "pedestrian", 25: "bicyclist",
    26: "car", 27: "car", 28: "car", 29: "car", 30: "car", 32: "bicyclist", 33: "bicyclist",
}  # fmt: skip
MAPS: dict[str, Mapping[int, str]] = {"cityscapes": CITYSCAPES}


@dataclass(frozen=True, slots=True)
class ClassMap:
    """``table``: (256,) uint8, the class of each number in a label map, or VOID."""

    table: NDArray[np.uint8]

    @classmethod
    def named(cls, name: str, classes: ClassSet) -> ClassMap:
        """A map that comes with keywarp, or one from a YAML file. Raises UsageError for what is neither."""
        if name in MAPS:
            return cls.of(MAPS[name], classes, name)
        path = Path(name).expanduser()
        if path.suffix not in (".yaml", ".yml"):
            raise unknown_name("class map (or YAML file)", name, MAPS)
        try:
            found = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"class map '{path}' cannot be read as YAML: {error}") from error
        if not isinstance(found, dict):
            raise UsageError(f"class map '{path}' has to hold lines 'NUMBER: CLASS', such as '7: road'")
        return cls.of(found, classes, str(path))

    @classmethod
    def of(cls, names: Mapping[int, str], classes: ClassSet, source: str) -> ClassMap:
        """A map from numbers to names of ``classes``. ``source`` is for messages."""
        table = np.full(256, VOID, np.uint8)
        for number, name in names.items():
            if type(number) is not int or not 0 <= number <= VOID:
                raise UsageError(f"class map '{source}': '{number}' is no number from 0 to 255")
            if name not in classes.names:
                raise unknown_name(f"class in the map '{source}':", str(name), classes.names)
            table[number] = classes.names.index(name)
        return cls(table)

    def read(self, labels: LabelMap) -> Pixels:
        """(H, W) uint8: the classes in a label map's file."""
        return self.table[labels.values()]


def find_nested(pictures: Path, labels: Path, picture_end: str, label_end: str) -> list[Pair]:
    """Every picture below a folder with its labels. Raises UsageError for none, or one that has no labels."""
    for folder in (pictures, labels):
        if not folder.is_dir():
            raise UsageError(f"data set folder '{folder}' does not exist; give pictures:DIR,labels=DIR")
    found = [
        p
        for p in pictures.rglob(f"*{glob.escape(picture_end)}.*")
        if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")
    ]
    if not found:
        kinds = ", ".join(f"*{picture_end}{suffix}" for suffix in PICTURE_SUFFIXES)
        raise UsageError(f"there are no pictures below '{pictures}' ({kinds})")
    return [_pair(path, pictures, labels, picture_end, label_end) for path in sorted(found)]


def _pair(path: Path, pictures: Path, labels: Path, picture_end: str, label_end: str) -> Pair:
    name = path.stem.removesuffix(picture_end) + label_end + ".png"
    place = labels / path.relative_to(pictures).parent / name
    if not place.is_file():
        raise UsageError(f"picture '{path}' has no labels: '{place}' does not exist")
    return Pair(path, LabelMap(place))
