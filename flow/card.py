"""Cards of flow networks: what a FlowNet takes and yields, and whose features its scale map belongs to.

As a model's card, one is a JSON file beside the files that it names. The base install carries those of the
bundled networks in ``keywarp/flow/weights``; a user's own card is named by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from keywarp.engines.card import FileEntry, Provenance, Strict, parse_card
from keywarp.engines.errors import ModelError, unknown_name

BUNDLED = Path(__file__).parent / "weights"
_NETWORKS = ("flownet", "flownet-half", "flownet-inception", "flownet-light")


class PairInput(Strict):
    """What the network takes: two pictures, uint8 BGR (1, H, W, 3), of at least ``smallest_side_px`` a side.

    ``width`` x ``height`` is the size that the weights are best at; larger frames are scaled to about its area
    unless another size is asked for.
    """

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    smallest_side_px: int = Field(default=64, gt=0)


class FlowCard(Strict):
    """A flow network's card. ``files`` maps ``flow`` to its ONNX file; before it is exported, ``weights`` to the
    safetensors that training wrote.

    ``network``: a name of ``keywarp.flow.flownet.FLOWNETS``. The flow has a cell for each ``stride_px`` x
    ``stride_px`` pixels. ``scale_for``: the name of the model whose features the scale map belongs to, and
    ``scale_channels`` how many they are; both None for a network that yields flow alone.
    """

    schema_version: Literal[1] = 1
    name: str
    network: str
    task: Literal["flow"] = "flow"
    description: str
    input: PairInput
    stride_px: int = Field(default=8, gt=0)
    scale_for: str | None = None
    scale_channels: int | None = Field(default=None, gt=0)
    parameters: int
    files: dict[str, FileEntry]
    provenance: Provenance

    @model_validator(mode="after")
    def _scale_is_somebodys(self) -> FlowCard:
        if (self.scale_for is None) != (self.scale_channels is None):
            raise ValueError("scale_for and scale_channels are given together, or neither is")
        return self

    def to_json(self) -> str:
        """The card as the text of its file."""
        return self.model_dump_json(indent=2) + "\n"


def bundled_flows() -> Mapping[str, Path]:
    """Cards of the flow networks that come with keywarp, by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.json"))}


def network_names() -> tuple[str, ...]:
    """The networks that there are, with weights or without: the keys of ``FLOWNETS``, named without torch."""
    return _NETWORKS


def find_flow_card(name_or_path: str) -> Path:
    """The card of a bundled network's name, or a path that ends in ``.json``."""
    if name_or_path.endswith(".json"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ModelError(
                f"flow card '{name_or_path}' does not exist; give a card's path or a flow's name"
            )
        return path
    bundled = bundled_flows()
    if name_or_path not in bundled:
        raise unknown_name("flow network", name_or_path, bundled)
    return bundled[name_or_path]


def read_flow_card(path: Path) -> FlowCard:
    """The card in a file. Raises :class:`ModelError` that names the first field that is wrong."""
    return parse_card(FlowCard, path, "flow card")
