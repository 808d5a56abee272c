"""Key frames that take in what the one before them carries."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from keywarp.engines.base import Engine, NetworkSource, Plan
from keywarp.engines.build import get_engine
from keywarp.engines.errors import ModelError
from keywarp.engines.openvino_ import OpenVinoEngine
from keywarp.flow.base import KeyFlow, PairFlow
from keywarp.models.base import LEVELS, Earlier, KeyOutput, Level, Setup
from keywarp.models.build import load_model
from keywarp.models.card import bundled_models, read_card
from keywarp.models.export_network import export_network, network_parts
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.enet_definition import ENET
from keywarp.models.networks.registry import get_network
from keywarp.models.networks.warp import warp_features
from keywarp.models.segmentation import SegmentationModel
from keywarp.pipeline.picture import Picture

from .test_export import ENGINES, SAME_LABELS, Run, trained_like

SIZE = (160, 96)
MAP = (SIZE[0] // 2, SIZE[1] // 2)
MOST = 0.7
"""What an earlier key frame weighs where it matches perfectly."""

Opened = Callable[..., SegmentationModel]


class Counted(OpenVinoEngine):
    """Keeps the parts that it compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled: list[str] = []

    def compile(self, source: NetworkSource, *shapes: Any, **options: Any) -> Plan:
        self.compiled.append(source.name.rpartition(".")[2])
        return super().compile(source, *shapes, **options)


@pytest.fixture
def opened() -> Iterator[Opened]:
    models: list[SegmentationModel] = []

    def make(
        engine: str | Engine = "openvino",
        level: Level = "features",
        name: str = "enet",
        fused: bool = True,
    ) -> SegmentationModel:
        engine = get_engine(engine) if isinstance(engine, str) else engine
        model = load_model(name)
        assert isinstance(model, SegmentationModel)
        models.append(model)
        model.open(Setup(engine, level, aggregates=True, threads=1, fused=fused), SIZE)
        return model

    yield make
    for model in models:
        model.close()


