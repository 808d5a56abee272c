"""What a training run is told."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.models.labels import CLASS_SETS

OPTIONS = ("data", "out", "size", "epochs", "seed")
"""Settings with an option of their own on the command line; the others are given by ``--set``."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of one training run. Raises UsageError for values that cannot work.

    data: data sets to train on, see :func:`keywarp.models.training.dataset.load_data`.
    out: folder for everything that the run writes.
    check: data sets to score on, never trained on; every ``check_every`` epochs and at the end.
    size: (width, height) of the parts of pictures trained on, in pixels, multiples of 8.
    scale: smallest and largest factor that pictures are scaled by before a part is cut out.
    init: weights to begin with, such as those of an earlier run (None: random).
    rate, warm_up: the highest learning rate; the epochs it takes to reach it.
    decay: weight decay. dropout: see ENet. average: decay of the running mean of weights, per step.
    weight_offset: see :func:`keywarp.models.training.train.class_weights`.
    licence: what the card says of the weights' licence, which the data's licences decide.
    until: stop after this epoch, as an interruption would; the next call goes on (None: to the end).
    compiled: whether torch compiles the training step (minutes at the start, then a quarter faster).
    """

    data: tuple[str, ...]
    out: Path
    size: tuple[int, int] = (480, 360)
    epochs: int = 40
    seed: int = 0
    check: tuple[str, ...] = ()
    batch: int = 8
    scale: tuple[float, float] = (0.5, 1.5)
    init: Path | None = None
    rate: float = 2e-3
    warm_up: float = 1.0
    decay: float = 1e-2
    dropout: tuple[float, float] = (0.01, 0.1)
    average: float = 0.99
    weight_offset: float = 1.05
    class_set: str = "camvid"
    check_every: int = 5
    threads: int = 2
    licence: str = "that of the data"
    until: int | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        if not self.data:
            raise UsageError("nothing to train on; name a data set, such as --data camvid:DIR")
        if self.class_set not in CLASS_SETS:
            raise unknown_name("class set", self.class_set, CLASS_SETS)
        if any(side < 8 or side % 8 for side in self.size):
            raise UsageError(
                f"size {self.size[0]}x{self.size[1]}: width and height have to be multiples of 8"
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UsageError(f"scale {self.scale[0]} to {self.scale[1]} is no range of factors")
        self._check_counts()

    def _check_counts(self) -> None:
        for name in ("epochs", "batch", "check_every", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}: at least 1 is meant")
        if not (self.rate > 0 and self.weight_offset > 1 and 0 <= self.average < 1):
            raise UsageError(
                f"rate {self.rate} has to be over 0, weight offset {self.weight_offset} over 1, "
                f"average {self.average} in 0 to 1"
            )

    @property
    def last_epoch(self) -> int:
        """The epoch after which this call stops."""
        return self.epochs if self.until is None else min(self.epochs, self.until)

    def command(self) -> str:
        """The command line that starts this run, with the settings that differ from the usual ones."""
        words = ["keywarp", "train", "enet"]
        for spec in self.data:
            words += ["--data", spec]
        words += ["--out", str(self.out), "--size", f"{self.size[0]}x{self.size[1]}"]
        words += ["--epochs", str(self.epochs), "--seed", str(self.seed)]
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name not in OPTIONS and value != setting.default:
                words += ["--set", f"{setting.name}={_as_yaml(value)}"]
        return shlex.join(words)

    def identity(self) -> dict[str, Any]:
        """All that the result depends on, in types that a checkpoint can hold."""
        skipped = {"out", "check", "check_every", "until", "licence"}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in skipped
        }


def _as_yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(_as_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
