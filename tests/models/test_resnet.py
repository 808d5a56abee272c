"""The ResNets of Deep Feature Flow: shapes, published weights, and how their labels are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from keywarp.engines.build import get_engine
from keywarp.engines.errors import ModelError
from keywarp.flow.base import KeyFlow, PairFlow
from keywarp.models.base import Setup
from keywarp.models.card import read_card
from keywarp.models.export_network import export_network, network_parts
from keywarp.models.networks import deeplab_definition
from keywarp.models.networks.deeplab import DILATION, DeepLab, EnlargedLabels, bilinear_matrix
from keywarp.models.networks.deeplab_definition import RESNET_50, load_deeplab, make_deeplab
from keywarp.models.networks.definition import Definition, Loaded
from keywarp.models.networks.fold import fold_norms
from keywarp.models.networks.normalise import normalise_as_imagenet
from keywarp.models.networks.parts import inference_parts
from keywarp.models.networks.published import write_whole
from keywarp.models.networks.registry import get_network, network_names
from keywarp.models.networks.resnet import BLOCKS_50, BLOCKS_101, Bottleneck, ResNet
from keywarp.models.networks.warp import warp_features
from keywarp.models.segmentation import SegmentationModel

SMALL = (1, 1, 1, 1)
"""Blocks of a ResNet that is quick to run; all else is that of the large ones."""


def small(classes: int = 11) -> DeepLab:
    torch.manual_seed(0)
    network = make_deeplab(classes, blocks=SMALL)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as trained ones: not all alike
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def definition() -> Definition[DeepLab]:
    """RESNET_50's, for the small network."""
    return replace(RESNET_50, make=lambda classes: small(classes))


# --- the network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "backbone"), [(BLOCKS_50, 23_508_032), (BLOCKS_101, 42_500_160)])
def test_the_backbone_has_as_many_weights_as_published(blocks: tuple[int, ...], backbone: int) -> None:
    """torchvision has 25,557,032 and 44,549,160 with the classifier, which has 2,049,000."""
    assert sum(p.numel() for p in ResNet(blocks=blocks).parameters()) == backbone


def test_every_stage_has_its_stride_and_width() -> None:
    network = ResNet(blocks=SMALL).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: shapes.update({name: tuple(output.shape[1:])})

    for name in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(note(name))
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    assert shapes == {
        "conv1": (64, 32, 48),
        "layer1": (256, 16, 24),
        "layer2": (512, 8, 12),
        "layer3": (1024, 4, 6),
        "layer4": (2048, 4, 6),
    }
    assert (network.channels, network.stride_px) == (2048, 16)


def test_only_the_last_stage_is_dilated() -> None:
    network = ResNet(blocks=BLOCKS_50)
    for number in range(1, 5):
        blocks = getattr(network, f"layer{number}")
        assert {block.conv2.dilation for block in blocks} == {(2, 2) if number == 4 else (1, 1)}


@pytest.mark.parametrize("stride_first", [False, True])
def test_the_stride_is_in_the_3x3_or_in_the_1x1_before_it(stride_first: bool) -> None:
    block = ResNet(blocks=SMALL, stride_first=stride_first).layer2[0]
    assert isinstance(block, Bottleneck)
    strides = [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)]
    assert strides == ([2, 1, 1] if stride_first else [1, 2, 1])


