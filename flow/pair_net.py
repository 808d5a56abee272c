"""Flow by a FlowNet on an engine: for one pair of key frame and current frame, with a scale map if it has one."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keywarp.engines.base import Session
from keywarp.engines.card import network_source, part_path
from keywarp.engines.errors import UsageError

from .base import Image, PairEstimator, PairFlow, PairSetup, Size
from .card import FlowCard, find_flow_card, read_flow_card
from .compose import inside
from .sizes import shrunk

_log = logging.getLogger(__name__)

_TITLE = "flow network"


class FlowNetFlow(PairEstimator):
    """The network of a flow card, on pictures of ``size`` (width, height; None: about the card's input size in the
    frame's shape, and no more than the frame), to the nearest multiples of the network's stride.

    The scale map comes along where one is wanted for the model that the card names; for any other model the flow
    comes alone, which a warning says when it is opened. Cells that point outside the key frame are invalid.
    """

    def __init__(self, name_or_path: str, size: Size | None = None) -> None:
        self.name = name_or_path
        self._card_path = find_flow_card(name_or_path)
        self.card: FlowCard = read_flow_card(self._card_path)
        self._wanted_size = size
        self._size: Size = (0, 0)
        self._session: Session | None = None
        self._with_scale = False

    @property
    def picture_size(self) -> Size:
        """Width and height of the pictures that the network compares, once open."""
        return self._size

    @property
    def grid_size(self) -> Size:
        """The pictures' size over the network's stride."""
        stride_px = self.card.stride_px
        return self._size[0] // stride_px, self._size[1] // stride_px

    @property
    def scale_channels(self) -> int | None:
        """The card's, where the scale map is wanted."""
        return self.card.scale_channels if self._with_scale else None

    def open(self, setup: PairSetup, frame_size: Size) -> None:
        """Compile for one frame size and run once, so that the first frame is as fast as the others."""
        self.close()
        self._size = choose_picture_size(self.card, frame_size, self._wanted_size)
        self._with_scale = self._gives_scale_for(setup.scale_for)
        outputs = ("flow", "scale") if self._with_scale else ("flow",)
        width, height = self._size
        shape = (1, height, width, 3)
        module = partial(_torch_module, self.card, self._card_path)
        source = network_source(self.card, self._card_path, "flow", module, _TITLE)
        plan = setup.engine.compile(
            source, {"image": shape, "key": shape}, outputs=outputs, precision=setup.precision
        )
        self._session = plan.session(threads=setup.threads)
        black = np.zeros(shape, np.uint8)
        self._session.infer({"image": black, "key": black})

    def pair(self, key: Image, current: Image) -> PairFlow:
        """Run the network; the arrays are valid until the next call."""
        assert self._session is not None, "open comes first"
        outputs = self._session.infer({"image": self._prepare(current), "key": self._prepare(key)})
        field = outputs["flow"][0]
        return PairFlow(field, inside(field), outputs["scale"][0] if self._with_scale else None)

    def close(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def _prepare(self, frame: Image) -> NDArray[np.uint8]:
        return frame.bgr_at(self._size)[np.newaxis]

    def _gives_scale_for(self, model: str | None) -> bool:
        if model is None or self.card.scale_for is None:
            return False
        if model != self.card.scale_for:
            _log.warning(
                "flow '%s' has a scale map for the model '%s'; '%s' is run with its flow alone",
                *(self.card.name, self.card.scale_for, model),
            )
        return model == self.card.scale_for


def _torch_module(card: FlowCard, card_path: Path) -> Any:
    """The network in torch, for the engine that runs networks themselves."""
    from .flow_part import part_of_file

    return part_of_file(card, part_path(card, card_path, "flow", _TITLE))


def choose_picture_size(card: FlowCard, frame_size: Size, wanted: Size | None) -> Size:
    """The size of the pictures that the network compares: ``wanted``, else the frame's own, or its shape at about
    the card's area where it is larger; to the nearest multiples of the stride, of two the larger ones, so that all
    cells of the flow are whole.

    Raises :class:`UsageError` where a side is shorter than the network can take.
    """
    stride_px, smallest_px = card.stride_px, card.input.smallest_side_px
    size = wanted or shrunk(frame_size, card.input.width * card.input.height)
    width, height = (math.floor(side / stride_px + 0.5) * stride_px for side in size)
    if min(width, height) < smallest_px:
        raise UsageError(
            f"flow '{card.name}' compares pictures of at least {smallest_px}x{smallest_px}; it is given {size[0]}x"
            f"{size[1]} for frames of {frame_size[0]}x{frame_size[1]}; use --flow lk, or a larger size with "
            "--set flow.size=WIDTHxHEIGHT"
        )
    return width, height
