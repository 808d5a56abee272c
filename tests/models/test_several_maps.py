"""A model that carries several feature maps, of different strides, along one flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from keywarp.engines.build import get_engine
from keywarp.engines.card import Provenance, file_entries
from keywarp.engines.errors import ModelError
from keywarp.flow.base import KeyFlow, PairFlow
from keywarp.models.base import Earlier, KeyOutput, Setup
from keywarp.models.card import Card, FeatureMap, InputCard
from keywarp.models.export import to_onnx
from keywarp.models.labels import CAMVID
from keywarp.models.networks.warp import propagate_all
from keywarp.models.segmentation import SegmentationModel
from keywarp.pipeline.picture import Picture

SIZE = (64, 48)
FINE, COARSE = 4, 8
"""Strides. The fine map says whether a class is 0 or 1, the coarse one adds 2 or nothing."""


class Key(nn.Module):
    """The blue channel's lowest bit on the fine grid, and its second bit on the coarse one, twice."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = (image[:, ::FINE, ::FINE, 0] % 2).float()[:, None]
        coarse = (image[:, ::COARSE, ::COARSE, 0] // 2 % 2).float()[:, None].expand(-1, 2, -1, -1)
        return fine, coarse.contiguous(), head([fine, coarse])


class WarpHead(nn.Module):
    """Both maps along one flow, in cells of the first, or of a grid of its own."""

    def forward(self, fine: Tensor, coarse: Tensor, flow: Tensor) -> Tensor:
        return head(propagate_all([fine, coarse], flow))


class WarpScaleHead(nn.Module):
    """The same, multiplied by the scale map's three channels."""

    def forward(self, fine: Tensor, coarse: Tensor, flow: Tensor, scale: Tensor) -> Tensor:
        return head(propagate_all([fine, coarse], flow, scale))


class Aggregate(nn.Module):
    """Both maps of two key frames, mixed by a weight on the first map's grid."""

    def forward(
        self, fine: Tensor, coarse: Tensor, old_fine: Tensor, old_coarse: Tensor, flow: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        new, weights = [fine, coarse], [weight, weight[..., ::2, ::2]]
        warped = propagate_all([old_fine, old_coarse], flow)
        mixed = [torch.lerp(a, b, part) for a, b, part in zip(new, warped, weights, strict=True)]
        return mixed[0], mixed[1], head(mixed)


def head(maps: list[Tensor]) -> Tensor:
    fine, coarse = maps
    labels = fine[:, 0] + 2 * coarse.mean(1).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return labels.repeat_interleave(FINE, 1).repeat_interleave(FINE, 2).round().to(torch.uint8)


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    width, height = SIZE
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    maps = {
        "fine": torch.zeros(1, 1, height // FINE, width // FINE),
        "coarse": torch.zeros(1, 2, height // COARSE, width // COARSE),
    }
    flow = {"flow": torch.zeros(1, height // FINE, width // FINE, 2)}
    other = {"flow": torch.zeros(1, 3, 4, 2), "scale": torch.zeros(1, 3, 3, 4)}
    known = {"fine": "11hw", "coarse": "12HW", "labels": "1ab"}
    parts = {
        "key": to_onnx(Key(), {"image": image}, {"image": "1ab3", **known}),
        "warp_head": to_onnx(WarpHead(), {**maps, **flow}, {**known, "flow": "1hw2"}),
        "warp_scale_head": to_onnx(
            WarpScaleHead(), {**maps, **other}, {**known, "flow": "1yx2", "scale": "13yx"}
        ),
        "aggregate": to_onnx(
            Aggregate(),
            {
                **maps,
                **{f"earlier_{name}": zeros for name, zeros in maps.items()},
                **flow,
                "weight": flow["flow"][..., 0][:, None],
            },
            {
                **{f"{prefix}fine": "11hw" for prefix in ("", "earlier_", "aggregated_")},
                **{f"{prefix}coarse": "12HW" for prefix in ("", "earlier_", "aggregated_")},
                "flow": "1hw2",
                "weight": "11hw",
                "labels": "1ab",
            },
        ),
    }
    paths = {name: folder / f"two.{name}.onnx" for name in parts}
    for name, data in parts.items():
        paths[name].write_bytes(data)
    card = Card(
        name="two",
        network="two",
        task="segmentation",
        class_set=CAMVID.name,
        classes=list(CAMVID.names),
        description="two maps",
        input=InputCard(stride_px=COARSE, width=SIZE[0], height=SIZE[1]),
        features=[
            FeatureMap(name="fine", channels=1, stride_px=FINE),
            FeatureMap(name="coarse", channels=2, stride_px=COARSE),
        ],
        parameters=0,
        files=file_entries(paths),
        provenance=Provenance(
            data=[], licence="none", recipe="none", command="none", seed=0, training_minutes=0
        ),
    )
    (folder / "two.json").write_text(card.to_json())
    return folder / "two.json"


@pytest.fixture
def model(card_path: Path) -> SegmentationModel:
    model = SegmentationModel(card_path)
    model.open(Setup(get_engine("openvino"), threads=1), SIZE)
    return model


def full_run(model: SegmentationModel) -> KeyOutput:  # type: ignore[type-arg]
    """Of a picture of blocks of 16 pixels, of the classes 0 to 3."""
    blocks = np.random.default_rng(0).integers(0, 4, (SIZE[1] // 16, SIZE[0] // 16), dtype=np.uint8)
    pixels = np.repeat(blocks.repeat(16, 0).repeat(16, 1)[..., None], 3, axis=2)
    key = model.features(model.prepare(Picture.from_bgr(pixels)))
    np.testing.assert_array_equal(key.result.labels, pixels[..., 0])
    return key


def field(shift_px: tuple[int, int], stride_px: int) -> np.ndarray:
    height, width = SIZE[1] // stride_px, SIZE[0] // stride_px
    return np.full((height, width, 2), -np.array(shift_px) / stride_px, np.float32)


def assert_shifted(found: np.ndarray, before: np.ndarray) -> None:
    np.testing.assert_array_equal(found[:, 16:], before[:, :-16])


def test_each_map_is_carried_by_name(model: SegmentationModel) -> None:
    key = full_run(model)
    assert {name: array.shape for name, array in key.carried.items()} == {
        "fine": (1, 1, 12, 16),
        "coarse": (1, 2, 6, 8),
    }


@pytest.mark.parametrize("stride_px", [2, 4, 16])
def test_both_maps_move_along_one_flow(model: SegmentationModel, stride_px: int) -> None:
    key, moved = full_run(model), field((16, 0), stride_px)
    valid = np.ones(moved.shape[:2], np.bool_)
    assert_shifted(model.propagate(key, KeyFlow(moved, valid, 1)).labels, key.result.labels)
    assert_shifted(model.propagate(key, PairFlow(moved, valid)).labels, key.result.labels)


@pytest.mark.parametrize("stride_px", [4, 16])
def test_both_maps_have_their_part_of_the_scale_map(model: SegmentationModel, stride_px: int) -> None:
    key, moved = full_run(model), field((16, 0), stride_px)
    valid = np.ones(moved.shape[:2], np.bool_)
    model.open_scale((moved.shape[1], moved.shape[0]), 3)
    scale = np.ones((3, *moved.shape[:2]), np.float32)
    assert_shifted(model.propagate(key, PairFlow(moved, valid, scale)).labels, key.result.labels)
    scale[0] = 0
    assert_shifted(model.propagate(key, PairFlow(moved, valid, scale)).labels, key.result.labels // 2 * 2)
    scale[:] = np.array([1, 0, 0], np.float32)[:, None, None]
    assert_shifted(model.propagate(key, PairFlow(moved, valid, scale)).labels, key.result.labels % 2)


def test_both_maps_are_mixed_with_earlier_ones(card_path: Path) -> None:
    model = SegmentationModel(card_path)
    model.open(Setup(get_engine("openvino"), aggregates=True, threads=1), SIZE)
    old = full_run(model)
    moved = field((16, 0), 8)
    flow = KeyFlow(moved, np.ones(moved.shape[:2], np.bool_), 1)
    black = model.prepare(Picture.from_bgr(np.zeros((SIZE[1], SIZE[0], 3), np.uint8)))
    found = model.features_with(black, Earlier(old, flow, np.ones((6, 8), np.float32)))
    # What was carried counts 0.7 and the black picture's zeros the rest, which rounding brings back.
    for name in ("fine", "coarse"):
        before = old.carried[name]
        cells = 16 * before.shape[-1] // SIZE[0]
        np.testing.assert_allclose(
            found.carried[name][..., cells:], 0.7 * before[..., :-cells], atol=1e-5, err_msg=name
        )
    model.close()


def test_a_scale_map_has_the_channels_of_all_maps(model: SegmentationModel) -> None:
    with pytest.raises(ModelError, match="features of 3 channels, and the flow a scale map of 16"):
        model.open_scale((16, 12), 16)
