from __future__ import annotations

import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import FixedInterval, Signals


def key_pattern(interval: int, frames: int) -> str:
    policy, age, pattern = FixedInterval(interval), None, ""
    for _ in range(frames):
        age = None if age is None else age + 1
        is_key = policy.is_key(Signals(age))
        age = 0 if is_key else age
        pattern += "K" if is_key else "."
    return pattern


@pytest.mark.parametrize(
    ("interval", "pattern"), [(1, "KKKKKK"), (2, "K.K.K."), (3, "K..K.."), (10, "K.....")]
)
def test_a_fixed_interval_starts_with_a_key_frame_and_repeats(interval: int, pattern: str) -> None:
    assert key_pattern(interval, 6) == pattern


@pytest.mark.parametrize("interval", [0, -3])
def test_an_impossible_interval_is_refused(interval: int) -> None:
    with pytest.raises(UsageError, match=f"interval {interval} is not possible"):
        FixedInterval(interval)
