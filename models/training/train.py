"""``train``: what ``keywarp train NETWORK`` calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from keywarp.engines.errors import ModelError, UsageError, unknown_name
from keywarp.models.networks.files import read_weights, write_weights

from .card import provenance_of
from .config import TrainConfig
from .log import write_log
from .memory import check_step
from .segmentation import Segmentation
from .task import Task
from .trainer import Trainer

Log = Callable[[str], None]
TASKS: dict[str, type[Task[Any]]] = {"enet": Segmentation}
"""What teaches each network."""
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


def train(config: TrainConfig, log: Log = lambda _: None) -> Path:
    """Train a network and return the folder with what came of it: ``config.out``.

    It holds ``weights.safetensors`` (fp16), ``card.json``, ``log.csv`` and ``check.jpg``, written anew after every
    epoch or check, and ``last.pt``, from which the same call goes on after an interruption. Raises UsageError for
    settings or data that cannot work or that memory does not suffice for, ModelError for weights in
    ``config.init`` that cannot be read or are of another network.
    """
    if config.network not in TASKS:
        raise unknown_name("network", config.network, TASKS)
    torch.set_num_threads(config.threads)
    try:
        return _train(TASKS[config.network](config), log)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        width, height = config.size
        raise UsageError(
            f"too little memory for batches of {config.batch} pictures of {width}x{height}; lower batch or size"
        ) from error


def _train(task: Task[Any], log: Log) -> Path:
    config = task.config
    samples = [sample for spec in config.data for sample in task.load(spec)]
    checks = {spec: task.load(spec) for spec in config.check}
    log(f"{len(samples)} samples to train on, {sum(map(len, checks.values()))} to score on")
    network = _network(task)
    trainer = Trainer(network, task, samples, config)
    check_step(network, config, trainer.device)
    config.out.mkdir(parents=True, exist_ok=True)
    last = config.out / "last.pt"
    if trainer.resume(last):
        log(f"going on in epoch {trainer.epoch + 1}")
    while trainer.epoch < config.last_epoch:
        row = trainer.run_epoch(lambda: trainer.save(last), log)
        log(_line(row | _check(trainer, checks)))
        _write(trainer)
    return config.out


def _network(task: Task[Any]) -> nn.Module:
    torch.manual_seed(task.config.seed)
    network = task.network()
    if task.config.init is not None:
        load_into(network, task.config.init, task.config.network)
    return network


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Put weights from a file into a network. Raises ModelError if they are another network's."""
    tensors = read_weights(path)
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ModelError(f"weights '{path}' are not of {name} with these classes: {error}") from error
    wrong = [key for key in missing if not key.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise ModelError(f"weights '{path}' are not of {name}: '{wrong[0]}' is missing or unknown")


def _check(trainer: Trainer[Any], checks: dict[str, Sequence[Any]]) -> dict[str, float]:
    """Score and draw, if it is time for it; the figures also go into the epoch's row."""
    config = trainer.config
    if trainer.epoch % config.check_every and trainer.epoch != config.last_epoch:
        return {}
    found = trainer.check(checks)
    trainer.rows[-1].update(found)
    for samples in list(checks.values())[:1]:
        chosen = samples[:: max(1, len(samples) // max(1, config.pictures))][: config.pictures]
        if chosen:
            cv2.imwrite(str(config.out / "check.jpg"), trainer.task.picture(trainer.averaged, chosen))
    return found


def _write(trainer: Trainer[Any]) -> None:
    """Write all files of the run as they are after this epoch, the checkpoint last: until it is whole, a run that
    is taken up does the epoch's end again and writes them all again."""
    config = trainer.config
    weights = config.out / "weights.safetensors"
    write_weights(trainer.averaged, weights)
    write_log(trainer.rows, config.out / "log.csv")
    provenance = provenance_of(config, trainer.rows)
    card = trainer.task.card(trainer.averaged, config.out.name, {"weights": weights}, provenance)
    (config.out / "card.json").write_text(card.to_json())
    trainer.save(config.out / "last.pt")


def _line(row: dict[str, float]) -> str:
    return " · ".join(f"{name} {value:.4g}" for name, value in row.items())
