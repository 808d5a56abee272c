"""``keywarp complexity``, ``export`` and ``train``: the commands that need torch."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from keywarp.engines.errors import KeywarpError, ModelError, UsageError, missing_package, unknown_name
from keywarp.models.card import read_card
from keywarp.models.training.config import TrainConfig
from keywarp.pipeline.config import parse_size, read_training, read_value
from keywarp.pipeline.sinks.output import make_folder, remove_empty

from .files import write_json

NETWORKS = ("enet",)
TRAINED = ("enet",)
"""The networks that can be trained: keys of ``keywarp.models.training.train.TASKS``, which needs torch."""


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


def train_command(network: str, config: str | None, flags: dict[str, Any], assignments: list[str]) -> None:
    """Train, saying after each epoch how it goes. ``flags`` that are None are as the configuration says."""
    _check(network, "keywarp train", TRAINED)
    from keywarp.models.training.train import train

    settings = read_training(config) if config else {}
    settings.update({key: value for key, value in flags.items() if value is not None})
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes key=value, such as batch=8; given: '{text}'")
        settings[key] = read_value(text, value)
    wanted = training_config({"out": f"runs/{network}", **settings, "network": network})
    console = Console(highlight=False, markup=False)
    made = make_folder(wanted.out)
    try:
        folder = train(wanted, console.print)
    except KeywarpError:
        remove_empty(made)
        raise
    weights = folder / "weights.safetensors"
    command = shlex.join(["keywarp", "export", network, "--weights", str(weights)])
    console.print(f"wrote {weights}; next: {command}")


def training_config(settings: dict[str, Any]) -> TrainConfig:
    """Settings as text or YAML have them, validated. Raises UsageError for names and values not accepted."""
    accepted = [field.name for field in dataclasses.fields(TrainConfig)]
    for key in settings:
        if key not in accepted:
            raise unknown_name("training setting", str(key), accepted)
    if isinstance(settings.get("size"), str):
        settings = {**settings, "size": _size(settings["size"])}
    if "data" not in settings:
        raise UsageError("nothing to train on; name a data set, such as --data camvid:DIR")
    settings = {
        key: Path(value).expanduser() if key in ("out", "init") and isinstance(value, str) else value
        for key, value in settings.items()
    }
    try:
        return TypeAdapter(TrainConfig).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"training setting '{name}' cannot be {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
        ) from error


def _check(network: str, command: str, accepted: tuple[str, ...] = NETWORKS) -> None:
    if network not in accepted:
        raise unknown_name("network", network, accepted)
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
