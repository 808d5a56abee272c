"""Recordings: a stream in mp4 files of bounded length, the oldest of which may give way."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import av

from keywarp.engines.errors import SinkError
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import Sink, StreamInfo

from .jsonl import wall_ns
from .options import number, split_options, whole
from .output import Claim, is_full, is_same, make_folder, remove_empty
from .timed import TimedNames
from .video import VideoSink

_log = logging.getLogger("keywarp")

# What is made free at once where the disk is full: a minute or so of a usual stream.
_ROOM_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """How long a file gets, and how many are kept; None: no limit.

    ``minutes`` of the stream and ``mb``, megabytes, of one file; a file may grow over ``mb`` by a second of
    the stream. ``keep_gb``, gigabytes, and ``keep``, files, in the folder: beyond them the oldest
    recordings are deleted.
    """

    minutes: float | None = 10
    mb: float | None = None
    keep_gb: float | None = None
    keep: int | None = None

    @property
    def may_delete(self) -> bool:
        """Whether old recordings may be deleted at all."""
        return self.keep_gb is not None or self.keep is not None


_READERS = {"minutes": number, "mb": number, "keep_gb": number, "keep": whole}


def parse_recording(text: str) -> tuple[Path, RecordLimits, bool]:
    """``FOLDER[,minutes=10][,mb=500][,keep_gb=20][,keep=100][,off]``: folder, limits, and whether it begins on."""
    folder, options = split_options(text, _READERS, ("off",))
    is_on = not options.pop("off", False)
    return Path(folder), RecordLimits(**options), is_on


class RecordSink(Sink):
    """Records pictures to mp4 files in ``folder``, each playable whatever happens, each beginning at time 0.

    Files are named by when their first frame was captured, in UTC: ``20260131T120000.250Z.mp4``. A new one
    begins where ``limits`` say so, with a key frame, and where the stream's time does not go on; no frame
    is lost between two. ``controls.knobs.recording`` turns the recording on and off at the next frame;
    without ``controls`` it is on. Frames that come while it is off are accepted and not counted in
    ``written``, which has those that can be played.

    Only files with such names are ever deleted, never the one being written or the source, and only where
    ``keep`` or ``keep_gb`` is given. On a full disk the oldest are deleted too, under the same condition.
    Where that does not help, or the folder has gone, the recording of a live stream stops until it is
    turned off and on again, ``notes`` say so, and the run goes on; a file's ends with :class:`SinkError`.
    One run at a time records to a folder.
    """

    name = "record"

    def __init__(
        self,
        folder: Path | str,
        *,
        limits: RecordLimits | None = None,
        controls: Controls | None = None,
        encoder: str = "libx264:veryfast",
        crf: int = 23,
        threads: int | None = None,
        picture: Key[Picture] | None = OVERLAY,
    ) -> None:
        self._folder = Path(folder)
        self._limits = limits or RecordLimits()
        self._controls = controls
        self._encoder, self._crf, self._threads = encoder, crf, threads
        self._picture = picture
        self.reads = () if picture is None else (picture,)
        self.notes: list[str] = []
        self._names = TimedNames(self._folder, ".mp4")
        self._made: list[Path] = []
        self._info: StreamInfo | None = None
        self._segment: _Segment | None = None
        self._finished = 0  # frames in files that are done with
        self._pruned_at_bytes = 0
        self._has_given_up = False
        self.lost = 0
        """Frames that did not fit on the disk."""
        self.deleted = 0
        """Old recordings that were deleted."""

    def open(self, info: StreamInfo) -> None:
        """Make the folder, and try whether files can be written there."""
        self._info = replace(info, audio=None)
        if info.audio is not None:
            self.notes.append(
                f"recordings in '{self._folder}' are silent; a plain FILE.mp4 takes the audio too"
            )
        self._made = make_folder(self._folder)
        try:
            Claim(self._folder / ".keywarp-can-write").give_up()
        except SinkError:
            remove_empty(self._made)
            raise
        VideoSink("try.mp4", encoder=self._encoder, crf=self._crf)  # raises for encoders that are not there

    def process(self, packet: Packet) -> None:
        """Record one frame, or none while the recording is off."""
        if not self._is_wanted:
            self._has_given_up = False
            self._end_segment()
            return
        if self._segment is not None and self._segment.is_over(packet, self._limits):
            self._end_segment()
        if self._has_given_up:
            self.lost += 1
        else:
            self._add(packet)

    def close(self) -> None:
        """Finish the last file."""
        try:
            self._end_segment()
        finally:
            self._note_figures()
            if self.written == 0:
                remove_empty(self._made)

    @property
    def _is_wanted(self) -> bool:
        return self._controls is None or self._controls.knobs.recording

    def _add(self, packet: Packet) -> None:
        try:
            if self._segment is None:
                self._segment = self._begin(packet)
            self._segment.add(packet)
        except SinkError as error:
            self.lost += self._segment is None  # else the file's end tells how many
            self._recover(error)
        self._count()
        self._prune_while_growing()

    def _begin(self, packet: Packet) -> _Segment:
        assert self._info is not None
        path = self._names.next(wall_ns(packet.frame.capture_ns))
        film = VideoSink(
            path,
            encoder=self._encoder,
            crf=self._crf,
            threads=self._threads,
            picture=self._picture,
            from_zero=True,
        )
        film.open(self._info)
        path.unlink(missing_ok=True)  # it comes with the first second that is written: none is ever empty
        self._pruned_at_bytes = 0
        segment = _Segment(path, film, packet.frame.pts)
        self._prune(segment)
        return segment

    def _end_segment(self) -> None:
        if self._segment is None:
            return
        try:
            self._segment.film.close()
        except SinkError as error:
            self._recover(error)
        else:
            self._forget_segment()
        self._prune(None)

    def _forget_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._finished += segment.film.written
            self.lost += segment.added - segment.film.written
            self.notes.extend(segment.film.notes)
        self._count()

    def _recover(self, error: SinkError) -> None:
        """Leave the file that could not be written on, and see to it that the run does."""
        if self._segment is not None:
            with suppress(SinkError):
                self._segment.film.close()
        self._forget_segment()
        cause = error.__cause__
        is_of_disk = isinstance(cause, OSError) and not isinstance(cause, av.FFmpegError)
        if is_of_disk and is_full(cause) and self._make_room():  # type: ignore[arg-type]
            return
        if not is_of_disk or self._info is None or not self._info.live:
            raise error
        self._has_given_up = True
        note = f"{error}; recording to '{self._folder}' has stopped"
        _log.warning("%s", note)
        self.notes.append(note)

    def _count(self) -> None:
        self.written = self._finished + (self._segment.film.written if self._segment else 0)

    def _old(self) -> list[Path]:
        """Recordings that may be deleted, oldest first."""
        sources = self._info.paths if self._info else ()
        current = self._segment.path if self._segment else None
        return [
            path
            for path in self._names.existing()
            if path != current and not any(is_same(path, source) for source in sources)
        ]

    def _prune_while_growing(self) -> None:
        if self._segment is None or self._limits.keep_gb is None:
            return
        grown = self._segment.film.size_bytes - self._pruned_at_bytes
        if grown > self._limits.keep_gb * 1e9 / 100:
            self._prune(self._segment)

    def _prune(self, current: _Segment | None) -> None:
        """Delete the oldest beyond the limits; ``current`` is being written, counts, and stays."""
        limits = self._limits
        if not limits.may_delete:
            return
        with suppress(OSError):  # the folder has gone, which the next write will tell
            old = [path for path in self._old() if current is None or path != current.path]
            sizes = [path.stat().st_size for path in old]
            size = current.film.size_bytes if current else 0
            self._pruned_at_bytes = size
            count, total = len(old) + (current is not None), sum(sizes) + size
            for path, path_bytes in zip(old, sizes, strict=True):
                too_many = limits.keep is not None and count > limits.keep
                too_large = limits.keep_gb is not None and total > limits.keep_gb * 1e9
                is_last = count == 1
                if is_last or not (too_many or too_large):
                    return
                self._delete(path)
                count, total = count - 1, total - path_bytes

    def _make_room(self) -> bool:
        """Delete the oldest recordings until there is some room; False where nothing may be deleted."""
        freed = 0
        with suppress(OSError):
            for path in self._old() if self._limits.may_delete else ():
                if freed >= _ROOM_BYTES:
                    break
                path_bytes = path.stat().st_size
                self._delete(path)
                freed += path_bytes
        return freed > 0

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.deleted += 1

    def _note_figures(self) -> None:
        if self.deleted:
            self.notes.append(f"deleted the {self.deleted} oldest recordings in '{self._folder}'")
        if self.lost:
            self.notes.append(f"{self.lost} frames could not be recorded in '{self._folder}'")
        self.deleted = self.lost = 0


@dataclass(slots=True)
class _Segment:
    """One file, from the stream's time ``first_pts`` on."""

    path: Path
    film: VideoSink
    first_pts: int
    last_pts: int | None = None
    added: int = 0

    def add(self, packet: Packet) -> None:
        self.added += 1
        self.film.process(packet)
        self.last_pts = packet.frame.pts

    def is_over(self, packet: Packet, limits: RecordLimits) -> bool:
        """Whether ``packet`` belongs to the next file."""
        frame = packet.frame
        if self.last_pts is not None and frame.pts <= self.last_pts:
            return True
        minutes = float((frame.pts - self.first_pts) * frame.time_base / 60)
        if limits.minutes is not None and minutes >= limits.minutes:
            return True
        return limits.mb is not None and self.film.size_bytes >= limits.mb * 1e6
