"""The heads-up display: rate, latency, key or propagated, key age, recent work, and a bar for each stage."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size
from keywarp.pipeline.picture import Pixels, YuvPlanes

from .colors import ColorScheme
from .patch import Canvas, Patch, even
from .readings import Readings
from .style import FROZEN, INK, KEY, PANEL, PANEL_ALPHA, PROPAGATED, QUIET, TRACK, Rgb
from .text import BOLD, text_mask, text_width

_MOST_BARS = 6
_MOST_TICKS = 30


class Hud:
    """Draws :class:`Readings` into the upper left of pictures of one size and colour scheme.

    The panel is drawn anew by :meth:`refresh`, a few times a second; :meth:`draw` lays it over a picture and
    adds what changes with every frame. A small picture gets the first lines only, a tiny one nothing.
    """

    def __init__(self, picture: Size, px: int, scheme: ColorScheme) -> None:
        self._px, self._scheme = px, scheme
        self._margin = even(0.8 * px)
        self._width = even(16 * px)
        room = picture[1] - 2 * self._margin
        self._bars = max(0, min(_MOST_BARS, int((0.62 * room / px - 9.5) / 1.45)))
        self._line = 1.45 * px
        fits = picture[0] >= self._width + 2 * self._margin
        self._shown = fits and room >= 5 * px
        self._tall = fits and self._bars >= 2
        self._panel: Patch | None = None
        self._badge = lru_cache(maxsize=256)(self._make_badge)
        self._frozen_badge = lru_cache(maxsize=2)(self._make_frozen_badge)
        self._ground = lru_cache(maxsize=8)(self._make_ground)
        self._chart = _Chart(even(self._width - 1.6 * px), even(2 * px), px, scheme)

    def refresh(self, readings: Readings, title: str = "") -> None:
        """Draw the panel anew: rate, bars and, below them, the title."""
        if self._shown:
            self._panel = self._make_panel(readings, title)

    def draw(self, planes: YuvPlanes, readings: Readings) -> None:
        """Lay the display over a picture; nothing before the first :meth:`refresh`."""
        if self._panel is None:
            return
        left = top = self._margin
        inner = left + even(0.8 * self._px)
        self._panel.blit(planes, left, top)
        self._latency(planes, readings.latency_ms, left, top)
        if readings.frozen_s is None:
            badge = self._badge(readings.is_key, readings.age, readings.interval)
        else:
            badge = self._frozen_badge(readings.frozen_s)
        badge.blit(planes, inner, top + even(2.65 * self._px))
        if self._tall:
            self._chart.draw(planes, readings, inner, top + even(4.8 * self._px))

    def _latency(self, planes: YuvPlanes, latency_ms: float, left: int, top: int) -> None:
        mask = text_mask(_milliseconds(latency_ms), self._px)
        x = left + self._width - even(0.8 * self._px) - mask.shape[1]
        y = top + round(2.0 * self._px) - self._px
        _white(planes.y[y : y + mask.shape[0], x : x + mask.shape[1]], mask, self._scheme.one(INK)[0])

    def _make_panel(self, readings: Readings, title: str) -> Patch:
        px, pad = self._px, 0.8 * self._px
        stages = _most_work(readings.stage_ms, self._bars) if self._tall else {}
        foot = 1.55 * px if title and self._tall else 0.0
        height = even((7.9 * px + len(stages) * self._line if self._tall else 4.9 * px) + foot)
        canvas = self._ground(height).copy()
        self._rate_line(canvas, readings.fps)
        widest = max(stages.values(), default=1.0) or 1.0
        y = 7.35 * px
        for name, work_ms in stages.items():
            self._bar(canvas, name, work_ms, work_ms / widest, y)
            y += self._line
        if foot:
            canvas.text(_cut(title, px, self._width - 2 * pad), pad, height - 0.75 * px, px, QUIET)
        return canvas.patch()

    def _make_ground(self, height: int) -> Canvas:
        canvas = Canvas((self._width, height), self._scheme)
        canvas.rounded((0, 0, self._width, height), 0.7 * self._px, PANEL, PANEL_ALPHA)
        return canvas

    def _rate_line(self, canvas: Canvas, fps: float | None) -> None:
        px, large, baseline = self._px, round(1.6 * self._px), 2.0 * self._px
        shown = "–" if fps is None else f"{fps:.0f}" if fps >= 99.95 else f"{fps:.1f}"
        x = 0.8 * px
        x += canvas.text(shown, x, baseline, large, INK, weight=BOLD) + 0.35 * px
        canvas.text("fps", x, baseline, px, QUIET)
        widest = text_width("00.0 ms", px)
        canvas.text("latency", self._width - 1.3 * px - widest, baseline, px, QUIET, align="right")

    def _bar(self, canvas: Canvas, name: str, work_ms: float, share: float, y: float) -> None:
        px = self._px
        left, right = 5.7 * px, self._width - 4.9 * px
        canvas.text(_cut(name, px, left - 1.2 * px), 0.8 * px, y + 0.95 * px, px, QUIET)
        canvas.rounded((left, y + 0.4 * px, right - left, 0.5 * px), 0.25 * px, TRACK, 0.7)
        canvas.rounded(
            (left, y + 0.4 * px, max(0.5 * px, (right - left) * share), 0.5 * px), 0.25 * px, INK, 0.9
        )
        canvas.text(_milliseconds(work_ms), self._width - 0.8 * px, y + 0.95 * px, px, INK, align="right")

    def _make_badge(self, is_key: bool, age: int, interval: int) -> Patch:
        """The line with KEY or PROPAGATED and how far the interval has come."""
        px, width = self._px, even(self._width - 1.6 * self._px)
        color = KEY if is_key else PROPAGATED
        word = "KEY" if is_key else "PROPAGATED"
        canvas = Canvas((width, even(1.6 * px)), self._scheme)
        badge = self._word(canvas, word, color)
        number = f"+{age}" if age else "0"
        canvas.text(number, width, 1.1 * px, px, INK, align="right")
        _ticks(canvas, badge + 0.6 * px, width - 2.1 * px, px, age, interval)
        return canvas.patch()

    def _make_frozen_badge(self, seconds: int) -> Patch:
        """The line in the place of the badge while the stream is interrupted."""
        px, width = self._px, even(self._width - 1.6 * self._px)
        canvas = Canvas((width, even(1.6 * px)), self._scheme)
        self._word(canvas, "FROZEN", FROZEN)
        canvas.text(f"no signal for {seconds} s", width, 1.1 * px, px, INK, align="right")
        return canvas.patch()

    def _word(self, canvas: Canvas, word: str, color: Rgb) -> float:
        """Draw a word in a box of the width that all of them have, and return it."""
        px = self._px
        small = max(8, round(0.85 * px))
        badge = text_width("PROPAGATED", small, BOLD) + 1.1 * px
        canvas.rounded((0, 0, badge, 1.5 * px), 0.4 * px, color, 1.0 if color == KEY else 0.92)
        canvas.text(word, badge / 2, 0.75 * px + 0.36 * small, small, PANEL, weight=BOLD, align="middle")
        return badge


class _Chart:
    """The work on each recent frame, newest at the right, key frames in their own colour.

    Bars and the gaps between them are an even number of pixels wide, so that chroma samples belong to one.
    """

    def __init__(self, width: int, height: int, px: int, scheme: ColorScheme) -> None:
        self._bar = max(2, even(px / 6))
        self._count = width // (2 * self._bar)
        self._height = height
        self._rise = np.arange(height, 0, -1, dtype=np.float32)[:, None] - 0.5
        self._colors = np.rint([scheme.one(PROPAGATED), scheme.one(KEY)]).astype(np.uint8)

    def draw(self, planes: YuvPlanes, readings: Readings, x: int, y: int) -> None:
        recent = list(readings.history)[-self._count :]
        if not recent:  # nothing but frozen frames so far
            return
        work = np.array([item.work_ms for item in recent], np.float32)
        colors = self._colors[[int(item.is_key) for item in recent]]
        rows = np.maximum(work * (self._height / max(float(work.max()), 1e-6)), 1.0)
        bars = self._rise < rows  # (height, bars)
        x += 2 * self._bar * (self._count - len(recent))
        _paint_bars(planes.y, bars, colors[:, 0], x, y, self._bar)
        half = bars[1::2]
        _paint_bars(planes.u, half, colors[:, 1], x // 2, y // 2, self._bar // 2)
        _paint_bars(planes.v, half, colors[:, 2], x // 2, y // 2, self._bar // 2)


def _paint_bars(plane: Pixels, bars: NDArray[np.bool_], colors: Pixels, x: int, y: int, width: int) -> None:
    step = 2 * width
    for column in range(x, x + width):
        part = plane[y : y + bars.shape[0], column : column + step * bars.shape[1] : step]
        np.copyto(part, colors, where=bars)


def _ticks(canvas: Canvas, left: float, right: float, px: int, age: int, interval: int) -> None:
    """One mark for each frame of the interval, lit up to this one; a plain bar where they are too many."""
    top, height = 0.45 * px, 0.6 * px
    step = (right - left) / interval
    if interval > _MOST_TICKS or step < 3:
        canvas.rounded((left, top, right - left, height), 0.2 * px, TRACK)
        canvas.rounded((left, top, (right - left) * (age + 1) / interval, height), 0.2 * px, PROPAGATED)
        return
    for tick in range(interval):
        color = TRACK if tick > age else KEY if tick == 0 else PROPAGATED
        wide = min(step - max(1.0, 0.2 * step), 0.9 * px)
        canvas.rounded((left + tick * step, top, wide, height), 0.15 * px, color)


def _white(under: Pixels, mask: Pixels, luma: float) -> None:
    """Write light text over a plane of brightness; what little colour the panel has stays."""
    rest = cv2.multiply(under, cv2.bitwise_not(mask), scale=1 / 255)
    np.copyto(under, cv2.scaleAdd(mask, luma / 255, rest))


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 99.95 else f"{min(value, 99999):.0f} ms"


def _most_work(stage_ms: dict[str, float], count: int) -> dict[str, float]:
    chosen = set(sorted(stage_ms, key=lambda name: -stage_ms[name])[:count])
    return {name: work_ms for name, work_ms in stage_ms.items() if name in chosen}


def _cut(text: str, px: int, room: float) -> str:
    """As much of a text as fits."""
    if text_width(text, px) <= room:
        return text
    shorter: Iterable[str] = (text[:length] + "…" for length in range(len(text) - 1, 0, -1))
    return next((candidate for candidate in shorter if text_width(candidate, px) <= room), "")
