"""The heads-up display: each reading is seen in its own part of the panel, and nowhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.pipeline.picture import YuvPlanes
from keywarp.pipeline.stages.colors import ColorScheme
from keywarp.pipeline.stages.hud import Hud
from keywarp.pipeline.stages.readings import Readings, Work
from keywarp.pipeline.stages.style import INK, KEY, PROPAGATED, font_px

SIZE = (640, 360)
PX = font_px(SIZE)
SCHEME = ColorScheme()
LEFT = TOP = 8
WIDTH = 176
"""Where the panel lies in a picture of that size."""

RATE = np.s_[TOP : TOP + 28, LEFT : LEFT + 90]
LATENCY = np.s_[TOP : TOP + 28, LEFT + 110 : LEFT + WIDTH]
BADGE = slice(TOP + 28, TOP + 48)
TICKS = slice(LEFT + 82, LEFT + 145)
CHART = np.s_[TOP + 52 : TOP + 75, LEFT + 8 : LEFT + WIDTH - 8]
BARS = slice(LEFT + round(5.7 * PX), LEFT + WIDTH - round(4.9 * PX))
NUMBERS = slice(BARS.stop, LEFT + WIDTH)


def row(number: int) -> slice:
    """The rows of a stage's bar."""
    top = TOP + 7.35 * PX + number * 1.45 * PX
    return slice(round(top), round(top + 1.4 * PX))


class Told(Readings):
    """Readings as a test would have them."""

    def __init__(
        self,
        fps: float | None = 25.0,
        latency_ms: float = 40.0,
        stage_ms: dict[str, float] | None = None,
        history: Sequence[Work] = (Work(4.0, True), Work(2.0, False), Work(2.0, False)),
    ) -> None:
        super().__init__()
        self._fps = fps
        self.latency_ms = latency_ms
        self.stage_ms = stage_ms or {"read": 8.0, "perceive": 6.0, "mp4": 2.0}
        self.history = deque(history)

    @property
    def fps(self) -> float | None:
        return self._fps


def shown(readings: Readings, title: str = "model") -> NDArray[np.uint8]:
    """The display over a grey picture, as (H, W, 3) Y, U, V."""
    planes = YuvPlanes(*(np.full((360 // step, 640 // step), 128, np.uint8) for step in (1, 2, 2)))
    hud = Hud(SIZE, PX, SCHEME)
    hud.refresh(readings, title)
    hud.draw(planes, readings)
    return np.dstack([planes.y, *(plane.repeat(2, 0).repeat(2, 1) for plane in (planes.u, planes.v))])


def assert_only(region: Any, first: Readings, second: Readings) -> None:
    """The displays differ there, and are the same elsewhere."""
    differs = (shown(first) != shown(second)).any(axis=2)
    assert differs[region].any()
    differs[region] = False
    assert not differs.any(), np.argwhere(differs)


def is_color(pixels: NDArray[np.uint8], rgb: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which pixels have a colour."""
    return np.all(np.abs(pixels - np.rint(SCHEME.one(rgb))) <= 1, axis=-1)


def test_it_lies_where_these_tests_look() -> None:
    differs = (shown(Told()) != 128).any(axis=2)
    rows, columns = np.nonzero(differs)
    assert (rows.min(), columns.min(), columns.max()) == (TOP, LEFT, LEFT + WIDTH - 1)


@pytest.mark.parametrize("other", [12.5, 24.9, 120.0, None])
def test_the_rate(other: float | None) -> None:
    assert_only(RATE, Told(fps=25.0), Told(fps=other))


@pytest.mark.parametrize("other", [40.1, 7.0, 400.0])
def test_the_latency(other: float) -> None:
    assert_only(LATENCY, Told(latency_ms=40.0), Told(latency_ms=other))


def test_a_stage_s_bar_and_number() -> None:
    long, short = (Told(stage_ms={"read": 8.0, "perceive": ms, "mp4": 2.0}) for ms in (6.0, 4.0))
    assert_only(np.s_[row(1), LEFT : LEFT + WIDTH], long, short)
    differs = (shown(long) != shown(short)).any(axis=2)
    assert differs[row(1), BARS].any()
    assert differs[row(1), NUMBERS].any()


def test_a_stage_s_bar_is_as_long_as_its_share_of_the_longest() -> None:
    found = shown(Told(stage_ms={"read": 8.0, "perceive": 6.0, "mp4": 2.0}))
    bright = found[..., 0] > 0.8 * SCHEME.one(INK)[0]
    lengths = [int(bright[row(number), BARS].any(axis=0).sum()) for number in range(3)]
    assert lengths == pytest.approx([lengths[0], 0.75 * lengths[0], 0.25 * lengths[0]], abs=1.5)
    assert lengths[0] == pytest.approx(BARS.stop - BARS.start, abs=2)


def test_the_age_and_its_ticks() -> None:
    young, old = Told(), Told()
    for readings, age in ((young, 2), (old, 5)):
        readings.is_key, readings.age, readings.interval = False, age, 10
    assert_only(np.s_[BADGE, TICKS.start : LEFT + WIDTH], young, old)
    first, second = (shown(each)[BADGE][..., 0] for each in (young, old))
    assert (first != second)[:, TICKS.stop :].any()  # the number
    lit = [(each[:, TICKS].max(axis=0) > 110).sum() for each in (first, second)]  # a track's is 90
    assert lit[0] / lit[1] == pytest.approx(3 / 6, abs=0.05)


def test_the_title_at_the_foot() -> None:
    differs = (shown(Told(), "model") != shown(Told(), "other")).any(axis=2)
    assert np.nonzero(differs)[0].min() >= row(3).start


def test_a_frame_s_work_in_the_chart() -> None:
    works = [Work(4.0, True), Work(2.0, False), Work(1.0, False)]
    assert_only(CHART, Told(history=works), Told(history=[*works[:2], Work(3.0, False)]))
    assert_only(CHART, Told(history=works), Told(history=[*works[:2], Work(1.0, True)]))


def test_the_chart_s_bars_are_as_high_as_the_work_with_the_newest_at_the_right() -> None:
    chart = shown(Told(history=[Work(4.0, True), Work(2.0, False), Work(1.0, False)]))[CHART]
    key, propagated = (is_color(chart, rgb).sum(axis=0) for rgb in (KEY, PROPAGATED))
    assert key[key > 0].tolist() == [22, 22]  # a bar is two pixels wide
    assert propagated[propagated > 0].tolist() == [11, 11, 5, 5]
    assert np.nonzero(key)[0].max() < np.nonzero(propagated)[0].min()
    assert np.nonzero(propagated)[0].max() >= len(propagated) - 10
