"""Figures in types that JSON has."""

from __future__ import annotations

from math import isfinite

from keywarp.flow.base import Size


def number(value: float) -> float | None:
    """None for no figure: NaN, or infinity."""
    return float(value) if isfinite(value) else None


def size_text(size: Size | None) -> str | None:
    """WIDTHxHEIGHT."""
    return None if size is None else f"{size[0]}x{size[1]}"
