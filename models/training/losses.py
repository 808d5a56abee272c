"""Losses of segmentation and of flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor

from keywarp.engines.errors import UsageError
from keywarp.models.labels import VOID


def lovasz_softmax(scores: Tensor, labels: Tensor) -> Tensor:
    """The Lovász extension of 1 - IoU, its mean over the classes that occur in ``labels``; 0 if none does.

    ``scores``: (N, C, H, W). ``labels``: (N, H, W) int64, a class or VOID. All pictures of the batch count as
    one (Berman et al., The Lovász-Softmax loss, CVPR 2018, sections 2.1 and 3.1).
    """
    classes = scores.shape[1]
    known = labels.flatten() != VOID
    shares = scores.softmax(1).permute(1, 0, 2, 3).flatten(1)[:, known]  # (C, pixels)
    truth = (labels.flatten()[known] == torch.arange(classes, device=labels.device)[:, None]).float()
    errors, order = (truth - shares).abs().sort(dim=1, descending=True)
    losses = (errors * _lovasz_gradient(truth.gather(1, order))).sum(1)
    occurs = truth.any(1).float()
    return (losses * occurs).sum() / occurs.sum().clamp(min=1)


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """How much each error adds to 1 - IoU, errors in falling order, truth (C, pixels) (algorithm 1)."""
    in_class = truth.sum(1, keepdim=True)
    intersection = in_class - truth.cumsum(1)
    union = in_class + (1 - truth).cumsum(1)
    jaccard = 1 - intersection / union.clamp(min=1)
    return torch.diff(jaccard, dim=1, prepend=torch.zeros_like(jaccard[:, :1]))


def segmentation_loss(
    scores: Tensor, labels: Tensor, weights: Tensor, *, lovasz: float, stride: int, start: tuple[int, int]
) -> Tensor:
    """Cross entropy by class weights, plus ``lovasz`` times the Lovász loss of every ``stride``-th pixel.

    0 where no pixel has a class. The Lovász loss sorts its pixels: all of them would cost more than the network.
    ``start`` (y, x) is the first one, below ``stride``; drawing it anew each step gives all of them their turn.
    """
    if not bool((labels != VOID).any()):
        return scores.sum() * 0
    loss = F.cross_entropy(scores, labels, weights, ignore_index=VOID)
    if not lovasz:
        return loss
    every = (slice(start[0], None, stride), slice(start[1], None, stride))
    return loss + lovasz * lovasz_softmax(scores[(..., *every)], labels[(..., *every)])


def class_weights(label_maps: Iterable[NDArray[np.uint8]], classes: int, offset: float) -> Tensor:
    """(classes,): 1 / ln(offset + share of the class), the mean over classes 1. Raises UsageError for all void.

    Paszke et al. (2016), section 5.1, have offset 1.02; a larger one favours rare classes less.
    """
    counts = np.zeros(classes, np.int64)
    for labels in label_maps:
        counts += np.bincount(labels.ravel(), minlength=256)[:classes]
    if not counts.any():
        raise UsageError("no pixel of the training data has a class; all labels are void")
    weights = 1 / np.log(offset + counts / int(counts.sum()))
    return torch.from_numpy(weights / weights.mean()).float()


def flow_loss(flows: Sequence[Tensor], truth: Tensor, valid: Tensor, stride_px: int) -> Tensor:
    """How far the flow of each level is from the truth, robustly: the finest level counts most.

    ``flows``: coarsest first, each (N, 2, h, w) in cells of ``stride_px`` pixels. ``truth`` (N, 2, H, W) in pixels,
    where ``valid`` (N, 1, H, W) is 1. The error of a cell is (length + 0.1) ** 0.6, which minds small errors more
    and the hopeless ones less than the length alone (as in Sun et al., PWC-Net, CVPR 2018, equation 7).
    """
    total = truth.new_zeros(())
    for flow, weight in zip(reversed(flows), (1.0, 0.4, 0.2, 0.1, 0.05), strict=False):
        fine = flow is flows[-1]
        if fine:  # as it will be used: enlarged
            flow = F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
        there, counts = _shrunk(truth, valid, (flow.shape[-2], flow.shape[-1]))
        lengths = torch.linalg.vector_norm(flow.float() * stride_px - there, dim=1, keepdim=True)
        robust = (lengths + 0.1) ** 0.6
        total = total + weight * (robust * counts).sum() / counts.sum().clamp(min=1)
    return total


def _shrunk(truth: Tensor, valid: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The mean flow of each cell, over the pixels where it is known, and the cells that have any."""
    known = F.adaptive_avg_pool2d(valid, size)
    mean = F.adaptive_avg_pool2d(truth * valid, size) / known.clamp(min=1e-6)
    return mean, (known > 0.5).float()
