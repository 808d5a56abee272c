"""A FlowNet in the table of flows: scored, timed, and its operations counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from keywarp.engines.build import get_engine
from keywarp.flow.build import make_estimator
from keywarp.models.complexity import flow_complexity
from keywarp.pipeline.evaluation.flow_data import flow_data
from keywarp.pipeline.evaluation.flows import evaluate_flows

from .flownets import random_flownet, write_flownet


def test_a_flownet_is_scored_over_the_whole_distance_with_its_operations(tmp_path: Path) -> None:
    card = write_flownet(tmp_path, random_flownet("flownet-inception"))
    (data,) = flow_data("street:size=128x96,length=4,distance=2")
    table = evaluate_flows([make_estimator(str(card))], data, engine=get_engine("auto"), threads=1)
    zero, net = table.scores
    assert (net.flow, net.way, net.size) == (str(card), "direct", (16, 12))
    assert net.error.pixels == zero.error.pixels > 0
    assert net.error.epe_px > 0
    assert (net.timed >= 10, zero.timed) == (True, 0)
    assert net.gflops == pytest.approx(flow_complexity("flownet-inception", (128, 96)).flops / 1e9)
    assert zero.gflops is None
