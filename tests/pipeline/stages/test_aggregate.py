"""Aggregation in the propagate stage: which earlier key frame a full run is given, and along which flow."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import ModelError
from keywarp.flow.base import PairFlow
from keywarp.flow.fake import FakeFlow, FakePairFlow
from keywarp.flow.keyframes import FixedInterval
from keywarp.models.base import Earlier, Model
from keywarp.models.fake import FakeModel
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stages import means as stage_module
from keywarp.pipeline.stages.propagate import Propagate

from . import scenes, staging
from .staging import LateRunner, motion, packet, process, run


def stage(interval: int, flow: Any = None, *, aggregates: bool = True, **options: Any) -> Propagate[Any]:
    return staging.stage(interval, flow, aggregates=aggregates, **options)


def given(perceive: Propagate[Any]) -> list[Earlier[Any]]:
    model = perceive.model
    assert isinstance(model, FakeModel)
    return model.earlier


def assert_moved(earlier: Earlier[Any], key: Packet, frames: int) -> None:
    """``earlier`` is ``key``'s, seen from so many frames later, when all has moved two pixels a frame."""
    assert earlier.output.result is key[SEGMENTATION]
    np.testing.assert_allclose(earlier.flow.field[:, 8:], np.broadcast_to([-2.0 * frames, 0.0], (20, 32, 2)))
    assert earlier.match.dtype == np.float32
    assert np.all(earlier.match[:, 2 * frames :] > 0.98)
    assert np.array_equal(earlier.match > 0, earlier.flow.valid)


def test_a_full_run_is_given_the_key_frame_before_it() -> None:
    perceive = stage(3)
    packets = run(perceive, 7)
    assert [p[PROPAGATION].is_key for p in packets] == [True, False, False] * 2 + [True]
    first, second = given(perceive)  # frame 0 has nothing before it
    assert_moved(first, packets[0], 3)
    assert_moved(second, packets[3], 3)


def test_with_every_frame_a_key_frame_it_is_the_frame_before() -> None:
    perceive = stage(1)
    packets = run(perceive, 4)
    for earlier, before in zip(given(perceive), packets, strict=False):
        assert_moved(earlier, before, 1)
    assert len(given(perceive)) == 3


def test_pairs_are_compared_once() -> None:
    flow = FakePairFlow(motion)
    perceive = stage(3, flow=flow)
    packets = run(perceive, 5)
    (earlier,) = given(perceive)
    assert_moved(earlier, packets[0], 3)
    assert flow.calls == ["open", *["pair"] * 4]


def test_while_a_full_run_is_under_way_it_is_the_last_finished_one() -> None:
    runner = LateRunner()
    perceive = stage(3, runner=runner)
    packets = run(perceive, 5)
    runner.waiting[0]()
    (earlier,) = given(perceive)
    assert_moved(earlier, packets[0], 3)


class OneBuffer(FakePairFlow):
    """Each pair takes the place of the one before it, as a FlowNet's does."""

    _kept: PairFlow | None = None

    def pair(self, key: Any, current: Any) -> PairFlow:
        made = super().pair(key, current)
        if self._kept is None:
            self._kept = made
        self._kept.field[:] = made.field
        return self._kept


def test_a_late_full_run_has_the_flow_of_its_own_pair() -> None:
    runner = LateRunner()
    perceive = stage(3, runner=runner, flow=OneBuffer(motion))
    packets = run(perceive, 5)
    runner.waiting[0]()
    (earlier,) = given(perceive)
    assert_moved(earlier, packets[0], 3)


def test_at_level_result_there_is_none() -> None:
    perceive = stage(2, level="result")
    run(perceive, 5)
    assert given(perceive) == []


def test_a_change_of_level_begins_anew() -> None:
    controls = Controls(Knobs(interval=2, level="features", flow="lk", opacity=0.5))
    perceive = stage(2, controls=controls)
    run(perceive, 3)
    assert len(given(perceive)) == 1
    controls.change({"level": "result"})
    for index in range(3, 7):
        perceive.process(packet(index))
    assert len(given(perceive)) == 1
    controls.change({"level": "features"})
    for index in range(7, 10):
        perceive.process(packet(index))
    assert len(given(perceive)) == 2


class Able(FakeModel):
    can_aggregate = True


def controlled(interval: int, model: FakeModel, **options: Any) -> tuple[Propagate[Any], Controls]:
    """A stage that does not aggregate yet, and its controls."""
    controls = Controls(Knobs(interval=interval, level=options.get("level", "features"), flow="dis"))
    return stage(interval, model=model, controls=controls, aggregates=False, **options), controls


def test_it_begins_and_ends_with_the_next_key_frame() -> None:
    perceive, controls = controlled(3, Able())
    packets = process(perceive, 0, 1, 2, 3)
    controls.change({"aggregate": True})
    packets += process(perceive, 4, 5, 6, 7, 8, 9)
    first, second = given(perceive)
    assert_moved(first, packets[3], 3)
    assert_moved(second, packets[6], 3)
    assert perceive.aggregates
    controls.change({"aggregate": False})
    packets += process(perceive, 10, 11, 12)
    assert len(given(perceive)) == 2
    assert [p.frame.index for p in packets if p[PROPAGATION].is_key] == [0, 3, 6, 9, 12]
    assert [p.frame.index for p in packets if p[PROPAGATION].aggregated] == [6, 9]
    assert [call for call in perceive.model.calls if "level" in call] == [  # type: ignore[attr-defined]
        "level features, aggregated",
        "level features",
    ]


