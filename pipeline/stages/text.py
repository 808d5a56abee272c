"""Text for panels: the sans font that OpenCV 5 carries, or its stroke font where OpenCV is older."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from keywarp.pipeline.picture import Pixels

REGULAR, BOLD = 400, 600

_WHITE = (255, 255, 255)
_STROKES = cv2.FONT_HERSHEY_DUPLEX
_FINER = 4


@lru_cache(maxsize=512)
def text_mask(text: str, height_px: int, weight: int = REGULAR) -> Pixels:
    """Coverage of one line of text, uint8 (rows, columns), trimmed to what the text advances.

    ``height_px`` is the size of the font; the baseline lies ``height_px`` below the upper edge, and a third
    of that is left below it. The array is shared: do not write it.
    """
    rows = height_px + (height_px + 2) // 3
    if hasattr(cv2, "FontFace"):
        return _outline_text(text, height_px, weight, rows)
    return _stroke_text(text, height_px, weight, rows)


def text_width(text: str, height_px: int, weight: int = REGULAR) -> int:
    """How far a line of text advances, in pixels."""
    return int(text_mask(text, height_px, weight).shape[1])


@lru_cache(maxsize=1)
def _font() -> Any:
    return cv2.FontFace("sans")


def _outline_text(text: str, height_px: int, weight: int, rows: int) -> Pixels:
    room = np.zeros((rows, (len(text) + 1) * height_px * 2), np.uint8)
    end, _ = cv2.putText(room, text, (0, height_px), _WHITE, _font(), height_px, weight)
    return np.ascontiguousarray(room[:, : max(1, end[0])])


def _stroke_text(text: str, height_px: int, weight: int, rows: int) -> Pixels:
    scale = height_px * _FINER / 32.0
    thickness = max(1, round(height_px * _FINER / (10 if weight >= BOLD else 16)))
    (width, _), _ = cv2.getTextSize(text, _STROKES, scale, thickness)
    large = np.zeros((rows * _FINER, (width // _FINER + 1) * _FINER), np.uint8)
    origin = (0, height_px * _FINER)
    cv2.putText(large, text, origin, _STROKES, scale, _WHITE, thickness, cv2.LINE_AA)
    return cv2.resize(large, None, fx=1 / _FINER, fy=1 / _FINER, interpolation=cv2.INTER_AREA)
