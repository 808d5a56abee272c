"""Propagation by flow for pairs: each frame is compared with the key frame itself, and nothing is chained."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import ModelError, UsageError
from keywarp.flow.base import PairSetup, Size
from keywarp.flow.fake import FakeFlow, FakePairFlow
from keywarp.models.fake import FakeModel
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION, STEP_FLOW
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stages import means as stage_module
from keywarp.pipeline.stages.propagate import Propagate

from . import staging
from .staging import LateRunner, motion, packet, process, run


def stage(interval: int, flow: Any = None, **options: Any) -> Propagate[Any]:
    return staging.stage(interval, flow or FakePairFlow(motion), **options)


def assert_right(packets: list[Packet]) -> None:
    for each in packets:
        truth = packet(each.frame.index).frame.bgr[:, :, 0]
        np.testing.assert_array_equal(each[SEGMENTATION].labels, truth, err_msg=f"frame {each.frame.index}")


def test_each_frame_is_compared_with_its_key_frame() -> None:
    flow = FakePairFlow(motion)
    packets = run(stage(4, flow), 9)
    assert_right(packets)
    assert [p[PROPAGATION].age for p in packets] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert flow.calls == ["open", *["pair"] * 6]
    assert all(STEP_FLOW not in p for p in packets)
    assert {"perceive.flow", "perceive.warp"} <= {span.name for span in packets[1].spans}


def test_while_a_key_frame_is_computed_frames_are_compared_with_the_old_one() -> None:
    runner, flow = LateRunner(), FakePairFlow(motion)
    perceive = stage(3, flow, runner=runner)
    packets = run(perceive, 5)
    assert [p[PROPAGATION].key_index for p in packets] == [0, 0, 0, 0, 0]
    assert flow.calls.count("pair") == 4  # one a frame, though two key frames are known
    runner.waiting[0]()
    late = packet(5)
    perceive.process(late)
    assert (late[PROPAGATION].key_index, late[PROPAGATION].age) == (3, 2)
    assert_right([*packets, late])


@pytest.mark.parametrize(("level", "wanted"), [("features", "fake"), ("result", None)])
def test_a_scale_map_is_asked_for_where_features_are_carried(level: str, wanted: str | None) -> None:
    asked: list[PairSetup] = []

    class Asked(FakePairFlow):
        def open(self, setup: PairSetup, frame_size: Size) -> None:
            asked.append(setup)
            super().open(setup, frame_size)

    model = FakeModel()
    stage(3, Asked(motion, scale=1.0), model=model, level=level)
    assert [setup.scale_for for setup in asked] == [wanted]
    assert ("scale" in model.calls) == (wanted is not None)


def test_it_is_closed_with_the_stage() -> None:
    flow = FakePairFlow(motion)
    perceive = stage(3, flow)
    run(perceive, 2)
    perceive.close()
    assert flow.calls[-1] == "close"


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What the controls may change the flow to, in the place of what there really is."""
    made = {
        "dis": FakeFlow(2.0, 0.0),
        "source": FakePairFlow(motion),
        "dis:fast": FakePairFlow(motion, scale=1.0),
    }

    def make(name: str, size: Size | None, *, fused: bool) -> Any:
        assert fused is False, "as the stage's own setup has it"
        return made[name]

    monkeypatch.setattr(stage_module, "make_estimator", make)
    return made


def test_the_controls_change_between_steps_and_pairs(flows: Mapping[str, Any]) -> None:
    controls = Controls(Knobs(interval=10, flow="dis"))
    perceive = stage(10, flows["dis"], controls=controls)
    packets = run(perceive, 3)
    controls.change({"flow": "source"})  # to pairs: the key frame serves on
    packets += process(perceive, 3, 4)
    assert [p[PROPAGATION].is_key for p in packets] == [True, False, False, False, False]
    assert flows["source"].calls == ["open", "pair", "pair"]
    controls.change({"flow": "dis"})  # to steps: a chain begins at a key frame
    packets += process(perceive, 5, 6, 7)
    assert [p[PROPAGATION].is_key for p in packets[5:]] == [True, False, False]
    assert flows["source"].calls[-1] == "close"
    assert_right(packets)


def test_from_one_flownet_to_another_the_key_frame_serves_on(flows: Mapping[str, Any]) -> None:
    controls = Controls(Knobs(interval=10, flow="source"))
    perceive = stage(10, flows["source"], controls=controls)
    packets = run(perceive, 3)
    controls.change({"flow": "dis:fast"})
    packets += process(perceive, 3, 4)
    assert [p[PROPAGATION].age for p in packets] == [0, 1, 2, 3, 4]
    assert flows["source"].calls == ["open", "pair", "pair", "close"]
    assert flows["dis:fast"].calls == ["open", "pair", "pair"]
    assert_right(packets)


def test_a_flownet_whose_scale_map_the_model_refuses_is_closed_again(
    flows: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(FakeModel):
        def open_scale(self, grid: Size, channels: int) -> None:
            super(FakeModel, self).open_scale(grid, channels)

    controls = Controls(Knobs(interval=10, flow="dis"))
    perceive = stage(10, flows["dis"], controls=controls, model=Plain())
    packets = run(perceive, 2)
    controls.change({"flow": "dis:fast"})
    packets += process(perceive, 2, 3)
    assert "flow stays 'fake'" in caplog.text
    assert flows["dis:fast"].calls == ["open", "close"]
    assert_right(packets)


def test_a_change_of_level_brings_the_scale_map_or_leaves_it(flows: Mapping[str, Any]) -> None:
    controls = Controls(Knobs(level="result", flow="dis:fast"))
    flow, model = flows["dis:fast"], FakeModel()
    perceive = stage(10, flow, controls=controls, model=model, level="result")
    run(perceive, 2)
    assert flow.scale_channels is None
    controls.change({"level": "features"})
    process(perceive, 2)
    assert flow.scale_channels == 1
    assert "scale" in model.calls


class Unwilling(FakePairFlow):
    """Cannot take the stream's size."""

    def open(self, setup: PairSetup, frame_size: Size) -> None:
        raise UsageError("pictures of at least 64x64")


def test_a_flow_that_cannot_take_the_stream_is_an_error_at_first_and_no_change_later(
    flows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match="64x64"):
        stage(3, Unwilling(motion))
    flows["source"] = Unwilling(motion)
    controls = Controls(Knobs(flow="dis"))
    perceive = stage(10, flows["dis"], controls=controls)
    packets = run(perceive, 2)
    controls.change({"flow": "source"})
    with caplog.at_level(logging.WARNING):
        packets += process(perceive, 2, 3)
    assert "flow stays 'fake': pictures of at least 64x64" in caplog.text
    assert not packets[-1][PROPAGATION].is_key
    assert_right(packets)


def test_a_model_that_takes_no_scale_map_says_so() -> None:
    class Plain(FakeModel):
        def open_scale(self, grid: Size, channels: int) -> None:
            super(FakeModel, self).open_scale(grid, channels)

    with pytest.raises(ModelError, match="'fake' takes no scale map"):
        stage(3, FakePairFlow(motion, scale=1.0), model=Plain())
