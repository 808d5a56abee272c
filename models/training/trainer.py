"""The training loop of segmentation networks: resumable, the same result each time it is run.

Every random choice comes from the seed, the epoch and the place in it, so a run that was stopped after an
epoch and resumed is the run that was not. Equal results need the same kind of processor, the same
versions of packages and the same number of threads, which decide the order that sums are taken in.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from keywarp.engines.errors import UsageError
from keywarp.models.labels import VOID
from keywarp.models.metrics import confusion, scores
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.normalise import normalise

from .augment import Augmentation
from .config import TrainConfig
from .dataset import Sample

Row = dict[str, float]
LARGEST_GRADIENT = 5.0
STEPS_PER_LINE = 20


class Trainer:
    """A network, its optimiser and the running mean of its weights, moved on epoch by epoch.

    ``averaged`` is the network whose weights are the running mean: the one to keep. ``rows`` has a row of
    figures for each finished epoch. Raises UsageError if the samples do not fill one batch.
    """

    def __init__(self, network: ENet, samples: Sequence[Sample], config: TrainConfig) -> None:
        if len(samples) < config.batch:
            raise UsageError(f"{len(samples)} samples do not fill a batch of {config.batch}; lower --batch")
        # the faster layout of each way of running
        self._layout = torch.contiguous_format if config.compiled else torch.channels_last
        self.config = config
        self.network: ENet = network.to(memory_format=self._layout).train()  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval()
        self.epoch = 0
        self.rows: list[Row] = []
        self._samples = samples
        self._weights = class_weights(samples, network.classes, config.weight_offset)
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
        self._loss: Callable[[Tensor, Tensor], Tensor] = self._plain_loss
        if config.compiled:
            self._loss = torch.compile(self._plain_loss)

    def run_epoch(self, log: Callable[[str], None] = lambda _: None) -> Row:
        """One pass over all samples; the epoch's row of figures, to which others may be added."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.epoch)
        start_s, losses = time.monotonic(), list[float]()
        steps = len(self._samples) // self.config.batch
        for images, labels in self._batches():
            rate = self._set_rate(self.epoch + len(losses) / steps)
            losses.append(self._step(images, labels))
            if len(losses) % STEPS_PER_LINE == 0:
                left_s = (time.monotonic() - start_s) / len(losses) * (steps - len(losses))
                at = f"epoch {self.epoch + 1}/{self.config.epochs} step {len(losses)}/{steps}"
                log(f"{at} loss {losses[-1]:.3f}, {left_s:.0f} s left in this epoch")
        self.epoch += 1
        seconds = time.monotonic() - start_s
        self.rows.append(
            {
                "epoch": self.epoch,
                "loss": float(np.mean(losses)),
                "rate": rate,
                "seconds": seconds,
                "minutes left": seconds / 60 * (self.config.last_epoch - self.epoch),
            }
        )
        return self.rows[-1]

    def check(self, checks: dict[str, list[Sample]]) -> Row:
        """``miou`` and ``accuracy`` of the averaged network on each named data set."""
        return {
            f"{name} {key}": value
            for name, samples in checks.items()
            for key, value in evaluate(self.averaged, samples).items()
        }

    def save(self, path: Path) -> None:
        """Write everything that :meth:`resume` needs, all of it or nothing."""
        state = {
            "settings": self.config.identity(),
            "epoch": self.epoch,
            "rows": self.rows,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> bool:
        """Go on from a file of :meth:`save`; whether there is one."""
        if not path.is_file():
            return False
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["settings"] != self.config.identity():
            raise UsageError(
                f"'{path}' is of a run with other settings; name another folder with --out, or remove it"
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.rows = state["epoch"], state["rows"]
        return True

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples, changed at random, in a random order; what fills no batch waits an epoch."""
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self._samples))
        for first in range(0, len(order) - self.config.batch + 1, self.config.batch):
            chosen = [self._changed(int(i)) for i in order[first : first + self.config.batch]]
            images = normalise(torch.from_numpy(np.stack([s.bgr for s in chosen])))
            labels = torch.from_numpy(np.stack([s.labels for s in chosen])).long()
            yield images.contiguous(memory_format=self._layout), labels

    def _changed(self, index: int) -> Sample:
        rng = np.random.default_rng([self.config.seed, self.epoch, index])
        augmentation = Augmentation(scale=self.config.scale)
        return augmentation.apply(self._samples[index], self.config.size, rng)

    def _plain_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.network(images), labels, self._weights, ignore_index=VOID)

    def _step(self, images: Tensor, labels: Tensor) -> float:
        loss = self._loss(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        move_towards(self.averaged, self.network, self.config.average)
        return float(loss.detach())

    def _set_rate(self, epoch: float) -> float:
        rate = self.config.rate * rate_factor(epoch, self.config.warm_up, self.config.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate


def rate_factor(epoch: float, warm_up: float, epochs: int) -> float:
    """The learning rate as a share of the highest: a warm-up, then half a cosine to a hundredth."""
    if epoch < warm_up:
        return 0.05 + 0.95 * epoch / warm_up
    done = (epoch - warm_up) / max(epochs - warm_up, 1e-9)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def class_weights(samples: Sequence[Sample], classes: int, offset: float) -> Tensor:
    """(classes,): 1 / ln(offset + share of the class), the mean over classes 1.

    Paszke et al. (2016), section 5.1, have offset 1.02; a larger one favours rare classes less.
    """
    counts = np.zeros(classes, np.int64)
    for sample in samples:
        counts += np.bincount(sample.labels.ravel(), minlength=256)[:classes]
    weights = 1 / np.log(offset + counts / max(1, int(counts.sum())))
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
def evaluate(network: ENet, samples: Sequence[Sample]) -> dict[str, float]:
    """Scores of a network in eval mode over samples at their own size."""
    counts = np.zeros((network.classes, network.classes), np.int64)
    for sample in samples:
        image = normalise(torch.from_numpy(sample.bgr)[None])
        labels = network(image).argmax(1)[0].to(torch.uint8).numpy()
        counts += confusion(sample.labels, labels, network.classes)
    return scores(counts)
