"""``keywarp cameras``."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keywarp.pipeline.sources.cameras import Camera, CameraFormat, CameraMode, list_cameras

_NONE = (
    "no camera found; plug one in, or in a container pass the device: --device /dev/video0. "
    "Without one, try: keywarp run street:live=1"
)


def print_cameras(*, json: bool = False, cameras: list[Camera] | None = None) -> None:
    """Print the cameras and what they deliver, as a table or as a JSON array; ``cameras``: None for the machine's.

    Raises :class:`SourceError` on systems other than Linux.
    """
    found = list_cameras() if cameras is None else cameras
    if json:
        print(json_text.dumps([_plain(camera) for camera in found], indent=2))
        return
    console = Console(highlight=False)
    if not found:
        console.print(_NONE, markup=False)
        return
    console.print(_table(found))


def _table(cameras: list[Camera]) -> Table:
    table = Table()
    for heading in ("device", "camera", "format", "sizes and frames a second"):
        table.add_column(heading, overflow="fold")
    for camera in cameras:
        name = f"{camera.name} ({camera.driver})" if camera.name else ""
        if camera.problem is not None or not camera.formats:
            table.add_row(
                escape(camera.device), escape(name), "", escape(camera.problem or "no formats listed")
            )
        for position, entry in enumerate(camera.formats):
            first = (escape(camera.device), escape(name)) if position == 0 else ("", "")
            table.add_row(*first, escape(entry.code), escape(_modes(entry)))
    return table


def _modes(entry: CameraFormat) -> str:
    return "; ".join(_mode(mode) for mode in entry.modes) or "any"


def _mode(mode: CameraMode) -> str:
    size = f"{mode.size[0]}x{mode.size[1]}"
    if mode.largest is not None:
        size += f" to {mode.largest[0]}x{mode.largest[1]}"
    rates = ", ".join(f"{float(rate):.4g}" for rate in mode.rates)
    return f"{size} at {rates}" if rates else size


def _plain(camera: Camera) -> dict[str, Any]:
    """Plain data; rates as numbers."""
    return _without_fractions(asdict(camera))


def _without_fractions(value: Any) -> Any:
    if isinstance(value, Fraction):
        return round(float(value), 4)
    if isinstance(value, dict):
        return {name: _without_fractions(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_fractions(inner) for inner in value]
    return value
