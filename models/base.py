"""What every model promises to the propagate stage: full runs on key frames, cheap ones between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from keywarp.engines.base import Engine
from keywarp.engines.errors import ModelError
from keywarp.flow.base import KeyFlow, PairFlow, Size

from .card import Card

Array = NDArray[Any]
Result = TypeVar("Result")
Level = Literal["features", "result"]
LEVELS: tuple[Level, ...] = ("features", "result")
"""At ``features`` the key frame's features are warped and the head runs (Deep Feature Flow); at ``result`` the
key frame's finished result is warped, and nothing runs."""


class Picture(Protocol):
    """What a model may ask of a frame; :class:`keywarp.pipeline.picture.Picture` offers it."""

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        ...

    def bgr_at(self, size: Size) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, C-contiguous, scaled to ``size``; made at most once, read-only."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """How a model is to run: on which engine and at which level.

    ``aggregates``: at level ``features``, full runs may take in what an earlier key frame carries. ``size`` is the
    network's input (None: from the card and the frames' size), ``threads`` the CPU threads of its engine (None: the
    engine's choice). ``fused``: let kernels of keywarp's own work on the CPU where there are such.
    """

    engine: Engine
    level: Level = "features"
    aggregates: bool = False
    precision: str | None = None
    size: Size | None = None
    threads: int | None = None
    fused: bool = True


@dataclass(frozen=True, slots=True)
class KeyOutput(Generic[Result]):
    """What a full run yields: the result, and what later frames warp.

    ``carried`` holds, at level ``features``, the key features by name, each (1, C, H / stride, W / stride)
    float32, owned by the model's session: valid until the next but one full run, so that a new key frame can
    be computed while the old one is still in use. At level ``result`` it holds what the result is made of, such as
    ``labels`` at the network's size, in arrays that nobody writes.
    ``mixed``: whether an earlier key frame's features are in it.
    """

    result: Result
    carried: Mapping[str, Array]
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Earlier(Generic[Result]):
    """A key frame as it is seen from a later one: what it yielded, and the ``flow`` from the later one to it.

    ``match`` (h, w) float32 on a grid of any size: how well each of its cells is found again along the flow, from 0
    (not at all) to 1.
    """

    output: KeyOutput[Result]
    flow: KeyFlow | PairFlow
    match: NDArray[np.float32]


class Model(ABC, Generic[Result]):
    """A card, its compiled parts and the decoding of their outputs.

    ``open``, then any number of full runs and propagations from one thread, then ``close``; then it may be opened
    again. Before ``open`` only the card may be used.
    """

    card: Card
    can_aggregate: bool = False
    """Whether :meth:`features_with` works."""
    can_aggregate_scaled: bool = False
    """Whether it does beside a flow with a scale map, too: where that multiplies the features that are mixed."""
    fused: str | None = None
    """The kernel that runs the head in the engine's place, once open; None where the engine does."""

    @abstractmethod
    def open(self, setup: Setup, frame_size: Size) -> None:
        """Compile the parts that the level needs. Raises UsageError for a size that it cannot take."""

    @property
    @abstractmethod
    def runs_on(self) -> str:
        """Engine and precision that really run, such as ``openvino f32``, once open."""

    @property
    @abstractmethod
    def propagation_part(self) -> str:
        """What :meth:`propagate` is called in timings: ``warp_head`` at level features, ``warp`` at result."""

    @abstractmethod
    def prepare(self, picture: Picture) -> Array:
        """The network's input for a picture."""

    @abstractmethod
    def features(self, image: Array) -> KeyOutput[Result]:
        """Run the full network on a prepared key frame."""

    def features_with(self, image: Array, earlier: Earlier[Result]) -> KeyOutput[Result]:
        """The same, mixed with what an earlier key frame carries, for a setup that aggregates.

        Raises ModelError where this model cannot do that.
        """
        raise ModelError(f"model '{self.card.name}' cannot aggregate key frames; use --no-aggregate")

    @abstractmethod
    def propagate(self, key: KeyOutput[Result], flow: KeyFlow | PairFlow) -> Result:
        """The result on a later frame: what ``key`` carries, warped along ``flow``, and decoded.

        At level ``features`` what was warped is multiplied by the flow's scale map, where it has one (see
        :meth:`open_scale`); at level ``result`` a scale map is of no use.
        """

    @abstractmethod
    def agreement(self, first: Result, second: Result) -> float:
        """How far two results on one frame agree, from 0 to 1: the share of the pixels with the same class."""

    def open_scale(self, grid: Size, channels: int) -> None:
        """Get ready for scale maps of ``channels`` on a ``grid`` (width, height); ``open`` comes first.

        Raises ModelError where this model's features cannot be multiplied by such a map.
        """
        raise ModelError(
            f"model '{self.card.name}' takes no scale map; use a flow without one, such as --flow lk"
        )

    @abstractmethod
    def change(self, level: Level, *, aggregates: bool) -> None:
        """Run at another level, or aggregate or not, from the next full run on.

        What was carried at another level is of no more use. Raises ModelError where this model cannot aggregate,
        and is as before then.
        """

    @abstractmethod
    def nothing(self) -> Result:
        """A result for a frame on which the model was not run, with nothing in it."""

    @abstractmethod
    def close(self) -> None:
        """Free sessions and buffers. May be called twice, and before ``open``."""
