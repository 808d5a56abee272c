"""Exported parts against torch, on ONNX Runtime and OpenVINO, at sizes they were not traced at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from keywarp.engines.errors import ModelError
from keywarp.models.card import Provenance, part_path, read_card
from keywarp.models.export_network import export_network, network_parts
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.enet_definition import ENET
from keywarp.models.networks.files import write_weights
from keywarp.models.networks.normalise import normalise
from keywarp.models.networks.warp import propagate, warp_features

Array = NDArray[Any]
Run = Callable[[bytes, Mapping[str, Array]], dict[str, Array]]

WIDTH, HEIGHT = 160, 104
PROVENANCE = Provenance(
    data=["none"], licence="none", recipe="none", command="none", seed=0, training_minutes=0
)
SAME_LABELS = 0.999
"""Engines take sums in another order, so scores that are nearly equal may change places."""


def run_openvino(data: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    core = openvino.Core()
    model = core.read_model(data)
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(dict(inputs))
    return {port.any_name: np.array(value) for port, value in outputs.items()}


def run_onnxruntime(data: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


ENGINES: list[Run] = [run_openvino, run_onnxruntime]


def trained_like(network: ENet) -> ENet:
    """The network with statistics and slopes that differ, as trained ones do."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.4)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> ENet:
    torch.manual_seed(0)
    return trained_like(ENet())


@pytest.fixture(scope="module")
def parts(network: ENet) -> dict[str, bytes]:
    return network_parts(ENET, network)


@pytest.fixture(scope="module")
def image() -> Array:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)  # flat places make ties in the pooling


