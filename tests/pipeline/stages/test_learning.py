"""The propagate stage tells a policy that learns how well results had been carried to its key frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keywarp.flow.fake import FakeFlow, FakePairFlow
from keywarp.flow.keyframes import Cause, FixedInterval, Signals
from keywarp.models.fake import FakeModel
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION
from keywarp.pipeline.picture import Picture

from .scenes import HEIGHT, SCENES, WIDTH, BrokenFlow, packet, stage
from .staging import LateRunner


class Pupil(FixedInterval):
    """A key frame every so many frames, and what it was taught."""

    learns = True

    def __init__(self, interval: int, cause: Cause = "adaptive") -> None:
        super().__init__(interval)
        self.lessons: list[float] = []
        self.resets = 0
        self._cause = cause

    def learn(self, agreement: float) -> None:
        self.lessons.append(agreement)

    def reset(self) -> None:
        self.resets += 1

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        return None if super()._wanted(signals, age) is None else self._cause


def changed(index: int, share: float) -> Any:
    """A packet whose classes differ from the first scene's in a share of the rows."""
    pixels = SCENES[0].copy()
    pixels[: round(share * HEIGHT), :, 0] ^= 1  # which never leads to the same class
    made = packet(index)
    frame = Frame(index, index, made.frame.time_base, 0, Picture.from_bgr(pixels))
    made.frame = frame
    return made


@pytest.mark.parametrize(
    "flow", [FakeFlow(), FakePairFlow(lambda key, now: (0.0, 0.0))], ids=["steps", "pairs"]
)
@pytest.mark.parametrize("cause", ["adaptive", "interval", "intra"])
def test_the_policy_is_told_the_share_of_equal_pixels(flow: Any, cause: Cause) -> None:
    policy, model = Pupil(3, cause), FakeModel()
    perceive = stage(policy, flow, model=model)
    packets = [changed(index, 0.05 * index) for index in range(8)]
    for each in packets:
        perceive.process(each)
    assert policy.lessons == pytest.approx([100 - 15, 100 - 15])  # to frame 3 from 0, to 6 from 3
    found = [each[PROPAGATION].agreement for each in packets]
    assert found == [None] * 3 + [found[-1]] * 5
    assert found[-1] == pytest.approx(0.85)
    for each in packets:  # and the key frame shows its own result
        if each[PROPAGATION].is_key:
            np.testing.assert_array_equal(each[SEGMENTATION].labels, each.frame.bgr[:, :, 0] % 11)
    assert model.calls.count("propagate") == 5 + 2


def test_key_frames_that_it_did_not_choose_teach_nothing() -> None:
    policy = Pupil(100)
    perceive = stage(policy, BrokenFlow((2,)))
    for each in (packet(0), packet(1), packet(2), packet(3, 1), packet(4, 1), packet(5, 1, after_gap=True)):
        perceive.process(each)
        assert each[PROPAGATION].agreement is None
    assert policy.lessons == []


def test_others_compare_nothing() -> None:
    model = FakeModel()
    perceive = stage(FixedInterval(3), model=model)
    packets = [packet(index) for index in range(7)]
    for each in packets:
        perceive.process(each)
    assert [each[PROPAGATION].agreement for each in packets] == [None] * 7
    assert model.calls.count("propagate") == 4


@pytest.mark.parametrize("cuts", [True, False])
def test_a_stage_may_compare_under_any_policy(cuts: bool) -> None:
    perceive = stage(FixedInterval(3, cuts=cuts), compares=True)
    packets = [changed(index, 0.05 * index) for index in range(7)]
    for each in packets:
        perceive.process(each)
    assert [each[PROPAGATION].agreement for each in packets if each[PROPAGATION].is_key] == [
        None,
        pytest.approx(0.85),
        pytest.approx(0.85),
    ]


def test_what_was_learnt_is_forgotten_at_gaps_and_levels_and_kept_at_cuts_and_flows() -> None:
    policy, controls = Pupil(3), Controls(Knobs())
    perceive = stage(policy, FakePairFlow(lambda key, now: (0.0, 0.0)), controls=controls)

    def resets(*packets: Any) -> int:
        before = policy.resets
        for each in packets:
            perceive.process(each)
        return policy.resets - before

    assert resets(*[packet(index) for index in range(4)]) == 0
    assert resets(packet(4, 1), packet(5, 1)) == 0
    assert resets(packet(6, 1, after_gap=True), packet(7, 1)) == 1
    controls.change({"level": "result"})
    assert resets(packet(8, 1), packet(9, 1)) == 1
    controls.change({"flow": "dis"})
    assert resets(packet(10, 1), packet(11, 1)) == 0
    controls.change({"flow": "lk"})
    assert resets(packet(12, 1), packet(13, 1)) == 0


def test_a_broken_flow_is_logged_once_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    perceive = stage(FixedInterval(3), BrokenFlow((3,)), compares=True, aggregates=True)
    for index in range(5):
        perceive.process(packet(index))
    assert len(caplog.messages) == 1


def test_nothing_is_carried_to_be_compared_along_a_broken_flow() -> None:
    perceive = stage(FixedInterval(3, cuts=False), BrokenFlow((3,)), compares=True)
    packets = [packet(index) for index in range(7)]
    for each in packets:
        perceive.process(each)
    keys = {each.frame.index: each[PROPAGATION] for each in packets if each[PROPAGATION].is_key}
    assert {index: (key.cause, key.agreement) for index, key in keys.items()} == {
        0: ("first", None),
        3: ("interval", None),
        6: ("interval", 1.0),
    }


def test_a_late_full_run_teaches_when_it_is_finished() -> None:
    policy, model, runner = Pupil(3), FakeModel(), LateRunner()
    perceive = stage(policy, model=model, runner=runner)
    for index in range(5):
        perceive.process(changed(index, 0.05 * index))
    assert policy.lessons == []
    assert (
        model.calls.count("propagate") == 4
    )  # what is carried to frame 3 is shown there, and compared later
    runner.waiting[0]()
    perceive.process(changed(5, 0.25))
    assert policy.lessons == pytest.approx([85.0])


def test_maps_agree_in_a_share_of_their_pixels() -> None:
    model = FakeModel()
    stage(FixedInterval(3), model=model)
    one = model.nothing()
    assert one.labels.shape == (HEIGHT, WIDTH)
    other = type(one)(one.labels.copy(), one.classes)
    assert one.agreement(other) == 1.0
    other.labels[:15] = 3
    assert one.agreement(other) == other.agreement(one) == 0.75
