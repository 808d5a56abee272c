"""Stages and sinks: what may be put into a graph, and what it may rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from keywarp.flow.base import Size

from .packet import Key, Packet


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source says of its stream before the first frame.

    ``size`` is the width and height of every frame. ``rate`` is the mean frame rate in 1/s, None where
    unknown. ``frame_count`` is the expected number of frames, None for live or unknown. ``audio`` is a file
    whose audio belongs to this stream. ``live`` streams do not wait: what is not taken is lost.
    ``paths`` are the local files or folders that the frames come from.
    ``knows_step``: every frame but the first carries its exact step flow. ``codec``: FFmpeg's name of the video
    codec, None where there is none. ``has_vectors``: frames carry its motion vectors, as far as there are any.
    """

    name: str
    size: Size
    rate: Fraction | None
    time_base: Fraction
    frame_count: int | None = None
    live: bool = False
    audio: Path | None = None
    paths: tuple[Path, ...] = ()
    knows_step: bool = False
    codec: str | None = None
    has_vectors: bool = False


class Stage(ABC):
    """One step of the work on each packet, in a thread of its own.

    Promises of the graph: ``open``, ``process`` and ``close`` are called by one and the same thread.
    ``open`` comes first, before any frame is read, and once. ``process`` comes once for each delivered frame,
    in the order of the stream. ``close`` comes once after the last call, also after an error in any stage
    and also where ``open`` raised. A packet holds what ``reads`` names; the stage writes all that ``writes``
    names. Stages that are ``urgent`` get a free core before the others do. Whatever a method raises stops the
    run and reaches the caller with stage and frame.
    """

    name: str
    reads: tuple[Key[Any], ...] = ()
    writes: tuple[Key[Any], ...] = ()
    urgent: bool = False

    def open(self, info: StreamInfo) -> None:  # noqa: B027 - nothing to open is a fine default
        """Get ready for a stream."""

    @abstractmethod
    def process(self, packet: Packet) -> None:
        """Do the work on one packet."""

    def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Finish and free what was opened."""


class Sink(Stage):
    """A stage at the end of the graph: reads packets, gives them away, writes nothing into them.

    Several sinks run side by side, each in its own thread. When ``process`` returns, the sink has accepted
    the frame: it is encoded, written or shown. ``close`` finishes the output so that it can be used.
    ``written`` counts the frames accepted so far; ``notes`` holds what a user should know at the end. A stream
    delivered as ``newest``, as live ones are unless told otherwise, waits for no sink: up to ``backlog`` frames
    wait for one that is slow, then it misses the oldest, which the graph counts in ``missed``.
    """

    written: int = 0
    missed: int = 0
    backlog: int = 1
    notes: Sequence[str] = ()

    def interrupt(self) -> None:
        """Let ``process`` return soon where it waits for a person: the run is ending.

        Any thread and a signal handler may call it; it takes no lock.
        """


StreamState = Literal["opening", "live", "lost", "ended"]


@dataclass(slots=True)
class StreamStatus:
    """How a stream is doing: one thread writes, any thread may read.

    ``state``: ``live`` while frames come, ``lost`` while they should and do not. ``since_ns`` is the graph's clock
    when that began, ``reconnects`` how often the stream came back, ``reason`` why it was lost, for people.
    """

    state: StreamState = "opening"
    since_ns: int = 0
    reconnects: int = 0
    reason: str = ""


@dataclass(slots=True)
class Losses:
    """Frames that a source could not deliver, by cause, such as ``{"undecodable": 3}``."""

    by_cause: dict[str, int] = field(default_factory=dict)

    def add(self, cause: str, frames: int = 1) -> None:
        """Count ``frames`` lost to ``cause``."""
        self.by_cause[cause] = self.by_cause.get(cause, 0) + frames

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_cause.values())
