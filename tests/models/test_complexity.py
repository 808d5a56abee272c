"""The size and work of networks, as published."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keywarp.engines.errors import UsageError
from keywarp.models.complexity import complexity, flow_complexity
from keywarp.models.complexity_table import RatioTable, ratio_table
from keywarp.models.networks.enet import ENet


def test_enet_has_the_published_size_and_work() -> None:
    """Table 5 of Paszke et al. (2016): 3.83 GFLOPs at 640x360, 0.37 M parameters, 0.7 MB in fp16."""
    found = complexity(ENet(classes=20), (640, 360))
    assert found.flops == pytest.approx(3.83e9, rel=0.03)
    assert found.parameters == pytest.approx(0.37e6, rel=0.05)
    assert found.fp16_bytes == pytest.approx(0.7e6, rel=0.05)


def test_parts_add_up_and_work_grows_with_the_picture() -> None:
    network = ENet()
    small, large = complexity(network, (64, 32)), complexity(network, (128, 64))
    assert sum(small.parts.values()) == small.macs
    assert large.macs == 4 * small.macs
    assert small.parts["head"] < small.parts["features"] / 5
    assert network.training, "the network is left as it was"


def test_figures_go_into_json() -> None:
    found = complexity(ENet(), (64, 32))
    assert json.loads(json.dumps(found.to_dict()))["flops"] == found.flops == 2 * found.macs


@pytest.mark.parametrize("size", [(0, 8), (-8, 8), (641, 360), (640, 361)])
def test_sizes_off_the_stride_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="multiples of 8"):
        complexity(ENet(), size)


@pytest.fixture(scope="module")
def table() -> RatioTable:
    return ratio_table((256, 192))  # the ratios of small pictures are those of large ones within a percent


@pytest.mark.parametrize("features", ["resnet-50", "resnet-101"])
@pytest.mark.parametrize(
    ("flow", "tolerance"), [("flownet", 0.03), ("flownet-half", 0.03), ("flownet-inception", 0.05)]
)
def test_features_cost_over_flow_what_the_paper_says(
    table: RatioTable, features: str, flow: str, tolerance: float
) -> None:
    """Table 2 of Zhu et al. (2017); what is counted is in the table's notes."""
    ratio = table.ratio(features, flow)
    assert ratio.compared == pytest.approx(ratio.published, rel=tolerance)
    assert ratio.compared in (ratio.with_scale, ratio.without_scale)
    assert ratio.with_scale < ratio.without_scale


def test_what_the_table_says_of_the_published_figures_follows_from_it(table: RatioTable) -> None:
    published = ratio_table()
    assert published.is_comparable
    for ratio in published.ratios():
        away = [abs(value / ratio.published - 1) for value in (ratio.with_scale, ratio.without_scale)]
        assert abs(ratio.error) == min(away)
    assert published.notes[-1].endswith(
        "by at most: flownet with S 0.2 %, flownet-half with S 0.2 %, flownet-inception without S 2.9 %."
    )
    changed = replace(published, feature_macs={name: 2 * n for name, n in published.feature_macs.items()})
    assert "flownet with S 100.5 %" in changed.notes[-1]
    assert not table.is_comparable
    assert table.notes[-1] == (
        "The published figures are for pictures of 1000x600; those for 256x192 are not compared with them."
    )
    assert table.notes[:-1] == published.notes[:-1]


def test_the_table_goes_into_json(table: RatioTable) -> None:
    found = json.loads(json.dumps(table.to_dict()))
    assert found["notes"] == list(table.notes)
    assert found["flow_macs"]["flownet"] < found["scaled_flow_macs"]["flownet"]
    first = next(table.ratios())
    assert json.loads(json.dumps(first.to_dict()))["features"] == "resnet-50"


def test_flownet_light_does_a_seventh_of_the_work_of_flownet_inception() -> None:
    light, inception = (
        flow_complexity(f"flownet-{name}", (640, 384)).macs for name in ("light", "inception")
    )
    assert light < inception / 7


def test_a_flow_network_is_counted_on_a_pair() -> None:
    small, large = (flow_complexity("flownet-inception", size) for size in ((256, 128), (512, 256)))
    assert large.macs == 4 * small.macs
    assert small.parameters == large.parameters
    with pytest.raises(UsageError, match="at least 64x64"):
        flow_complexity("flownet-inception", (640, 32))
    with pytest.raises(UsageError, match="flow network 'flow-net'"):
        flow_complexity("flow-net", (640, 360))
