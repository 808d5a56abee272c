"""Shared memory between the pipeline, which writes pictures and records, and the server, which reads them."""

from __future__ import annotations

import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import shared_memory
from pathlib import Path

KEY, PROPAGATED, FROZEN = 1, 2, 4
"""Flags of a frame; neither KEY nor PROPAGATED where no model ran."""

MOST_STAGES = 24
"""Stages and parts of stages that a record has room for."""

RECORDS = 256
"""How many of the last frames have a record."""

# Eight-byte words at the start, each read and written in one piece.
_PICTURES, _RECORDED, _WATCHING, _SLOT_BYTES, _HEAD_WORDS = 0, 1, 2, 3, 8
_RECORD = struct.Struct(f"=QqIIIff{MOST_STAGES}f")
_PICTURE = struct.Struct("=QQqqII")
_CHECKSUM = struct.Struct("=I")
_HEADER_BYTES = _PICTURE.size + _CHECKSUM.size
_SLOTS = 3
_MARGIN = 8  # records this close to being overwritten are left alone
_TRIES = 4
_SHARED_FILES = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is known of one frame. ``stages_ms``: by position in the list of names, NaN where it did nothing."""

    index: int
    shown_ns: int
    flags: int
    key_age: int
    work_ms: float
    latency_ms: float
    stages_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """One encoded picture. ``number`` grows by one with each; times are of ``time.perf_counter_ns``."""

    number: int
    index: int
    capture_ns: int
    published_ns: int
    flags: int
    jpeg: bytes


class Ring:
    """The last pictures and records. One thread of one process writes; another process reads, neither ever waits.

    Each picture carries its number and a checksum of all that belongs to it, so that one which is overwritten
    while it is read is seen to be damaged, on any processor. ``watching`` goes the other way: the reader says
    that it wants pictures.
    """

    def __init__(self, memory: shared_memory.SharedMemory) -> None:
        self._memory = memory
        buffer = memory.buf
        assert buffer is not None
        self._buffer = buffer
        self._head = buffer[: 8 * _HEAD_WORDS].cast("Q")

    @classmethod
    def create(cls, picture_bytes: int) -> Ring:
        """A new ring for pictures of up to ``picture_bytes``. Raises OSError where there is no memory for it."""
        slot = _HEADER_BYTES + picture_bytes
        size = 8 * _HEAD_WORDS + RECORDS * _RECORD.size + _SLOTS * slot
        ring = cls(shared_memory.SharedMemory(create=True, size=size))
        try:
            _reserve(ring.name, size)
        except OSError:
            ring.close(remove=True)
            raise
        ring._head[_SLOT_BYTES] = slot
        return ring

    @classmethod
    def attach(cls, name: str) -> Ring:
        """The ring that another process created."""
        if sys.version_info >= (3, 13):
            return cls(shared_memory.SharedMemory(name, track=False))
        with _untracked():
            return cls(shared_memory.SharedMemory(name))

    @property
    def name(self) -> str:
        """What :meth:`attach` takes."""
        return self._memory.name

    @property
    def watching(self) -> bool:
        """Whether somebody looks at the pictures."""
        return self._head[_WATCHING] != 0

    @watching.setter
    def watching(self, value: bool) -> None:
        self._head[_WATCHING] = int(value)

    @property
    def pictures(self) -> int:
        """How many pictures were written: the number of the newest one, 0 for none."""
        return self._head[_PICTURES]

    @property
    def recorded(self) -> int:
        """How many records were written."""
        return self._head[_RECORDED]

    def put_picture(
        self, jpeg: bytes | memoryview, index: int, flags: int, times_ns: tuple[int, int]
    ) -> bool:
        """Write a picture captured and published at ``times_ns``; False where it is too large."""
        length = len(jpeg)
        if _HEADER_BYTES + length > self._head[_SLOT_BYTES]:
            return False
        number = self._head[_PICTURES] + 1
        start = self._slot(number)
        data = start + _HEADER_BYTES
        self._buffer[data : data + length] = jpeg
        header = _PICTURE.pack(number, index, *times_ns, flags, length)
        self._buffer[start:data] = header + _CHECKSUM.pack(zlib.crc32(jpeg, zlib.crc32(header)))
        self._head[_PICTURES] = number
        return True

    def picture(self) -> JpegPicture | None:
        """The newest picture; None where there is none, or they change faster than they can be read."""
        for _ in range(_TRIES):
            number = self._head[_PICTURES]
            if number == 0:
                return None
            start = self._slot(number)
            data = start + _HEADER_BYTES
            head = bytes(self._buffer[start:data])
            header = head[: _PICTURE.size]
            (checksum,) = _CHECKSUM.unpack_from(head, _PICTURE.size)
            found, index, capture_ns, published_ns, flags, length = _PICTURE.unpack(header)
            jpeg = bytes(self._buffer[data : data + min(length, self._head[_SLOT_BYTES] - _HEADER_BYTES)])
            if found == number and zlib.crc32(jpeg, zlib.crc32(header)) == checksum:
                return JpegPicture(number, index, capture_ns, published_ns, flags, jpeg)
        return None

    def put_record(self, record: FrameRecord) -> None:
        """Write a frame's record."""
        stages = (*record.stages_ms[:MOST_STAGES], *[math.nan] * (MOST_STAGES - len(record.stages_ms)))
        count = self._head[_RECORDED]
        _RECORD.pack_into(
            self._buffer,
            self._place(count),
            record.index,
            record.shown_ns,
            record.flags,
            record.key_age,
            min(len(record.stages_ms), MOST_STAGES),
            record.work_ms,
            record.latency_ms,
            *stages,
        )
        self._head[_RECORDED] = count + 1

    def records_since(self, count: int) -> tuple[list[FrameRecord], int]:
        """The records after the first ``count``, as far as they are still there, and the new count."""
        end = self._head[_RECORDED]
        first = max(count, end - RECORDS + _MARGIN)
        records = [self._record(position) for position in range(first, end)]
        oldest = self._head[_RECORDED] - RECORDS + 1  # those before it may have been written over meanwhile
        return records[max(0, oldest - first) :], end

    def close(self, *, remove: bool = False) -> None:
        """Let the memory go; with ``remove`` for everybody. Nothing may be read or written after it."""
        self._head.release()
        self._buffer.release()
        self._memory.close()
        if remove:
            self._memory.unlink()

    def _record(self, position: int) -> FrameRecord:
        place = self._place(position)
        index, shown_ns, flags, key_age, count, *values = _RECORD.unpack_from(self._buffer, place)
        stages: Sequence[float] = values[2 : 2 + count]
        return FrameRecord(index, shown_ns, flags, key_age, values[0], values[1], tuple(stages))

    def _place(self, position: int) -> int:
        return 8 * _HEAD_WORDS + (position % RECORDS) * _RECORD.size

    def _slot(self, number: int) -> int:
        return 8 * _HEAD_WORDS + RECORDS * _RECORD.size + (number % _SLOTS) * self._head[_SLOT_BYTES]


def _reserve(name: str, size: int) -> None:
    """Have the system find the memory now: where /dev/shm is full, it would kill who writes there later."""
    file = _SHARED_FILES / name.lstrip("/")
    if not file.exists():  # not on Linux
        return
    handle = os.open(file, os.O_RDWR)
    try:
        os.posix_fallocate(handle, 0, size)
    finally:
        os.close(handle)


@contextmanager
def _untracked() -> Iterator[None]:
    """Before Python 3.13 a process that only attaches would remove the memory when it ends."""
    from multiprocessing import resource_tracker

    register = resource_tracker.register
    resource_tracker.register = lambda *_: None
    try:
        yield
    finally:
        resource_tracker.register = register
