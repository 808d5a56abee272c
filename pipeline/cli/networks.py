"""``keywarp export`` and ``train``; with ``complexity`` the commands that need torch."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from keywarp.engines.errors import KeywarpError, ModelError, UsageError, missing_package, unknown_name
from keywarp.flow.card import network_names as flow_network_names
from keywarp.flow.card import read_flow_card
from keywarp.models.card import Provenance, card_beside, check_network, read_card
from keywarp.models.networks.registry import network_names
from keywarp.models.training.config import TrainConfig
from keywarp.pipeline.config import parse_size, read_training, read_value
from keywarp.pipeline.sinks.output import cannot_write, make_folder, remove_empty

TRAINED = ("enet", "flow", "dff")
"""The networks that can be trained: keys of ``keywarp.models.training.train.TASKS``, which needs torch."""


def export_command(network: str, weights: Path | None, out: Path, name: str | None) -> None:
    """Write the ONNX parts and the card of a network with weights from a file, or with random ones."""
    check_network_name(network, "keywarp export", (*network_names(), *flow_network_names()))
    if weights is not None and not weights.is_file():
        raise ModelError(f"weights '{weights}' do not exist; `keywarp train` writes weights.safetensors")
    if network in flow_network_names():
        if weights is None:
            raise UsageError(f"flow network '{network}' needs --weights; `keywarp train` writes them")
        _export_flow(network, weights, out, name)
        return
    from keywarp.models.export_network import export_network
    from keywarp.models.networks.registry import get_network

    provenance = None if weights is None else _provenance(weights, network)
    _check_file_name(name)
    with _writing(out):
        path = export_network(get_network(network), weights, out, name=name, provenance=provenance)
    console = Console(highlight=False, markup=False)
    console.print(f"wrote {path}; run it with: keywarp run SOURCE --model {path}")
    if provenance is None:
        console.print(read_card(path).provenance.recipe)


def _provenance(weights: Path, network: str) -> Provenance | None:
    """What the card beside weights says, if there is one and it is about this network."""
    path = card_beside(weights)
    if path is None or _is_flow_card(path):
        return None
    card = read_card(path)
    return card.provenance if card.network == network else None


def _is_flow_card(path: Path) -> bool:
    try:
        read_flow_card(path)
    except ModelError:
        return False
    return True


def _check_file_name(name: str | None) -> None:
    if name is not None and Path(name).name != name:
        raise UsageError(f"--name '{name}' cannot be a file's name; name the folder with --out")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """The folder of an export; where it cannot be written, an error that says so, and no empty folder is left."""
    made = make_folder(out)
    try:
        yield
    except OSError as error:
        remove_empty(made)
        raise cannot_write(out, error) from error
    except KeywarpError:
        remove_empty(made)
        raise


def _export_flow(network: str, weights: Path, out: Path, name: str | None) -> None:
    from keywarp.models.export_flow import export_flownet

    trained = read_flow_card(_card_beside(weights))
    check_network(trained, network, weights)
    _check_file_name(name)
    with _writing(out):
        path = export_flownet(weights, out, name=name or weights.stem, trained=trained)
    Console(highlight=False, markup=False).print(
        f"wrote {path}; run it with: keywarp run SOURCE --flow {path}"
    )


def train_command(network: str, config: str | None, flags: dict[str, Any], assignments: list[str]) -> None:
    """Train, saying after each epoch how it goes. ``flags`` that are None are as the configuration says."""
    check_network_name(network, "keywarp train", TRAINED)
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
    name = network if network in network_names() else wanted.flownet
    command = shlex.join(["keywarp", "export", name, "--weights", str(weights)])
    console.print(f"wrote {weights}; next: {command}")


def training_config(settings: dict[str, Any]) -> TrainConfig:
    """Settings as text or YAML have them, validated. Raises UsageError for names and values not accepted."""
    accepted = [field.name for field in dataclasses.fields(TrainConfig)]
    for key in settings:
        if key not in accepted:
            raise unknown_name("training setting", str(key), accepted)
    if isinstance(settings.get("size"), str):
        settings = {**settings, "size": network_size(settings["size"])}
    settings = {
        key: Path(value).expanduser() if key in ("out", "init") and isinstance(value, str) else value
        for key, value in {"data": (), **settings}.items()
    }
    try:
        return TypeAdapter(TrainConfig).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"training setting '{name}' cannot be {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
        ) from error


def check_network_name(network: str, command: str, accepted: tuple[str, ...]) -> None:
    """Raise UsageError for a name that is not accepted, MissingPackageError where the command cannot run."""
    if network not in accepted:
        raise unknown_name("network", network, accepted)
    for package in ("torch", "ptflops", "onnx", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "torch", command)


def network_size(text: str) -> tuple[int, int]:
    """Width and height from WIDTHxHEIGHT."""
    try:
        return cast("tuple[int, int]", parse_size(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _card_beside(weights: Path) -> Path:
    path = card_beside(weights)
    if path is not None:
        return path
    raise ModelError(
        f"there is no card beside '{weights}' ({weights.stem}.json or card.json); train writes one"
    )
