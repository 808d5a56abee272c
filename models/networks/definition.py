"""All that keywarp knows of one kind of network, in one place: how it is made, loaded, fed and cut into parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor, nn

from .base import SegmentationNetwork

Network = TypeVar("Network", bound=SegmentationNetwork)

FEATURES = "features"
"""The name of the map that ``network.features`` yields, in parts and cards."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Network]):
    """A network in eval mode with weights from a file. ``untrained`` names the layers that the file has nothing
    for, which are random.
    """

    network: Network
    untrained: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How features become labels, and where a warp without a scale map may come in between.

    ``carry``: features (1, F, h, w) -> what is warped, (1, ``channels``, h, w), called ``name``; ``labels``: that
    -> labels (1, H, W) uint8. A ``carry`` that does not mix cells commutes with a bilinear warp: where it leaves
    fewer channels it had better come first. With a scale map it comes after.
    """

    name: str
    channels: int
    carry: nn.Module
    labels: nn.Module


@dataclass(frozen=True, slots=True)
class Definition(Generic[Network]):
    """A kind of network. ``name`` is what commands and cards call it, ``title`` what it is, with its source.

    ``make``: a network with random weights for a number of classes. ``load``: one with the weights of a file, for
    as many classes as the file says, else those given; raises ModelError for weights of something else.
    ``normalise``: (N, H, W, 3) uint8 BGR -> what the network takes. ``prepare`` brings a network in eval mode into
    the form that runs best, in place. ``decoding`` cuts a prepared one.
    """

    name: str
    title: str
    make: Callable[[int], Network]
    load: Callable[[Path, int], Loaded[Network]]
    normalise: Callable[[Tensor], Tensor]
    prepare: Callable[[Network], None]
    decoding: Callable[[Network], Decoding]
