"""Folding normalisations into the convolutions before them, for networks that only run."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(network: nn.Module, *kinds: type[nn.Module]) -> None:
    """Fold each normalisation that follows a convolution in a sequence into it, in place.

    The network is in eval mode and computes the same, but for rounding. ``kinds``: the modules that are looked
    into, which run their parts in the order of their definition as far as convolutions and normalisations go;
    sequences alone where none are given.
    """
    for sequence in [m for m in network.modules() if isinstance(m, kinds or nn.Sequential)]:
        for (before_name, before), (name, norm) in pairwise(list(sequence.named_children())):
            if isinstance(norm, nn.BatchNorm2d):
                setattr(sequence, before_name, _folded(before, norm))
                setattr(sequence, name, nn.Identity())


def _folded(conv: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    if isinstance(conv, nn.Sequential):  # an asymmetric convolution: only its second part is scaled
        return nn.Sequential(*list(conv)[:-1], _folded(conv[-1], norm))
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
    return fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))
