"""The legend's strip: which classes are lit, and for how long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keywarp.models.labels import CAMVID
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.picture import YuvPlanes
from keywarp.pipeline.stages.colors import ColorScheme
from keywarp.pipeline.stages.legend import LegendStrip
from keywarp.pipeline.stages.style import font_px

SIZE = (640, 360)
ROAD, CAR = CAMVID.names.index("road"), CAMVID.names.index("car")


def strip() -> LegendStrip:
    return LegendStrip(CAMVID, SIZE, font_px(SIZE), ColorScheme())


def found(*labels: int) -> SegmentationMap:
    """A map that shows these classes, and no other."""
    return SegmentationMap(np.resize(np.array(labels, np.uint8).repeat(40), SIZE[::-1]), CAMVID)


def drawn(legend: LegendStrip) -> NDArray[np.uint8]:
    """The strip over a grey picture, in its brightness."""
    planes = YuvPlanes(*(np.full((360 // step, 640 // step), 128, np.uint8) for step in (1, 2, 2)))
    legend.draw(planes)
    return planes.y


def with_classes(*labels: int) -> NDArray[np.uint8]:
    """How the strip looks with just these lit."""
    fresh = strip()
    fresh.refresh(found(*labels))
    return drawn(fresh)


def test_a_class_that_was_seen_lingers_for_three_refreshes_more() -> None:
    legend = strip()
    legend.refresh(found(ROAD, CAR))
    pictures = [drawn(legend)]
    for _ in range(5):
        legend.refresh(found(ROAD))
        pictures.append(drawn(legend))
    lit, faint = with_classes(ROAD, CAR), with_classes(ROAD)
    assert not np.array_equal(lit, faint)
    assert [np.array_equal(each, lit) for each in pictures] == [True] * 4 + [False] * 2
    assert [np.array_equal(each, faint) for each in pictures] == [False] * 4 + [True] * 2


def test_a_class_that_comes_back_lingers_anew() -> None:
    legend = strip()
    for labels in ((ROAD, CAR), (ROAD,), (ROAD, CAR), (ROAD,), (ROAD,), (ROAD,)):
        legend.refresh(found(*labels))
    assert np.array_equal(drawn(legend), with_classes(ROAD, CAR))
    legend.refresh(found(ROAD))
    assert np.array_equal(drawn(legend), with_classes(ROAD))


def test_a_faint_class_is_darker_in_its_own_entry_only() -> None:
    lit, faint = with_classes(ROAD, CAR), with_classes(ROAD)
    rows, columns = np.nonzero(lit != faint)
    assert columns.max() - columns.min() < 40
    assert rows.max() - rows.min() < 16
    assert faint.astype(int).sum() < lit.astype(int).sum()
