"""The files of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from keywarp.engines.errors import UsageError
from keywarp.models.networks.files import write_weights

from .card import provenance_of
from .log import write_log
from .trainer import Trainer

CHECKPOINT = "last.pt"
WEIGHTS = "weights.safetensors"


def save(trainer: Trainer[Any]) -> None:
    """Write the checkpoint. Raises UsageError where it cannot be written; the one before it stays."""
    with _writing(trainer.config.out):
        trainer.save(trainer.config.out / CHECKPOINT)


def write_run(trainer: Trainer[Any]) -> None:
    """Write all other files of the run as they are after an epoch.

    They come before the epoch's checkpoint: until that is whole, a run that is taken up does the epoch's end again
    and writes them all again.
    """
    config = trainer.config
    weights = config.out / WEIGHTS
    with _writing(config.out):
        files = {"weights": weights}
        for part, network in trainer.task.parts(trainer.averaged).items():
            files[part] = weights if part == "weights" else config.out / f"{part}.safetensors"
            write_weights(network, files[part])
        write_log(trainer.rows, config.out / "log.csv")
        provenance = provenance_of(config, trainer.rows, trainer.task.loss_in_words)
        name = config.out.resolve().name or config.network
        card = trainer.task.card(trainer.averaged, name, files, provenance)
        (config.out / "card.json").write_text(card.to_json())
        for part, further in trainer.task.further_cards(trainer.averaged, name, files, provenance).items():
            (config.out / f"{part}.json").write_text(further.to_json())


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"'{out}' cannot be written: {error}; make room, and give the same command again"
        ) from error
