"""What may be changed while a run goes on."""

from __future__ import annotations

import pytest

from keywarp.engines.errors import UsageError
from keywarp.pipeline.controls import Controls, Knobs


def test_changes_are_all_made_or_none() -> None:
    controls = Controls(Knobs(interval=10))
    before = controls.knobs
    assert controls.change({"interval": 3, "opacity": 1}) == controls.knobs
    assert (controls.knobs.interval, controls.knobs.opacity) == (3, 1.0)
    assert before.interval == 10
    with pytest.raises(UsageError):
        controls.change({"interval": 5, "opacity": 2})
    assert controls.knobs.interval == 3


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("interval", 0, "from 1 to 1000; given: 0"),
        ("interval", 2.5, "whole number"),
        ("interval", True, "whole number"),
        ("opacity", "x", "from 0 to 1; given: 'x'"),
        ("opacity", float("nan"), "from 0 to 1"),
        ("level", "all", "features"),
        ("flow", 3, "dis:fast"),
        ("paused", 1, "true or false"),
        ("intervall", 3, "did you mean 'interval'"),
    ],
)
def test_a_wrong_change_is_told_in_words(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Controls().change({name: value})
