"""Whether a run fits into memory, asked before it begins: Linux ends a process that asks for too much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keywarp.engines.errors import UsageError

if TYPE_CHECKING:  # reading data sets needs no torch
    import torch
    from torch import Tensor, nn

    from .task import Task

_PROBE = (2, 128, 128)
# Pictures, rows, columns
_GRADIENTS = 1.5
"""What a step needs at its peak over what the forward pass keeps for the backward one: measured 1.3 for ENet."""


def available_bytes(device: torch.device | None = None) -> int | None:
    """Memory that can still be had, of a GPU, or of the machine or container; None where nobody says."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    found = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:")]
    free = [int(kilobytes) * 1024 for kilobytes in found]
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdecimal():
        free.append(int(limit[0]) - int(used[0]))
    return min(free, default=None)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def check_samples(count: int, pixels: int, name: str) -> None:
    """Raise UsageError if ``count`` pictures of ``pixels`` together, with their labels, do not fit."""
    _check(pixels * 4, available_bytes(), f"{count} pictures of '{name}'", "train on fewer or smaller ones")


def check_step(task: Task[Any], network: nn.Module, device: torch.device) -> None:
    """Raise UsageError if one step at the run's largest part does not fit."""
    config = task.config
    part = max(config.parts, key=lambda p: p.width * p.height)
    needed = (
        kept_bytes(network, task.run, task.input_channels)
        * config.batch
        * part.width
        * part.height
        * _GRADIENTS
    )
    what = f"a step of {config.batch} pictures of {part.width}x{part.height}"
    _check(round(needed), available_bytes(device), what, "lower batch or size")


def kept_bytes(
    network: nn.Module, run: Callable[[Any, Tensor], Any] | None = None, channels: int = 3
) -> float:
    """What a network in training mode keeps for the backward pass, for each pixel of its input.

    ``run``: how it is called (None: as it is), on an input of so many ``channels``.
    """
    import torch

    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: value.clone() for name, value in network.state_dict().items()}
    device = next(network.parameters()).device
    half = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    with torch.random.fork_rng(), half, torch.autograd.graph.saved_tensors_hooks(keep, _same):
        inputs = torch.zeros(_PROBE[0], channels, *_PROBE[1:], device=device)
        outputs = network(inputs) if run is None else run(network, inputs)
    del outputs
    network.load_state_dict(state)  # the probe moved the running statistics
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    pixels = _PROBE[0] * _PROBE[1] * _PROBE[2]
    return sum(size for pointer, size in kept.items() if pointer not in weights) / pixels


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _check(needed: int, available: int | None, what: str, advice: str) -> None:
    if available is not None and needed > available:
        raise UsageError(
            f"too little memory: {what} take about {needed / 1e9:.1f} GB, "
            f"{available / 1e9:.1f} GB are free; {advice}"
        )
