"""The times of a film's audio, put right in step with those of its pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from keywarp.pipeline.sources.container import MOST_READ_ERRORS
from keywarp.pipeline.sources.timeline import GLITCH_FRAMES

SHORTEST_S = Fraction(1, 20)
"""How long a packet is taken to be that does not say so."""

# How many packets of audio are read ahead to learn what the pictures do.
_LOOK_AHEAD = 1000
# How many of them tell whether a time far ahead is one that stays.
_OUTLIER_PACKETS = 64
_GAP_S = Fraction(1)


class AudioPackets:
    """The packets of ``stream``, each at the time at which a film of the same file's pictures has come to it.

    Where the pictures' times start again (joined recordings), the source's
    :class:`~keywarp.pipeline.sources.timeline.Timeline` moves them on; the audio is moved by as much, and what
    of it is longer than its pictures is cut off. A packet without a time follows the one before it; one that lies
    a little too early, or on top of it, moves up behind it by a sample, which is what an mp4 counts in. Packets
    whose times lead back or far ahead, while those of the pictures do not, are left out and counted in
    ``left_out``. All other packets keep their times as they are.
    ``broken_off`` is why reading ended early, if it did, ``skipped`` why parts of the file were passed over.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self.left_out = 0
        self.broken_off: av.FFmpegError | None = None
        self.skipped: av.FFmpegError | None = None
        self._container = container
        self._stream = stream
        films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        self._film = films[0] if films else None
        self._sections = Sections(self._film)
        self._sample_s = Fraction(1, stream.codec_context.sample_rate or 48_000)
        self._queue: deque[_Read] = deque()
        self._reader = self._read()
        self._section = 0
        self._last: _Read | None = None  # with the file's own time
        self._last_s: Fraction | None = None  # the film's

    def __iter__(self) -> Iterator[Packet[AudioStream]]:
        while self._queue or self._read_on():
            if not self._queue:
                continue
            read = self._queue.popleft()
            if self._has_time(read) and self._is_placed(read):
                yield read.packet

    def _read(self) -> Iterator[Packet[Any]]:
        streams = [self._stream] if self._film is None else [self._stream, self._film]
        failures = 0
        while failures <= MOST_READ_ERRORS:
            try:
                for packet in self._container.demux(*streams):
                    failures = 0
                    if packet.size:
                        yield packet
            except av.error.InvalidDataError as error:  # noqa: PERF203 - to try again is the point
                failures += 1
                self.skipped = error
                if failures > MOST_READ_ERRORS:
                    self.broken_off = error
            except av.FFmpegError as error:
                self.broken_off = error
                return
            else:
                return

    def _read_on(self) -> bool:
        """Take one more packet from the file; False at its end."""
        packet = next(self._reader, None)
        if packet is None:
            self._sections.end()
        elif packet.stream_index == self._stream.index:
            self._queue.append(_Read(packet, self._sections.known - 1))
        else:
            self._sections.see(packet)
        return packet is not None

    def _has_time(self, read: _Read) -> bool:
        """Whether there is a time, or can be one."""
        packet = read.packet
        if packet.pts is None:
            if packet.dts is None and self._last is None:
                self.left_out += 1
                return False
            if packet.dts is None and self._last is not None:
                packet.dts = round(self._last.end_s / packet.time_base)
            packet.pts = packet.dts
        read.time_s = _seconds(packet.pts, packet)
        return True

    def _is_placed(self, read: _Read) -> bool:
        """Give the packet its time in the film; False where there is none."""
        if self._film is not None and not self._belongs(read):
            return False
        time_s = read.to_ticks(read.time_s + self._sections.offset_s(self._section))
        if self._last_s is not None and time_s < self._last_s + self._sample_s:
            if time_s < self._last_s - read.length_s:
                # Else it begins before the pictures that it was recorded with, and hardly anybody misses it.
                self.left_out += self._film is None
                return False
            read.refine(self._sample_s)
            time_s = read.to_ticks(self._last_s + self._sample_s, ceil)
        read.move_to(time_s)
        self._last, self._last_s = read, time_s
        return True

    def _belongs(self, read: _Read) -> bool:
        """Find the section of the film that the packet was recorded with."""
        time_s, last = read.time_s, self._last
        if last is None:
            self._section = max(self._section, read.section)
        is_back = last is not None and time_s < last.time_s - read.length_s
        is_ahead = last is not None and time_s > last.end_s + _GAP_S
        self._look_ahead(time_s, to_the_end=is_back)
        if is_ahead and self._is_outlier(time_s):
            self.left_out += 1
            return False
        is_new = is_back or (is_ahead and read.section > self._section)
        while self._sections.is_over(self._section) and (is_new or self._goes_on(time_s)):
            self._section += 1
            is_back = is_new = False
            self._look_ahead(time_s)
        if is_back:
            self.left_out += 1
            return False
        return not self._sections.is_past(self._section, time_s)

    def _look_ahead(self, time_s: Fraction, *, to_the_end: bool = False) -> None:
        """Read until the pictures have come to ``time_s``, or to the end of their section."""
        while (
            not self._sections.is_over(self._section)
            and (to_the_end or not self._sections.reaches(self._section, time_s))
            and len(self._queue) < _LOOK_AHEAD
            and self._read_on()
        ):
            pass

    def _goes_on(self, time_s: Fraction) -> bool:
        """Whether the next section has come to ``time_s``, at which this one is past."""
        return self._sections.is_past(self._section, time_s) and self._sections.covers(
            self._section + 1, time_s
        )

    def _is_outlier(self, time_s: Fraction) -> bool:
        """Whether the audio comes back, in the same section, to before ``time_s``, which lies far ahead."""
        while len(self._queue) < _OUTLIER_PACKETS and self._read_on():
            pass
        if self._last is None or self._sections.is_over(self._section):
            return False
        earliest_s = self._last.time_s
        nearest = [_packet_s(read.packet) for read in list(self._queue)[:_OUTLIER_PACKETS]]
        return any(other is not None and earliest_s <= other < time_s for other in nearest)


