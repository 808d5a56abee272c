"""Snapshots: a picture now and then, each there wholly or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import cv2

from keywarp.engines.errors import SinkError
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import Sink, StreamInfo

from .jsonl import wall_ns
from .options import duration_s, split_options, whole
from .output import Claim, is_same, make_folder, ran_out, remove_empty
from .timed import TimedNames

_PART = ".part"


class SnapshotSink(Sink):
    """Writes a JPEG to ``folder`` every ``every_s`` seconds of the stream, the first frame's first.

    Named by when the frame was captured, in UTC: ``20260131T120000.250Z.jpg``. With ``keep`` the oldest
    beyond so many are deleted, of files with such names only, and never the source's. Where a live stream's
    snapshot cannot be written, it is counted in ``notes`` and the run goes on; a file's ends with
    :class:`SinkError`. ``written`` counts the frames seen, as every sink does; ``taken`` the snapshots.
    """

    name = "snapshot"

    def __init__(
        self,
        folder: Path | str,
        *,
        every_s: float = 10.0,
        keep: int | None = None,
        quality: int = 90,
        picture: Key[Picture] | None = OVERLAY,
    ) -> None:
        self._folder = Path(folder)
        self._every_s, self._keep, self._quality = every_s, keep, quality
        self._picture = picture
        self.reads = () if picture is None else (picture,)
        self.notes: list[str] = []
        self.taken = 0
        self._names = TimedNames(self._folder, ".jpg")
        self._made: list[Path] = []
        self._info: StreamInfo | None = None
        self._last_s: float | None = None
        self._missed = 0

    @classmethod
    def parse(cls, text: str) -> SnapshotSink:
        """``FOLDER[,every=10s][,keep=N]``."""
        folder, options = split_options(text, {"every": duration_s, "keep": whole})
        if "every" in options:
            options["every_s"] = options.pop("every")
        return cls(folder, **options)

    def open(self, info: StreamInfo) -> None:
        """Make the folder, and try whether files can be written there."""
        self._info = info
        self._made = make_folder(self._folder)
        try:
            Claim(self._folder / ".keywarp-can-write").give_up()
        except SinkError:
            remove_empty(self._made)
            raise

    def process(self, packet: Packet) -> None:
        """Write a snapshot where it is time for one."""
        if self._is_due(packet.frame.time_s):
            self._last_s = packet.frame.time_s
            self._take(packet)
        self.written += 1

    def close(self) -> None:
        """Say what is missing; leave no empty folder behind."""
        if self._missed:
            self.notes.append(f"{self._missed} snapshots could not be written to '{self._folder}'")
            self._missed = 0
        if self.taken == 0:
            remove_empty(self._made)

    def _is_due(self, time_s: float) -> bool:
        last_s = self._last_s
        return last_s is None or time_s < last_s or time_s - last_s >= self._every_s - 1e-6

    def _take(self, packet: Packet) -> None:
        picture = packet.frame.picture if self._picture is None else packet[self._picture]
        path = self._names.next(wall_ns(packet.frame.capture_ns))
        done, data = cv2.imencode(".jpg", picture.bgr, (cv2.IMWRITE_JPEG_QUALITY, self._quality))
        if not done:
            raise SinkError(f"OpenCV could not encode '{path}'")
        try:
            _write_wholly(path, data.tobytes())
            self.taken += 1
            self._prune()
        except OSError as error:
            self._missed += 1
            if self._info is None or not self._info.live:
                kept = f"{self.taken} snapshots were kept in '{self._folder}'"
                raise ran_out(path, error, kept) from error

    def _prune(self) -> None:
        sources = self._info.paths if self._info else ()
        for path in self._names.existing()[: -self._keep] if self._keep is not None else ():
            if not any(is_same(path, source) for source in sources):
                path.unlink(missing_ok=True)


def _write_wholly(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + _PART)
    try:
        part.write_bytes(data)
        os.replace(part, path)  # noqa: PTH105 - the same on all systems
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
