"""Propagation of features along a flow, inside a network, as Deep Feature Flow defines it (Zhu et al. 2017).

Features of the key frame become those of the current one by ``f_i = W(f_k, M_i->k, S_i->k)``: sampled bilinearly
where the flow leads (equations 3 and 4), and multiplied by the scale map.

Where the flow leads outside the picture, the nearest cell of the border is taken. Nothing is left out for being
hidden or outside: every cell gets features, and a flow's validity is for those who choose key frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """Features (1, C, h, w) sampled at ``cell + flow[cell]``, bilinearly; (1, C, h, w).

    ``flow``: (1, h, w, 2), x then y, in cells of the features' own grid, as everywhere in keywarp. Places
    outside take the nearest cell's value.
    """
    height, width = features.shape[2:]
    size = torch.stack([torch.as_tensor(width), torch.as_tensor(height)]).to(flow)
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device).expand(height, width)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None].expand(height, width)
    # grid_sample without aligned corners: cell i of n lies at (2 i + 1) / n - 1
    per_cell = 2 / size
    still = torch.stack([columns, rows], dim=-1) * per_cell + (1 / size - 1)
    grid = still[None] + flow * per_cell
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)


def propagate(features: Tensor, flow: Tensor, scale: Tensor | None = None) -> Tensor:
    """Features (N, C, h, w) of the key frame -> those of the current one, (N, C, h, w).

    ``flow`` (N, y, x, 2) and ``scale`` (N, C, y, x; None: 1 everywhere) may have a grid of their own: the flow in
    cells of that grid. Both are resized bilinearly to the features' grid, the flow's vectors rescaled with it.
    """
    warped = warp_features(features, resize_flow(flow, features))
    return warped if scale is None else warped * _resized(scale, features)


def propagate_all(maps: Sequence[Tensor], flow: Tensor, scale: Tensor | None = None) -> list[Tensor]:
    """Several feature maps of one key frame, each of its own stride, along one flow; see :func:`propagate`.

    The channels of ``scale`` are those of all maps, in order.
    """
    channels = [features.shape[1] for features in maps]
    scales = [None] * len(maps) if scale is None else torch.split(scale, channels, dim=1)
    return [propagate(features, flow, part) for features, part in zip(maps, scales, strict=True)]


def resize_flow(flow: Tensor, like: Tensor) -> Tensor:
    """Flow (N, y, x, 2) in cells of its own grid -> the same motion (N, h, w, 2) on the grid of ``like``, in cells
    of that.
    """
    field = _resized(flow.permute(0, 3, 1, 2), like).permute(0, 2, 3, 1)
    return field * (_size(like).to(flow) / _size(flow.permute(0, 3, 1, 2)).to(flow))


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    """(N, C, y, x) -> (N, C, h, w), bilinearly; cells are areas, so that corners of the pictures stay together."""
    return F.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)


def _size(maps: Tensor) -> Tensor:
    """Width and height of (N, C, h, w), as numbers that stay symbols in an exported file."""
    height, width = maps.shape[2:]
    return torch.stack([torch.as_tensor(width), torch.as_tensor(height)])