def test_features_and_scores_have_the_declared_shapes() -> None:
    network = small()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        features = network.features(images)
        scores = network(images)
    stride_px = network.feature_stride_px
    assert features.shape == (2, network.feature_channels, 64 // stride_px, 96 // stride_px)
    assert features.min() >= 0
    assert scores.shape == (2, 11, 64, 96)
    assert network.reduce.dilation == (DILATION, DILATION)


@pytest.mark.parametrize("size", [(64, 72), (60, 64)])
def test_sizes_off_the_stride_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        small().features(torch.zeros(1, 3, *size))


def test_random_weights_stay_in_range() -> None:
    """Half precision ends at 65,504: sums over 33 blocks must not get there."""
    torch.manual_seed(0)
    with torch.no_grad():
        found = ResNet(blocks=BLOCKS_101).eval()(torch.randn(1, 3, 32, 32))
    assert 0.01 < found.std() < 100


def test_folding_changes_nothing() -> None:
    network, images = small(), torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        before = network(images)
        fold_norms(network, nn.Sequential, ResNet, Bottleneck)
        after = network(images)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_pictures_are_normalised_as_published_weights_take_them() -> None:
    """(x / 255 - mean) / spread in RGB, the figures of torchvision's documentation."""
    bgr = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    red, green, blue = (51 / 255 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225
    torch.testing.assert_close(normalise_as_imagenet(bgr).flatten(), torch.tensor([red, green, blue]))


# --- labels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "size", "factor"), [(2, (1, 1), 16), (11, (22, 40), 16), (20, (5, 3), 8)]
)
def test_enlarged_labels_are_those_of_enlarged_scores(
    classes: int, size: tuple[int, int], factor: int
) -> None:
    torch.manual_seed(classes)
    scores = torch.randn(1, classes, *size)
    found = EnlargedLabels(factor, classes)(scores)
    assert found.dtype == torch.uint8
    plain = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False).argmax(1)
    assert (found == plain).float().mean() >= 0.9999  # equal but for rounding


def test_enlarged_labels_are_those_of_the_authors_transposed_convolution() -> None:
    torch.manual_seed(0)
    scores, factor = torch.randn(1, 5, 6, 7), 16
    line = 1 - (torch.arange(2 * factor) - factor + 0.5).abs() / factor
    kernel = (line[:, None] * line).expand(5, 1, -1, -1)
    published = F.conv_transpose2d(scores, kernel, stride=factor, padding=factor // 2, groups=5)
    assert (EnlargedLabels(factor, 5)(scores) == published.argmax(1)).float().mean() >= 0.9999


def test_of_equal_scores_the_first_class_wins() -> None:
    assert EnlargedLabels(16, 3)(torch.ones(1, 3, 2, 2)).eq(0).all()


def test_each_pixel_of_a_line_is_shared_out_among_cells() -> None:
    matrix = bilinear_matrix(5, 16)
    torch.testing.assert_close(matrix.sum(1), torch.ones(80))
    line = torch.randn(1, 1, 5)
    wanted = F.interpolate(line, scale_factor=16, mode="linear", align_corners=False)
    torch.testing.assert_close(matrix @ line[0, 0], wanted[0, 0])


# --- scores before the warp or after it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> DeepLab:
    return small()


@pytest.fixture(scope="module")
def parts(network: DeepLab) -> dict[str, nn.Module]:
    return inference_parts(definition(), network)


@pytest.fixture(scope="module")
def onnx_parts(network: DeepLab) -> dict[str, bytes]:
    return network_parts(definition(), network)


def image(width: int = 96, height: int = 64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8))


def some_flow(width: int, height: int) -> Tensor:
    """Motion of up to some cells, out of the picture too."""
    torch.manual_seed(1)
    return 2 * torch.randn(1, height, width, 2)


def test_scoring_commutes_with_the_warp(network: DeepLab) -> None:
    features, flow = torch.randn(1, 1024, 4, 6), some_flow(6, 4)
    with torch.no_grad():
        before = warp_features(network.score(features), flow)
        after = network.score(warp_features(features, flow))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_labels_are_the_same_with_scores_and_with_features_carried(
    parts: dict[str, nn.Module], network: DeepLab
) -> None:
    with torch.no_grad():
        scores, features, _ = parts["key"](image(320, 192))
        flow = some_flow(20, 12)
        light = parts["warp_head"](scores, flow)
        full = parts["warp_scale_head"](features, flow, torch.ones(1, network.feature_channels, 12, 20))
    assert scores.shape == (1, 11, 12, 20)
    assert len(light.unique()) > 2
    assert (light == full).float().mean() >= 0.9999  # sums are taken in another order


def test_with_a_scale_map_scores_would_not_do(parts: dict[str, nn.Module], network: DeepLab) -> None:
    torch.manual_seed(2)
    scale = torch.rand(1, network.feature_channels, 12, 20) + 0.5
    flow = torch.zeros(1, 12, 20, 2)
    with torch.no_grad():
        _, features, labels = parts["key"](image(320, 192))
        scaled = parts["warp_scale_head"](features, flow, scale)
        wanted = network.head(features * scale).argmax(1)
    assert (scaled == wanted).float().mean() >= 0.9999
    assert (scaled != labels).any()


