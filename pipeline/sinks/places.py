"""Where outputs go: no two to one place, and none onto the source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from keywarp.engines.errors import UsageError

_NO_PLACE = frozenset({"null", "null:overlay", "window", "jsonl:-"})


def place_of(text: str) -> Path | None:
    """The file or folder that a sink's text names, None where it writes none."""
    if text in _NO_PLACE:
        return None
    kind, colon, place = text.partition(":")
    return Path(place if colon and kind in ("jsonl", "png") else text).absolute()


def check_places(outputs: Iterable[str], source: str | None = None) -> None:
    """Raise :class:`UsageError` where two of ``outputs`` would write one file or folder, or one the source."""
    taken = {} if source is None or "://" in source else {Path(source).absolute(): f"the source '{source}'"}
    for text in outputs:
        place = place_of(text)
        if place is None:
            continue
        if place in taken:
            raise UsageError(f"output '{text}' would overwrite {taken[place]}; give it another name")
        taken[place] = f"output '{text}'"
