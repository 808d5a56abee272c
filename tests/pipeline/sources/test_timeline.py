"""Times that rise."""

from __future__ import annotations

from fractions import Fraction

import pytest

from keywarp.pipeline.sources.timeline import Timeline

CASES: dict[str, tuple[list[int | None], list[int]]] = {
    "none": ([], []),
    "rising": ([0, 40, 80], [0, 40, 80]),
    "negative start": ([-40, 0, 40], [-40, 0, 40]),
    "gaps are kept": ([0, 40, 5000], [0, 40, 5000]),
    "no times": ([None, None, None], [0, 40, 80]),
    "one missing": ([0, None, 80], [0, 40, 80]),
    "missing at the start of a late stream": ([None, 5000], [0, 5000]),
    "twice the same": ([0, 40, 40, 80], [0, 40, 41, 80]),
    "a little back": ([0, 80, 40, 120], [0, 80, 81, 120]),
    "starts again": ([8000, 8040, 0, 40, 80], [8000, 8040, 8080, 8120, 8160]),
    "starts again twice": ([8000, 0, 8000, 0], [8000, 8040, 16040, 16080]),
}


@pytest.mark.parametrize("case", CASES)
def test_times(case: str) -> None:
    given, expected = CASES[case]
    timeline = Timeline(Fraction(1, 1000), Fraction(25))
    assert [timeline.place(pts) for pts in given] == expected


def test_an_unknown_rate_counts_as_25() -> None:
    timeline = Timeline(Fraction(1, 1000), None)
    assert [timeline.place(None), timeline.place(None)] == [0, 40]


def test_a_coarse_time_base_still_rises() -> None:
    timeline = Timeline(Fraction(1, 10), Fraction(60))
    assert [timeline.place(None) for _ in range(3)] == [0, 1, 2]
