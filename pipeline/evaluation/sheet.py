"""A sheet of pictures: what becomes of a key frame's result as it is carried on, beside the truth."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import cv2

from keywarp.engines.errors import UsageError
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.sinks.output import write_bytes
from keywarp.pipeline.stages.style import KEY, QUIET
from keywarp.pipeline.stages.text import BOLD

from .board import Board, draw_legend, legend_rows
from .clip import Clip
from .panels import Panels, make_panels, resized
from .subject import Subject

_SUFFIXES = (".jpg", ".jpeg", ".png")
_AGES = (0, 1, 2, 4, 9, 19, 39, 79)
_MOST_COLUMNS = 6
_ROWS = ("result", "truth", "errors")

_PANEL_WIDTH_PX = 320
_LEAST_WIDTH_PX = 900
_TEXT_PX, _TITLE_PX = 15, 20
_GAP_PX, _MARGIN_PX, _GUTTER_PX = 6, 24, 72
_LEFT_PX = _MARGIN_PX + _GUTTER_PX
_TOP_PX = _MARGIN_PX + 2 * _TITLE_PX + 4 * _TEXT_PX


def check_sheet(path: Path) -> None:
    """Raise :class:`UsageError` unless the sheet's name says a format that it can have."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"the sheet '{path}' is no picture's name; give FILE.jpg or FILE.png")


def write_sheet(path: Path, pixels: Pixels) -> None:
    """Write a sheet as the picture that its name says. Raises :class:`SinkError` where there is no way to."""
    check_sheet(path)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() != ".png" else []
    _, data = cv2.imencode(path.suffix.lower(), pixels, quality)
    write_bytes(path, data.tobytes())


def draw_sheet(subject: Subject, clip: Clip, interval: int, title: str, note: str) -> Pixels:
    """(H, W, 3) uint8 BGR: a key frame from the middle of the clip, and frames of rising key age after it.

    Below each other: the result, the truth, and the wrong pixels in red; pixels without a true class are dark.
    ``title`` and ``note`` are the lines above.
    """
    columns = list(make_panels(subject, clip, interval, _chosen(interval, len(clip))))
    width_px, row_px = _width_px(len(columns)), _panel_px(columns[0]) + _GAP_PX
    legend = legend_rows(subject.classes, _TEXT_PX, width_px - _LEFT_PX - _MARGIN_PX)
    legend_px = _TOP_PX + len(_ROWS) * row_px + 2 * _TEXT_PX
    board = Board((width_px, legend_px + 2 * _TEXT_PX * len(legend) + _MARGIN_PX))
    _draw_texts(board, title, note, row_px)
    for number, column in enumerate(columns):
        _draw_column(board, column, _LEFT_PX + number * (_PANEL_WIDTH_PX + _GAP_PX), row_px)
    present = frozenset().union(*(column.classes for column in columns))
    draw_legend(board, (_LEFT_PX, legend_px), subject.classes, legend, present, _TEXT_PX)
    return board.pixels


def sheet_ages(interval: int) -> list[int]:
    """The key ages that a sheet shows: 0, 1, 2, 4, 9, ... and the last."""
    ages = [age for age in _AGES if age < interval - 1][: _MOST_COLUMNS - 1]
    return [*ages, interval - 1]


def _chosen(interval: int, frames: int) -> dict[int, int]:
    """The frames that are shown, and their key ages: after the key frame in the middle of those that can be."""
    ages = sheet_ages(interval)
    keys = range(0, frames - ages[-1], interval)
    return {keys[len(keys) // 2] + age: age for age in ages}


def _width_px(columns: int) -> int:
    columns_px = columns * (_PANEL_WIDTH_PX + _GAP_PX) - _GAP_PX
    return max(_LEFT_PX + columns_px + _MARGIN_PX, _LEAST_WIDTH_PX)


def _panel_px(panels: Panels) -> int:
    height, width = panels.result.shape[:2]
    return max(1, round(_PANEL_WIDTH_PX * height / width))


def _draw_texts(board: Board, title: str, note: str, row_px: int) -> None:
    board.text((_MARGIN_PX, _MARGIN_PX), title, _TITLE_PX, weight=BOLD)
    board.text((_MARGIN_PX, _MARGIN_PX + round(1.6 * _TITLE_PX)), note, _TEXT_PX, QUIET)
    for number, name in enumerate(_ROWS):
        board.text((_MARGIN_PX, _TOP_PX + number * row_px), name, _TEXT_PX, QUIET)


def _draw_column(board: Board, column: Panels, left_px: int, row_px: int) -> None:
    name = f"+{column.age} frame{'s' * (column.age > 1)}" if column.age else f"key frame {column.number}"
    board.text((left_px, _TOP_PX - round(1.8 * _TEXT_PX)), name, _TEXT_PX, QUIET if column.age else KEY)
    for number, panel in enumerate((column.result, column.truth, column.errors)):
        small = resized(panel, (_PANEL_WIDTH_PX, row_px - _GAP_PX))
        board.picture((left_px, _TOP_PX + number * row_px), small)
    right = "no true class" if isnan(column.right) else f"{100 * column.right:.1f} % right"
    board.text((left_px, _TOP_PX + len(_ROWS) * row_px), right, _TEXT_PX, QUIET)
