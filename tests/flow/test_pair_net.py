"""FlowNets on engines: what comes out, on which pictures, and what is refused."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.base import Engine
from keywarp.engines.build import engine_names, get_engine
from keywarp.engines.errors import ModelError, UsageError
from keywarp.flow.base import PairSetup, Size
from keywarp.flow.build import flow_names, make_estimator, pair_names, step_names
from keywarp.flow.card import FlowCard, PairInput, find_flow_card, network_names, read_flow_card
from keywarp.flow.pair_net import FlowNetFlow, choose_picture_size
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture

torch = pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")

from .flownets import PROVENANCE, random_flownet, write_flownet  # noqa: E402 - needs torch

SIZE = (160, 96)
MODEL = "enet-camvid"
SAME = 1e-5
"""Cells: engines take sums in another order."""


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = random_flownet("flownet-inception", 16)
    assert isinstance(network.scale, torch.nn.Conv2d)
    torch.nn.init.normal_(network.scale.weight, 0, 0.1)
    return write_flownet(tmp_path_factory.mktemp("flow"), network, scale_for=MODEL)


@pytest.fixture(params=engine_names())
def engine(request: pytest.FixtureRequest) -> Engine:
    engine = get_engine(request.param)
    if engine.missing() is not None:
        pytest.skip(str(engine.missing()))
    return engine


def frame(index: int, size: Size = SIZE) -> Frame:
    coarse = np.random.default_rng(index).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    pixels = coarse.repeat(8, 0).repeat(8, 1)
    return Frame(index, index, Fraction(1, 25), 0, Picture.from_bgr(pixels))


def opened(card_path: Path, engine: Engine | None = None, size: Size = SIZE, **setup: str) -> FlowNetFlow:
    flow = FlowNetFlow(str(card_path))
    flow.open(PairSetup(engine or get_engine("openvino"), threads=1, scale_for=setup.get("scale_for")), size)
    return flow


def test_every_engine_yields_what_the_network_does(card_path: Path, engine: Engine) -> None:
    network = random_flownet("flownet-inception", 16)
    flow = opened(card_path, engine, scale_for=MODEL)
    key, current = frame(0), frame(1)
    found = flow.pair(key, current)
    with torch.no_grad():
        network.load_state_dict(_state(card_path))
        pictures = [torch.from_numpy(f.bgr.copy()).permute(2, 0, 1)[None] / 255 for f in (current, key)]
        field, scale = network(*pictures)
    width, height = SIZE[0] // 8, SIZE[1] // 8
    assert flow.grid_size == (width, height)
    assert flow.scale_channels == 16
    assert found.scale is not None
    assert found.field.shape == (height, width, 2)
    assert found.scale.shape == (16, height, width)
    assert found.field.dtype == found.scale.dtype == np.float32
    np.testing.assert_allclose(found.field, field[0].permute(1, 2, 0).numpy(), atol=SAME)
    np.testing.assert_allclose(found.scale, scale[0].numpy(), atol=SAME)
    assert np.abs(found.field).max() > 0.01
    assert np.ptp(found.scale) > 0.01
    flow.close()
    flow.close()


def _state(card_path: Path) -> dict[str, object]:
    from keywarp.engines.weights import read_weights

    return dict(read_weights(card_path.with_name("trained.safetensors")))


def test_a_network_of_stride_16(tmp_path: Path) -> None:
    network = random_flownet("flownet-inception", 32, stride_px=16)
    flow = opened(write_flownet(tmp_path, network, scale_for=MODEL), size=(150, 90), scale_for=MODEL)
    found = flow.pair(frame(0, (150, 90)), frame(1, (150, 90)))
    assert flow.picture_size == (144, 96)
    assert found.field.shape == (6, 9, 2)
    assert found.scale is not None
    assert found.scale.shape == (32, 6, 9)


def test_the_order_of_the_pair_matters(card_path: Path) -> None:
    flow = opened(card_path)
    there = flow.pair(frame(0), frame(1)).field.copy()
    back = flow.pair(frame(1), frame(0)).field
    assert np.abs(there - back).max() > 0.01


def test_cells_that_point_outside_are_invalid(card_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = opened(card_path)
    assert flow._session is not None
    field = np.zeros((1, 12, 20, 2), np.float32)
    field[0, :, :3, 0] = -2  # to the left: the second column points at its border cell's outer half
    monkeypatch.setattr(flow._session, "infer", lambda inputs: {"flow": field})
    valid = flow.pair(frame(0), frame(1)).valid
    assert valid.dtype == np.bool_
    assert (~valid).sum() == 2 * 12
    assert not valid[:, :2].any()


def test_a_random_network_has_a_scale_map_of_one(tmp_path: Path) -> None:
    path = write_flownet(tmp_path, random_flownet("flownet-half", 16), "flownet-half", MODEL)
    scale = opened(path, scale_for=MODEL).pair(frame(0), frame(1)).scale
    assert scale is not None
    assert (scale == 1).all()


@pytest.mark.parametrize("wanted", [None, "another"])
def test_another_model_gets_the_flow_alone(
    card_path: Path, wanted: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        flow = FlowNetFlow(str(card_path))
        flow.open(PairSetup(get_engine("openvino"), threads=1, scale_for=wanted), SIZE)
    assert flow.scale_channels is None
    assert flow.pair(frame(0), frame(1)).scale is None
    assert ("scale map for the model 'enet-camvid'; 'another'" in caplog.text) == (wanted is not None)


def test_a_flow_without_a_scale_map(tmp_path: Path) -> None:
    path = write_flownet(tmp_path, random_flownet("flownet-inception"))
    flow = opened(path, scale_for=MODEL)
    assert flow.scale_channels is None
    assert flow.pair(frame(0), frame(1)).scale is None


def _card(**changes: object) -> FlowCard:
    made = FlowCard(
        name="net",
        network="flownet-inception",
        description="none",
        input=PairInput(width=640, height=360),
        parameters=1,
        files={},
        provenance=PROVENANCE,
    )
    return made.model_copy(update=changes)


@pytest.mark.parametrize(
    ("frame_size", "wanted", "expected"),
    [
        ((640, 360), None, (640, 360)),
        ((160, 96), None, (160, 96)),
        ((100, 70), None, (104, 72)),
        ((1280, 720), None, (640, 360)),
        ((1920, 800), None, (744, 312)),
        ((1280, 720), (480, 270), (480, 272)),
        ((100, 48), (128, 64), (128, 64)),
        ((64, 64), None, (64, 64)),
    ],
)
def test_pictures_have_whole_cells(frame_size: Size, wanted: Size | None, expected: Size) -> None:
    assert choose_picture_size(_card(), frame_size, wanted) == expected


@pytest.mark.parametrize(
    ("frame_size", "wanted"),
    [((100, 48), None), ((59, 200), None), ((640, 360), (32, 32)), ((8000, 64), None)],
)
def test_pictures_that_are_too_small_are_refused(frame_size: Size, wanted: Size | None) -> None:
    with pytest.raises(
        UsageError, match=r"at least 64x64.*use --flow lk, or a larger size with --set flow\.size"
    ):
        choose_picture_size(_card(), frame_size, wanted)


def test_it_may_be_opened_again_for_another_size(card_path: Path) -> None:
    flow = opened(card_path)
    flow.open(PairSetup(get_engine("openvino"), threads=1), (128, 64))
    assert flow.grid_size == (16, 8)
    assert flow.pair(frame(0, (128, 64)), frame(1, (128, 64))).field.shape == (8, 16, 2)


def test_the_key_picture_is_prepared_once(card_path: Path) -> None:
    flow = opened(card_path, size=(1280, 720))
    key = frame(0, (1280, 720))
    flow.pair(key, frame(1, (1280, 720)))
    assert key.bgr_at(flow.picture_size) is key.bgr_at(flow.picture_size)


def test_names(card_path: Path) -> None:
    assert flow_names() == (*step_names(), *pair_names())
    assert isinstance(make_estimator(str(card_path), (128, 64)), FlowNetFlow)
    assert make_estimator("dis").name == "dis:sparse"
    with pytest.raises(UsageError, match="unknown flow 'flownet-incepton'"):
        make_estimator("flownet-incepton")
    with pytest.raises(ModelError, match=r"flow card 'nowhere\.json' does not exist"):
        make_estimator("nowhere.json")
    missing = [name for name in network_names() if name not in pair_names()]
    for name in missing:
        with pytest.raises(UsageError, match=f"no weights of the flow network '{name}' come with keywarp"):
            make_estimator(name)


def test_every_network_has_a_name_that_needs_no_torch() -> None:
    from keywarp.flow.flownet import FLOWNETS

    assert set(network_names()) == set(FLOWNETS)


@pytest.mark.parametrize("name", pair_names())
def test_bundled_networks_have_good_cards(name: str) -> None:
    card = read_flow_card(find_flow_card(name))
    assert card.name == name
    assert card.network in network_names()
    flow = FlowNetFlow(name)
    flow.open(PairSetup(get_engine("openvino"), threads=1, scale_for=card.scale_for), SIZE)
    assert flow.scale_channels == card.scale_channels
    assert np.isfinite(flow.pair(frame(0), frame(1)).field).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "segmentation"}, "task"),
        ({"scale_for": "enet-camvid", "scale_channels": None}, "given together"),
        ({"scale_for": None, "scale_channels": 16}, "given together"),
        ({"stride_px": 0}, "stride_px"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_wrong_card_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({**json.loads(_card().to_json()), **changes}))
    with pytest.raises(ModelError, match=f"flow card .*net.json' is not valid: .*{message}"):
        read_flow_card(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write_flownet(tmp_path, random_flownet("flownet-inception"))
    onnx = tmp_path / "flownet-inception.flow.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"flow\.onnx' is damaged"):
        opened(path)
    onnx.unlink()
    with pytest.raises(ModelError, match=r"flow network 'flownet-inception' lacks its file"):
        opened(path)
