"""JSON lines: one object a frame, for scripts and spreadsheets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

from keywarp.models.results import SegmentationMap
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION, Propagation
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Sink, StreamInfo

from .output import Claim, check_not_source, ran_out

_DIGITS = 4
STANDARD_OUTPUT = "-"


class JsonLinesSink(Sink):
    """Writes ``index``, ``pts``, ``time_s``, ``key``, ``key_age``, ``key_index`` and ``classes`` of each frame.

    ``classes`` has the share of the picture, 0 to 1, of every class. ``path`` is a file, or ``-`` for standard
    output. A live stream's lines are written at once. A file holds whole lines only, also where the disk
    fills: then :class:`SinkError` says how many frames were kept.
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
        self._segmentation, self._propagation = segmentation, propagation
        self.reads: tuple[Key[Any], ...] = (segmentation, propagation)
        self._claim: Claim | None = None
        self._file: IO[bytes] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._hold_bytes = 0

    def open(self, info: StreamInfo) -> None:
        """Claim the file."""
        self._hold_bytes = 0 if info.live or self._path is None else 1 << 16
        if self._path is not None:
            check_not_source(self._path, info)
            self._claim = Claim(self._path)

    def process(self, packet: Packet) -> None:
        """Write the frame's line."""
        line = json.dumps(self._record(packet), separators=(",", ":")).encode() + b"\n"
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

    def _record(self, packet: Packet) -> dict[str, Any]:
        frame, propagation = packet.frame, packet[self._propagation]
        shares = packet[self._segmentation].shares()
        return {
            "index": frame.index,
            "pts": frame.pts,
            "time_s": round(frame.time_s, 6),
            "key": propagation.is_key,
            "key_age": propagation.age,
            "key_index": propagation.key_index,
            "classes": {name: round(share, _DIGITS) for name, share in shares.items()},
        }

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
        start = self._file.tell()
        data = b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            whole = data[:done].count(b"\n")
            self._file.truncate(start + data[:done].rfind(b"\n") + 1)
            self.written += whole
            raise ran_out(path, error, f"{self.written} lines were kept in it") from error
        self.written += len(lines)
