"""Drawings of lines, markers and text, written as SVG and painted as pixels from one description.

Positions are in pixels of the drawing, x to the right and y down, from its upper left corner; colours are RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.stages.style import Rgb
from keywarp.pipeline.stages.text import BOLD, REGULAR, text_mask

Place = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
Shape = Literal["circle", "diamond", "square", "triangle"]

WHITE: Rgb = (255, 255, 255)
_FONT = "Rubik, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
_SHIFT = 4  # OpenCV's positions in sixteenths of a pixel
# A diamond and a triangle that look as large as a circle of radius 1.
_OUTLINES: dict[Shape, list[Place]] = {
    "diamond": [(0, -1.28), (1.28, 0), (0, 1.28), (-1.28, 0)],
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1.35), (1.25, 0.85), (-1.25, 0.85)],
}
# Where the middle of digits lies above the baseline, in heights of the font.
_MIDDLE = 0.36


@dataclass(frozen=True, slots=True)
class Line:
    """A line through ``places``. ``dash``: the length of pieces and of gaps, None for a whole line."""

    places: Sequence[Place]
    color: Rgb
    width_px: float = 1.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """A small shape around a place, with an outline."""

    at: Place
    shape: Shape
    radius_px: float
    fill: Rgb
    edge: Rgb
    edge_px: float = 2.0


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; ``at`` is on its baseline. ``turned``: it reads from below."""

    at: Place
    text: str
    size_px: int
    color: Rgb
    weight: int = REGULAR
    anchor: Anchor = "start"
    turned: bool = False


Item = Line | Marker | Text


@dataclass(slots=True)
class Drawing:
    """A white board of ``size`` (width, height) with items on it, the first ones undermost."""

    size: Size
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Put ``items`` on top."""
        self.items += items

    def label(self, at: Place, text: str, size_px: int, color: Rgb, weight: int = BOLD) -> None:
        """Text whose middle is at a place."""
        baseline = at[0], at[1] + _MIDDLE * size_px
        self.add(Text(baseline, text, size_px, color, weight, "middle"))


def to_svg(drawing: Drawing) -> str:
    """The drawing as an SVG file's text."""
    width, height = drawing.size
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{_FONT}">'
    )
    body = [f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *map(_svg, drawing.items)]
    return "\n".join([head, *body, "</svg>", ""])


def to_pixels(drawing: Drawing, scale: int = 2) -> Pixels:
    """(H, W, 3) uint8 BGR, ``scale`` times as large as the drawing."""
    width, height = drawing.size
    pixels: Pixels = np.full((height * scale, width * scale, 3), 255, np.uint8)
    for item in drawing.items:
        if isinstance(item, Text):
            _paint_text(pixels, item, scale)
        elif isinstance(item, Line):
            _paint_line(pixels, item, scale)
        else:
            _paint_marker(pixels, item, scale)
    return pixels


def _svg(item: Item) -> str:
    if isinstance(item, Text):
        return _svg_text(item)
    if isinstance(item, Line):
        dash = "" if item.dash is None else f' stroke-dasharray="{item.dash[0]:g} {item.dash[1]:g}"'
        return (
            f'<polyline points="{_points(item.places)}" fill="none" stroke="{_hex(item.color)}" '
            f'stroke-width="{item.width_px:g}" stroke-linejoin="round" stroke-linecap="round"{dash}/>'
        )
    paint = (
        f'fill="{_hex(item.fill)}" stroke="{_hex(item.edge)}" stroke-width="{item.edge_px:g}" '
        'stroke-linejoin="round"'
    )
    if item.shape == "circle":
        x, y = item.at
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{item.radius_px:g}" {paint}/>'
    return f'<polygon points="{_points(_outline(item))}" {paint}/>'


def _svg_text(item: Text) -> str:
    x, y = item.at
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if item.turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{item.size_px}" font-weight="{item.weight}" '
        f'fill="{_hex(item.color)}" text-anchor="{item.anchor}"{turn}>{escape(item.text)}</text>'
    )


def _points(places: Sequence[Place]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _hex(color: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _outline(marker: Marker) -> list[Place]:
    x, y = marker.at
    return [(x + marker.radius_px * dx, y + marker.radius_px * dy) for dx, dy in _OUTLINES[marker.shape]]


def _paint_line(pixels: Pixels, line: Line, scale: int) -> None:
    for piece in [line.places] if line.dash is None else _dashes(line.places, line.dash):
        points = _fixed(piece, scale)
        thickness = max(1, round(line.width_px * scale))
        cv2.polylines(pixels, [points], False, line.color[::-1], thickness, cv2.LINE_AA, _SHIFT)


def _dashes(places: Sequence[Place], dash: tuple[float, float]) -> list[list[Place]]:
    """The pieces of a dashed line, each between two neighbouring places of a finely cut line."""
    line = np.asarray(places, np.float64)
    lengths = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    starts = np.arange(0.0, along[-1], sum(dash))
    found = []
    for start in starts:
        end = min(start + dash[0], along[-1])
        inner = along[(along > start) & (along < end)]
        cuts = np.concatenate([[start], inner, [end]])
        xs, ys = np.interp(cuts, along, line[:, 0]), np.interp(cuts, along, line[:, 1])
        found.append(list(zip(xs.tolist(), ys.tolist(), strict=True)))
    return found


def _paint_marker(pixels: Pixels, marker: Marker, scale: int) -> None:
    thickness = max(1, round(marker.edge_px * scale))
    fill, edge = marker.fill[::-1], marker.edge[::-1]
    if marker.shape == "circle":
        x, y = (round(value * scale * (1 << _SHIFT)) for value in marker.at)
        radius = round(marker.radius_px * scale * (1 << _SHIFT))
        cv2.circle(pixels, (x, y), radius, fill, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(pixels, (x, y), radius, edge, thickness, cv2.LINE_AA, _SHIFT)
        return
    points = _fixed(_outline(marker), scale)
    cv2.fillPoly(pixels, [points], fill, cv2.LINE_AA, _SHIFT)
    cv2.polylines(pixels, [points], True, edge, thickness, cv2.LINE_AA, _SHIFT)


def _fixed(places: Sequence[Place], scale: int) -> NDArray[np.int32]:
    """Positions as OpenCV takes them: whole numbers of parts of a pixel."""
    return np.rint(np.asarray(places, np.float64) * scale * (1 << _SHIFT)).astype(np.int32)


def _paint_text(pixels: Pixels, item: Text, scale: int) -> None:
    size_px = item.size_px * scale
    mask = text_mask(item.text, size_px, item.weight)
    advance = mask.shape[1]
    back = {"start": 0.0, "middle": advance / 2, "end": float(advance)}[item.anchor]
    x, y = item.at[0] * scale, item.at[1] * scale
    if item.turned:
        mask = np.ascontiguousarray(np.rot90(mask))
        left, top = x - size_px, y + back - advance
    else:
        left, top = x - back, y - size_px
    _blend(pixels, mask, round(left), round(top), item.color)


def _blend(pixels: Pixels, mask: Pixels, left: int, top: int, color: Rgb) -> None:
    """Lay a colour over the pixels by the mask, as far as it lies in the picture."""
    height, width = pixels.shape[:2]
    rows = slice(max(0, top), min(height, top + mask.shape[0]))
    columns = slice(max(0, left), min(width, left + mask.shape[1]))
    room = pixels[rows, columns]
    part = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    if room.size == 0 or part.shape != room.shape[:2]:
        return
    share = part[..., None].astype(np.float32) / 255
    room[:] = np.rint(room + share * (np.array(color[::-1], np.float32) - room)).astype(np.uint8)