def test_exported_parts_equal_torch(onnx_parts: dict[str, bytes], network: DeepLab) -> None:
    pixels = image(160, 96)
    with torch.no_grad():
        features = network.features(normalise_as_imagenet(pixels))
        labels = network.head(features).argmax(1).numpy()
    outputs = run(onnx_parts["key"], {"image": pixels.numpy()})
    np.testing.assert_allclose(outputs["features"], features.numpy(), atol=2e-3)
    np.testing.assert_allclose(outputs["scores"], network.score(features).detach().numpy(), atol=2e-3)
    assert outputs["labels"].shape == (1, 96, 160)
    assert (outputs["labels"] == labels).mean() >= 0.999
    still = np.zeros((1, 6, 10, 2), np.float32)
    warped = run(onnx_parts["warp_head"], {"scores": outputs["scores"], "flow": still})
    assert (warped["labels"] == outputs["labels"]).mean() >= 0.999


def run(data: bytes, inputs: dict[str, Any]) -> dict[str, Any]:
    core = openvino.Core()
    model = core.read_model(data)
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    outputs = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)
    return {port.any_name: np.array(value) for port, value in outputs.items()}


# --- weights ----------------------------------------------------------------------------------------------------


def load(path: Path, blocks: tuple[int, ...] = SMALL) -> Loaded[DeepLab]:
    return load_deeplab(path, 11, name="resnet-small", blocks=blocks)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """As torchvision's: the backbone and a classifier, counts of batches too."""
    torch.manual_seed(3)
    state = dict(ResNet(blocks=SMALL).state_dict())
    return {**state, "fc.weight": torch.randn(10, 2048), "fc.bias": torch.randn(10)}


def test_names_are_those_of_torchvision() -> None:
    """Its ResNet-50 has 320 tensors, two of them in the classifier."""
    names = list(ResNet(blocks=BLOCKS_50).state_dict())
    assert len(names) == 318
    assert names[:2] == ["conv1.weight", "bn1.weight"]
    assert {"layer1.0.conv1.weight", "layer1.0.downsample.1.running_var", "layer4.2.bn3.bias"} <= set(names)


def write(kind: str, state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / ("resnet.safetensors" if kind == "safetensors" else "resnet.pth")
    if kind == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items() if v.is_floating_point()}, path)
    elif kind == "pth":
        torch.save(state, path)
    else:  # a checkpoint of parallel training
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 90}, path)
    return path


@pytest.mark.parametrize("kind", ["pth", "safetensors", "checkpoint"])
def test_published_weights_load_into_the_backbone(
    kind: str, published: dict[str, Tensor], tmp_path: Path
) -> None:
    loaded = load(write(kind, published, tmp_path))
    assert loaded.untrained == ("reduce", "score")
    own = loaded.network.backbone.state_dict()
    for name, value in published.items():
        if not name.startswith("fc.") and value.is_floating_point():
            assert torch.equal(own[name], value), name


