"""Weights of networks as files: safetensors, fp16. Needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

UNUSED = "num_batches_tracked"


def write_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights and statistics as fp16: all of them, or the file stays as it was."""
    from safetensors.torch import save_file

    tensors = {
        name: value.half().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith(UNUSED)
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, float32. Raises ModelError unless all can be read and are finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"weights '{path}' cannot be read: {error}") from error
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"weights '{path}' hold values that are not finite, in '{name}'; train them again"
            )
    return {name: value.float() for name, value in tensors.items()}


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Put weights from a file into a network called ``name``. Raises ModelError if they are of another."""
    put_into(network, read_weights(path), path, name)


def put_into(network: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Put tensors that were read from ``path`` into a network called ``name``; see :func:`load_into`."""
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ModelError(f"weights '{path}' are not of {name}, or of other classes: {error}") from error
    wrong = [key for key in missing if not key.endswith(UNUSED)] + unexpected
    if wrong:
        raise ModelError(f"weights '{path}' are not of {name}: '{wrong[0]}' is missing or unknown")