@pytest.mark.parametrize("run", ENGINES)
def test_key_equals_torch(run: Run, parts: dict[str, bytes], network: ENet, image: Array) -> None:
    with torch.no_grad():
        features = network.features(normalise(torch.from_numpy(image)))
        labels = network.head(features).argmax(1).numpy()
    outputs = run(parts["key"], {"image": image})
    assert outputs["features"].dtype == np.float32
    assert outputs["labels"].dtype == np.uint8
    assert outputs["features"].shape == (1, 16, HEIGHT // 2, WIDTH // 2)
    assert outputs["labels"].shape == (1, HEIGHT, WIDTH)
    np.testing.assert_allclose(outputs["features"], features.numpy(), atol=2e-3)
    assert (outputs["labels"] == labels).mean() >= SAME_LABELS


@pytest.mark.parametrize("run", ENGINES)
def test_warp_head_with_no_motion_equals_key(run: Run, parts: dict[str, bytes], image: Array) -> None:
    key = run(parts["key"], {"image": image})
    flow = np.zeros((1, HEIGHT // 2, WIDTH // 2, 2), np.float32)
    outputs = run(parts["warp_head"], {"features": key["features"], "flow": flow})
    assert outputs["labels"].dtype == np.uint8
    assert (outputs["labels"] == key["labels"]).mean() >= SAME_LABELS


@pytest.mark.parametrize("run", ENGINES)
def test_warp_head_with_whole_cells_shifts_labels(run: Run, parts: dict[str, bytes], image: Array) -> None:
    key = run(parts["key"], {"image": image})
    flow = np.zeros((1, HEIGHT // 2, WIDTH // 2, 2), np.float32)
    flow[..., 0], flow[..., 1] = 3, -2  # two pixels a cell
    labels = run(parts["warp_head"], {"features": key["features"], "flow": flow})["labels"]
    inside = (labels[:, 4:-2, :-8], key["labels"][:, :-6, 6:-2])  # the head sees a cell right and down
    assert (inside[0] == inside[1]).mean() >= SAME_LABELS


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("grid", [(20, 13), (80, 52), (7, 5)])
def test_warp_scale_head_equals_torch(
    run: Run, grid: tuple[int, int], parts: dict[str, bytes], network: ENet, image: Array
) -> None:
    features = run(parts["key"], {"image": image})["features"]
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 0.5, (1, grid[1], grid[0], 2)).astype(np.float32)
    scale = rng.uniform(0.5, 1.5, (1, 16, grid[1], grid[0])).astype(np.float32)
    with torch.no_grad():
        warped = propagate(*(torch.from_numpy(array.copy()) for array in (features, flow, scale)))
        expected = network.head(warped).argmax(1).numpy()
    found = run(parts["warp_scale_head"], {"features": features, "flow": flow, "scale": scale})["labels"]
    assert found.dtype == np.uint8
    assert (found == expected).mean() >= SAME_LABELS


def test_warp_is_bilinear_and_takes_the_edge_beyond_it() -> None:
    features = torch.arange(12.0).view(1, 1, 3, 4)
    flow = torch.zeros(1, 3, 4, 2)
    flow[0, 0, 0] = torch.tensor([0.5, 0.0])
    flow[0, 1, 1] = torch.tensor([0.0, 0.25])
    flow[0, 2, 3] = torch.tensor([9.0, 9.0])
    flow[0, 0, 1] = torch.tensor([-9.0, -9.0])
    expected = features.clone()
    expected[0, 0, 0, 0], expected[0, 0, 1, 1], expected[0, 0, 0, 1] = 0.5, 6.0, 0.0
    torch.testing.assert_close(warp_features(features, flow), expected, atol=1e-5, rtol=0)


def test_height_and_width_are_symbols(parts: dict[str, bytes]) -> None:
    def dims(value: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    found: dict[str, dict[str, list[int | str]]] = {}
    for part, data in parts.items():
        graph = onnx.load_model_from_string(data).graph
        found[part] = {v.name: dims(v) for v in [*graph.input, *graph.output]}
    features: dict[str, list[int | str]] = {"features": [1, 16, "h", "w"], "labels": [1, "H", "W"]}
    assert found == {
        "key": {"image": [1, "H", "W", 3], **features},
        "warp_head": {"flow": [1, "h", "w", 2], **features},
        "warp_scale_head": {"flow": [1, "y", "x", 2], "scale": [1, 16, "y", "x"], **features},
        "aggregate": {
            "earlier_features": [1, 16, "h", "w"],
            "flow": [1, "h", "w", 2],
            "weight": [1, 1, "h", "w"],
            "aggregated_features": [1, 16, "h", "w"],
            **features,
        },
    }


def test_normalisations_before_which_a_convolution_stands_are_folded(
    parts: dict[str, bytes],
) -> None:
    nodes = onnx.load_model_from_string(parts["key"]).graph.node
    assert sum(node.op_type == "BatchNormalization" for node in nodes) <= 1  # after concatenation


def test_equal_constants_are_not_shared() -> None:
    parts = network_parts(ENET, ENet())  # whose slopes are all equal
    nodes = onnx.load_model_from_string(parts["key"]).graph.node
    assert not [node.name for node in nodes if node.op_type == "Identity"]


def test_equal_weights_export_to_equal_bytes(network: ENet, parts: dict[str, bytes]) -> None:
    assert network_parts(ENET, network) == parts
    assert not network.training


def test_a_model_is_written_with_its_card(network: ENet, tmp_path: Path) -> None:
    write_weights(network, tmp_path / "w.safetensors")
    path = export_network(
        ENET, tmp_path / "w.safetensors", tmp_path / "out", name="small", provenance=PROVENANCE
    )
    card = read_card(path)
    assert path.name == "small.json"
    assert sorted(card.files) == ["aggregate", "key", "warp_head", "warp_scale_head", "weights"]
    for part in card.files:
        assert part_path(card, path, part).is_file()
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert (card.features[0].channels, card.features[0].stride_px) == (16, 2)
    assert (tmp_path / "out" / "small.safetensors").stat().st_size <= 800_000


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    damaged = ENet().eval()
    with torch.no_grad():
        damaged.fullconv.weight[0, 0, 0, 0] = value
    with pytest.raises(ModelError, match=r"fullconv\.weight.*not finite"):
        network_parts(ENET, damaged)
    write_weights(damaged, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"not finite.*fullconv\.weight"):
        export_network(ENET, tmp_path / "w.safetensors", tmp_path, name="x", provenance=PROVENANCE)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(ModelError, match="cannot be read"):
        export_network(ENET, path, tmp_path, name="x", provenance=PROVENANCE)
    path.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        export_network(ENET, path, tmp_path, name="x", provenance=PROVENANCE)
    write_weights(ENet(classes=5), path)
    with pytest.raises(ModelError, match=r"5 classes.*'camvid' has 11"):
        export_network(ENET, path, tmp_path, name="x", provenance=PROVENANCE)
