"""`train flow` and `train dff` on a few small pairs: they learn, go on from each other, and refuse bad input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from keywarp.engines.card import Provenance
from keywarp.engines.errors import KeywarpError, ModelError, SinkError, UsageError
from keywarp.engines.weights import write_weights
from keywarp.flow.card import read_flow_card
from keywarp.flow.flo import write_flo
from keywarp.flow.flownet import FLOWNETS
from keywarp.models.card import read_card
from keywarp.models.labels import VOID
from keywarp.models.training import films, memory
from keywarp.models.training.config import Part, TrainConfig
from keywarp.models.training.dff import DffNetwork, DffTask
from keywarp.models.training.flow import FlowTask, Ready, flow_card
from keywarp.models.training.losses import flow_loss
from keywarp.models.training.pairs import Pair, cut, load_pairs
from keywarp.models.training.train import train
from keywarp.pipeline.cli.networks import export_command

STREET = "street:seed=0,length=40,every=8,size=96x64,distance=4"
PROVENANCE = Provenance(
    data=["none"], licence="none", recipe="none", command="none", seed=0, training_minutes=0
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(0, 256, (9, 12, 3), np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.png"), cv2.resize(noise, (120, 90), interpolation=cv2.INTER_CUBIC)
        )
    return folder


def tiny(out: Path, data: str, **changes: Any) -> TrainConfig:
    config = TrainConfig(
        data=(data, STREET),
        out=out,
        network="flow",
        size=(64, 64),
        scale=(0.9, 1.1),
        epochs=3,
        batch=4,
        average=0.3,
        optimiser="adamw",
        rate=2e-3,
        warm_up=0.0,
        check_every=3,
        check=(STREET,),
        pictures=1,
    )
    return replace(config, **changes)


def write_film(path: Path, count: int) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height = 96, 64
        for number in range(count):
            pixels = np.full((64, 96, 3), 8 * number, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        film.mux(stream.encode(None))


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> TrainConfig:
    config = tiny(tmp_path_factory.mktemp("flow"), f"shapes:{pictures}")
    train(config)
    return config


@pytest.fixture(scope="module")
def dff_run(tmp_path_factory: pytest.TempPathFactory, flow_run: TrainConfig, pictures: Path) -> TrainConfig:
    out = tmp_path_factory.mktemp("dff")
    config = replace(
        flow_run, network="dff", out=out, epochs=1, init=flow_run.out / "weights.safetensors", flow_weight=0.1
    )
    train(config)
    return config


def test_a_flow_run_writes_weights_and_their_card(flow_run: TrainConfig) -> None:
    card = read_flow_card(flow_run.out / "card.json")
    assert card.network == "flownet-inception"
    assert card.scale_for is None
    assert card.stride_px == 8
    assert "End-point error" in card.provenance.recipe
    assert card.provenance.accuracy[STREET].keys() == {"epe_px", "fl_all", "still_epe_px"}
    network = FLOWNETS["flownet-inception"]()
    missing, unexpected = network.load_state_dict(
        load_file(flow_run.out / "weights.safetensors"), strict=False
    )
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert cv2.imread(str(flow_run.out / "check.jpg")) is not None


def test_a_flownet_learns_two_pairs() -> None:
    config = TrainConfig(data=("x",), out=Path("x"), network="flow")
    task = FlowTask(config)
    torch.manual_seed(0)
    network = task.network().train()
    inputs, *truth = task.batch(load_pairs(STREET)[2:4])
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss = task.loss(task.run(network, inputs), truth, np.random.default_rng(0))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_dff_run_goes_on_from_it_and_has_a_scale_map(dff_run: TrainConfig, flow_run: TrainConfig) -> None:
    card = read_flow_card(dff_run.out / "card.json")
    assert card.scale_for == "enet-camvid"
    assert card.scale_channels == 16
    assert card.provenance.accuracy[STREET].keys() == {"agreement", "agreement_s1", "miou"}
    weights = load_file(dff_run.out / "weights.safetensors")
    assert weights["scale.weight"].shape[0] == 16
    assert not any(name.startswith("segmentation") for name in weights)
    assert float(weights["scale.weight"].abs().max()) > 0, "it was trained"
    before = load_file(flow_run.out / "weights.safetensors")
    kernels = {name: value.float() for name, value in before.items() if value.ndim == 4}
    moved = [float((weights[name].float() - value).abs().mean()) for name, value in kernels.items()]
    assert 0 < max(moved) < 0.01, "they are the earlier run's, moved a little"
    assert not (dff_run.out / "model.safetensors").exists()


def test_a_frozen_network_stays_as_it_is_and_another_does_not(tmp_path: Path, pictures: Path) -> None:
    for frozen in (True, False):
        task = DffTask(tiny(tmp_path, f"shapes:{pictures}", network="dff", frozen=frozen))
        network = task.network().train()
        assert isinstance(network, DffNetwork)
        before = {name: value.clone() for name, value in network.segmentation.state_dict().items()}
        inputs, *truth = task.batch(load_pairs(STREET)[1:3])
        task.loss(task.run(network, inputs), truth, np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
        assert (next(network.segmentation.parameters()).grad is None) == frozen
        after = network.segmentation.state_dict()
        unmoved = all(torch.equal(after[name], value) for name, value in before.items())
        assert unmoved == frozen, "running statistics move with the network"
        assert set(task.parts(network)) == ({"weights"} if frozen else {"weights", "model"})


def test_labels_teach_where_there_are_any(tmp_path: Path, pictures: Path) -> None:
    """A picture whose labels are all void is taught by the network itself."""
    task = DffTask(tiny(tmp_path, f"shapes:{pictures}", network="dff"))
    pair = load_pairs(STREET)[1].whole()
    assert pair.labels is not None
    without = replace(pair, labels=None)
    assert bool((task.batch([Ready(without)])[3] == VOID).all())
    network = task.network().eval()
    losses = []
    for each in (pair, without):
        inputs, *truth = task.batch([Ready(each)])
        losses.append(task.loss(task.run(network, inputs), truth, np.random.default_rng(0)).item())
    assert losses[0] != losses[1]


def test_the_loss_counts_known_pixels_only() -> None:
    truth, valid = torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 64, 64)
    valid[..., :32] = 1
    truth[..., 32:] = 1000
    still = [torch.zeros(1, 2, side, side) for side in (1, 2, 4, 8)]
    right = float(flow_loss(still, truth, valid, 8))
    assert right == pytest.approx(0.1**0.6 * (1 + 0.4 + 0.2), rel=1e-4), "the coarsest cell is half unknown"
    assert float(flow_loss([flow + 1 for flow in still], truth, valid, 8)) > 10 * right


def test_a_cut_scales_and_mirrors_the_flow() -> None:
    x = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    current = np.dstack([x, x, x])
    field = np.full((48, 64, 2), (4.0, -2.0), np.float32)
    pair = Pair(current, current, field, np.ones((48, 64), np.bool_))
    found = {tuple(cut(pair, Part(32, 24, 0.5, 0.5), np.random.default_rng(s)).field[0, 0]) for s in range(8)}  # type: ignore[index]
    assert found == {(2.0, -1.0), (-2.0, -1.0)}


def test_films_give_pairs_without_flow(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_film(path, 12)
    samples = load_pairs(f"video:{path},every=4,size=64x48,distance=2")
    assert len(samples) == 2
    pair = samples[0].whole()
    assert pair.field is None
    assert pair.current.shape == pair.key.shape == (48, 64, 3)


def test_flying_chairs_lead_from_the_first_picture_to_the_second(tmp_path: Path) -> None:
    field = np.full((16, 24, 2), (3.0, 1.0), np.float32)
    write_flo(tmp_path / "a_flow.flo", field)
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"a_img{number}.ppm"), np.full((16, 24, 3), number, np.uint8))
    (sample,) = load_pairs(f"chairs:{tmp_path}")
    pair = sample.whole()
    assert pair.current[0, 0, 0] == 1
    assert pair.key[0, 0, 0] == 2
    assert np.array_equal(pair.field, field)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ("camvid:x",)}, "data set of pairs"),
        ({"data": ()}, "nothing to train on; name a data set, such as --data shapes:DIR"),
        ({"data": ("shapes:none",)}, "shapes:none: 'none' does not exist"),
        ({"data": ("shapes:/dev/null",)}, "shapes:/dev/null: '/dev/null' is no folder"),
        ({"data": ("shapes:/proc/tty",)}, "there are no pictures in that folder"),
        ({"data": ("shapes:",)}, "'shapes:' names no folder; write shapes:DIR"),
        ({"compiled": True}, "cannot compile its network"),
        ({"data": ("video:none.mp4",)}, "film 'none.mp4' does not exist"),
        ({"data": ("video:/proc",)}, "film '/proc' is no file"),
        ({"data": ("chairs:none",)}, "the folder of flow data 'none' does not exist"),
        ({"data": ("chairs:",)}, "names no folder; write chairs:DIR"),
        ({"flownet": "flownet-3"}, "flow network"),
        ({"network": "dff", "model": "none"}, "model"),
        ({"init": Path("none.safetensors")}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KeywarpError, match=message):
        train(replace(tiny(tmp_path / "out", STREET), **changes))


def test_a_film_that_cannot_be_read_to_its_end_is_refused_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mkv"
    write_film(path, 30)
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    with pytest.raises(
        UsageError, match=r"film.mkv' is no video, or damaged from the start; give a video file"
    ):
        load_pairs(f"video:{path},size=64x48")
    path.write_bytes(whole)

    class Cut:
        """A film that breaks off after 7 frames."""

        def __init__(self, path: str) -> None:
            self._film = av.open(path)
            self.streams = self._film.streams

        def __enter__(self) -> Cut:
            return self

        def __exit__(self, *_: object) -> None:
            self._film.close()

        def decode(self, video: int) -> Iterator[av.VideoFrame]:
            yield from islice(self._film.decode(video=video), 7)
            raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")

    monkeypatch.setattr(films, "av", SimpleNamespace(open=Cut, FFmpegError=av.FFmpegError))
    with pytest.raises(
        UsageError, match=r"or was cut off: it cannot be decoded to its end; get another copy$"
    ):
        load_pairs(f"video:{path},size=64x48")


def test_flow_cannot_be_learnt_from_films_alone(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", 12)
    with pytest.raises(UsageError, match=r"needs pairs whose flow is known, and 'video:.*' has none"):
        train(tiny(tmp_path / "out", f"video:{tmp_path / 'film.mp4'},size=64x48"))


def test_what_a_file_does_not_know_of_the_flow_does_not_count(tmp_path: Path) -> None:
    field = np.full((16, 24, 2), (3.0, 1.0), np.float32)
    field[2, 3] = 1e10
    write_flo(tmp_path / "a_flow.flo", field)
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"a_img{number}.ppm"), np.full((16, 24, 3), number, np.uint8))
    pair = load_pairs(f"chairs:{tmp_path}")[0].whole()
    assert pair.valid is not None
    assert pair.field is not None
    assert pair.valid.sum() == pair.valid.size - 1
    assert np.abs(pair.field).max() == 3
    cv2.imwrite(str(tmp_path / "a_img2.ppm"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(UsageError, match=r"is 16x16, its flow 'a_flow\.flo' 24x16; they have one size"):
        load_pairs(f"chairs:{tmp_path}")


def test_memory_for_all_chairs_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded already is free no longer, and is not needed a second time."""
    count, width, height = 6, 64, 48
    for number in range(count):
        write_flo(tmp_path / f"{number}_flow.flo", np.zeros((height, width, 2), np.float32))
        for picture in (1, 2):
            cv2.imwrite(str(tmp_path / f"{number}_img{picture}.ppm"), np.zeros((height, width, 3), np.uint8))
    needed = 12 * count * width * height
    free = iter([needed, *[needed // 2] * count])
    monkeypatch.setattr(memory, "available_bytes", lambda: next(free))
    assert len(load_pairs(f"chairs:{tmp_path}")) == count
    monkeypatch.setattr(memory, "available_bytes", lambda: needed - 1)
    with pytest.raises(UsageError, match="too little memory: 6 pictures of 'chairs:"):
        load_pairs(f"chairs:{tmp_path}")


def test_a_check_of_any_size_can_be_scored(tmp_path: Path, pictures: Path) -> None:
    task = DffTask(tiny(tmp_path, f"shapes:{pictures}", network="dff"))
    pair = load_pairs(STREET)[0].whole()
    assert pair.labels is not None
    odd = Ready(Pair(pair.current[:, :90], pair.key[:, :90], labels=pair.labels[:, :90]))
    network = task.network().eval()
    figures = task.evaluate(network, [odd])
    assert figures["agreement"] == figures["agreement_s1"], "the scale map is 1 at first"
    assert task.picture(network, [odd]).ndim == 3


@pytest.mark.parametrize("reach", ["abc", "-1", "nan", "0", "2"])
def test_a_reach_is_a_share(pictures: Path, reach: str) -> None:
    with pytest.raises(UsageError, match=f"reach={reach} in a data set: a share of the width"):
        load_pairs(f"shapes:{pictures},reach={reach}")


def test_weights_of_something_else_are_no_beginning(tmp_path: Path, pictures: Path) -> None:
    config = tiny(tmp_path, f"shapes:{pictures}", network="dff")
    save_file({"scale.weight": torch.zeros(16, 82, 1, 1)}, tmp_path / "part.safetensors")
    task = DffTask(config)
    with pytest.raises(ModelError, match="are not of flownet-inception"):
        task.begin_from(task.network(), tmp_path / "part.safetensors")


def test_weights_of_another_flownet_are_no_beginning(tmp_path: Path, pictures: Path) -> None:
    """One line says whose they are: their card if there is one, else the first layer of another shape."""
    weights = tmp_path / "half.safetensors"
    write_weights(FLOWNETS["flownet-half"](), weights)
    made = [task(tiny(tmp_path / "out", f"shapes:{pictures}")) for task in (FlowTask, DffTask)]
    for task in made:
        with pytest.raises(
            ModelError, match=r"^weights '.*' are not of flownet-inception, .* as init$"
        ) as said:
            task.begin_from(task.network(), weights)
        assert "'levels.1.0.0.weight' is 128x64x5x5 there, and 128x64x3x3 in flownet-inception" in str(
            said.value
        )
    card = flow_card(
        FLOWNETS["flownet-half"](), tiny(tmp_path, "x", flownet="flownet-half"), "a", {}, PROVENANCE
    )
    weights.with_suffix(".json").write_text(card.to_json())
    for task in made:
        with pytest.raises(
            ModelError, match=r"are of flownet-half, as their card says; not of flownet-inception$"
        ):
            task.begin_from(task.network(), weights)
    write_weights(FLOWNETS["flownet-inception"](), weights)
    for task in made:  # a card that is of other weights keeps none from being used
        task.begin_from(task.network(), weights)


def test_a_model_that_is_trained_too_has_a_card_and_a_name(tmp_path: Path) -> None:
    config = replace(
        tiny(tmp_path / "both", STREET), data=(STREET,), network="dff", frozen=False, epochs=1, check=()
    )
    train(config)
    card = read_card(tmp_path / "both" / "model.json")
    assert read_flow_card(tmp_path / "both" / "card.json").scale_for == card.name == "both-model"
    export_command("enet", tmp_path / "both" / "model.safetensors", tmp_path / "out", "both-model")
    assert read_card(tmp_path / "out" / "both-model.json").name == "both-model"


def test_an_export_says_what_it_cannot_write(tmp_path: Path, flow_run: TrainConfig) -> None:
    weights = flow_run.out / "weights.safetensors"
    with pytest.raises(UsageError, match="--name 'a/b' cannot be a file's name"):
        export_command("flownet-inception", weights, tmp_path / "out", "a/b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.flow.onnx").mkdir()
    with pytest.raises(SinkError, match="full"):
        export_command("flownet-inception", weights, tmp_path / "full", "mine")
