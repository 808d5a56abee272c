"""Options behind a comma in the text of a sink, such as ``record:clips,minutes=5,off``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from keywarp.engines.errors import UsageError, unknown_name

Reader = Callable[[str], Any]

_OPTION = re.compile(r"(\w+)=(.*)", re.DOTALL)


def split_options(
    text: str, readers: Mapping[str, Reader], switches: Collection[str] = ()
) -> tuple[str, dict[str, Any]]:
    """The place that ``text`` begins with, and its options by name; a switch that is given is True.

    A reader takes an option's text and raises :class:`ValueError` with what is accepted. Raises
    :class:`UsageError` for options that are unknown or cannot be; it tells nothing of the place, which may hold a
    password.
    """
    place, options = text, {}
    while "," in place:
        rest, _, last = place.rpartition(",")
        option = _OPTION.fullmatch(last)
        if option is not None:
            options[option[1]] = _read(option[1], option[2], readers, switches)
        elif last in switches:
            options[last] = True
        else:
            break
        place = rest
    return place, options


def _read(name: str, value: str, readers: Mapping[str, Reader], switches: Collection[str]) -> Any:
    if name not in readers:
        raise unknown_name("option of a sink", name, [*readers, *switches])
    try:
        return readers[name](value)
    except ValueError as error:
        raise UsageError(f"option '{name}' of a sink is {error}; given: '{value}'") from None


def number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e12:
        raise ValueError("a number above 0")
    return value


def whole(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise ValueError("a whole number of 1 or more")
    return int(text)


_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Seconds: ``10``, ``10s``, ``500ms``, ``5min`` or ``1h``."""
    found = re.fullmatch(r"([\d.]+)(s|ms|min|h)?", text)
    try:
        return number(found[1]) * _SECONDS[found[2] or ""] if found else number("")
    except ValueError:
        raise ValueError("a time above 0, such as 10s, 500ms, 5min or 1h") from None
