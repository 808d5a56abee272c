"""Training of segmentation networks: one loop, resumable, the same result each time it is run.

``train_enet`` is what ``keywarp train enet`` calls. Every random choice comes from the seed, the epoch and
the place in it, so a run that is stopped and resumed at an epoch's end is the run that was not. Equal
results need the same machine type, package versions and number of threads: sums are taken in that order.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from keywarp.engines.errors import UsageError

from ..labels import CAMVID, CLASS_SETS, VOID, ClassSet
from ..metrics import confusion, scores
from ..networks.enet import ENet
from ..networks.normalise import normalise
from .augment import Augmentation
from .config import TrainConfig
from .dataset import Sample, load_data
from .files import read_weights, write_log, write_weights

Log = Callable[[str], None]
Row = dict[str, float]


def train_enet(config: TrainConfig, log: Log = lambda _: None) -> Path:
    """Train ENet and return the folder with what came of it: ``config.out``.

    It holds ``weights.safetensors`` (fp16), ``card.json``, ``log.csv`` and ``last.pt``, from which the same
    call goes on after an interruption. Raises UsageError for a configuration or data that cannot work.
    """
    torch.set_num_threads(config.threads)
    classes = CLASS_SETS[config.class_set]
    samples = [sample for spec in config.data for sample in load_data(spec, classes)]
    checks = {spec: load_data(spec, classes) for spec in config.check}
    torch.manual_seed(config.seed)
    network = ENet(classes=len(classes), dropout=config.dropout)
    if config.init is not None:
        network.load_state_dict(read_weights(config.init), strict=False)
    trainer = Trainer(network, samples, config, classes)
    config.out.mkdir(parents=True, exist_ok=True)
    trainer.resume(config.out / "last.pt", log)
    while trainer.epoch < config.epochs:
        row = trainer.run_epoch(log)
        if trainer.epoch % config.check_every == 0 or trainer.epoch == config.epochs:
            row |= trainer.check(checks)
        trainer.save(config.out / "last.pt", row)
        write_weights(trainer.averaged, config.out / "weights.safetensors")
        write_log(trainer.rows, config.out / "log.csv")
        log(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
    return config.out


class Trainer:
    """A network, its optimiser and the running mean of its weights, moved on epoch by epoch.

    ``averaged`` is the network whose weights are the running mean: the one to keep. ``rows`` has a row of
    figures for each finished epoch.
    """

    def __init__(
        self, network: ENet, samples: Sequence[Sample], config: TrainConfig, classes: ClassSet
    ) -> None:
        if len(samples) < config.batch:
            raise UsageError(f"{len(samples)} samples are fewer than a batch of {config.batch}")
        self.config, self.samples, self.classes = config, samples, classes
        layout = torch.contiguous_format if config.compiled else torch.channels_last
        self._layout = layout  # the faster one of each
        self.network = network.to(memory_format=layout).train()
        self.averaged = copy.deepcopy(network).eval()
        self.epoch, self.rows = 0, list[Row]()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.rate, weight_decay=config.decay
        )
        self._weights = class_weights(samples, len(classes), config.weight_offset)
        self._loss: Callable[[Tensor, Tensor], Tensor] = self._plain_loss
        if config.compiled:
            self._loss = torch.compile(self._plain_loss)

    def _plain_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.network(images), labels, self._weights, ignore_index=VOID)

    def run_epoch(self, log: Log) -> Row:
        """One pass over all samples; the epoch's row of figures."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.epoch)
        start_s, losses = time.monotonic(), list[float]()
        steps = len(self.samples) // self.config.batch
        for images, labels in self._batches():
            rate = self._set_rate(self.epoch + len(losses) / steps)
            losses.append(self._step(images, labels))
            if len(losses) % 20 == 0:
                left_s = (time.monotonic() - start_s) / len(losses) * (steps - len(losses))
                log(f"epoch {self.epoch} step {len(losses)}/{steps} loss {losses[-1]:.3f} {left_s:.0f} s left")
        self.epoch += 1
        seconds = time.monotonic() - start_s
        row = {"epoch": self.epoch, "loss": float(np.mean(losses)), "rate": rate, "seconds": seconds}
        row["minutes_left"] = seconds / 60 * (self.config.epochs - self.epoch)
        self.rows.append(row)
        return row

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Random changes of all samples in a random order; what is left over goes unused this epoch."""
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self.samples))
        for first in range(0, len(order) - self.config.batch + 1, self.config.batch):
            chosen = [self._changed(int(i)) for i in order[first : first + self.config.batch]]
            images = torch.from_numpy(np.stack([s.bgr for s in chosen]))
            labels = torch.from_numpy(np.stack([s.labels for s in chosen]))
            yield normalise(images).contiguous(memory_format=self._layout), labels.long()

    def _changed(self, index: int) -> Sample:
        rng = np.random.default_rng([self.config.seed, self.epoch, index])
        augmentation = Augmentation(scale=self.config.scale)
        return augmentation.apply(self.samples[index], self.config.size, rng)

    def _step(self, images: Tensor, labels: Tensor) -> float:
        loss = self._loss(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        move_towards(self.averaged, self.network, self.config.average)
        return float(loss.detach())

    def _set_rate(self, epoch: float) -> float:
        """Warm-up over the first epochs, then half a cosine down to a hundredth."""
        warm, total = self.config.warm_up, self.config.epochs
        if epoch < warm:
            factor = 0.05 + 0.95 * epoch / warm
        else:
            factor = 0.01 + 0.99 * (1 + math.cos(math.pi * (epoch - warm) / (total - warm))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate * factor
        return self.config.rate * factor

    def check(self, checks: dict[str, list[Sample]]) -> Row:
        """``miou`` and ``accuracy`` of the averaged network on each named data set."""
        return {
            f"{name} {key}": value
            for name, samples in checks.items()
            for key, value in evaluate(self.averaged, samples, len(self.classes)).items()
        }

    def save(self, path: Path, row: Row) -> None:
        """Write the state after an epoch; ``row`` replaces that epoch's row of figures."""
        self.rows[-1] = row
        state = {
            "config": self.config.identity(),
            "epoch": self.epoch,
            "rows": self.rows,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path, log: Log) -> None:
        """Go on from a file of :meth:`save`, if there is one."""
        if not path.is_file():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["config"] != self.config.identity():
            raise UsageError(
                f"'{path}' is of a run with other settings; give another --out, or remove the file"
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.rows = state["epoch"], state["rows"]
        log(f"resumed after epoch {self.epoch}")


def class_weights(samples: Sequence[Sample], classes: int, offset: float) -> Tensor:
    """(classes,): 1 / ln(offset + share of the class), the mean over classes 1.

    Paszke et al. (2016), section 5.1, have offset 1.02; a larger one favours rare classes less.
    """
    counts = sum(np.bincount(s.labels.ravel(), minlength=256)[:classes] for s in samples)
    share = np.asarray(counts, np.float64) / max(1, int(np.sum(counts)))
    weights = 1 / np.log(offset + share)
    return torch.from_numpy(weights / weights.mean()).float()


@torch.no_grad()
def move_towards(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move all weights and statistics of ``averaged`` by 1 - ``decay`` of the way to ``network``'s."""
    pairs = zip(averaged.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


@torch.no_grad()
def evaluate(network: ENet, samples: Sequence[Sample], classes: int) -> dict[str, float]:
    """Scores of a network in eval mode over samples at their own size."""
    counts = np.zeros((classes, classes), np.int64)
    for sample in samples:
        image = normalise(torch.from_numpy(sample.bgr)[None])
        labels = network(image).argmax(1)[0].to(torch.uint8).numpy()
        counts += confusion(sample.labels, labels, classes)
    return scores(counts)
