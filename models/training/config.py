"""What a training run is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keywarp.engines.errors import UsageError, unknown_name

from ..labels import CLASS_SETS


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
    compiled: whether torch compiles the training step (minutes at the start, then a quarter faster).
    """

    data: tuple[str, ...]
    out: Path
    check: tuple[str, ...] = ()
    size: tuple[int, int] = (480, 360)
    epochs: int = 100
    batch: int = 8
    seed: int = 0
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
        if self.rate <= 0 or self.weight_offset <= 1 or not 0 <= self.average < 1:
            raise UsageError(
                f"rate {self.rate} has to be over 0, weight offset {self.weight_offset} over 1, "
                f"average {self.average} in 0 to 1"
            )

    def identity(self) -> dict[str, Any]:
        """All that the result depends on, in types that a checkpoint can hold."""
        skipped = {"out", "check", "check_every"}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in skipped
        }
