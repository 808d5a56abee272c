"""Deep Feature Flow with a FlowNet and its scale map, end to end on OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keywarp
from keywarp.engines.errors import ModelError

torch = pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")

from .flownets import random_flownet, write_flownet  # noqa: E402 - needs torch

CLIP = "street:length=6,size=160x96"
MODEL = "enet-camvid"


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FlowNet with random weights, and a scale map of 1 for the bundled ENet."""
    return write_flownet(
        tmp_path_factory.mktemp("flow"), random_flownet("flownet-inception", 16), scale_for=MODEL
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network without a scale map."""
    network = random_flownet("flownet-inception", 16)
    network.scale, network.scale_channels = None, None
    return write_flownet(tmp_path_factory.mktemp("flow"), network)


def labels(flow: Path, **settings: Any) -> list[np.ndarray]:
    config = {"models": ["enet"], "interval": 6, "sinks": ("null",), "threads": 1, **settings}
    run = keywarp.Run(CLIP, flow={"method": str(flow)}, **config)
    return [each[keywarp.SEGMENTATION].labels.copy() for each in run]


@pytest.mark.parametrize("level", ["features", "result"])
def test_with_a_scale_map_of_one_the_labels_are_those_without(scaled: Path, plain: Path, level: str) -> None:
    with_scale, without = (labels(flow, level=level) for flow in (scaled, plain))
    assert len(with_scale) == 6
    for one, other in zip(with_scale, without, strict=True):
        assert (one == other).mean() > 0.999
    assert (with_scale[0] != with_scale[-1]).any()


def test_features_times_zero_are_another_result(scaled: Path, tmp_path: Path) -> None:
    network = random_flownet("flownet-inception", 16)
    assert isinstance(network.scale, torch.nn.Conv2d)
    torch.nn.init.zeros_(network.scale.bias)
    dark = labels(write_flownet(tmp_path, network, scale_for=MODEL))
    assert len(np.unique(dark[-1])) == 1
    assert len(np.unique(dark[0])) > 1


def test_a_scale_map_of_other_features_is_refused(tmp_path: Path) -> None:
    path = write_flownet(tmp_path, random_flownet("flownet-inception", 5), scale_for=MODEL)
    with pytest.raises(ModelError, match="features of 16 channels, and the flow a scale map of 5"):
        labels(path)
