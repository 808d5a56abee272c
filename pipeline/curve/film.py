"""The film that a curve is measured on: some frames in a row, kept as they were decoded, and their truth if any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from keywarp.engines.errors import UsageError
from keywarp.models.labels import CAMVID, ClassSet
from keywarp.pipeline.evaluation import read_clip
from keywarp.pipeline.evaluation.clip import Replay
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.stage import StreamInfo

DEFAULT_FRAMES = 50
"""How many frames are used where there are no labels and nothing else is asked for."""

_LEAST_FRAMES = 2
_MOST_BYTES = 1 << 30
# A decoded frame of 8 bits a channel, the result of a run, the per-frame model's, and the truth.
_BYTES_A_PIXEL = 6


@dataclass(frozen=True, slots=True)
class Film:
    """Frames ``first`` to ``first`` + ``len`` - 1 of a source, and the true classes of each, (H, W) uint8, or None.

    Every pass gets frames that nobody has used: what is made of a frame, such as its brightness at another size or
    its step flow, is made, and timed, in every run as in a first one.
    """

    name: str
    info: StreamInfo
    frames: Sequence[Frame]
    truth: Sequence[Pixels] | None
    first: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def source(self) -> Source:
        """The frames, from the first on."""
        return _Fresh(replace(self.info, frame_count=len(self), audio=None), self.frames)

    def head(self, frames: int) -> Film:
        """Its first frames alone."""
        truth = None if self.truth is None else self.truth[:frames]
        return replace(self, frames=self.frames[:frames], truth=truth)


def read_film(
    text: str,
    *,
    labels: Path | None = None,
    classes: ClassSet = CAMVID,
    first: int = 0,
    frames: int | None = None,
    rate: float | None = None,
    vectors: bool = False,
) -> Film:
    """The film that ``text`` names, which is what ``keywarp run`` takes, from frame ``first`` on.

    ``labels``: the folder with a PNG for each frame of the whole film. ``street:`` has labels of its own.
    ``frames``: how many (None: all with labels, :data:`DEFAULT_FRAMES` without; and as many as there are).
    ``vectors``: a video's frames carry their motion vectors. Raises :class:`UsageError` for live sources, films
    that have no two frames from ``first`` on, and labels that do not fit.
    """
    if frames is not None and frames < _LEAST_FRAMES:
        raise UsageError(f"a curve is measured on {_LEAST_FRAMES} frames at least; given: {frames}")
    wanted = frames if frames is not None or labels is not None else DEFAULT_FRAMES
    if labels is not None:
        return _labelled(text, labels, classes, first, wanted, vectors, rate)
    with closing(open_source(text, rate=rate)) as source:
        if vectors:
            source.want_vectors()
        info = source.open()
        if info.live:
            raise UsageError(f"'{info.name}' is live; a curve runs the same frames many times: give a file")
        found, notes = _read(source, info, first, wanted)
        truth = None
        if isinstance(source, StreetSource) and classes.names == CAMVID.names:
            truth = [source.scene.frame(frame.index).classes for frame in found]
    return Film(info.name, info, found, truth, first, notes)


def _labelled(
    text: str,
    labels: Path,
    classes: ClassSet,
    first: int,
    wanted: int | None,
    vectors: bool,
    rate: float | None,
) -> Film:
    if text.startswith("street:"):
        raise UsageError("street: has labels of its own; leave --labels out")
    clip = read_clip(text, labels, classes, vectors=vectors, rate=rate)
    with closing(clip.source()) as source:
        info = source.open()
        found, notes = _read(source, info, first, wanted)
    truth = [clip.truth(first + number) for number in range(len(found))]
    return Film(clip.name, info, found, truth, first, notes)


def _read(
    source: Source, info: StreamInfo, first: int, wanted: int | None
) -> tuple[list[Frame], tuple[str, ...]]:
    """The frames from ``first`` on, and what a user should know of them."""
    width, height = info.size
    room = max(_LEAST_FRAMES, _MOST_BYTES // (width * height * _BYTES_A_PIXEL))
    last = first + (room if wanted is None else min(room, wanted))
    frames = source.frames()
    found = list(islice(frames, first, last))
    if not found:
        there = "no frames" if first == 0 else f"no frame {first} or later"
        raise UsageError(f"'{info.name}' has {there}; give a film with frames, or an earlier --start")
    if len(found) < _LEAST_FRAMES:
        there = "1 frame" if first == 0 else f"1 frame from frame {first} on"
        raise UsageError(
            f"'{info.name}' has {there}, and a curve is measured on {_LEAST_FRAMES} at least; give a longer film, "
            "or an earlier --start"
        )
    wants_more = len(found) == room and (wanted is None or wanted > room)
    is_cut = wants_more and next(frames, None) is not None
    notes = [f"only {room} frames of {width}x{height} fit into memory"] if is_cut else []
    return found, (*notes, *source.notes)


class _Fresh(Replay):
    """Frames that were read before, as if they had just come."""

    def frames(self) -> Iterator[Frame]:
        for frame in self._frames:
            yield replace(frame.anew(), capture_ns=self.clock.now_ns())