class _Read:
    """A packet of audio, with its time and the section of the film that was being read then."""

    def __init__(self, packet: Packet[AudioStream], section: int) -> None:
        self.packet = packet
        self.section = section
        self.time_s = Fraction(0)
        self._duration_s = (packet.duration or 0) * packet.time_base

    @property
    def length_s(self) -> Fraction:
        """How long it sounds, about."""
        return self._duration_s or SHORTEST_S

    @property
    def end_s(self) -> Fraction:
        """Where the next one is expected."""
        return self.time_s + self._duration_s

    def to_ticks(self, time_s: Fraction, rounded: Callable[[Fraction], int] = round) -> Fraction:
        """A time that the packet can have."""
        return rounded(time_s / self.packet.time_base) * self.packet.time_base

    def refine(self, tick_s: Fraction) -> None:
        """Count the packet's times in whole parts of its ticks, not shorter than ``tick_s``.

        By a tick of a millisecond, what is shorter (TrueHD) would move away from the pictures more and more.
        """
        packet = self.packet
        parts = max(1, floor(packet.time_base / tick_s))
        packet.pts = None if packet.pts is None else packet.pts * parts
        packet.dts = None if packet.dts is None else packet.dts * parts
        packet.duration = (packet.duration or 0) * parts
        packet.time_base /= parts

    def move_to(self, time_s: Fraction) -> None:
        """Shift both times of the packet, by nothing where it is at ``time_s`` already."""
        move_by(self.packet, time_s - self.time_s)


@dataclass(slots=True)
class _Section:
    """Pictures whose times rise. ``first`` and ``last`` are shown at these ticks; ``coded`` is the latest read."""

    first: int
    last: int
    coded: int | None = None
    offset: int = 0


class Sections:
    """How the pictures' times start again, and by how much the source then moves them.

    As :class:`~keywarp.pipeline.sources.timeline.Timeline` does, told from packets in place of frames.
    """

    def __init__(self, stream: VideoStream | None) -> None:
        self._sections: list[_Section] = []
        self._is_at_end = False
        rate = None if stream is None else stream.average_rate or stream.guessed_rate or stream.base_rate
        time_base = None if stream is None else stream.time_base
        self._time_base = Fraction(time_base or Fraction(1, 90_000))
        self._step = max(1, round(1 / (self._time_base * Fraction(rate or 25))))

    @property
    def known(self) -> int:
        """How many have begun."""
        return len(self._sections)

    def see(self, packet: Packet[VideoStream]) -> None:
        """Take note of the next packet of the film."""
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is None:
            return
        now = self._sections[-1] if self._sections else None
        is_back = (
            now is not None
            and now.coded is not None
            and packet.dts is not None
            and packet.dts <= now.coded - GLITCH_FRAMES * self._step
        )
        if now is None or is_back:
            self._sections.append(now := _Section(shown, shown))
        now.first, now.last = min(now.first, shown), max(now.last, shown)
        now.coded = now.coded if packet.dts is None else packet.dts
        if len(self._sections) > 1:
            before = self._sections[-2]
            now.offset = before.last + before.offset + self._step - now.first

    def end(self) -> None:
        """There is nothing more."""
        self._is_at_end = True

    def is_over(self, number: int) -> bool:
        """Whether the next one has begun, and what is shown first in it is known."""
        after = number + 1
        if after >= self.known:
            return False
        begun = self._sections[after]
        return self._is_at_end or after + 1 < self.known or (begun.coded or begun.first) >= begun.first

    def reaches(self, number: int, time_s: Fraction) -> bool:
        """Whether pictures of that section have been read up to ``time_s``."""
        if number >= self.known:
            return False
        section = self._sections[number]
        coded = section.first if section.coded is None else section.coded
        return time_s <= coded * self._time_base

    def covers(self, number: int, time_s: Fraction) -> bool:
        """Whether they have, and do not begin after it."""
        return (
            self.reaches(number, time_s) and time_s >= self._sections[number].first * self._time_base - _GAP_S
        )

    def is_past(self, number: int, time_s: Fraction) -> bool:
        """Whether the pictures of that section have ended by ``time_s`` and others follow."""
        return self.is_over(number) and time_s >= (self._sections[number].last + self._step) * self._time_base

    def offset_s(self, number: int) -> Fraction:
        """By how much the source moves that section."""
        return self._sections[number].offset * self._time_base if 0 < number < self.known else Fraction(0)


def move_by(packet: Packet[AudioStream], shift_s: Fraction) -> None:
    """Shift the times that a packet has, to the nearest tick."""
    shift = round(shift_s / packet.time_base)
    if shift:
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift


def _packet_s(packet: Packet[AudioStream]) -> Fraction | None:
    time = packet.dts if packet.pts is None else packet.pts
    return None if time is None else _seconds(time, packet)


def _seconds(ticks: int | None, packet: Packet[AudioStream]) -> Fraction:
    assert ticks is not None
    return ticks * packet.time_base
