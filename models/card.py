"""Model cards: what a model is, what its files are, where its weights come from and how good they are.

A card is a JSON file beside the files that it names. The base install carries the cards of the bundled
models in ``keywarp/models/weights``; a user's own card is named by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from keywarp.engines.card import FileEntry as FileEntry
from keywarp.engines.card import Provenance as Provenance
from keywarp.engines.card import Strict, parse_card
from keywarp.engines.card import file_sha256 as file_sha256
from keywarp.engines.card import part_path as part_path
from keywarp.engines.errors import ModelError, UsageError, unknown_name
from keywarp.flow.base import Size
from keywarp.flow.card import FlowCard
from keywarp.flow.card import network_names as flow_network_names

from .networks.registry import network_names

BUNDLED = Path(__file__).parent / "weights"


EARLIER, AGGREGATED = "earlier_", "aggregated_"
"""What the names of an earlier key frame's maps, and of their mixture with those of a new one, begin with in the
part ``aggregate``."""


class FeatureMap(Strict):
    """One map of key features: (1, ``channels``, H / ``stride_px``, W / ``stride_px``) float32.

    ``parts``: those that take it. What a scale map multiplies may differ from what is warped without one.
    """

    name: str
    channels: int = Field(gt=0)
    stride_px: int = Field(gt=0)
    parts: list[str] = Field(default_factory=lambda: ["warp_head", "warp_scale_head"])

    def size(self, input_size: Size) -> Size:
        """Width and height of the map for an input of that size."""
        return input_size[0] // self.stride_px, input_size[1] // self.stride_px


class InputCard(Strict):
    """What the network takes: uint8 BGR (1, H, W, 3), H and W multiples of ``stride_px``.

    ``width`` x ``height`` is the size that the weights are best at; larger frames are scaled to about its
    area unless another size is asked for.
    """

    stride_px: int = Field(gt=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Card(Strict):
    """A model's card. ``files`` maps a part (``key``, ``warp_head``, ``weights``) to its file, ``features`` lists
    what the part ``key`` yields beside labels, in order. ``head``: what ``warp_head`` does after the warp, where
    keywarp has a kernel for it (:mod:`keywarp.models.fused`): a 3x3 transposed convolution of stride 2, and argmax.
    """

    schema_version: Literal[1] = 1
    name: str
    network: str
    task: Literal["segmentation"]
    class_set: str
    classes: list[str]
    description: str
    input: InputCard
    features: list[FeatureMap]
    head: Literal["transposed_conv"] | None = None
    parameters: int
    files: dict[str, FileEntry]
    provenance: Provenance

    def maps_of(self, part: str) -> tuple[FeatureMap, ...]:
        """The feature maps that a part takes, in order."""
        return tuple(map_ for map_ in self.features if part in map_.parts)

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
        raise _no_such_model(name_or_path, {*bundled, *ALIASES})
    return bundled[name]


def _no_such_model(name: str, models: set[str]) -> UsageError:
    """For a name that no model has: it may be that of a network, which is not a model yet."""
    accepted = f"accepted: {', '.join(sorted(models))}"
    if name in flow_network_names():
        return UsageError(f"'{name}' is a flow network, not a model ({accepted}); give it as --flow")
    if name in network_names():
        return UsageError(
            f"no weights of the network '{name}' come with keywarp ({accepted}); `keywarp export {name}` writes a "
            "model, with random weights or those of --weights: give the path of its card"
        )
    return unknown_name("model", name, models)


def read_card(path: Path) -> Card:
    """The card in a file. Raises :class:`ModelError` that names the first field that is wrong."""
    return parse_card(Card, path, "model card")


def card_beside(weights: Path) -> Path | None:
    """The card that lies beside weights, of their name or ``card.json``; None if there is none."""
    places = (weights.with_suffix(".json"), weights.with_name("card.json"))
    return next((path for path in places if path.is_file()), None)


def check_network(card: Card | FlowCard, network: str, weights: Path) -> None:
    """Raise ModelError unless the weights with this card are of ``network``."""
    if card.network != network:
        raise ModelError(f"weights '{weights}' are of {card.network}, as their card says; not of {network}")
