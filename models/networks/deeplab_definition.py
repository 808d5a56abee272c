"""ResNets with a DeepLab head, as keywarp makes, loads and cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from .deeplab import DeepLab, EnlargedLabels
from .definition import Decoding, Definition, Loaded
from .fold import fold_norms
from .normalise import normalise_as_imagenet
from .published import load_state, read_state
from .resnet import BLOCKS_50, BLOCKS_101, Bottleneck, ResNet

SCORES = "scores"
_BACKBONE = "backbone."
_OWN_LAYERS = ("reduce", "score")


def make_deeplab(classes: int, *, blocks: Sequence[int]) -> DeepLab:
    """The network on a ResNet of ``blocks``, with random weights."""
    return DeepLab(backbone=ResNet(blocks=blocks), classes=classes)


def load_deeplab(weights: Path, classes: int, *, name: str, blocks: Sequence[int]) -> Loaded[DeepLab]:
    """The network called ``name`` with weights that keywarp wrote, which have all layers, or with a published
    ResNet's, which have the backbone alone.

    Raises ModelError for weights of something else.
    """
    state = read_state(weights)
    if not any(key.startswith(_BACKBONE) for key in state):
        network = make_deeplab(classes, blocks=blocks)
        load_state(network.backbone, state, weights, name)
        return Loaded(network.eval(), _OWN_LAYERS)
    scored = state.get("score.weight")
    network = make_deeplab(classes if scored is None else scored.shape[0], blocks=blocks)
    load_state(network, state, weights, name)
    return Loaded(network.eval())


def _prepare(network: DeepLab) -> None:
    fold_norms(network, nn.Sequential, ResNet, Bottleneck)


def _decoding(network: DeepLab) -> Decoding:
    """Scores are carried: as many channels as classes, not 1024, and the labels are the same."""
    labels = EnlargedLabels(network.feature_stride_px, network.classes)
    return Decoding(SCORES, network.classes, network.score, labels)


def _definition(name: str, title: str, blocks: Sequence[int]) -> Definition[DeepLab]:
    return Definition(
        name=name,
        title=f"{title} (He et al. 2016) with a DeepLab head, as in Deep Feature Flow (Zhu et al. 2017)",
        make=partial(make_deeplab, blocks=blocks),
        load=partial(load_deeplab, name=name, blocks=blocks),
        normalise=normalise_as_imagenet,
        prepare=_prepare,
        decoding=_decoding,
    )


RESNET_50 = _definition("resnet-50", "ResNet-50", BLOCKS_50)
RESNET_101 = _definition("resnet-101", "ResNet-101", BLOCKS_101)
