"""Files named by the time they begin at, in UTC: their names sort as they were made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

_STAMP = r"\d{8}T\d{6}\.\d{3}Z"


@dataclass(slots=True)
class TimedNames:
    """Names such as ``20260131T120000.250Z.mp4`` in one folder, each later than those before it."""

    folder: Path
    suffix: str
    _last_ms: int = 0

    def next(self, since_1970_ns: int) -> Path:
        """A path that nothing lies at, for a file that begins then, or as soon after as there is a free one."""
        self._last_ms = max(since_1970_ns // 1_000_000, self._last_ms + 1)
        while (path := self.folder / f"{_stamp(self._last_ms)}{self.suffix}").exists():
            self._last_ms += 1
        return path

    def existing(self) -> list[Path]:
        """The files with such names, oldest first."""
        pattern = re.compile(_STAMP + re.escape(self.suffix))
        return sorted(
            path for path in self.folder.iterdir() if pattern.fullmatch(path.name) and path.is_file()
        )


def _stamp(since_1970_ms: int) -> str:
    moment = datetime.fromtimestamp(since_1970_ms / 1000, timezone.utc)
    return f"{moment:%Y%m%dT%H%M%S}.{since_1970_ms % 1000:03d}Z"
