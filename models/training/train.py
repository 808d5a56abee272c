"""``train_enet``: what ``keywarp train enet`` calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from keywarp.models.labels import CLASS_SETS
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.files import read_weights, write_weights

from .card import enet_card, provenance_of
from .config import TrainConfig
from .dataset import Sample, load_data
from .log import write_log
from .trainer import Trainer

Log = Callable[[str], None]


def train_enet(config: TrainConfig, log: Log = lambda _: None) -> Path:
    """Train ENet and return the folder with what came of it: ``config.out``.

    It holds ``weights.safetensors`` (fp16), ``card.json``, ``log.csv`` and ``last.pt``, all written anew after
    every epoch; the same call goes on from ``last.pt`` after an interruption. Raises UsageError for
    settings or data that cannot work, ModelError for weights in ``config.init`` that cannot be read.
    """
    torch.set_num_threads(config.threads)
    classes = CLASS_SETS[config.class_set]
    samples = [sample for spec in config.data for sample in load_data(spec, classes)]
    checks = {spec: load_data(spec, classes) for spec in config.check}
    log(f"{len(samples)} samples to train on, {sum(map(len, checks.values()))} to score on")
    trainer = Trainer(_network(config, len(classes)), samples, config)
    config.out.mkdir(parents=True, exist_ok=True)
    if trainer.resume(config.out / "last.pt"):
        log(f"going on after epoch {trainer.epoch}")
    while trainer.epoch < config.last_epoch:
        log(_line(_epoch(trainer, checks, log)))
        _write(trainer, config)
    return config.out


def _network(config: TrainConfig, classes: int) -> ENet:
    torch.manual_seed(config.seed)
    network = ENet(classes=classes, dropout=config.dropout)
    if config.init is not None:
        network.load_state_dict(read_weights(config.init), strict=False)
    return network


def _epoch(trainer: Trainer, checks: dict[str, list[Sample]], log: Log) -> dict[str, float]:
    row = trainer.run_epoch(log)
    config = trainer.config
    if trainer.epoch % config.check_every == 0 or trainer.epoch == config.last_epoch:
        row.update(trainer.check(checks))
    return row


def _write(trainer: Trainer, config: TrainConfig) -> None:
    """Write all files of the run as they are after this epoch."""
    weights = config.out / "weights.safetensors"
    trainer.save(config.out / "last.pt")
    write_weights(trainer.averaged, weights)
    write_log(trainer.rows, config.out / "log.csv")
    card = enet_card(
        trainer.averaged,
        config.out.name,
        {"weights": weights},
        provenance_of(config, trainer.rows),
        CLASS_SETS[config.class_set],
        config.size,
    )
    (config.out / "card.json").write_text(card.to_json())


def _line(row: dict[str, float]) -> str:
    return " · ".join(f"{name} {value:.4g}" for name, value in row.items())
