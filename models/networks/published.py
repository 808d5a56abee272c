"""State dicts as others publish them, read safely and matched key by key."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from keywarp.engines.errors import ModelError
from keywarp.engines.weights import UNUSED, read_weights

_PICKLES = (".pth", ".pt", ".bin", ".tar")
_NESTS = ("state_dict", "model")
_PARALLEL = "module."
_CLASSIFIER = "fc."
_MOST_NAMES = 3


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, float32, from a safetensors file or one that ``torch.save`` wrote.

    A dict inside a checkpoint (under ``state_dict`` or ``model``) is found, and names lose the ``module.`` of
    parallel training. Nothing in the file is run (``weights_only``). Raises ModelError unless all of it can be read
    and is finite.
    """
    return _read_pickle(path) if path.suffix in _PICKLES else read_weights(path)


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Put a state into a network called ``name``; a classifier (``fc``) is left aside.

    Raises ModelError that counts and names what is missing, unknown or of another shape.
    """
    given = {
        key: value
        for key, value in state.items()
        if not key.endswith(UNUSED) and not key.startswith(_CLASSIFIER)
    }
    wanted = {key: value for key, value in network.state_dict().items() if not key.endswith(UNUSED)}
    faults = [
        _fault("missing", wanted.keys() - given.keys()),
        _fault("unknown", given.keys() - wanted.keys()),
        _fault(
            "of another shape", {k for k in wanted.keys() & given.keys() if wanted[k].shape != given[k].shape}
        ),
    ]
    found = "; ".join(fault for fault in faults if fault)
    if found:
        raise ModelError(
            f"weights '{path}' are not of {name}: {found}; it takes the names of torchvision's state dicts"
        )
    network.load_state_dict(given, strict=False)


def write_whole(network: nn.Module, path: Path) -> None:
    """Write a network's weights and statistics in full precision: published ones stay what they were."""
    tensors = {
        name: value.contiguous() for name, value in network.state_dict().items() if not name.endswith(UNUSED)
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def _fault(what: str, keys: Iterable[str]) -> str:
    names = sorted(keys)
    if not names:
        return ""
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMES])
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return f"{len(names)} {what} ({shown}{more})"


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"weights '{path}' cannot be read: {reason}; a plain state dict (.pth or .safetensors) is accepted"
        ) from error
    for nest in _NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"weights '{path}' are no state dict: it holds other things than tensors by name")
    for name, value in loaded.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"weights '{path}' hold values that are not finite, in '{name}'")
    return {str(name).removeprefix(_PARALLEL): value.float() for name, value in loaded.items()}
