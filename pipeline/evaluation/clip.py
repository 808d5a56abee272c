"""Labelled sequences: frames in order, and the truth of each."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from keywarp.engines.errors import KeywarpError, UsageError
from keywarp.flow.base import Size
from keywarp.flow.scenes.street import StreetScene
from keywarp.models.datasets import LabelMap, labels_beside, pair_up
from keywarp.models.labels import CAMVID, ClassSet
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.images import find_images, natural_order
from keywarp.pipeline.sources.location import check_exists
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.rate import Rate
from keywarp.pipeline.stage import StreamInfo

from .pictures import PairSource
from .streets import street_of

_MOST_BYTES = 1 << 30
_TRUTH_BYTES_A_PIXEL = 1
# Where the source knows the exact step flow: two coordinates in float32, and whether they are valid.
_STEP_BYTES_A_PIXEL = 9


class Truth(Protocol):
    """The true classes of one frame, such as a :class:`LabelMap`."""

    def read(self, classes: ClassSet) -> Pixels:
        """(H, W) uint8: a class, or VOID."""
        ...

    def check_size(self, size: Size, owner: str = "picture") -> None:
        """Raise :class:`UsageError` unless this has the width and height of its frame."""
        ...


@dataclass(frozen=True, slots=True)
class DrawnTruth:
    """The true classes of a frame of the drawn street."""

    scene: StreetScene
    number: int

    def read(self, classes: ClassSet) -> Pixels:
        """(H, W) uint8: those of CamVid."""
        return self.scene.frame(self.number).classes

    def check_size(self, size: Size, owner: str = "picture") -> None:
        """They were drawn together."""


class Clip:
    """Frames and their truth. Kept in memory as they were decoded, with the step flow that a source may know, where
    that fits into ``most_bytes``; read anew for each pass if not.

    Reads everything once: raises :class:`UsageError` for labels that do not belong to the frames, and whatever
    the source raises.
    """

    def __init__(
        self,
        name: str,
        make_source: Callable[[], Source],
        labels: Sequence[Truth],
        classes: ClassSet,
        *,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self.name = name
        self.classes = classes
        self._make_source, self._labels = make_source, labels
        self._frames: list[Frame] = []
        with closing(make_source()) as source:
            self._info = source.open()
            self._is_kept = True
            self._read(source, most_bytes)
        self._truth = [self._checked(label) for label in labels]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def places(self) -> set[Path]:
        """The files and folders that frames and labels are in."""
        folders = (label.path.parent for label in self._labels if isinstance(label, LabelMap))
        return {*self._info.paths, *folders}

    def source(self) -> Source:
        """A source of all frames, from the first on."""
        return Replay(self._info, self._frames) if self._is_kept else self._make_source()

    def truth(self, index: int) -> Pixels:
        """(H, W) uint8: the true classes of a frame, counted from 0, or VOID.

        Raises :class:`KeywarpError` for a frame that was not there before.
        """
        if index >= len(self):
            raise KeywarpError(
                f"'{self.name}' had {len(self)} frames, each with its labels, and now has more: frame {index} has "
                "none; files must not change while they are evaluated"
            )
        found = self._truth[index]
        return self._labels[index].read(self.classes) if found is None else found

    def _read(self, source: Source, most_bytes: int) -> None:
        count, kept_bytes = 0, 0
        for count, frame in enumerate(source.frames(), 1):
            kept_bytes += _bytes_of(frame)
            self._is_kept = kept_bytes <= most_bytes
            if not self._is_kept:
                self._frames.clear()
            elif count <= len(self._labels):
                self._frames.append(frame)
        if source.losses.total:
            raise UsageError(
                f"{source.losses.total} frames of '{self.name}' cannot be read, so that the others and the labels "
                "are not in step; give a whole film, or its pictures"
            )
        if count != len(self._labels):
            raise UsageError(
                f"'{self.name}' has {count} frames, and there are {len(self._labels)} label maps; "
                "each frame needs its own, in natural order of their names (2 before 10)"
            )

    def _checked(self, label: Truth) -> Pixels | None:
        label.check_size(self._info.size, "frame")
        values = label.read(self.classes)
        return values if self._is_kept else None


def read_clip(
    place: str | Path,
    labels: Path | None,
    classes: ClassSet,
    *,
    vectors: bool = False,
    rate: Rate | None = None,
) -> Clip:
    """The sequence in a folder or glob of pictures or a video file, with its labels (None: those in
    ``PLACE_labels``; of a glob, beside its folder), or a drawn street (``street:`` with its options).

    ``vectors``: a video's frames carry their motion vectors. ``rate``: frames a second of pictures and streets; a
    video has its own.

    Pictures come in natural order, each with the PNG of its name. The frames of a video take the PNGs in natural
    order, as many as there are frames.
    """
    if str(place).startswith("street:"):
        return _street(str(place), labels, classes, rate)
    path = Path(place).expanduser()
    is_glob = glob.has_magic(str(path)) and not path.exists()
    if not is_glob:
        check_exists(path, "sequence")
    owner = path.parent if is_glob else path.with_suffix("") if path.is_file() else path
    folder = labels or labels_beside(owner)
    if not folder.is_dir():
        raise UsageError(
            f"the folder of labels '{folder}' does not exist; name the one of '{place}' with --labels"
        )
    if path.is_file():
        return _video(path, folder, classes, vectors, rate)
    return _pictures(path, folder, classes, rate)


def _pictures(path: Path, folder: Path, classes: ClassSet, rate: Rate | None) -> Clip:
    pairs = pair_up(find_images(str(path)), folder)
    first = pairs[0].read_picture()
    size = first.shape[1], first.shape[0]
    labels = [pair.labels for pair in pairs]
    return Clip(str(path), lambda: PairSource(str(path), pairs, size, rate=rate), labels, classes)


def _video(path: Path, folder: Path, classes: ClassSet, vectors: bool, rate: Rate | None) -> Clip:
    found = sorted((p for p in folder.glob("*.png") if not p.name.startswith(".")), key=natural_order)
    if not found:
        raise UsageError(f"the folder of labels '{folder}' holds no PNG; give another one with --labels")

    def make() -> Source:
        source = open_source(str(path), rate=rate)
        if vectors:
            source.want_vectors()
        return source

    return Clip(str(path), make, [LabelMap(p) for p in found], classes)


def _street(text: str, labels: Path | None, classes: ClassSet, rate: Rate | None) -> Clip:
    if labels is not None:
        raise UsageError("street: has labels of its own; leave --labels out")
    if classes.names != CAMVID.names:
        raise UsageError(f"street: has the classes of '{CAMVID.name}', the model those of '{classes.name}'")
    scene, length = street_of(text, rate)
    return Clip(
        text, lambda: open_source(text, rate=rate), [DrawnTruth(scene, n) for n in range(length)], classes
    )


def _bytes_of(frame: Frame) -> int:
    """What it takes to keep a frame and its truth."""
    width, height = frame.size
    each = _TRUTH_BYTES_A_PIXEL + (_STEP_BYTES_A_PIXEL if frame.step is not None else 0)
    blocks = sum(vectors.blocks.nbytes for vectors in frame.vectors if vectors is not None)
    return frame.picture.given_bytes + blocks + width * height * each


class Replay(Source):
    """Frames that were read before. What one pass makes of their pictures and motion vectors is gone after it."""

    def __init__(self, info: StreamInfo, frames: Sequence[Frame]) -> None:
        super().__init__()
        self._info, self._frames = info, frames

    def open(self) -> StreamInfo:
        """What the stream was."""
        return self._info

    def frames(self) -> Iterator[Frame]:
        """The frames, as they came."""
        for frame in self._frames:
            vectors = tuple(None if each is None else each.anew() for each in frame.vectors)
            yield replace(frame, picture=frame.picture.anew(), vectors=vectors)

    def close(self) -> None:
        """Nothing to free."""
