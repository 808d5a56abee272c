"""The training loop: resumable at any step, the same result each time it is run.

Every random choice comes from the seed, the epoch and the place in it, so a run that was stopped and resumed
is the run that was not. Equal results need the same kind of processor, the same versions of packages and the
same number of threads, which decide the order that sums are taken in. On a GPU sums are taken in no fixed order:
there a resumed run is as good, not equal.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from keywarp.engines.errors import UsageError

from .checkpoint import Checkpoint
from .config import TrainConfig
from .optimise import Optimisers, rate_factor
from .task import Task

S = TypeVar("S")
Row = dict[str, float]
Log = Callable[[str], None]
LARGEST_GRADIENT = 5.0
STEPS_PER_LINE = 20


class Trainer(Generic[S]):
    """A network, its optimisers and the running mean of its weights, moved on epoch by epoch.

    ``averaged`` is the network whose weights are the running mean: the one to keep. ``rows`` has a row of
    figures for each finished epoch. Raises UsageError if the samples do not fill one batch.
    """

    def __init__(self, network: nn.Module, task: Task[S], samples: Sequence[S], config: TrainConfig) -> None:
        if len(samples) < config.batch:
            raise UsageError(f"{len(samples)} samples do not fill a batch of {config.batch}; lower batch")
        self.config = config
        self.task = task
        self.device = torch.device(_device(config.device))
        # The faster layout of each way of running.
        on_cpu_as_written = self.device.type == "cpu" and not config.compiled
        self._layout = torch.channels_last if on_cpu_as_written else torch.contiguous_format
        self.network = network.to(self.device, memory_format=self._layout).train()  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval()
        self.epoch = 0
        self.rows: list[Row] = []
        self._losses: list[float] = []
        self._seconds = 0.0
        self._samples = samples
        self._settings = {
            **config.identity(),
            "device": self.device.type,
            "samples": task.fingerprint(samples),
            "init_crc32": zlib.crc32(config.init.read_bytes()) if config.init else None,
        }
        task.prepare(samples)
        self._optimisers = Optimisers(network, task.last_layers(network), config)
        self._forward = torch.compile(network, dynamic=False) if config.compiled else network

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self._samples) // self.config.batch

    def run_epoch(self, save: Callable[[], None] = lambda: None, log: Log = lambda _: None) -> Row:
        """One pass over all samples, or the rest of one; its row of figures, to which others may be added.

        ``save`` is called between steps, every now and then.
        """
        saved_s = since_s = time.monotonic()
        for inputs, *truth in self._batches(len(self._losses)):
            self._losses.append(self._step(inputs, truth))
            now_s = time.monotonic()
            self._seconds, since_s = self._seconds + now_s - since_s, now_s
            if len(self._losses) % STEPS_PER_LINE == 0:
                log(self._progress())
            if now_s - saved_s > self.config.save_every_s:
                save()
                saved_s = now_s
        return self._finish_epoch()

    def check(self, checks: dict[str, Sequence[S]]) -> Row:
        """The figures of the averaged network on each named data set."""
        return {
            f"{name} {key}": value
            for name, samples in checks.items()
            for key, value in self.task.evaluate(self.averaged, samples).items()
        }

    def save(self, path: Path) -> None:
        """Write everything that :meth:`resume` needs, all of it or nothing."""
        Checkpoint(
            self._settings,
            {
                "epoch": self.epoch,
                "losses": self._losses,
                "seconds": self._seconds,
                "rows": self.rows,
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimisers": self._optimisers.state(),
            },
        ).write(path)

    def resume(self, path: Path) -> bool:
        """Go on from a file of :meth:`save`; whether there is one."""
        if not path.is_file():
            return False
        state = Checkpoint.read(path, self._settings).state
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimisers.restore(state["optimisers"])
        self.epoch, self.rows = state["epoch"], state["rows"]
        self._losses, self._seconds = state["losses"], state["seconds"]
        return True

    def _finish_epoch(self) -> Row:
        self.epoch += 1
        left = sum(self._pixels(epoch) for epoch in range(self.epoch, self.config.last_epoch))
        minutes = self._seconds / 60
        self.rows.append(
            {
                "epoch": self.epoch,
                "loss": float(np.mean(self._losses)),
                "rate": self._factor(self.epoch - 1 / self.steps) * self.config.rate,
                "seconds": self._seconds,
                "minutes left": minutes * left / self._pixels(self.epoch - 1),
            }
        )
        self._losses, self._seconds = [], 0.0
        return self.rows[-1]

    def _pixels(self, epoch: int) -> int:
        part = self.config.part(epoch)
        return part.width * part.height

    def _progress(self) -> str:
        left_s = self._seconds / len(self._losses) * (self.steps - len(self._losses))
        at = f"epoch {self.epoch + 1}/{self.config.epochs} step {len(self._losses)}/{self.steps}"
        return f"{at} loss {self._losses[-1]:.3f}, {left_s:.0f} s left in this epoch"

    def _batches(self, done: int) -> Iterator[tuple[Tensor, ...]]:
        """The batches of this epoch from ``done`` on; samples that fill no batch wait an epoch."""
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self._samples))
        size = self.config.batch
        chosen = [order[i * size : (i + 1) * size] for i in range(done, self.steps)]
        with contextlib.ExitStack() as stack:
            for samples in self._changed(chosen, stack):
                inputs, *truth = self.task.batch(samples)
                yield inputs.to(self.device, memory_format=self._layout), *(t.to(self.device) for t in truth)

    def _changed(self, chosen: Sequence[Any], stack: contextlib.ExitStack) -> Iterator[list[S]]:
        """The samples of each batch, changed; by workers a few batches ahead, if there are any."""
        workers = self._workers()
        if not workers:
            yield from ([self._change(int(i)) for i in batch] for batch in chosen)
            return
        pool = ThreadPoolExecutor(workers, thread_name_prefix="samples")
        stack.callback(pool.shutdown, cancel_futures=True)
        batches = iter(chosen)
        waiting = [[pool.submit(self._change, int(i)) for i in batch] for batch in islice(batches, 4)]
        while waiting:
            yield [future.result() for future in waiting.pop(0)]
            waiting += [[pool.submit(self._change, int(i)) for i in batch] for batch in islice(batches, 1)]

    def _workers(self) -> int:
        if self.config.workers is not None:
            return self.config.workers
        return 0 if self.device.type == "cpu" else min(12, os.cpu_count() or 1)

    def _change(self, index: int) -> S:
        rng = np.random.default_rng([self.config.seed, self.epoch, index])
        return self.task.changed(self._samples[index], self.config.part(self.epoch), rng)

    def _step(self, inputs: Tensor, truth: Sequence[Tensor]) -> float:
        step = len(self._losses)
        torch.manual_seed(((self.config.seed * 1_000_003 + self.epoch) * 1_000_003 + step) % 2**63)
        self._optimisers.set_rates(self._factor(self.epoch + step / self.steps))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = self.task.run(self._forward, inputs)
        rng = np.random.default_rng([self.config.seed, self.epoch, step, 1])
        loss = self.task.loss(output, truth, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self._optimisers.step()
        done = self.epoch * self.steps + step
        # At first the mean of all steps so far, so that nothing stays of the random start.
        move_towards(self.averaged, self.network, min(self.config.average, done / (done + 1)))
        return self._checked(float(loss.detach()))

    def _checked(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise UsageError(
                f"the loss became {loss} in epoch {self.epoch + 1}; train again with lower rate and matrix_rate, "
                "in another folder, with the last good weights as init if you like"
            )
        return loss

    def _factor(self, epoch: float) -> float:
        return rate_factor(epoch, self.config.warm_up, self.config.epochs)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.cuda.device_count()
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= count:
        raise UsageError(
            f"device {name}: torch finds {count or 'no'} GPU{'s' * (count > 1)} here; "
            "use device=cpu, or a torch with CUDA"
        )
    return name


@torch.no_grad()
def move_towards(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move all weights and statistics of ``averaged`` by 1 - ``decay`` of the way to ``network``'s."""
    pairs = zip(averaged.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
