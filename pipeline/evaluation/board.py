"""A dark board to arrange pictures and text on, with the look of the overlay's panels."""

from __future__ import annotations

import cv2
import numpy as np

from keywarp.flow.base import Size
from keywarp.models.labels import ClassSet
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.stages.style import ABSENT, INK, PANEL, Rgb
from keywarp.pipeline.stages.text import REGULAR, text_mask, text_width


class Board:
    """``pixels``: (H, W, 3) uint8 BGR. Everything is placed by its upper left corner, in pixels."""

    def __init__(self, size: Size) -> None:
        self.pixels: Pixels = np.full((size[1], size[0], 3), PANEL[::-1], np.uint8)

    def picture(self, at: tuple[int, int], pixels: Pixels) -> None:
        """Paste a BGR picture."""
        height, width = pixels.shape[:2]
        self.pixels[at[1] : at[1] + height, at[0] : at[0] + width] = pixels

    def text(self, at: tuple[int, int], text: str, px: int, color: Rgb = INK, weight: int = REGULAR) -> int:
        """Write one line whose letters are ``px`` high, cut at the board's edge; how far it advances."""
        mask = text_mask(text, px, weight)
        room = self.pixels[at[1] : at[1] + mask.shape[0], at[0] : at[0] + mask.shape[1]]
        share = mask[: room.shape[0], : room.shape[1], None].astype(np.float32) / 255
        room[:] = np.rint(room + share * (np.array(color[::-1], np.float32) - room)).astype(np.uint8)
        return int(mask.shape[1])

    def chip(self, at: tuple[int, int], side_px: int, color: Rgb) -> None:
        """A small square of one colour."""
        corner = at[0] + side_px - 1, at[1] + side_px - 1
        cv2.rectangle(self.pixels, at, corner, color[::-1], cv2.FILLED)


def legend_rows(classes: ClassSet, px: int, width: int) -> list[list[int]]:
    """The classes' labels in as few rows of ``width`` as they need."""
    rows: list[list[int]] = [[]]
    used = 0
    for label, name in enumerate(classes.names):
        entry = entry_width(name, px)
        if rows[-1] and used + entry > width:
            rows.append([])
            used = 0
        rows[-1].append(label)
        used += entry
    return rows


def entry_width(name: str, px: int) -> int:
    """How much room a class takes in a legend, with the gap after it."""
    return round(2.9 * px) + text_width(name, px)


def draw_legend(
    board: Board,
    at: tuple[int, int],
    classes: ClassSet,
    rows: list[list[int]],
    present: frozenset[int],
    px: int,
) -> None:
    """A chip and a name for each class; those that are not ``present`` are faint."""
    for number, row in enumerate(rows):
        left, top = at[0], at[1] + number * 2 * px
        for label in row:
            board.chip((left, top + round(0.25 * px)), px, classes.colors_rgb[label])
            ink = INK if label in present else ABSENT
            board.text((left + round(1.5 * px), top), classes.names[label], px, ink)
            left += entry_width(classes.names[label], px)