def test_what_is_missing_and_unknown_is_said_in_one_error(
    published: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {k: v for k, v in published.items() if not k.startswith("layer4.0.downsample.")}
    state |= {"conv1.bias": torch.zeros(64), "bn1.weight": torch.zeros(32)}
    path = write("pth", state, tmp_path)
    with pytest.raises(ModelError, match=r"resnet-small: 5 missing \('layer4\.0\.down.*\.\.\.\)") as caught:
        load(path)
    assert "1 unknown ('conv1.bias')" in str(caught.value)
    assert "1 of another shape ('bn1.weight')" in str(caught.value)
    assert "torchvision" in str(caught.value)


def test_weights_of_the_other_resnet_are_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not of resnet-small: 15 missing \('layer3\.1"):
        load(write("pth", published, tmp_path), (1, 1, 2, 1))


def test_weights_that_keywarp_wrote_have_all_layers(network: DeepLab, tmp_path: Path) -> None:
    write_whole(network, tmp_path / "w.safetensors")
    loaded = load(tmp_path / "w.safetensors")
    assert loaded.untrained == ()
    assert all(torch.equal(loaded.network.state_dict()[k], v) for k, v in network.state_dict().items())
    five = small(classes=5)
    write_whole(five, tmp_path / "five.safetensors")
    assert load(tmp_path / "five.safetensors").network.classes == 5


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_files_that_are_no_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("thing", [[1, 2], {"conv1.weight": 3}, {"model": {"a": None}}])
def test_files_of_other_things_are_refused(thing: object, tmp_path: Path) -> None:
    torch.save(thing, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="no state dict"):
        load(tmp_path / "w.pth")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code in the file was run')",))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": _Evil()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "w.pth")


def test_weights_that_are_not_finite_are_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    broken = {**published, "bn1.bias": torch.full((64,), float("nan"))}
    with pytest.raises(ModelError, match=r"not finite.*bn1\.bias"):
        load(write("pth", broken, tmp_path))


# --- the registry -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", network_names())
def test_every_network_keeps_what_it_declares(name: str) -> None:
    found = get_network(name)
    assert found.name == name
    network = found.make(5).eval()
    stride_px = network.input_stride_px
    pictures = torch.zeros(1, 2 * stride_px, 3 * stride_px, 3, dtype=torch.uint8)
    with torch.no_grad():
        features = network.features(found.normalise(pictures))
        scores = network.head(features)
        decoding = found.decoding(network)
        labels = decoding.labels(decoding.carry(features))
    assert features.shape[1] == network.feature_channels
    assert features.shape[2] * network.feature_stride_px == 2 * stride_px
    assert decoding.carry(features).shape[1] == decoding.channels
    assert scores.shape == (1, 5, 2 * stride_px, 3 * stride_px)
    assert torch.equal(labels.long(), scores.argmax(1))


# --- in the pipeline --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network exported with random weights, under the name that the torch engine finds it by."""
    folder = tmp_path_factory.mktemp("small")
    return export_network(definition(), None, folder, name="small")


def test_a_card_says_what_is_carried_and_that_nothing_was_learned(card: Path) -> None:
    found = read_card(card)
    assert [(m.name, m.channels, m.stride_px, m.parts) for m in found.features] == [
        ("scores", 11, 16, ["warp_head"]),
        ("features", 1024, 16, ["warp_scale_head"]),
    ]
    assert found.input.stride_px == 16
    assert "UNTRAINED" in found.provenance.recipe
    assert sorted(found.files) == ["aggregate", "key", "warp_head", "warp_scale_head", "weights"]


def test_a_published_backbone_is_named_in_the_card(published: dict[str, Tensor], tmp_path: Path) -> None:
    weights = write("pth", published, tmp_path)
    kind = replace(definition(), load=lambda path, _: load(path))
    found = read_card(export_network(kind, weights, tmp_path / "out"))
    assert found.name == "resnet-50"
    assert found.provenance.data[0].startswith("resnet.pth, SHA-256 ")
    assert "reduce, score" in found.provenance.recipe


def test_the_same_random_weights_each_time(card: Path, tmp_path: Path) -> None:
    again = export_network(definition(), None, tmp_path, name="small")
    assert read_card(again).files == read_card(card).files


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_every_engine_carries_scores_and_multiplies_features(
    engine: str, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        deeplab_definition, "RESNET_50", replace(definition(), load=lambda path, _: load(path))
    )
    model = SegmentationModel(card)
    frames = [Still(np.asarray(image(160, 96)[0])), Still(np.zeros((96, 160, 3), np.uint8))]
    model.open(Setup(get_engine(engine), threads=1), (160, 96))
    model.open_scale((10, 6), 1024)
    key = model.features(model.prepare(frames[0]))
    assert {name: array.shape for name, array in key.carried.items()} == {
        "scores": (1, 11, 6, 10),
        "features": (1, 1024, 6, 10),
    }
    still = KeyFlow.start((40, 24))
    carried = model.propagate(key, still).labels
    ones = np.ones((1024, 6, 10), np.float32)
    pair = PairFlow(np.zeros((6, 10, 2), np.float32), np.ones((6, 10), np.bool_), ones)
    scaled = model.propagate(key, pair).labels
    model.close()
    assert carried.shape == (96, 160)
    assert (carried == key.result.labels).mean() >= 0.999
    assert (scaled == key.result.labels).mean() >= 0.999


@dataclass(frozen=True)
class Still:
    """A picture of one size."""

    pixels: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def bgr_at(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        assert size == self.size
        return self.pixels
