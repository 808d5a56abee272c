"""Model cards: what a model is, what its files are, where its weights come from and how good they are.

A card is a JSON file beside the files that it names. The base install carries the cards of the bundled
models in ``keywarp/models/weights``; a user's own card is named by its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keywarp.engines.errors import ModelError, unknown_name

BUNDLED = Path(__file__).parent / "weights"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of a model, named relative to its card."""

    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class FeatureMap(_Strict):
    """One map of key features: (1, ``channels``, H / ``stride_px``, W / ``stride_px``) float32."""

    name: str
    channels: int = Field(gt=0)
    stride_px: int = Field(gt=0)


class InputCard(_Strict):
    """What the network takes: uint8 BGR (1, H, W, 3), H and W multiples of ``stride_px``.

    ``width`` x ``height`` is the size that the weights are best at; larger frames are scaled to about its
    area unless another size is asked for.
    """

    stride_px: int = Field(gt=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Provenance(_Strict):
    """Where weights come from. ``command`` makes them again; ``accuracy`` maps a named test to its figures."""

    data: list[str]
    licence: str
    recipe: str
    command: str
    seed: int
    training_minutes: float
    accuracy: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: str = ""


class Card(_Strict):
    """A model's card. ``files`` maps a part (``key``, ``warp_head``, ``weights``) to its file."""

    schema_version: Literal[1] = 1
    name: str
    network: str
    task: Literal["segmentation"]
    class_set: str
    classes: list[str]
    description: str
    input: InputCard
    features: list[FeatureMap]
    parameters: int
    files: dict[str, FileEntry]
    provenance: Provenance

    def to_json(self) -> str:
        """The card as the text of its file."""
        return self.model_dump_json(indent=2) + "\n"


def bundled_models() -> Mapping[str, Path]:
    """Cards of the models that come with keywarp, by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.json"))}


ALIASES = {"enet": "enet-camvid"}
"""Short names, for the weights that are the best choice for most users."""


def find_card(name_or_path: str) -> Path:
    """The card of a bundled model's name, an alias, or a path that ends in ``.json``."""
    if name_or_path.endswith(".json"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ModelError(
                f"model card '{name_or_path}' does not exist; give a card's path or a model's name"
            )
        return path
    bundled = bundled_models()
    name = ALIASES.get(name_or_path, name_or_path)
    if name not in bundled:
        raise unknown_name("model", name_or_path, {*bundled, *ALIASES})
    return bundled[name]


def read_card(path: Path) -> Card:
    """The card in a file. Raises :class:`ModelError` that names the first field that is wrong."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"model card '{path}' cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(f"model card '{path}' is not valid: {where}: {first['msg']}") from error


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def part_path(card: Card, card_path: Path, part: str) -> Path:
    """The path of a model's part, its checksum verified. Raises :class:`ModelError` if it is not as named."""
    if part not in card.files:
        raise ModelError(f"model '{card.name}' has no part '{part}' (it has: {', '.join(card.files)})")
    entry = card.files[part]
    path = card_path.parent / entry.path
    if not path.is_file():
        raise ModelError(f"model '{card.name}' lacks its file '{path}'; reinstall keywarp or export it again")
    found = file_sha256(path)
    if found != entry.sha256:
        raise ModelError(
            f"'{path}' is damaged or not the file that its card names: its SHA-256 is {found[:12]}…, "
            f"the card says {entry.sha256[:12]}…; reinstall keywarp or export it again"
        )
    return path
