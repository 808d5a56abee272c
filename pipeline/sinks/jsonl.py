"""JSON lines: one object a frame, for scripts and spreadsheets; the same object goes to the network."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from keywarp.models.results import SegmentationMap
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION, Propagation
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Sink, StreamInfo

from .output import Claim, check_not_source, ran_out

_DIGITS = 4
STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is said of a frame in JSON.

    ``index``, ``pts``, ``time_s``, ``key``, ``key_age``, ``key_index``, ``frozen`` and ``classes``, which
    has the share of the picture, 0 to 1, of every class. Of a ``live`` stream also ``capture_time``, UTC in
    ISO 8601 with milliseconds, and ``latency_ms`` from then until the result was ready.
    """

    segmentation: Key[SegmentationMap] = SEGMENTATION
    propagation: Key[Propagation] = PROPAGATION
    live: bool = False

    @property
    def reads(self) -> tuple[Key[Any], ...]:
        """What a packet must hold."""
        return self.segmentation, self.propagation

    def of(self, packet: Packet) -> dict[str, Any]:
        """The record of one packet, as plain data."""
        frame, propagation = packet.frame, packet[self.propagation]
        shares = packet[self.segmentation].shares()
        record = {
            "index": frame.index,
            "pts": frame.pts,
            "time_s": round(frame.time_s, 6),
            "key": propagation.is_key,
            "key_age": propagation.age,
            "key_index": propagation.key_index,
            "frozen": frame.frozen,
            "classes": {name: round(share, _DIGITS) for name, share in shares.items()},
        }
        if self.live:
            record["capture_time"] = iso_time(wall_ns(frame.capture_ns))
            record["latency_ms"] = round((packet.ready_ns - frame.capture_ns) / 1e6, 2)
        return record

    def line(self, packet: Packet) -> bytes:
        """The record in JSON, without an end of line."""
        return json.dumps(self.of(packet), separators=(",", ":")).encode()


def wall_ns(clock_ns: int) -> int:
    """The time of day, in ns since 1970, at which the machine's monotonic clock stood at ``clock_ns``."""
    return time.time_ns() - (time.perf_counter_ns() - clock_ns)


def iso_time(since_1970_ns: int) -> str:
    """``2026-01-31T12:00:00.250Z``."""
    moment = datetime.fromtimestamp(since_1970_ns // 1_000_000 / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLinesSink(Sink):
    """Writes a :class:`FrameRecord` of each frame, a line each.

    ``path`` is a file, or ``-`` for standard output. A live stream's lines are written at once. A file
    holds whole lines only, also where the disk fills: then :class:`SinkError` says how many frames were
    kept.
    """

    name = "jsonl"

    def __init__(
        self,
        path: Path | str,
        *,
        segmentation: Key[SegmentationMap] = SEGMENTATION,
        propagation: Key[Propagation] = PROPAGATION,
    ) -> None:
        self._path = None if str(path) == STANDARD_OUTPUT else Path(path)
        self._record = FrameRecord(segmentation, propagation)
        self.reads = self._record.reads
        self._claim: Claim | None = None
        self._file: IO[bytes] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._hold_bytes = 0

    def open(self, info: StreamInfo) -> None:
        """Claim the file."""
        self._record = replace(self._record, live=info.live)
        self._hold_bytes = 0 if info.live or self._path is None else 1 << 16
        if self._path is not None:
            check_not_source(self._path, info)
            self._claim = Claim(self._path)

    def process(self, packet: Packet) -> None:
        """Write the frame's line."""
        line = self._record.line(packet) + b"\n"
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes > self._hold_bytes:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        try:
            self._flush()
        finally:
            if self._file is not None and self._path is not None:
                self._file.close()
            if self._claim is not None and self.written == 0:
                self._claim.give_up()
            self._file = self._claim = None

    def _flush(self) -> None:
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not lines:
            return
        if self._file is None:
            self._file = sys.stdout.buffer if self._path is None else self._path.open("wb", buffering=0)
        if self._path is None:
            self._write_to_pipe(lines)
        else:
            self._write_lines(self._path, lines)

    def _write_to_pipe(self, lines: list[bytes]) -> None:
        assert self._file is not None
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as error:
            raise ran_out(Path("standard output"), error, f"{self.written} lines were written") from error
        self.written += len(lines)

    def _write_lines(self, path: Path, lines: list[bytes]) -> None:
        """Write all lines, or the whole ones that there is room for."""
        assert self._file is not None
        start = self._file.tell() if self._file.seekable() else None
        data = b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            whole = data[:done].count(b"\n")
            if start is not None:
                self._file.truncate(start + data[:done].rfind(b"\n") + 1)
            self.written += whole
            raise ran_out(path, error, f"{self.written} lines were kept in it") from error
        self.written += len(lines)
