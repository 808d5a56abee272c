"""The legend: which colour stands for which class."""

from __future__ import annotations

import numpy as np

from keywarp.flow.base import Size
from keywarp.models.labels import ClassSet
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.picture import YuvPlanes

from .colors import ColorScheme
from .patch import Canvas, Patch, even
from .style import ABSENT, INK, PANEL, PANEL_ALPHA
from .text import text_width

# A class is lit in this many refreshes, from that which saw it last, so that the strip does not flicker.
_LINGER = 4
_GRID_PX = 4


class LegendStrip:
    """The strip at the foot of pictures of one size; nothing where they are too small for it."""

    def __init__(self, classes: ClassSet, picture: Size, px: int, scheme: ColorScheme) -> None:
        self.classes = classes
        self._picture, self._px, self._scheme = picture, px, scheme
        self._seen: dict[int, int] = {}
        self._refreshes = 0
        self._lit: frozenset[int] | None = None
        self._patch: Patch | None = None

    def refresh(self, found: SegmentationMap) -> None:
        """Light the classes that the map shows, or a recent one did."""
        self._refreshes += 1
        counts = np.bincount(found.labels[::_GRID_PX, ::_GRID_PX].ravel(), minlength=len(self.classes))
        self._seen.update((label, self._refreshes) for label in range(len(self.classes)) if counts[label])
        lit = frozenset(label for label, at in self._seen.items() if at > self._refreshes - _LINGER)
        if lit != self._lit:
            self._lit = lit
            self._patch = make_legend(self.classes, lit, self._picture, self._px, self._scheme)

    def draw(self, planes: YuvPlanes) -> None:
        """Lay the strip over a picture."""
        if self._patch is not None:
            width, height = self._patch.size
            margin = even(0.8 * self._px)
            left = (self._picture[0] - width) // 4 * 2
            self._patch.blit(planes, left, (self._picture[1] - height - margin) // 2 * 2)


def make_legend(
    classes: ClassSet, present: frozenset[int], picture: Size, px: int, scheme: ColorScheme
) -> Patch | None:
    """A strip for the foot of the picture: a chip and a name for each class, those not ``present`` faint.

    None where it would take more than a sixth of the picture's height.
    """
    entries = [round(2.3 * px) + text_width(name, px) for name in classes.names]
    pad, line = 0.7 * px, round(1.6 * px)
    rows = _flow(entries, picture[0] - 4 * pad)
    if not rows:
        return None
    width = even(max(sum(entries[label] for label in row) for row in rows) + 2 * pad - 0.6 * px)
    height = even(line * len(rows) + 0.8 * px)
    if height > picture[1] / 6 or width > picture[0]:
        return None
    canvas = Canvas((width, height), scheme)
    canvas.rounded((0, 0, width, height), 0.7 * px, PANEL, PANEL_ALPHA)
    for number, row in enumerate(rows):
        x = (width - sum(entries[label] for label in row) + 0.6 * px) / 2
        for label in row:
            _entry(canvas, classes, label, label in present, x, 0.4 * px + number * line, px)
            x += entries[label]
    return canvas.patch()


def _entry(canvas: Canvas, classes: ClassSet, label: int, present: bool, x: float, y: float, px: int) -> None:
    chip = 0.95 * px
    canvas.rounded(
        (x, y + 0.33 * px, chip, chip), 0.25 * px, classes.colors_rgb[label], 1 if present else 0.35
    )
    canvas.text(classes.names[label], x + 1.3 * px, y + 1.16 * px, px, INK if present else ABSENT)


def _flow(widths: list[int], room: float) -> list[list[int]]:
    """Indices of ``widths`` in the fewest rows that ``room`` allows, about equally long; [] if one is wider."""
    if not widths or max(widths) > room:
        return []
    count = 1
    while True:
        rows = _fill_rows(widths, max(sum(widths) / count * 1.08, max(widths)) if count > 1 else room)
        if all(sum(widths[index] for index in row) <= room for row in rows) and len(rows) <= count:
            return rows
        count += 1
        if count > len(widths):
            return [[index] for index in range(len(widths))]


def _fill_rows(widths: list[int], room: float) -> list[list[int]]:
    rows: list[list[int]] = [[]]
    used = 0.0
    for index, width in enumerate(widths):
        if rows[-1] and used + width > room:
            rows.append([])
            used = 0.0
        rows[-1].append(index)
        used += width
    return rows
