"""Where outputs go: no two to one place, and none onto the source; and how to speak of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from keywarp.engines.errors import UsageError
from keywarp.pipeline.gst.secrets import without_credentials

_NO_PLACE = frozenset({"null", "null:overlay", "window", "jsonl:-"})
_IN_PLACE = frozenset({"jsonl", "png", "record", "snapshot", "v4l2"})
_ON_NETWORK = frozenset({"webhook"})
_WITH_OPTIONS = frozenset({"record", "snapshot"})
_OPTIONS = re.compile(r"(,(\w+=[^,]*|off))*$")


def place_of(text: str) -> Path | None:
    """The file, folder or device that a sink's text names, None where it writes none."""
    kind, colon, place = text.partition(":")
    if text in _NO_PLACE or (colon and kind in _ON_NETWORK) or "://" in text:
        return None
    if colon and kind in _IN_PLACE:
        return Path(_OPTIONS.sub("", place, count=1) if kind in _WITH_OPTIONS else place).absolute()
    return Path(text).absolute()


def shown(text: str) -> str:
    """A sink's text as it may be shown: no user, no password, no query, and of a webhook the host only."""
    kind, colon, place = text.partition(":")
    if colon and kind in _ON_NETWORK:
        scheme, _, rest = place.partition("://")
        host = re.split(r"[/?#,]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{kind}:{scheme}://{host}"
    return without_credentials(text).partition("#")[0] if "://" in text else text


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
