"""What a training run is told."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.models.labels import CLASS_SETS

OPTIONS = ("network", "data", "out", "size", "epochs", "seed")
"""Settings with an option or argument of their own on the command line; the others are given by ``--set``."""
OPTIMISERS = ("muon", "adamw")
DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")
_ON_PAIRS = ("flow", "dff")
_PICTURES, _PAIRS = "camvid:DIR", "shapes:DIR"
# Smallest and largest value of every number, both included.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000), "seed": (0, 2**63 - 1), "batch": (1, 65_536), "until": (1, 100_000),
    "scale": (0.01, 100), "shade": (0, 1), "blur": (0, 1), "noise": (0, 1), "jpeg": (0, 1), "night": (0, 1),
    "rain": (0, 1),
    "rate": (1e-12, 10), "matrix_rate": (1e-12, 10), "warm_up": (0, 100_000), "decay": (0, 1),
    "dropout": (0, 1), "average": (0, 0.999999), "weight_offset": (1.000001, 1000), "lovasz": (0, 1000),
    "flow_weight": (0, 1000),
    "check_every": (1, 100_000), "pictures": (0, 100), "threads": (1, 1024), "workers": (0, 1024),
    "save_every_s": (0, 1e9),
}  # fmt: skip
_NOT_OF_THE_RESULT = (
    "out",
    "check",
    "check_every",
    "until",
    "licence",
    "save_every_s",
    "workers",
    "pictures",
)


class Part(NamedTuple):
    """What is cut out of pictures: ``width`` x ``height`` pixels, after scaling them by ``low`` to ``high``."""

    width: int
    height: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of one training run. Raises UsageError for values that cannot work.

    data: data sets to train on, see :func:`keywarp.models.training.dataset.load_data`, or for ``train flow`` and
        ``train dff`` :func:`keywarp.models.training.pairs.load_pairs`.
    out: folder for everything that the run writes.
    network: its name. class_set: what it tells apart.
    check: data sets to score on, never trained on; every ``check_every`` epochs and at the end; ``pictures`` of
        the first are drawn each time.
    size: (width, height) of the parts of pictures trained on, in pixels, multiples of 8.
    scale: smallest and largest factor that pictures are scaled by before a part is cut out.
    growth: smaller parts to begin with, each (share of the epochs done, width, height, low, high): until that
        share of the epochs is done, parts have that size, scaled by ``low`` to ``high``.
    shade: share of samples with a hard shadow cast over them. blur, noise, jpeg, night, rain: shares of samples
        that are made worse so.
    init: weights to begin with, such as those of an earlier run (None: random).
    optimiser: ``muon`` for the matrices and AdamW for the rest, or ``adamw`` for all.
    rate, matrix_rate: the highest learning rates, of AdamW and of Muon. warm_up: the epochs it takes to reach them.
    decay: weight decay. dropout: the network's. average: decay of the running mean of weights, per step.
    weight_offset: see :func:`keywarp.models.training.losses.class_weights`.
    lovasz: weight of the Lovász loss beside the cross entropy; 0 for none.
    flownet: for ``train flow`` and ``train dff``, which flow network is trained.
    model: for ``train dff``, whose features are propagated, and who teaches on frames without labels. frozen:
        whether its feature network stays as it is. flow_weight: of the flow's own error beside the task's loss, on
        pairs whose flow is known.
    licence: what the card says of the weights' licence, which the data's licences decide.
    until: stop after this epoch, as an interruption would; the next call goes on (None: to the end).
    compiled: whether torch compiles the network (a minute at the start, then a quarter faster).
    device: ``cpu``, ``cuda``, or ``auto``: CUDA where there is one. On CUDA the network runs in bfloat16.
    threads: of the CPU. workers: threads beside them that change samples; 0 for none, None: none on a CPU.
    save_every_s: a checkpoint is written whenever so many seconds have passed, and after each epoch.
    """

    data: tuple[str, ...]
    out: Path
    network: str = "enet"
    size: tuple[int, int] = (480, 360)
    epochs: int = 40
    seed: int = 0
    check: tuple[str, ...] = ()
    batch: int = 8
    scale: tuple[float, float] = (0.5, 1.5)
    growth: tuple[tuple[float, int, int, float, float], ...] = ()
    shade: float = 0.0
    blur: float = 0.1
    noise: float = 0.05
    jpeg: float = 0.1
    night: float = 0.05
    rain: float = 0.05
    init: Path | None = None
    optimiser: str = "muon"
    rate: float = 2e-3
    matrix_rate: float = 0.02
    warm_up: float = 1.0
    decay: float = 1e-2
    dropout: tuple[float, float] = (0.01, 0.1)
    average: float = 0.99
    weight_offset: float = 1.05
    lovasz: float = 1.0
    class_set: str = "camvid"
    flownet: str = "flownet-inception"
    model: str = "enet"
    frozen: bool = True
    flow_weight: float = 0.0
    check_every: int = 5
    pictures: int = 4
    threads: int = 2
    workers: int | None = None
    device: str = "auto"
    licence: str = "that of the data"
    until: int | None = None
    compiled: bool = False
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.data:
            example = _PAIRS if self.network in _ON_PAIRS else _PICTURES
            raise UsageError(f"nothing to train on; name a data set, such as --data {example}")
        if self.class_set not in CLASS_SETS:
            raise unknown_name("class set", self.class_set, CLASS_SETS)
        if self.optimiser not in OPTIMISERS:
            raise unknown_name("optimiser", self.optimiser, OPTIMISERS)
        if not DEVICES.fullmatch(self.device):
            raise UsageError(f"device '{self.device}' is not auto, cpu, cuda or cuda:NUMBER")
        for part in self.parts:
            _check_part(part)
        self._check_growth()
        self._check_numbers()

    def _check_growth(self) -> None:
        shares = [stage[0] for stage in self.growth]
        if shares != sorted(shares) or any(not 0 < share < 1 for share in shares):
            raise UsageError(f"growth has shares {shares}: between 0 and 1, in rising order, are meant")

    def _check_numbers(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not (math.isfinite(number) and low <= number <= high):
                    raise UsageError(f"{name} {number}: a number from {low:g} to {high:g} is meant")

    @property
    def last_epoch(self) -> int:
        """The epoch after which this call stops."""
        return self.epochs if self.until is None else min(self.epochs, self.until)

    def part(self, epoch: int) -> Part:
        """What is cut out of pictures in an epoch, counted from 0."""
        for share, *part in self.growth:
            if epoch < share * self.epochs:
                return Part(*part)  # type: ignore[arg-type]
        return Part(*self.size, *self.scale)

    @property
    def parts(self) -> list[Part]:
        """All that :meth:`part` may be, in order."""
        return [*(Part(*stage[1:]) for stage in self.growth), Part(*self.size, *self.scale)]

    def command(self) -> str:
        """The command line that starts this run, with the settings that differ from the usual ones."""
        words = ["keywarp", "train", self.network]
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
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in _NOT_OF_THE_RESULT
        }


def _check_part(part: Part) -> None:
    if any(side < 8 or side % 8 for side in part[:2]):
        raise UsageError(f"size {part.width}x{part.height}: width and height have to be multiples of 8")
    low, high = _RANGES["scale"]
    if not low <= part.low <= part.high <= high:
        raise UsageError(f"scale {part.low} to {part.high} is no range of factors from {low:g} to {high:g}")


def _as_yaml(value: Any) -> str:
    """A value as YAML reads it back."""
    if isinstance(value, tuple):
        return "[" + ",".join(map(_as_yaml, value)) + "]"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)
