"""From pictures as OpenCV has them to what networks take; part of every exported model."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN_BGR = (110.0, 108.0, 105.0)
STD_BGR = (72.0, 72.0, 70.0)
"""About the mean and spread of CamVid's pictures, in grey levels."""


def normalise(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32, less the mean, divided by the spread."""
    # in the pictures' own layout: engines then need not move the pixels
    mean, std = (torch.tensor(values, device=images.device) for values in (MEAN_BGR, STD_BGR))
    normal = (images.float() - mean) / std
    return normal.permute(0, 3, 1, 2)


IMAGENET_MEAN_BGR = (103.53, 116.28, 123.675)
IMAGENET_STD_BGR = (57.375, 57.12, 58.395)
"""What published weights for PyTorch were trained with: 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 in RGB of 0 to
1."""


def normalise_as_imagenet(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32 RGB, as published ImageNet weights take it."""
    mean, std = (torch.tensor(v, device=images.device) for v in (IMAGENET_MEAN_BGR, IMAGENET_STD_BGR))
    normal = (images.float() - mean) / std
    return normal.flip(3).permute(0, 3, 1, 2)
