"""``keywarp complexity``, ``export`` and ``train``: the commands that need torch."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from keywarp.engines.errors import KeywarpError, ModelError, UsageError, missing_package, unknown_name
from keywarp.models.card import read_card
from keywarp.pipeline.config import parse_size, read_value
from keywarp.pipeline.sinks.output import make_folder, remove_empty

from .files import write_json

NETWORKS = ("enet",)


def complexity_command(network: str, classes: int, size: str, file: Path | None) -> None:
    """Print parameters and operations, and write them as JSON."""
    _check(network, "keywarp complexity")
    from keywarp.models.complexity import complexity
    from keywarp.models.networks.enet import ENet

    found = complexity(ENet(classes=classes), _size(size))
    console = Console(highlight=False, markup=False)
    console.print(f"{network}, {classes} classes, {size}")
    console.print(f"  parameters {found.parameters / 1e6:.3f} M, {found.fp16_bytes / 1e6:.2f} MB in fp16")
    console.print(
        f"  {found.macs / 1e9:.3f} GMACs = {found.flops / 1e9:.3f} GFLOPs, 2 to a multiply-accumulate"
    )
    for part, figures in found.parts.items():
        console.print(f"    {part}: {figures / 1e9:.3f} GMACs")
    if file is not None:
        write_json(file, found.to_dict())


def export_command(network: str, weights: Path, out: Path, name: str | None) -> None:
    """Write the ONNX parts and the card of trained weights."""
    _check(network, "keywarp export")
    if not weights.is_file():
        raise ModelError(f"weights '{weights}' do not exist; `keywarp train` writes weights.safetensors")
    from keywarp.models.export import export_enet

    card = read_card(_card_beside(weights))
    make_folder(out)
    path = export_enet(weights, out, name=name or weights.stem, provenance=card.provenance)
    Console(highlight=False, markup=False).print(
        f"wrote {path}; run it with: keywarp run SOURCE --model {path}"
    )


def train_command(
    network: str, data: list[str], out: Path, size: str, epochs: int, seed: int, assignments: list[str]
) -> None:
    """Train, saying after each epoch how it goes."""
    _check(network, "keywarp train")
    from keywarp.models.training.config import TrainConfig
    from keywarp.models.training.train import train_enet

    settings: dict[str, Any] = {
        "data": tuple(data),
        "out": out,
        "size": _size(size),
        "epochs": epochs,
        "seed": seed,
        **_assigned(assignments, {field.name: field.type for field in dataclasses.fields(TrainConfig)}),
    }
    console = Console(highlight=False, markup=False)
    try:
        config = TrainConfig(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a training setting has a value of the wrong kind: {error}") from error
    made = make_folder(out)
    try:
        folder = train_enet(config, console.print)
    except KeywarpError:
        remove_empty(made)
        raise
    console.print(
        f"wrote {folder}/weights.safetensors; next: keywarp export {network} --weights {folder}/weights.safetensors"
    )


def _assigned(assignments: list[str], accepted: dict[str, Any]) -> dict[str, Any]:
    """``key=value`` texts as training settings; lists become tuples, folders paths."""
    settings: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes key=value, such as batch=8; given: '{text}'")
        if key not in accepted:
            raise unknown_name("training setting", key, accepted)
        parsed = read_value(text, value)
        if isinstance(parsed, list):
            parsed = tuple(parsed)
        settings[key] = Path(parsed) if "Path" in str(accepted[key]) else parsed
    return settings


def _check(network: str, command: str) -> None:
    if network not in NETWORKS:
        raise unknown_name("network", network, NETWORKS)
    for package in ("torch", "ptflops", "onnx", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "torch", command)


def _size(text: str) -> tuple[int, int]:
    try:
        return cast("tuple[int, int]", parse_size(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _card_beside(weights: Path) -> Path:
    for path in (weights.with_suffix(".json"), weights.with_name("card.json")):
        if path.is_file():
            return path
    raise ModelError(
        f"there is no card beside '{weights}' ({weights.stem}.json or card.json); train writes one"
    )
