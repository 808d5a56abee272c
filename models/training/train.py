"""``train``: what ``keywarp train NETWORK`` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from keywarp.engines.errors import UsageError, unknown_name

from .config import TrainConfig
from .dff import DffTask
from .flow import FlowTask
from .memory import check_step
from .output import CHECKPOINT, save, write_run
from .segmentation import EnetTask
from .task import Task
from .trainer import Trainer

Log = Callable[[str], None]
TASKS: dict[str, type[Task[Any]]] = {"enet": EnetTask, "flow": FlowTask, "dff": DffTask}
"""What teaches each network."""
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
_LOCK = ".lock"


def train(config: TrainConfig, log: Log = lambda _: None) -> Path:
    """Train a network and return the folder with what came of it: ``config.out``.

    It holds ``weights.safetensors`` (fp16), ``card.json``, ``log.csv`` and ``check.jpg``, written anew after every
    epoch or check, and ``last.pt``, from which the same call goes on after an interruption. Raises UsageError for
    settings or data that cannot work or that memory does not suffice for, and for a folder that cannot be written
    or that another run writes to; ModelError for weights in ``config.init`` that cannot be read or are of another
    network.
    """
    if config.network not in TASKS:
        raise unknown_name("network", config.network, TASKS)
    torch.set_num_threads(config.threads)
    with _claimed(config.out):
        try:
            return _train(TASKS[config.network](config), log)
        except (MemoryError, RuntimeError) as error:
            explained = _explained(error, config)
            if explained is None:
                raise
            raise explained from error


def _explained(error: Exception, config: TrainConfig) -> UsageError | None:
    """What a failure inside torch means to the user; None where it is not theirs."""
    if isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY):
        width, height = config.size
        return UsageError(
            f"too little memory for batches of {config.batch} pictures of {width}x{height}; lower batch or size"
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return UsageError(
            f"torch cannot compile the network here ({type(error).__name__}); install a C++ compiler (g++), "
            "or use --set compiled=false"
        )
    return None


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """The folder of a run, made, and held for one process at a time where the system can do that."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK).open("ab")
    except OSError as error:
        raise UsageError(
            f"'{out}' cannot be written: {error.strerror}; name another folder with --out"
        ) from error
    with lock:
        if not _locked(lock.fileno()):
            raise UsageError(
                f"another run is writing to '{out}'; wait for it, or name another folder with --out"
            )
        try:
            yield
        finally:
            if not (out / CHECKPOINT).exists():  # nothing came of it: leave nothing behind
                (out / _LOCK).unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    """Whether this process now holds the lock; it ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _train(task: Task[Any], log: Log) -> Path:
    config = task.config
    samples = [sample for spec in config.data for sample in task.load(spec)]
    checks = {spec: task.load(spec) for spec in config.check}
    log(f"{len(samples)} samples to train on, {sum(map(len, checks.values()))} to score on")
    network = _network(task)
    trainer = Trainer(network, task, samples, config)
    check_step(task, network, trainer.device)
    if trainer.resume(config.out / CHECKPOINT):
        finished = trainer.epoch >= config.last_epoch
        log(f"finished after epoch {trainer.epoch}" if finished else f"going on in epoch {trainer.epoch + 1}")
        if finished:
            _renew(trainer, checks, log)
    while trainer.epoch < config.last_epoch:
        row = trainer.run_epoch(lambda: save(trainer), log)
        log(_line(row | _check(trainer, checks)))
        write_run(trainer)
        save(trainer)
    return config.out


def _renew(trainer: Trainer[Any], checks: dict[str, Sequence[Any]], log: Log) -> None:
    """Write a finished run's files again: the card may be asked for another licence or other scores."""
    if any(not any(key.startswith(f"{name} ") for key in trainer.rows[-1]) for name in checks):
        log(_line(_check(trainer, checks)))
    write_run(trainer)


def _network(task: Task[Any]) -> nn.Module:
    torch.manual_seed(task.config.seed)
    network = task.network()
    if task.config.init is not None:
        task.begin_from(network, task.config.init)
    return network


def _check(trainer: Trainer[Any], checks: dict[str, Sequence[Any]]) -> dict[str, float]:
    """Score and draw, if it is time for it; the figures also go into the epoch's row."""
    config = trainer.config
    if trainer.epoch % config.check_every and trainer.epoch < config.last_epoch:
        return {}
    found = trainer.check(checks)
    trainer.rows[-1].update(found)
    for samples in list(checks.values())[:1]:
        chosen = samples[:: max(1, len(samples) // max(1, config.pictures))][: config.pictures]
        if chosen:
            cv2.imwrite(str(config.out / "check.jpg"), trainer.task.picture(trainer.averaged, chosen))
    return found


def _line(row: dict[str, float]) -> str:
    return " · ".join(f"{name} {value:.4g}" for name, value in row.items())
