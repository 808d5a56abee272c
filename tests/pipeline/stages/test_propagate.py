"""Propagation with a fake model and a fake flow: what runs when, and along which flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import ModelError
from keywarp.flow.fake import FakeFlow
from keywarp.models.base import KeyOutput, Level
from keywarp.models.fake import FakeModel
from keywarp.models.labels import VOID
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION, STEP_FLOW, Propagation
from keywarp.pipeline.stages.keyslot import KeySlot, SlotState

from .staging import HEIGHT, WIDTH, LateRunner, packet, process, run, stage


def test_interval_one_is_per_frame_inference_without_flow() -> None:
    flow = FakeFlow()
    packets = run(stage(1, flow), 4)
    assert all(p[PROPAGATION].is_key and p[PROPAGATION].age == 0 for p in packets)
    assert flow.calls == 0
    assert all(STEP_FLOW not in p for p in packets)


def test_between_key_frames_results_move_with_the_flow() -> None:
    model = FakeModel()
    packets = run(stage(4, model=model), 9)
    assert [p[PROPAGATION].age for p in packets] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [p[PROPAGATION].key_index for p in packets] == [0, 0, 0, 0, 4, 4, 4, 4, 8]
    for index, each in enumerate(packets):
        truth = packet(index).frame.bgr[:, :, 0]
        np.testing.assert_array_equal(each[SEGMENTATION].labels, truth, err_msg=f"frame {index}")
    assert model.calls == ["open", *(["features", *["propagate"] * 3] * 2), "features"]


def test_flow_of_the_wrong_sign_would_be_noticed() -> None:
    packets = run(stage(4, FakeFlow(-2.0, 0.0)), 2)
    assert (packets[1][SEGMENTATION].labels != packet(1).frame.bgr[:, :, 0]).any()


def test_no_flow_is_computed_for_key_frames() -> None:
    flow = FakeFlow(2.0, 0.0)
    run(stage(4, flow), 9)
    assert flow.calls == 6


def test_two_models_share_the_step_flow() -> None:
    flow = FakeFlow(2.0, 0.0)
    first = stage(3, flow)
    second = stage(2, flow, result=SEGMENTATION.of("2"), propagation=PROPAGATION.of("2"), name="second")
    packets = [packet(index) for index in range(6)]
    for each in packets:
        first.process(each)
        second.process(each)
    # Frames 1, 2, 4, 5 for the first model, 1, 3, 5 for the second: frames 1 and 5 are shared.
    assert flow.calls == 5
    for index, each in enumerate(packets):
        truth = packet(index).frame.bgr[:, :, 0]
        np.testing.assert_array_equal(each[SEGMENTATION].labels, truth)
        np.testing.assert_array_equal(each[SEGMENTATION.of("2")].labels, truth)


def test_work_is_timed_by_part() -> None:
    packets = run(stage(2), 2)
    assert [span.name for span in packets[0].spans] == ["perceive.prepare", "perceive.features"]
    assert [span.name for span in packets[1].spans] == ["perceive.flow", "perceive.signals", "perceive.warp"]


def test_an_error_of_the_model_comes_out_of_process() -> None:
    perceive = stage(2, model=FakeModel(fail_on=2))
    with pytest.raises(RuntimeError, match="told to fail"):
        run(perceive, 3)


def test_while_a_key_frame_is_computed_the_old_one_serves_and_the_flow_goes_on() -> None:
    runner = LateRunner()
    perceive = stage(3, runner=runner)
    packets = run(perceive, 5)
    assert [p[PROPAGATION].key_index for p in packets] == [0, 0, 0, 0, 0]
    assert len(runner.waiting) == 1  # at most one is under way
    runner.waiting[0]()
    late = packet(5)
    perceive.process(late)
    assert (late[PROPAGATION].key_index, late[PROPAGATION].age, late[PROPAGATION].is_key) == (3, 2, False)
    for index, each in enumerate([*packets, late]):
        truth = packet(index).frame.bgr[:, :, 0]
        np.testing.assert_array_equal(each[SEGMENTATION].labels, truth, err_msg=f"frame {index}")


def test_a_slot_goes_from_requested_to_running_to_finished() -> None:
    slot: KeySlot[Any] = KeySlot(packet(0).frame)
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = slot.output
    with pytest.raises(RuntimeError, match="it is the key frame itself"):
        _ = slot.flow
    runner = LateRunner(at_once=())
    seen = [slot.state]
    slot.run(runner, lambda: KeyOutput(None, {"features": np.zeros(1)}))
    seen.append(slot.state)
    runner.waiting[0]()
    seen.append(slot.state)
    assert seen == [SlotState.REQUESTED, SlotState.RUNNING, SlotState.FINISHED]
    assert "features" in slot.output.carried


def test_a_frozen_frame_gets_the_last_result_and_nothing_runs() -> None:
    perceive = stage(10)
    first, second = run(perceive, 2)
    calls = list(perceive.model.calls)  # type: ignore[attr-defined]
    frozen = packet(1, frozen=True)
    perceive.process(frozen)
    assert frozen[SEGMENTATION] is second[SEGMENTATION]
    assert frozen[PROPAGATION] == second[PROPAGATION]
    assert perceive.model.calls == calls  # type: ignore[attr-defined]
    after = packet(2)
    perceive.process(after)
    assert after[PROPAGATION].age == 2
    assert first[PROPAGATION].is_key


def test_after_a_gap_the_next_frame_is_a_key_frame() -> None:
    perceive = stage(10)
    run(perceive, 3)
    after = packet(40, after_gap=True)
    perceive.process(after)
    assert after[PROPAGATION] == Propagation(True, 0, 40, "gap")
    assert STEP_FLOW not in after


def test_controls_act_on_the_next_frame() -> None:
    controls = Controls(Knobs(interval=10))
    perceive = stage(10, controls=controls)
    run(perceive, 3)
    controls.change({"interval": 2})
    changed = [packet(index) for index in range(3, 7)]
    for each in changed:
        perceive.process(each)
    assert [each[PROPAGATION].is_key for each in changed] == [True, False, True, False]
    controls.change({"level": "result"})
    level = packet(7)
    perceive.process(level)
    assert level[PROPAGATION].is_key
    assert "level result" in perceive.model.calls  # type: ignore[attr-defined]


def test_a_model_that_is_switched_off_says_nothing_and_begins_anew() -> None:
    controls = Controls(Knobs())
    perceive = stage(10, controls=controls)
    run(perceive, 2)
    controls.change({"enabled": False})
    off = packet(2)
    perceive.process(off)
    assert np.unique(off[SEGMENTATION].labels).tolist() == [VOID]
    assert not off[PROPAGATION].is_key
    controls.change({"enabled": True})
    on = packet(3)
    perceive.process(on)
    assert on[PROPAGATION].is_key


def test_a_flow_that_the_controls_change_to_keeps_the_grid() -> None:
    controls = Controls(Knobs(flow="dis"))
    small, large = (
        stage(10, controls=controls, flow_size=(factor * WIDTH, factor * HEIGHT)) for factor in (1, 2)
    )
    controls.change({"flow": "dis:fast"})
    width, height = run(small, 2)[1][STEP_FLOW].size
    assert run(large, 2)[1][STEP_FLOW].size == (2 * width, 2 * height)


def test_a_level_that_cannot_be_leaves_everything_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    class Damaged(FakeModel):
        def change(self, level: Level, *, aggregates: bool) -> None:
            if level == "features":
                raise ModelError("the part 'warp_head' is damaged")
            super().change(level, aggregates=aggregates)

    controls = Controls(Knobs(interval=4, level="result"))
    perceive = stage(4, model=Damaged(), level="result", controls=controls)
    process(perceive, 0, 1)
    controls.change({"level": "features"})
    found = process(perceive, 2, 3, 4)
    assert [each[PROPAGATION].age for each in found] == [2, 3, 0]
    assert caplog.messages == ["level stays 'result': the part 'warp_head' is damaged"]


@pytest.mark.parametrize("name", ["source", "codec"])
def test_a_flow_that_does_not_suit_the_stream_is_refused_in_the_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    controls = Controls(Knobs(interval=4))
    perceive = stage(4, controls=controls)
    process(perceive, 0, 1)
    controls.change({"flow": name})
    found = process(perceive, 2, 3)
    assert [each[PROPAGATION].age for each in found] == [2, 3]
    (line,) = caplog.messages
    assert line.startswith(f"flow stays 'fake': flow '{name}' is")
    assert line.endswith("use --flow lk")
