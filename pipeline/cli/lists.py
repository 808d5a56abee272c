"""Lists with commas between, as options have them."""

from __future__ import annotations

from keywarp.engines.errors import UsageError


def words_in(option: str, text: str | None) -> list[str]:
    """``a,b`` as words, each once; none where nothing is given. ``b:x=1,y=2`` is one word, with options."""
    if text is None:
        return []
    parts = list[str]()
    for part in map(str.strip, text.split(",")):
        if parts and ":" in parts[-1] and "=" in part and ":" not in part:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    words = list(dict.fromkeys(parts))
    if not all(words):
        raise UsageError(f"{option} '{text}' has an empty name; write them with single commas between")
    return words


def intervals_in(text: str) -> list[int]:
    """``1,5,2`` as numbers, each once, rising."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdecimal() and len(part) < 10 and int(part)):
            raise UsageError(f"'{part}' in --intervals is no whole number of at least 1; write 1,2,5,10")
    return sorted({int(part) for part in parts})
