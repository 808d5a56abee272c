"""2x2 max pooling that remembers where the maximum was, and its inverse, in operations every engine has.

``torch.nn.functional.max_unpool2d`` exports to no engine. Here the place of the maximum is kept not as an
index but as four masks, one for each place in the 2x2 window, and unpooling interleaves four masked
copies. Results equal ``max_pool2d(..., return_indices=True)`` and ``max_unpool2d`` bit for bit: of equal
values the first in row order wins.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

Position = tuple[Tensor, ...]
"""Where the maxima were; what it holds is private to the pooling that made it."""


class Pooling(Protocol):
    """A pair of functions, 2x2 max pooling and its inverse, that agree on what a position is."""

    def pool(self, x: Tensor) -> tuple[Tensor, Position]:
        """(N, C, H, W), H and W even -> the maxima (N, C, H/2, W/2), and where they were."""
        ...

    def unpool(self, x: Tensor, position: Position) -> Tensor:
        """(N, C, H/2, W/2) -> (N, C, H, W): each value where its maximum was, zero elsewhere."""
        ...


class IndexPooling:
    """The pooling of torch: fast to train with; exports to no engine."""

    def pool(self, x: Tensor) -> tuple[Tensor, Position]:
        """See :class:`Pooling`."""
        check_even(x)
        maximum, index = F.max_pool2d(x, 2, return_indices=True)
        return maximum, (index,)

    def unpool(self, x: Tensor, position: Position) -> Tensor:
        """See :class:`Pooling`."""
        return F.max_unpool2d(x, position[0], [2, 2])


class MaskPooling:
    """The same in max pooling, comparisons and one DepthToSpace: what an engine runs.

    Pooling windows that leave out a column or a row stand in for slices, which engines run slowly.
    """

    def pool(self, x: Tensor) -> tuple[Tensor, Position]:
        """See :class:`Pooling`; the position is four masks (N, C, H/2, W/2), in row order."""
        check_even(x)
        maximum = F.max_pool2d(x, 2)
        in_first = F.max_pool2d(x, 1, 2) == maximum
        in_row = F.max_pool2d(x, (1, 2), 2) == maximum
        in_column = F.max_pool2d(x, (2, 1), 2) == maximum
        return maximum, (
            in_first,
            in_row & ~in_first,
            in_column & ~in_row,
            ~(in_row | in_column),
        )

    def unpool(self, x: Tensor, position: Position) -> Tensor:
        """See :class:`Pooling`."""
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        phases = torch.stack([torch.where(mask, x, zero) for mask in position], dim=2)
        return F.pixel_shuffle(phases.flatten(1, 2), 2)  # (N, 4C, H/2, W/2) -> (N, C, H, W)


def check_even(x: Tensor) -> None:
    """Raise ValueError unless height and width of ``x`` are even; while tracing they are no numbers."""
    height, width = x.shape[-2:]
    if isinstance(height, int) and (height % 2 or width % 2):
        raise ValueError(f"2x2 pooling takes an even height and width; given {width}x{height}")
