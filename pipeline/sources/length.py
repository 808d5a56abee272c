"""How long a film says that it is, and whether so much of it came."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

# Containers that say at their beginning how long they are; others are as long as what is found in them.
_ANNOUNCING = ("matroska", "avi", "flv")
# What FFmpeg writes into an .avi of unknown length.
_UNKNOWN_FRAMES = 1 << 30
# What is less than this share of it is clearly less.
_CLEARLY_LESS = Fraction(9, 10)

_CLOCK_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Announced:
    """About how many frames a file announces, and for how long."""

    frames: int
    duration_s: Fraction

    def falls_short(self, frames: int, covered_s: Fraction, damaged: bool) -> bool:
        """Whether ``frames``, over ``covered_s``, are clearly less. At a rate that varies few may last as long:
        their number alone tells only where the file is known to be ``damaged``."""
        if frames >= _CLEARLY_LESS * self.frames:
            return False
        return damaged or covered_s < _CLEARLY_LESS * self.duration_s


def announced(container: InputContainer, stream: VideoStream, rate: Fraction | None) -> Announced | None:
    """What the file announces of ``stream``; None where that is not known."""
    duration_s = _own_duration_s(container, stream)
    if container.format.name == "avi" and stream.time_base:  # of one cut short FFmpeg tells what is left
        told = 0 < stream.frames < _UNKNOWN_FRAMES
        duration_s = stream.frames * Fraction(stream.time_base) if told else None
    if not rate or duration_s is None or not container.format.name.startswith(_ANNOUNCING):
        return None
    return Announced(round(duration_s * rate), duration_s)


def frame_count(
    container: InputContainer, stream: VideoStream, rate: Fraction | None, indexed: int | None
) -> int | None:
    """About how many frames there are: by the index, by the container's word, or by the duration."""
    if indexed is not None:
        return indexed
    if stream.frames:
        return stream.frames if stream.frames < _UNKNOWN_FRAMES else None
    duration_s = _own_duration_s(container, stream)
    if duration_s is None and container.duration:
        duration_s = Fraction(container.duration, 1_000_000)
    return round(duration_s * rate) if rate and duration_s is not None else None


def _own_duration_s(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The video's own duration: that of the container may be the sound's."""
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    tagged = _CLOCK_TIME.fullmatch(stream.metadata.get("DURATION", "")[:15])
    if tagged:  # Matroska's: when the last frame ends
        end_s = 3600 * int(tagged[1]) + 60 * int(tagged[2]) + Fraction(tagged[3])
        start_s = (stream.start_time or 0) * Fraction(stream.time_base or 1)
        return end_s - max(Fraction(0), start_s) if end_s > start_s else None
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, 1_000_000)
    return None
