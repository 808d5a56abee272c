"""ENet, as keywarp makes, loads and cuts it."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from .definition import FEATURES, Decoding, Definition, Loaded
from .enet import ENet
from .fast_head import FastLabels
from .files import load_enet
from .fold import fold_norms
from .normalise import normalise
from .unpool import PlacePooling


def _make(classes: int) -> ENet:
    return ENet(classes=classes)


def _load(weights: Path, _: int) -> Loaded[ENet]:
    return Loaded(load_enet(weights))


def _prepare(network: ENet) -> None:
    network.pooling = PlacePooling()
    fold_norms(network)


def _decoding(network: ENet) -> Decoding:
    """The features themselves are carried: they are fewer than the scores that the last layer makes of them."""
    return Decoding(FEATURES, network.feature_channels, nn.Identity(), FastLabels(network.fullconv))


ENET = Definition("enet", "ENet (Paszke et al. 2016)", _make, _load, normalise, _prepare, _decoding)
