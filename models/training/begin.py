"""Weights that a run begins with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from torch import Size, Tensor, nn

from keywarp.engines.errors import ModelError
from keywarp.engines.weights import put_into
from keywarp.flow.card import FlowCard, read_flow_card
from keywarp.models.card import Card, card_beside, check_network, read_card


def put_first(network: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Put tensors that were read from ``path`` into a new network called ``name``.

    Raises ModelError for those of another, which their card names if it can.
    """
    own = network.state_dict()
    other = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    if other:
        card = _card_of(path)
        if card is not None:
            check_network(card, name, path)
        given, wanted = (_words(state[other[0]].shape) for state in (tensors, own))
        raise ModelError(
            f"weights '{path}' are not of {name}, or of other classes: '{other[0]}' is {given} there, and {wanted} "
            f"in {name}; give an earlier run's of the same network as init"
        )
    put_into(network, tensors, path, name)


def _card_of(weights: Path) -> Card | FlowCard | None:
    """The card beside, if there is one that can be read."""
    path = card_beside(weights)
    if path is None:
        return None
    with suppress(ModelError):
        return read_flow_card(path)
    with suppress(ModelError):
        return read_card(path)
    return None


def _words(shape: Size) -> str:
    return "x".join(map(str, shape))
