"""Which optimiser moves which weights, and how fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from .config import TrainConfig
from .muon import Muon


class Optimisers:
    """Muon for the matrices, AdamW for vectors and ``last_layers``; or AdamW for all."""

    def __init__(self, network: nn.Module, last_layers: Sequence[nn.Module], config: TrainConfig) -> None:
        last = {id(p) for layer in last_layers for p in layer.parameters()}
        matrices, rest = list[nn.Parameter](), list[nn.Parameter]()
        for p in network.parameters():
            is_matrix = p.ndim > 1 and id(p) not in last and config.optimiser == "muon"
            (matrices if is_matrix else rest).append(p)
        self._all: list[Optimizer] = [AdamW(rest, lr=config.rate, weight_decay=config.decay)]
        if matrices:
            self._all.append(Muon(matrices, lr=config.matrix_rate, decay=config.decay))
        self._highest = [optimiser.defaults["lr"] for optimiser in self._all]

    def set_rates(self, factor: float) -> None:
        """Let the next step be taken at ``factor`` times the highest rates."""
        for optimiser, highest in zip(self._all, self._highest, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = highest * factor

    def step(self) -> None:
        """Move all weights and forget their gradients."""
        for optimiser in self._all:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """What :meth:`restore` takes."""
        return [optimiser.state_dict() for optimiser in self._all]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from :meth:`state`."""
        for optimiser, saved in zip(self._all, state, strict=True):
            optimiser.load_state_dict(saved)


def rate_factor(epoch: float, warm_up: float, epochs: int) -> float:
    """The learning rate as a share of the highest: a warm-up, then half a cosine to a hundredth."""
    if epoch < warm_up:
        return 0.05 + 0.95 * epoch / warm_up
    done = (epoch - warm_up) / max(epochs - warm_up, 1e-9)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2
