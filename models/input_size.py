"""The size of a network's input."""

from __future__ import annotations

import math

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.flow.sizes import nearest

from .card import InputCard


def choose_input_size(card: InputCard, frame_size: Size, wanted: Size | None) -> Size:
    """The network's input for frames of ``frame_size``: as ``wanted``, else the frame's size, or its shape
    at about the card's area where it is larger, to the nearest multiples of the network's stride.

    Raises :class:`UsageError` where a wanted side is no multiple of the stride.
    """
    stride_px = card.stride_px
    if wanted is not None:
        if any(side < stride_px or side % stride_px for side in wanted):
            near = tuple(_round_up_to(side, stride_px) for side in wanted)
            raise UsageError(
                f"the model cannot take the size {wanted[0]}x{wanted[1]}: width and height are multiples of "
                f"{stride_px}; the next one is {near[0]}x{near[1]}"
            )
        return wanted
    shrink = min(1.0, math.sqrt(card.width * card.height / (frame_size[0] * frame_size[1])))
    return nearest((frame_size[0] * shrink, frame_size[1] * shrink), stride_px)


def _round_up_to(side: int, stride_px: int) -> int:
    return max(stride_px, math.ceil(side / stride_px) * stride_px)
