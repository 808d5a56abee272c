"""What may be changed while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keywarp
from keywarp.engines.errors import UsageError
from keywarp.models.card import bundled_models, read_card
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION
from keywarp.pipeline.packet import Packet


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
        ("aggregate", "yes", "true or false"),
        ("intervall", 3, "did you mean 'interval'"),
    ],
)
def test_a_wrong_change_is_told_in_words(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Controls().change({name: value})


def test_what_can_never_be_aggregated_is_refused_with_its_reason() -> None:
    controls = Controls(no_aggregation="model 'old' lacks the part 'aggregate'")
    with pytest.raises(UsageError, match="cannot be aggregated: model 'old' lacks the part 'aggregate'"):
        controls.change({"interval": 3, "aggregate": True})
    assert controls.knobs == Knobs()
    assert controls.change({"aggregate": False}) == Knobs()
    assert Controls().change({"aggregate": True}).aggregate


# --- Real runs that are changed on the way -------------------------------------------------------------------

STREET = "street:length=80,size=160x96"


def changed(run: keywarp.Run, changes: Mapping[int, Mapping[str, Any]]) -> list[Packet]:
    """All packets of a run whose controls are changed after those with the given numbers. Some frames are under way
    by then, so that a change acts a few frames later.
    """
    packets = []
    for number, packet in enumerate(run):
        packets.append(packet)
        if number in changes:
            run.controls.change(changes[number])
    return packets


def aggregated(packets: list[Packet]) -> list[bool]:
    """Of each key frame, whether the one before it is in it."""
    return [p[PROPAGATION].aggregated for p in packets if p[PROPAGATION].is_key]


@pytest.mark.parametrize("fused", [True, False])
def test_aggregation_is_switched_on_and_off_while_a_run_goes_on(fused: bool) -> None:
    run = keywarp.Run(STREET, interval=2, sinks=["null"], fused=fused)
    assert not run.controls.knobs.aggregate
    packets = changed(run, {4: {"aggregate": True}})
    found = aggregated(packets)
    first = found.index(True)
    assert 2 < first < len(found) - 5
    assert all(found[first:])
    report = run.report()
    assert report["aggregate"] is True
    assert report["frames"]["key_aggregated"] == sum(found) == 40 - first
    plain = list(keywarp.Run(STREET, interval=2, sinks=["null"], fused=fused))
    same = [
        np.array_equal(a[SEGMENTATION].labels, b[SEGMENTATION].labels)
        for a, b in zip(packets, plain, strict=True)
    ]
    assert all(same[: 2 * first])
    assert not any(same[2 * first :: 2])

    run = keywarp.Run(STREET, interval=2, aggregate=True, sinks=["null"], fused=fused)
    assert run.controls.knobs.aggregate
    found = aggregated(changed(run, {4: {"aggregate": False}}))
    assert found[:3] == [False, True, True]
    assert not any(found[-5:])
    assert (run.report()["aggregate"], run.report()["frames"]["key_aggregated"]) == (False, sum(found))


def test_it_goes_on_as_it_was_set_when_features_are_carried_again(caplog: pytest.LogCaptureFixture) -> None:
    run = keywarp.Run(STREET, interval=2, level="result", sinks=["null"])
    packets = changed(run, {2: {"aggregate": True}, 30: {"level": "features"}})
    found = aggregated(packets)
    assert not any(found[:15])
    assert all(found[-10:])
    assert caplog.messages == [
        "key frames are not aggregated: level 'result' carries no features; use level 'features'"
    ]


def old_model(folder: Path) -> str:
    """The card of a model as it was exported before key frames could be aggregated."""
    place = bundled_models()["enet-street"]
    card = read_card(place)
    files = {
        part: entry.model_copy(update={"path": str(place.parent / entry.path)})
        for part, entry in card.files.items()
        if part != "aggregate"
    }
    (folder / "old.json").write_text(card.model_copy(update={"name": "old", "files": files}).to_json())
    return str(folder / "old.json")


def test_a_model_without_the_part_runs_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = old_model(tmp_path)
    run = keywarp.Run(STREET, models=[old], interval=2, sinks=["null"])
    with pytest.raises(
        UsageError, match="cannot be aggregated: model 'old' lacks the part 'aggregate'; export"
    ):
        run.controls.change({"aggregate": True})
    assert not run.controls.knobs.aggregate
    two = keywarp.Run(STREET, models=[old, "enet-street"], interval=2, sinks=["null"])
    packets = changed(two, {4: {"aggregate": True}})
    assert not any(aggregated(packets))
    second = [p[PROPAGATION.of("2-enet-street")] for p in packets]
    assert second[-2].aggregated
    (line,) = caplog.messages
    assert line.startswith("key frames are not aggregated: model 'old' lacks the part 'aggregate'")
    assert two.report()["aggregate"] is True
    assert two.report()["frames"]["key_aggregated"] == sum(each.aggregated for each in second)
