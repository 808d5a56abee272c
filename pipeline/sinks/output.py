"""Output files: claimed before the first frame, without a trace where nothing is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from keywarp.engines.errors import SinkError
from keywarp.pipeline.stage import StreamInfo

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


def make_folder(folder: Path) -> list[Path]:
    """Make sure that ``folder`` exists; returns the folders made for it, innermost first."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return made


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those folders in which nothing lies, innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, and make its folder. Raises :class:`SinkError` where there is no way to."""
    make_folder(path.parent)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


class Claim:
    """A path that can be written: its folder exists, the file may be opened. Existing content stays for now."""

    def __init__(self, path: Path) -> None:
        if path.is_fifo():  # opening one waits for a reader, without end
            raise SinkError(
                f"'{path}' is a pipe, not a file; give a file (lines go to a pipe by jsonl:- > PIPE)"
            )
        self.path = path
        self._made_folders = make_folder(path.parent)
        self._is_new = not path.exists()
        try:
            path.open("ab").close()
        except OSError as error:
            remove_empty(self._made_folders)
            raise cannot_write(path, error) from error

    def give_up(self) -> None:
        """Nothing was written: remove what the claim made, keep what was there before."""
        if self._is_new:
            with suppress(OSError):  # its folder may have gone, too
                self.path.unlink(missing_ok=True)
            remove_empty(self._made_folders)


class OutputFile:
    """A file for FFmpeg to write into, unbuffered, that fails once and then swallows.

    It is opened by the first write: until then what was at ``path`` stays. The first :class:`OSError` is kept
    in ``error`` and nothing is written after it: what lies on disk stays as good as it is, whatever the writer
    still wants to finish.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self.error: OSError | None = None
        self.closed = False  # by this name PyAV asks

    @property
    def is_started(self) -> bool:
        """Whether the file was opened, and so what was in it before is gone."""
        return self._file is not None

    def write(self, data: bytes) -> int:
        """Write all of ``data``, or as much as there is room for."""
        try:
            rest = memoryview(data if self.error is None else b"")
            if rest and self._file is None:
                self._file = FileIO(self._path, "w")
            while rest and self._file is not None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place in the file."""
        return 0 if self._file is None else self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return 0 if self._file is None else self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self.error = self.error or error


def cannot_write(path: Path, error: OSError) -> SinkError:
    """An error for a path that cannot be written, with what the system says."""
    return SinkError(f"'{path}' cannot be written: {reason(error)}; give a path in a folder you may write to")


def ran_out(path: Path, error: OSError, kept: str) -> SinkError:
    """An error for a file that could not be finished; ``kept`` says what is left of it."""
    why = "the disk is full" if is_full(error) else reason(error)
    return SinkError(f"'{path}' could not be finished: {why}; {kept}")


def is_full(error: OSError) -> bool:
    """Whether there was no room: on the disk, in a quota, or within a limit of this process."""
    return error.errno in _FULL


def reason(error: OSError) -> str:
    """What the system says, in words."""
    return (error.strerror or str(error)).lower()


def check_not_source(path: Path, info: StreamInfo) -> None:
    """Raise :class:`SinkError` where ``path`` is a file that the stream is read from."""
    if any(is_same(path, source) for source in info.paths):
        raise SinkError(f"'{path}' is the source itself; give the output another name")


def is_same(path: Path, other: Path) -> bool:
    """Whether both are there and are one file or folder."""
    with suppress(OSError):
        return path.samefile(other)
    return False
