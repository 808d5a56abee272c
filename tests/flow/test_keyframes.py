from __future__ import annotations

import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import FixedInterval, Signals


def key_pattern(interval: int, frames: int, phase: int = 0) -> str:
    policy, age, pattern = FixedInterval(interval, phase), None, ""
    for number in range(frames):
        age = None if age is None else age + 1
        is_key = policy.is_key(Signals(age, number=number))
        age = 0 if is_key else age
        pattern += "K" if is_key else "."
    return pattern


@pytest.mark.parametrize(
    ("interval", "pattern"), [(1, "KKKKKK"), (2, "K.K.K."), (3, "K..K.."), (10, "K.....")]
)
def test_a_fixed_interval_starts_with_a_key_frame_and_repeats(interval: int, pattern: str) -> None:
    assert key_pattern(interval, 6) == pattern


@pytest.mark.parametrize(
    ("interval", "phase", "pattern"),
    [(3, 0, "K..K..K."), (3, 1, "KK..K..K"), (3, 2, "K.K..K.."), (5, 4, "K...K..."), (1, 0, "KKKKKKKK")],
)
def test_a_phase_moves_all_key_frames_but_the_first(interval: int, phase: int, pattern: str) -> None:
    assert key_pattern(interval, 8, phase) == pattern


def test_a_signal_without_a_number_has_no_phase() -> None:
    assert not FixedInterval(3, 1).is_key(Signals(1))


@pytest.mark.parametrize(("interval", "phase"), [(1, 1), (3, 3), (3, -1)])
def test_an_impossible_phase_is_refused(interval: int, phase: int) -> None:
    with pytest.raises(UsageError, match=f"phase {phase} of interval {interval} .* 0 to {interval - 1}"):
        FixedInterval(interval, phase)


@pytest.mark.parametrize("interval", [0, -3])
def test_an_impossible_interval_is_refused(interval: int) -> None:
    with pytest.raises(UsageError, match=f"interval {interval} is not possible"):
        FixedInterval(interval)
