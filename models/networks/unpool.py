"""2x2 max pooling that remembers where the maximum was, and its inverse, in operations every engine has.

``torch.nn.functional.max_unpool2d`` exports to no engine. Here the place of the maximum is kept not as an
index into the picture but as its number in the 2x2 window, 0 to 3 in row order; unpooling doubles values and
numbers by nearest neighbour, and keeps a value where its number is that of the pixel. Results equal
``max_pool2d(..., return_indices=True)`` and ``max_unpool2d`` bit for bit: of equal values the first wins.
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


class PlacePooling:
    """The same in max pooling, comparisons and doubling by nearest neighbour: what an engine runs.

    Pooling windows that leave out a column or a row stand in for slices, which engines run slowly; so
    does doubling for the interleaving of four masked copies.
    """

    def pool(self, x: Tensor) -> tuple[Tensor, Position]:
        """See :class:`Pooling`; the position is the place's number in its window, as float32."""
        check_even(x)
        maximum = F.max_pool2d(x, 2)
        is_first = F.max_pool2d(x, 1, 2) == maximum
        in_row = F.max_pool2d(x, (1, 2), 2) == maximum
        in_column = F.max_pool2d(x, (2, 1), 2) == maximum
        place = torch.where(in_column, 2.0, 3.0)
        place = torch.where(is_first, 0.0, torch.where(in_row, 1.0, place))
        return maximum, (place,)

    def unpool(self, x: Tensor, position: Position) -> Tensor:
        """See :class:`Pooling`."""
        doubled = F.interpolate(x, scale_factor=2, mode="nearest")
        places = F.interpolate(position[0], scale_factor=2, mode="nearest")
        height, width = x.shape[2:]
        own = torch.tensor([[0.0, 1.0], [2.0, 3.0]], device=x.device).repeat(height, width)
        return torch.where(places == own, doubled, 0.0)


def check_even(x: Tensor) -> None:
    """Raise ValueError unless height and width of ``x`` are even; while tracing they are no numbers."""
    height, width = x.shape[-2:]
    if isinstance(height, int) and (height % 2 or width % 2):
        raise ValueError(f"2x2 pooling takes an even height and width; given {width}x{height}")
