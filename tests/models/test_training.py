"""Training on a few small street frames: it learns, resumes exactly, and refuses what cannot work."""

from __future__ import annotations

import csv
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from keywarp.engines.errors import ModelError, UsageError
from keywarp.models.card import part_path, read_card
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.files import load_enet, write_weights
from keywarp.models.training.augment import Augmentation
from keywarp.models.training.config import TrainConfig
from keywarp.models.training.dataset import Sample
from keywarp.models.training.losses import class_weights, segmentation_loss
from keywarp.models.training.optimise import rate_factor
from keywarp.models.training.segmentation import EnetTask
from keywarp.models.training.train import train
from keywarp.models.training.trainer import Trainer, move_towards
from keywarp.pipeline.cli.networks import training_config

STREET = "street:seed=0,length=80,every=10,size=96x64"
NO_CHANGE = Augmentation(
    scale=(1, 1), gain=0, gamma=0, tint=0, offset=0, fade=0, blur=0, noise=0, jpeg=0, night=0, rain=0
)


def tiny(out: Path, **changes: Any) -> TrainConfig:
    config = TrainConfig(
        data=(STREET,),
        out=out,
        size=(64, 48),
        epochs=2,
        batch=4,
        average=0.5,
        check_every=2,
        dropout=(0.0, 0.1),
        check=("street:seed=9,length=1,size=64x48",),
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = tiny(tmp_path_factory.mktemp("run"))
    assert train(config) == config.out
    return config


def test_loss_falls(run: TrainConfig) -> None:
    with (run.out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_the_card_names_weights_recipe_and_scores(run: TrainConfig) -> None:
    card = read_card(run.out / "card.json")
    assert part_path(card, run.out / "card.json", "weights").name == "weights.safetensors"
    assert card.provenance.command == run.command()
    assert card.provenance.data == [STREET]
    assert set(card.provenance.accuracy[run.check[0]]) == {"miou", "accuracy"}
    network = load_enet(run.out / "weights.safetensors")
    assert card.parameters == sum(p.numel() for p in network.parameters())


def test_a_resumed_run_is_the_run_that_was_not_interrupted(run: TrainConfig, tmp_path: Path) -> None:
    lines: list[str] = []
    train(tiny(tmp_path, until=1))
    train(tiny(tmp_path), lines.append)
    assert "going on in epoch 2" in lines
    found, expected = (load_file(out / "weights.safetensors") for out in (tmp_path, run.out))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_weights_for_other_classes_are_no_beginning(tmp_path: Path) -> None:
    write_weights(ENet(classes=5), tmp_path / "five.safetensors")
    task = EnetTask(tiny(tmp_path))
    with pytest.raises(
        ModelError, match=r"'fullconv.weight' is 16x5x3x3 there, and 16x11x3x3 in enet; .* init$"
    ):
        task.begin_from(task.network(), tmp_path / "five.safetensors")


def test_a_finished_run_trains_no_more(run: TrainConfig) -> None:
    before = (run.out / "last.pt").read_bytes()
    train(run)
    assert (run.out / "last.pt").read_bytes() == before


def test_resuming_with_other_settings_is_refused(run: TrainConfig) -> None:
    with pytest.raises(UsageError, match=r"other settings \(rate: 0.002 then, 0.1 now\)"):
        train(replace(run, rate=0.1))


def test_weights_to_begin_with_are_taken(run: TrainConfig, tmp_path: Path) -> None:
    weights = run.out / "weights.safetensors"
    train(tiny(tmp_path, init=weights, rate=1e-9, epochs=1))
    found, expected = load_file(tmp_path / "weights.safetensors"), load_file(weights)
    torch.testing.assert_close(found["fullconv.weight"], expected["fullconv.weight"])
    with pytest.raises(ModelError, match="cannot be read"):
        train(tiny(tmp_path / "other", init=tmp_path / "none.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "nothing to train on"),
        ({"size": (60, 48)}, "multiples of 8"),
        ({"size": (0, 8)}, "multiples of 8"),
        ({"scale": (2.0, 1.0)}, "no range"),
        ({"scale": (0.0, 1.0)}, "no range"),
        ({"scale": (0.5, float("inf"))}, "no range"),
        ({"seed": -1}, "seed -1: a number from 0"),
        ({"until": 0}, "until 0"),
        ({"workers": -1}, "workers -1"),
        ({"dropout": (0.0, 2.0)}, "dropout 2"),
        ({"matrix_rate": float("inf")}, "matrix_rate inf"),
        ({"warm_up": float("nan")}, "warm_up nan"),
        ({"lovasz": -1.0}, "lovasz -1"),
        ({"decay": -1.0}, "decay -1"),
        ({"device": "gpu"}, "device 'gpu' is not auto, cpu, cuda"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch": -1}, "batch -1"),
        ({"rate": 0.0}, "rate 0"),
        ({"rate": float("nan")}, "rate nan"),
        ({"weight_offset": 1.0}, "weight_offset 1"),
        ({"average": 1.0}, "average"),
        ({"growth": ((0.7, 64, 48, 0.5, 1), (0.3, 96, 64, 0.5, 1))}, "rising order"),
        ({"growth": ((1.0, 64, 48, 0.5, 1),)}, "between 0 and 1"),
        ({"growth": ((0.5, 65, 48, 0.5, 1),)}, "size 65x48"),
        ({"night": 1.5}, "night 1.5: a number from 0 to 1"),
        ({"optimiser": "muo"}, "did you mean 'muon'"),
        ({"class_set": "camvidd"}, "did you mean 'camvid'"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny(Path("out"), **changes)


def test_the_command_holds_what_was_changed() -> None:
    config = TrainConfig(
        data=("camvid:a dir", STREET), out=Path("out"), size=(64, 48), compiled=True, seed=3, scale=(1, 2)
    )
    assert config.command() == (
        f"keywarp train enet --data 'camvid:a dir' --data {STREET} --out out --size 64x48 "
        "--epochs 40 --seed 3 --set 'scale=[1,2]' --set compiled=true"
    )


def test_the_command_makes_the_same_settings() -> None:
    config = TrainConfig(
        data=(STREET,), out=Path("a b"), size=(64, 48), licence="CC BY-NC: not for sale", until=3,
        check=(STREET, "camvid:x"), growth=((0.5, 32, 24, 0.5, 1.0),), init=Path("w.pt"), optimiser="adamw",
    )  # fmt: skip
    _, _, _, *words = shlex.split(config.command())
    given = dict(zip(words[::2], words[1::2], strict=True))
    assigned = [words[i + 1].partition("=") for i, word in enumerate(words) if word == "--set"]
    settings = {name: yaml.safe_load(value) for name, _, value in assigned}
    settings |= {"network": "enet", "data": [given["--data"]], "out": given["--out"], "size": given["--size"]}
    assert training_config({**settings, "epochs": 40, "seed": 0}) == config


def test_a_date_is_a_seed(tmp_path: Path) -> None:
    train(tiny(tmp_path, seed=20261121, epochs=1))
    assert read_card(tmp_path / "card.json").provenance.seed == 20261121


def test_a_run_is_not_taken_up_with_other_data(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    for place in (folder, tmp_path / "train_labels"):
        place.mkdir()
        for i in range(4):
            cv2.imwrite(str(place / f"{i}.png"), np.full((48, 64), i, np.uint8))
    config = tiny(tmp_path / "run", data=(f"camvid:{folder}",), until=1, check=())
    train(config)
    cv2.imwrite(str(tmp_path / "train_labels" / "0.png"), np.full((48, 64), 5, np.uint8))
    with pytest.raises(UsageError, match=r"other settings \(samples: '4, "):
        train(replace(config, until=2))


def test_other_scores_may_be_asked_of_a_run(tmp_path: Path) -> None:
    other = "street:seed=8,length=1,size=64x48"
    train(tiny(tmp_path, until=1, check_every=1))
    train(tiny(tmp_path, check=(other,), check_every=5))
    assert set(read_card(tmp_path / "card.json").provenance.accuracy) == {other}
    train(tiny(tmp_path, licence="mine"))
    provenance = read_card(tmp_path / "card.json").provenance
    assert provenance.licence == "mine"
    assert len(provenance.accuracy) == 1


def test_a_folder_takes_one_run_at_a_time(tmp_path: Path) -> None:
    messages: list[str] = []

    def again(_: str) -> None:
        try:
            train(tiny(tmp_path))
        except UsageError as error:
            messages.append(str(error))

    train(tiny(tmp_path, until=1), again)
    assert messages
    assert all("another run is writing" in message for message in messages)


def test_a_folder_that_cannot_be_written_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="'/proc/x' cannot be written"):
        train(tiny(Path("/proc/x")))


def test_pictures_without_a_class_change_nothing(tmp_path: Path) -> None:
    bgr, void = np.zeros((48, 64, 3), np.uint8), np.full((48, 64), VOID, np.uint8)
    with pytest.raises(UsageError, match="all labels are void"):
        EnetTask(tiny(tmp_path)).prepare([Sample(bgr, void)])
    scores = torch.zeros(1, 11, 4, 4, requires_grad=True)
    truth = torch.full((1, 4, 4), VOID)
    assert segmentation_loss(scores, truth, torch.ones(11), lovasz=1, stride=3, start=(0, 0)).item() == 0


def sample() -> Sample:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 11, (48, 64), dtype=np.uint8)
    return Sample(CAMVID.palette_bgr()[labels], labels)


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 samples do not fill a batch of 4"):
        Trainer(ENet(), EnetTask(tiny(tmp_path)), [sample()], tiny(tmp_path))


def test_augmentation_moves_picture_and_labels_alike() -> None:
    for seed in range(8):
        changed = NO_CHANGE.apply(sample(), (96, 40), np.random.default_rng(seed))
        assert changed.bgr.shape == (40, 96, 3)
        assert changed.labels.shape == (40, 96)
        known = changed.labels != VOID
        assert known.sum() == 40 * 64  # padded at the sides, cut above or below
        same = changed.bgr[known] == CAMVID.palette_bgr()[changed.labels[known]]
        assert same.all()


def test_augmentation_scales() -> None:
    shrunk = replace(NO_CHANGE, scale=(0.5, 0.5)).apply(sample(), (64, 48), np.random.default_rng(0))
    assert (shrunk.labels != VOID).sum() == pytest.approx(64 * 48 / 4, rel=0.05)


def test_augmentation_depends_on_the_generator_alone() -> None:
    one, two, other = (
        Augmentation().apply(sample(), (64, 48), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.bgr, two.bgr)
    assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.bgr, other.bgr)


def test_rare_classes_weigh_more() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[0, 0] = 1
    weights = class_weights([labels], 2, 1.02)
    assert weights[1] > weights[0] > 0
    assert weights.mean() == pytest.approx(1)


def test_rate_warms_up_and_falls() -> None:
    rates = [rate_factor(epoch, 1, 10) for epoch in (0, 1, 5.5, 10)]
    assert rates == pytest.approx([0.05, 1, 0.505, 0.01])


def test_the_mean_moves_towards_the_weights() -> None:
    one, two = ENet(), ENet()
    start, goal = one.fullconv.weight.clone(), two.fullconv.weight
    move_towards(one, two, 0.75)
    torch.testing.assert_close(one.fullconv.weight, 0.75 * start + 0.25 * goal)
