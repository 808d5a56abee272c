"""Models by name."""

from __future__ import annotations

from .base import Model
from .card import find_card
from .results import SegmentationMap
from .segmentation import SegmentationModel


def load_model(name_or_path: str) -> Model[SegmentationMap]:
    """The model of a bundled name such as ``enet``, or of a path to a card. Nothing is compiled yet."""
    return SegmentationModel(find_card(name_or_path))
