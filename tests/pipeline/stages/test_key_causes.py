"""Why frames become key frames in the propagate stage: policies that watch, new scenes, broken flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keywarp.flow.base import Image, PairFlow
from keywarp.flow.fake import FakePairFlow
from keywarp.flow.keyframes import (
    AdaptiveQuality,
    AdaptiveShare,
    CodecKeyframes,
    FixedInterval,
    KeyframePolicy,
)
from keywarp.models.fake import FakeModel
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stages.propagate import Propagate

from .scenes import BrokenFlow, packet, stage
from .staging import LateRunner, SlowRunner


def causes(perceive: Propagate[Any], packets: list[Packet]) -> dict[int, str | None]:
    """The key frames, and why they are."""
    for each in packets:
        perceive.process(each)
    return {p.frame.index: p[PROPAGATION].cause for p in packets if p[PROPAGATION].is_key}


def test_each_key_frame_says_why() -> None:
    packets = [packet(index, after_gap=index == 5) for index in range(9)]
    assert causes(stage(FixedInterval(3)), packets) == {0: "first", 3: "interval", 5: "gap", 8: "interval"}
    assert packets[4][PROPAGATION].cause == "interval"  # of the key frame that it comes from


@pytest.mark.parametrize(
    "policy",
    [FixedInterval(5), AdaptiveShare(0.2), AdaptiveQuality(60), CodecKeyframes(5)],
    ids=lambda p: p.name,
)
def test_a_new_scene_begins_with_a_key_frame(policy: KeyframePolicy) -> None:
    packets = [packet(index, number=index // 3) for index in range(8)]
    assert causes(stage(policy), packets) == {0: "first", 3: "cut", 6: "cut"}


def test_cuts_that_do_not_count_are_not_looked_for() -> None:
    packets = [packet(index, number=index // 3) for index in range(6)]
    assert causes(stage(FixedInterval(5, cuts=False)), packets) == {0: "first", 5: "interval"}
    assert not any(span.name == "perceive.signals" for each in packets for span in each.spans)


def test_intra_frames_of_the_stream() -> None:
    packets = [packet(index, picture_type="I" if index in (0, 4) else "P") for index in range(8)]
    assert causes(stage(CodecKeyframes(10)), packets) == {0: "first", 4: "intra"}


def test_after_a_gap_the_stream_has_to_show_anew_that_not_all_frames_are_intra() -> None:
    packets = [
        packet(index, picture_type="P" if index == 2 else "I", after_gap=index == 4) for index in range(9)
    ]
    assert causes(stage(CodecKeyframes(4)), packets) == {0: "first", 3: "intra", 4: "gap", 8: "interval"}


def test_a_share_is_steered_to() -> None:
    packets = [packet(index) for index in range(41)]
    assert list(causes(stage(AdaptiveShare(0.25)), packets)) == list(range(0, 41, 4))


def test_a_changed_interval_keeps_the_policy() -> None:
    controls = Controls(Knobs(interval=4))
    perceive = stage(AdaptiveShare(0.25), controls=controls)
    first = causes(perceive, [packet(index) for index in range(9)])
    controls.change({"interval": 2})
    then = causes(perceive, [packet(index) for index in range(9, 15)])
    assert first == {0: "first", 4: "adaptive", 8: "adaptive"}
    assert then == {10: "adaptive", 12: "adaptive", 14: "adaptive"}


# --- Broken flow ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("policy", [FixedInterval(5), AdaptiveShare(0.2), FixedInterval(5, cuts=False)])
def test_broken_flow_makes_a_key_frame(policy: KeyframePolicy, value: float) -> None:
    packets = [packet(index) for index in range(7)]
    found = causes(stage(policy, BrokenFlow((2,), value)), packets)
    assert list(found.items())[:2] == [(0, "first"), (2, "nan")]
    assert packets[3][PROPAGATION].key_index == 2


def test_broken_flow_never_reaches_the_model() -> None:
    seen = []

    class Model(FakeModel):
        def propagate(self, key: Any, flow: Any) -> Any:
            seen.append(bool(np.isfinite(flow.field).all()))
            return super().propagate(key, flow)

    causes(stage(FixedInterval(4), BrokenFlow((1, 2, 5, 8)), model=Model()), [packet(i) for i in range(12)])
    assert seen
    assert all(seen)


def test_flow_that_is_always_broken_is_per_frame_inference() -> None:
    packets = [packet(index) for index in range(4)]
    assert list(causes(stage(FixedInterval(5), BrokenFlow((1, 2, 3))), packets)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("kind", "number"), [("nan", 0), ("cut", 1)])
def test_a_full_run_under_way_is_given_up_where_nothing_leads_on(kind: str, number: int) -> None:
    runner = LateRunner(at_once=(1, 3))
    flow = BrokenFlow((4,) if kind == "nan" else ())
    perceive = stage(FixedInterval(3), flow, runner=runner)
    causes(perceive, [packet(index) for index in range(4)])
    runner.waiting[0]()  # finished, but of a frame from before
    after = [packet(4, number), packet(5, number)]
    assert causes(perceive, after) == {4: kind}
    assert after[1][PROPAGATION].key_index == 4


def test_a_full_run_under_way_is_waited_for_where_a_new_scene_begins() -> None:
    perceive = stage(FixedInterval(3), runner=SlowRunner())
    packets = [packet(index, number=index // 4) for index in range(6)]
    assert causes(perceive, packets) == {0: "first", 4: "cut"}  # that of frame 3 was not done in time
    assert [p[PROPAGATION].key_index for p in packets] == [0, 0, 0, 0, 4, 4]


@pytest.mark.parametrize("policy", [FixedInterval(3), CodecKeyframes(9)], ids=lambda p: p.name)
def test_a_key_frame_that_was_due_anyway_is_waited_for_where_a_new_scene_begins(
    policy: KeyframePolicy,
) -> None:
    perceive = stage(policy, runner=SlowRunner())
    packets = [packet(index, number=index // 3, picture_type="IPPIPP"[index]) for index in range(5)]
    assert causes(perceive, packets) == {0: "first", 3: "cut"}
    assert [p[PROPAGATION].key_index for p in packets] == [0, 0, 0, 3, 3]


def test_a_key_frame_that_was_due_is_not_waited_for_within_a_scene_or_where_cuts_do_not_count() -> None:
    for number, policy in ((0, FixedInterval(3)), (1, FixedInterval(3, cuts=False))):
        perceive = stage(policy, runner=SlowRunner())
        packets = [packet(index, number=number * (index // 3)) for index in range(5)]
        assert causes(perceive, packets) == {0: "first"}
        assert [p[PROPAGATION].key_index for p in packets] == [0] * 5
        perceive.close()


def test_a_stream_that_begins_with_a_predicted_frame_has_its_first_intra_frame_as_a_key_frame() -> None:
    packets = [packet(index, picture_type="PIPPPP"[index]) for index in range(6)]
    assert causes(stage(CodecKeyframes(9)), packets) == {0: "first", 1: "intra"}


class BrokenPairs(FakePairFlow):
    """A FlowNet whose answers for some frames are not numbers."""

    def pair(self, key: Image, current: Image) -> PairFlow:
        found = super().pair(key, current)
        assert isinstance(current, Frame)
        if current.index in (2, 3):
            found.field[0, 0, 1] = np.nan
        return found


@pytest.mark.parametrize("policy", [FixedInterval(5), AdaptiveShare(0.2)], ids=lambda p: p.name)
def test_broken_answers_of_a_flownet(policy: KeyframePolicy) -> None:
    flow = BrokenPairs(lambda key, now: (0.0, 0.0))
    packets = [packet(index) for index in range(6)]
    found = causes(stage(policy, flow), packets)
    assert found == {0: "first", 2: "nan", 3: "nan"}
    assert flow.calls.count("pair") == 5  # one for each frame, whatever is measured on it


def test_a_broken_answer_for_a_key_frame_that_has_just_finished() -> None:
    """The flow to the key frame before it was sound, and the model must not see the other."""

    class Broken(FakePairFlow):
        def pair(self, key: Image, current: Image) -> PairFlow:
            found = super().pair(key, current)
            assert isinstance(key, Frame)
            if key.index == 3:
                found.field[0, 0, 1] = np.nan
            return found

    runner = LateRunner(at_once=(1, 3))
    perceive = stage(FixedInterval(3), Broken(lambda key, now: (0.0, 0.0)), runner=runner)
    assert list(causes(perceive, [packet(index) for index in range(4)])) == [0]
    runner.waiting[0]()
    after = [packet(4), packet(5)]
    assert causes(perceive, after) == {4: "nan"}
    assert (after[1][PROPAGATION].key_index, after[1][PROPAGATION].age) == (4, 1)


def test_a_new_scene_is_seen_through_a_flownet() -> None:
    flow = FakePairFlow(lambda key, now: (0.0, 0.0))
    packets = [packet(index, number=index // 3) for index in range(6)]
    assert causes(stage(FixedInterval(5), flow), packets) == {0: "first", 3: "cut"}