class Beside:
    """Runs the first work at once, later work in a thread, where it waits to be let go."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._first = True

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        first, self._first = self._first, False
        future = self._pool.submit(lambda: (first or self.may_end.wait(20), work())[1])
        if first:
            future.result()
        return future


def test_a_full_run_that_is_under_way_ends_before_it_changes() -> None:
    runner, model = Beside(), Able()
    perceive, controls = controlled(3, model, runner=runner)
    process(perceive, 0, 1, 2, 3)
    controls.change({"aggregate": True})
    threading.Timer(0.2, runner.may_end.set).start()
    process(perceive, 4)
    assert (
        model.calls.index("level features, aggregated")
        > [number for number, call in enumerate(model.calls) if call == "features"][1]
    )
    process(perceive, 5, 6)
    perceive.close()
    (earlier,) = given(perceive)
    np.testing.assert_array_equal(earlier.output.result.labels, packet(3).frame.bgr[:, :, 0])


def test_a_model_that_cannot_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    perceive, controls = controlled(2, FakeModel())
    process(perceive, 0, 1)
    controls.change({"aggregate": True})
    packets = process(perceive, 2, 3, 4)
    assert [p[PROPAGATION].is_key for p in packets] == [True, False, True]
    assert (given(perceive), perceive.aggregates) == ([], False)
    (line,) = caplog.messages
    assert line.startswith("key frames are not aggregated: model 'fake' lacks the part 'aggregate'; export")


def test_a_part_that_cannot_be_compiled_leaves_it_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Able):
        def change(self, level: Any, *, aggregates: bool) -> None:
            raise ModelError("the part 'aggregate' is damaged")

    perceive, controls = controlled(2, Broken())
    process(perceive, 0, 1)
    controls.change({"aggregate": True})
    process(perceive, 2, 3)
    assert (given(perceive), perceive.aggregates) == ([], False)
    assert caplog.messages == ["key frames are not aggregated: the part 'aggregate' is damaged"]


def test_at_level_result_it_waits_for_features(caplog: pytest.LogCaptureFixture) -> None:
    perceive, controls = controlled(2, Able(), level="result")
    process(perceive, 0)
    controls.change({"aggregate": True})
    process(perceive, 1, 2)
    reason = "level 'result' carries no features; use level 'features'"
    assert caplog.messages == [f"key frames are not aggregated: {reason}"]
    assert (perceive.unaggregated, given(perceive)) == (reason, [])
    controls.change({"level": "features"})
    process(perceive, 3, 4, 5)
    assert (perceive.unaggregated, len(given(perceive))) == ("", 1)


def test_a_scale_map_of_other_features_is_in_its_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flows: dict[str, Any] = {"dis": FakePairFlow(motion, scale=1.0), "lk": FakeFlow(2.0, 0.0)}
    monkeypatch.setattr(stage_module, "make_estimator", lambda name, *_, **__: flows[name])
    perceive, controls = controlled(2, Able(), flow=flows["dis"])
    process(perceive, 0, 1)
    controls.change({"aggregate": True})
    process(perceive, 2, 3)
    (line,) = caplog.messages
    assert re.fullmatch("key frames are not aggregated: the scale map of flow '.*' multiplies other .*", line)
    assert not perceive.aggregates
    controls.change({"flow": "lk"})
    process(perceive, 4, 5, 6)
    assert (perceive.aggregates, perceive.unaggregated, len(given(perceive))) == (True, "", 1)
    assert len(caplog.messages) == 1


def test_it_ends_before_a_flow_that_it_stands_in_the_way_of(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Recorded(Able):
        def change(self, level: Any, *, aggregates: bool) -> None:
            calls.append(f"aggregates {aggregates}")

        def open_scale(self, grid: Any, channels: int) -> None:
            calls.append("scale")

    flows: dict[str, Any] = {"lk": FakePairFlow(motion, scale=1.0)}
    monkeypatch.setattr(stage_module, "make_estimator", lambda name, *_, **__: flows[name])
    perceive, controls = controlled(2, Recorded())
    controls.change({"aggregate": True})
    process(perceive, 0, 1)
    controls.change({"flow": "lk", "aggregate": False})
    process(perceive, 2)
    assert calls == ["aggregates True", "aggregates False", "scale"]


def test_nothing_is_taken_over_a_gap_nor_into_a_frozen_frame() -> None:
    perceive = stage(2)
    for index, marks in enumerate([{}, {}, {"after_gap": True}, {"frozen": True}, {}]):
        perceive.process(packet(index, **marks))
    assert given(perceive) == []


@pytest.mark.parametrize("cuts", [True, False])
def test_nothing_is_taken_from_another_scene(cuts: bool) -> None:
    perceive = scenes.stage(FixedInterval(2, cuts=cuts), aggregates=True)
    for index, scene in enumerate([0, 0, 1, 1, 1]):  # a cut just where a key frame is due
        perceive.process(scenes.packet(index, scene))
    (earlier,) = given(perceive)
    assert earlier.match.min() == 1.0


def test_nothing_is_taken_along_a_broken_flow() -> None:
    perceive = scenes.stage(FixedInterval(2), scenes.BrokenFlow((2,)), aggregates=True)
    for index in range(5):
        perceive.process(scenes.packet(index))
    assert len(given(perceive)) == 1  # frame 4's; frame 2 runs by itself


def test_a_model_that_cannot_says_so() -> None:
    class Old(FakeModel):
        features_with = Model.features_with

    perceive = stage(2, model=Old())
    with pytest.raises(ModelError, match=r"model 'fake' cannot aggregate key frames; use --no-aggregate"):
        run(perceive, 3)
