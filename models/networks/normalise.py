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
    normal = (images.float() - torch.tensor(MEAN_BGR)) / torch.tensor(STD_BGR)
    return normal.permute(0, 3, 1, 2)
