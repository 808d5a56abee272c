"""The size of a network's input for frames of any size."""

from __future__ import annotations

import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.flow.sizes import nearest
from keywarp.models.card import InputCard
from keywarp.models.input_size import choose_input_size

CARD = InputCard(stride_px=8, width=640, height=360)


@pytest.mark.parametrize(
    ("frame_size", "expected"),
    [
        ((1, 1), (8, 8)),
        ((640, 360), (640, 360)),
        ((320, 240), (320, 240)),
        ((319, 190), (320, 192)),
        ((100, 60), (96, 64)),  # 12.5 and 7.5 steps
        ((1280, 720), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((480, 640), (416, 552)),
        ((5000, 10), (5000, 8)),
    ],
)
def test_it_is_the_frame_s_or_its_shape_at_the_card_s_area(frame_size: Size, expected: Size) -> None:
    assert choose_input_size(CARD, frame_size, None) == expected


def test_a_wanted_size_is_taken_as_it_is() -> None:
    assert choose_input_size(CARD, (320, 240), (1280, 8)) == (1280, 8)


@pytest.mark.parametrize(
    ("wanted", "next_size"),
    [((641, 360), "648x360"), ((0, 8), "8x8"), ((100, 100), "104x104"), ((-8, 16), "8x16")],
)
def test_a_wanted_size_that_is_impossible_is_refused_with_the_next(wanted: Size, next_size: str) -> None:
    message = f"cannot take the size {wanted[0]}x{wanted[1]}: .* multiples of 8; the next one is {next_size}"
    with pytest.raises(UsageError, match=message):
        choose_input_size(CARD, (640, 360), wanted)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((100.0, 60.0), (96, 64)), ((12.1, 11.9), (16, 8)), ((0.5, 3.0), (8, 8)), ((640, 360), (640, 360))],
)
def test_the_nearest_multiples(size: tuple[float, float], expected: Size) -> None:
    assert nearest(size, 8) == expected
