"""Bilinear warping of features along a flow, inside a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """Features (1, C, h, w) sampled at ``cell + flow[cell]``, bilinearly; (1, C, h, w).

    ``flow``: (1, h, w, 2), x then y, in cells of the features' own grid, as everywhere in keywarp. Places
    outside take the nearest cell's value.
    """
    height, width = features.shape[2:]
    size = torch.stack([torch.as_tensor(width), torch.as_tensor(height)]).to(flow.dtype)
    columns = torch.arange(width, dtype=flow.dtype).expand(height, width)
    rows = torch.arange(height, dtype=flow.dtype)[:, None].expand(height, width)
    # grid_sample without aligned corners: cell i of n lies at (2 i + 1) / n - 1
    per_cell = 2 / size
    still = torch.stack([columns, rows], dim=-1) * per_cell + (1 / size - 1)
    grid = still[None] + flow * per_cell
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)