def picture(seed: int) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (SIZE[1] // 16, SIZE[0] // 16, 3), dtype=np.uint8)
    return Picture.from_bgr(coarse.repeat(16, 0).repeat(16, 1))


def earlier(output: KeyOutput[Any], match: float, cells: tuple[float, float] = (0.0, 0.0)) -> Earlier[Any]:
    """``output`` as seen along a flow of so many cells of the feature map, on a grid half as fine."""
    width, height = MAP[0] // 2, MAP[1] // 2
    field = np.full((height, width, 2), np.array(cells) / 2, np.float32)
    flow = KeyFlow(field, np.ones((height, width), np.bool_), 1)
    return Earlier(output, flow, np.full((6, 10), match, np.float32))


def features_of(output: KeyOutput[Any]) -> NDArray[np.float32]:
    """Kept for longer than the next full run but one."""
    return output.carried["features"].copy()


@pytest.mark.parametrize("run", ENGINES)
def test_the_part_mixes_along_the_flow(run: Run) -> None:
    torch.manual_seed(0)
    network = trained_like(ENet())
    rng = np.random.default_rng(0)
    new, old = rng.normal(size=(2, 1, 16, 24, 40)).astype(np.float32)
    flow = rng.normal(0, 2, (1, 24, 40, 2)).astype(np.float32)
    weight = rng.uniform(0, 1, (1, 1, 24, 40)).astype(np.float32)
    found = run(
        network_parts(ENET, network)["aggregate"],
        {"features": new, "earlier_features": old, "flow": flow, "weight": weight},
    )
    with torch.no_grad():
        warped = warp_features(torch.from_numpy(old), torch.from_numpy(flow)).numpy()
        expected = new * (1 - weight) + warped * weight
        labels = network.head(torch.from_numpy(expected)).argmax(1).numpy()
    np.testing.assert_allclose(found["aggregated_features"], expected, atol=1e-4)
    assert (found["labels"] == labels).mean() >= SAME_LABELS


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_a_full_run_alone_is_as_without_aggregation(engine: str, opened: Opened) -> None:
    model, plain = opened(engine), load_model("enet")
    plain.open(Setup(get_engine(engine), threads=1), SIZE)
    image = model.prepare(picture(0))
    found, expected = model.features(image), plain.features(image)
    np.testing.assert_allclose(features_of(found), features_of(expected), atol=1e-3)
    assert (found.result.labels == expected.result.labels).mean() >= SAME_LABELS
    assert len(np.unique(expected.result.labels)) > 2
    plain.close()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_each_key_frame_holds_all_before_it(engine: str, opened: Opened) -> None:
    model = opened(engine)
    images = [model.prepare(picture(seed)) for seed in range(5)]
    alone = [features_of(model.features(image)) for image in images]
    expected, output = alone[0], model.features(images[0])
    for image, own in zip(images[1:], alone[1:], strict=True):
        output = model.features_with(image, earlier(output, 1.0))
        expected = (1 - MOST) * own + MOST * expected
        np.testing.assert_allclose(features_of(output), expected, atol=2e-3)
    assert np.abs(expected - alone[-1]).mean() > 0.1
    still = model.propagate(output, KeyFlow.start(MAP))
    assert (still.labels == output.result.labels).mean() >= SAME_LABELS


def test_what_does_not_match_is_left_out(opened: Opened) -> None:
    model = opened()
    first, second = (model.prepare(picture(seed)) for seed in (1, 2))
    alone = features_of(model.features(second))
    found = model.features_with(second, earlier(model.features(first), 0.0))
    np.testing.assert_array_equal(features_of(found), alone)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_ends_with_the_key_frame_that_has_it(value: float, opened: Opened) -> None:
    model = opened()
    images = [model.prepare(picture(seed)) for seed in (1, 2, 3)]
    alone = [features_of(model.features(image)) for image in images]
    broken = model.features(images[0])
    broken.carried["features"][0, 3, 20, 30] = value
    second = model.features_with(images[1], earlier(broken, 1.0))
    np.testing.assert_array_equal(features_of(second), alone[1])  # everywhere, not there alone
    third = model.features_with(images[2], earlier(second, 1.0))
    np.testing.assert_allclose(features_of(third), (1 - MOST) * alone[2] + MOST * alone[1], atol=2e-3)


def test_what_is_carried_moves_with_the_picture(opened: Opened) -> None:
    model = opened()
    image = model.prepare(picture(3))
    alone = features_of(model.features(image))
    found = features_of(model.features_with(image, earlier(model.features(image), 1.0, (-6, 4))))
    expected = alone.copy()
    expected[..., :-4, 6:] += MOST * (alone[..., 4:, :-6] - alone[..., :-4, 6:])
    np.testing.assert_allclose(found[..., :-4, 6:], expected[..., :-4, 6:], atol=1e-3)


def test_a_pair_flow_serves_as_well(opened: Opened) -> None:
    model = opened()
    image = model.prepare(picture(4))
    flow = PairFlow(np.zeros((12, 20, 2), np.float32), np.ones((12, 20), np.bool_))
    output = model.features(image)
    found = model.features_with(image, Earlier(output, flow, np.ones((12, 20), np.float32)))
    np.testing.assert_allclose(features_of(found), features_of(model.features(image)), atol=1e-4)


def test_at_level_result_nothing_is_mixed(opened: Opened) -> None:
    model = opened(level="result")
    image = model.prepare(picture(5))
    labels = model.features(image).result.labels.copy()
    model.change("features", aggregates=True)
    output = model.features(image)
    mixed = model.features_with(model.prepare(picture(6)), earlier(output, 1.0))
    assert (output.result.labels == labels).mean() >= SAME_LABELS
    assert (mixed.result.labels != labels).any()
    model.change("result", aggregates=True)
    again = model.features(image)
    np.testing.assert_array_equal(again.result.labels, labels)
    assert set(again.carried) == {"labels"}


def test_a_level_that_was_used_before_is_not_compiled_again(opened: Opened) -> None:
    engine = Counted()
    # a fused head finds all labels, so that both levels run the same part
    model = opened(engine, fused=False)
    assert engine.compiled == ["key", "warp_head", "aggregate"]
    for level in LEVELS[::-1] * 2:
        model.change(level, aggregates=True)
    assert engine.compiled[3:] == ["key"]


@pytest.mark.parametrize("fused", [True, False])
def test_it_is_switched_on_and_off_while_the_model_is_open(fused: bool, opened: Opened) -> None:
    wanted, model = opened(fused=fused), opened(fused=fused)
    images = [model.prepare(picture(seed)) for seed in (3, 4)]
    plain = model.features(images[1]).result.labels
    together = wanted.features_with(images[1], earlier(wanted.features(images[0]), 1.0))
    model.close()
    engine = Counted()
    model.open(Setup(engine, threads=1, fused=fused), SIZE)
    before = model.features(images[0])
    engine.compiled.clear()
    model.change("features", aggregates=True)
    found = model.features_with(images[1], earlier(before, 1.0))
    np.testing.assert_allclose(features_of(found), features_of(together), atol=1e-4)
    assert (found.result.labels == together.result.labels).mean() >= SAME_LABELS
    assert (found.mixed, before.mixed) == (True, False)
    model.change("features", aggregates=False)
    assert (model.features(images[1]).result.labels == plain).mean() >= SAME_LABELS
    model.change("features", aggregates=True)
    assert engine.compiled == (["aggregate"] if fused else ["key", "aggregate"])


def test_it_opens_again_for_another_size(opened: Opened) -> None:
    model = opened()
    model.open(Setup(get_engine("openvino"), aggregates=True, threads=1), (96, 64))
    small = Picture.from_bgr(np.ascontiguousarray(picture(1).bgr_at(SIZE)[:64, :96]))
    assert model.features(model.prepare(small)).result.labels.shape == (64, 96)


def test_each_place_has_its_own_weight(opened: Opened) -> None:
    model = opened()
    first, second = (model.prepare(picture(seed)) for seed in (9, 10))
    alone = [features_of(model.features(image)) for image in (first, second)]
    match = np.zeros((12, 20), np.float32)  # of 8 x 8 px, 4 x 4 cells of the features
    match[2:5, 11:15] = 1
    output = model.features(first)
    mixed = features_of(model.features_with(second, Earlier(output, earlier(output, 1.0).flow, match)))
    inside = (..., slice(10, 18), slice(46, 58))
    expected = (1 - MOST) * alone[1][inside] + MOST * alone[0][inside]
    np.testing.assert_allclose(mixed[inside], expected, atol=1e-3)
    changed = np.abs(mixed - alone[1]).max((0, 1)) > 1e-3
    assert not changed[:4].any()
    assert not changed[24:].any()
    assert not changed[:, :40].any()
    assert not changed[:, 64:].any()


def test_a_model_of_before_says_what_it_lacks(tmp_path: Path) -> None:
    card = read_card(bundled_models()["enet-camvid"])
    for entry in card.files.values():
        shutil.copy(bundled_models()["enet-camvid"].parent / entry.path, tmp_path)
    without = {part: entry for part, entry in card.files.items() if part != "aggregate"}
    (tmp_path / "old.json").write_text(card.model_copy(update={"files": without}).to_json())
    model = SegmentationModel(tmp_path / "old.json")
    for level in LEVELS:  # the level may be changed while a stream runs
        with pytest.raises(ModelError, match=r"lacks the part 'aggregate', which mixes .*; export it again"):
            model.open(Setup(get_engine("openvino"), level, aggregates=True), SIZE)
    model.open(Setup(get_engine("openvino")), SIZE)
    image = model.prepare(picture(1))
    labels = model.features(image).result.labels
    with pytest.raises(ModelError, match="lacks the part 'aggregate'"):
        model.change("features", aggregates=True)
    np.testing.assert_array_equal(model.features(image).result.labels, labels)  # as it was
    assert (model.can_aggregate, model.can_aggregate_scaled) == (False, False)
    model.close()


def test_scores_are_mixed_where_scores_are_carried_but_not_beside_a_scale_map(tmp_path: Path) -> None:
    model = SegmentationModel(export_network(get_network("resnet-50"), None, tmp_path))
    model.open(Setup(get_engine("openvino"), aggregates=True, threads=1), SIZE)
    images = [model.prepare(picture(seed)) for seed in (7, 8)]
    first, second = (model.features(image).carried["scores"].copy() for image in images)
    output = model.features_with(images[1], earlier(model.features(images[0]), 1.0))
    np.testing.assert_allclose(output.carried["scores"], (1 - MOST) * second + MOST * first, atol=1e-2)
    assert (model.can_aggregate, model.can_aggregate_scaled) == (True, False)
    with pytest.raises(ModelError, match=r"cannot aggregate key frames beside a flow with a scale map"):
        model.open_scale((10, 6), 1024)
    model.close()
