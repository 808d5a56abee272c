"""What all cards share: files with checksums, where weights come from, and reading a card from its file.

A card is a JSON file beside the files that it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .base import NetworkSource
from .errors import EngineError, ModelError
from .onnx_file import OnnxFile


class Strict(BaseModel):
    """Fields that cannot be changed; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(Strict):
    """One file of a network, named relative to its card."""

    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Provenance(Strict):
    """Where weights come from. ``command`` makes them again; ``accuracy`` maps a named test to its figures."""

    data: list[str]
    licence: str
    recipe: str
    command: str
    seed: int
    training_minutes: float
    accuracy: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: str = ""


class HasFiles(Protocol):
    """A card: a name, and files by part."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """The files by part, such as ``weights``."""
        ...


AnyCard = TypeVar("AnyCard", bound=Strict)


def parse_card(kind: type[AnyCard], path: Path, title: str) -> AnyCard:
    """The card of class ``kind`` in a file, called ``title`` in messages.

    Raises :class:`ModelError` that names the first field that is wrong.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{title} '{path}' cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(f"{title} '{path}' is not valid: {where}: {first['msg']}") from error


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def file_entries(paths: Mapping[str, Path]) -> dict[str, FileEntry]:
    """The files of a card by part; they lie beside it."""
    return {part: FileEntry(path=path.name, sha256=file_sha256(path)) for part, path in paths.items()}


def part_path(card: HasFiles, card_path: Path, part: str, title: str = "model") -> Path:
    """The path of a card's part, its checksum verified. Raises :class:`ModelError` if it is not as named.

    ``title``: what the card is of, in messages.
    """
    if part not in card.files:
        raise ModelError(f"{title} '{card.name}' has no part '{part}' (it has: {', '.join(card.files)})")
    entry = card.files[part]
    path = card_path.parent / entry.path
    if not path.is_file():
        raise ModelError(
            f"{title} '{card.name}' lacks its file '{path}'; reinstall keywarp or export it again"
        )
    found = file_sha256(path)
    if found != entry.sha256:
        raise ModelError(
            f"'{path}' is damaged or not the file that its card names: its SHA-256 is {found[:12]}…, "
            f"the card says {entry.sha256[:12]}…; reinstall keywarp or export it again"
        )
    return path


def sound_part_path(card: HasFiles, card_path: Path, part: str, title: str = "model") -> Path:
    """The same for a part in ONNX, its weights checked too. Raises :class:`ModelError` if one is infinite or not a
    number."""
    path = part_path(card, card_path, part, title)
    try:
        OnnxFile.read(path).check_finite()
    except EngineError as error:
        raise ModelError(
            f"{title} '{card.name}' cannot run: {error}; "
            "reinstall keywarp or export it again from good weights"
        ) from error
    return path


def network_source(
    card: HasFiles, card_path: Path, part: str, module: Callable[[], Any], title: str = "model"
) -> NetworkSource:
    """A card's part for an engine to compile, checked; ``module`` makes it in torch."""
    return NetworkSource(f"{card.name}.{part}", sound_part_path(card, card_path, part, title), module)
