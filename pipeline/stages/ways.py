"""Ways: how the flow from a frame to a key frame is had, by steps that are chained or for the pair itself."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar

from keywarp.flow.base import KeyFlow, PairEstimator, PairFlow, PairSetup, Size, StepEstimator, StepFlow
from keywarp.flow.motion import is_finite
from keywarp.models.base import Model, Setup
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import STEP_FLOW
from keywarp.pipeline.packet import Packet

from .keyslot import KeySlot

_log = logging.getLogger(__name__)

Flow = TypeVar("Flow", StepFlow, PairFlow)


class Way(ABC, Generic[Flow]):
    """The flow between the frames of one stream and one model's key frames, by ``estimator``. For one thread.

    ``span``: what the time that it takes is called.
    """

    def __init__(self, estimator: StepEstimator | PairEstimator, span: str) -> None:
        self.estimator = estimator
        self._span = span
        self._sound: Flow | None = None
        self._broken: Frame | None = None

    def open(self, model: Model[Any], setup: Setup, size: Size, *, scaled: bool = True) -> None:
        """Get ready for frames of one size; ``scaled``: with a scale map, where the level and the model take one.

        Where that fails it is closed again.
        """

    @abstractmethod
    def step(self, previous: Frame | None, packet: Packet) -> StepFlow | None:
        """The step flow from the previous delivered frame, found once a frame; None where none is chained."""

    @abstractmethod
    def to(self, slot: KeySlot[Any], packet: Packet) -> KeyFlow | PairFlow:
        """The flow from this frame to a key frame before it, which has been advanced as far."""

    @abstractmethod
    def _new(self, slot: KeySlot[Any] | None, previous: Frame | None, packet: Packet) -> Flow | None:
        """What is found for this frame; None where that takes a key frame, and there is none."""

    def reaches(self, slot: KeySlot[Any] | None, previous: Frame | None, packet: Packet) -> bool:
        """Whether the flow to this frame, from the key frame if it is found for pairs, is sound: numbers, all of
        them finite. A log line says where it is not, once a frame.
        """
        frame = packet.frame
        if self._broken is frame:
            return False
        flow = self._new(slot, previous, packet)
        if flow is not None and flow is not self._sound and not is_finite(flow):
            _log.warning("flow '%s' is not finite on frame %d: a key frame", self.estimator.name, frame.index)
            self._broken = frame
            return False
        self._sound = flow
        return True

    def forget(self) -> None:
        """Let go of the frames and flows so far."""
        self._sound = self._broken = None

    def close(self) -> None:
        """Free what was opened. May be called twice, and before ``open``."""


class Chained(Way[StepFlow]):
    """Steps from frame to frame, which key slots chain. A step is found once for all models on the stream."""

    estimator: StepEstimator

    def step(self, previous: Frame | None, packet: Packet) -> StepFlow:
        """Another model's, or found now for all of them."""
        step = packet.get(STEP_FLOW)
        if step is None:
            assert previous is not None
            with packet.span(self._span):
                step = self.estimator.step(previous, packet.frame)
            packet[STEP_FLOW] = step
        return step

    def to(self, slot: KeySlot[Any], packet: Packet) -> KeyFlow:
        """The slot's chain."""
        return slot.flow

    def _new(self, slot: KeySlot[Any] | None, previous: Frame | None, packet: Packet) -> StepFlow:
        return self.step(previous, packet)


class Paired(Way[PairFlow]):
    """A FlowNet's flow, and scale map, for each frame and the key frame themselves."""

    estimator: PairEstimator

    def __init__(self, estimator: PairEstimator, span: str) -> None:
        super().__init__(estimator, span)
        self._found: tuple[KeySlot[Any], Frame, PairFlow] | None = None

    def open(self, model: Model[Any], setup: Setup, size: Size, *, scaled: bool = True) -> None:
        """Compile the FlowNet, and what its scale map needs of the model."""
        wanted = model.card.name if scaled and setup.level == "features" else None
        try:
            self.estimator.open(PairSetup(setup.engine, setup.precision, setup.threads, wanted), size)
            if self.estimator.scale_channels is not None:
                model.open_scale(self.estimator.grid_size, self.estimator.scale_channels)
        except BaseException:
            self.close()
            raise

    def step(self, previous: Frame | None, packet: Packet) -> None:
        """None: nothing is chained."""

    def to(self, slot: KeySlot[Any], packet: Packet) -> PairFlow:
        """Found at most once for two frames; good until the next two."""
        if self._found is None or self._found[0] is not slot or self._found[1] is not packet.frame:
            with packet.span(self._span):
                self._found = slot, packet.frame, self.estimator.pair(slot.frame, packet.frame)
        return self._found[2]

    def _new(self, slot: KeySlot[Any] | None, previous: Frame | None, packet: Packet) -> PairFlow | None:
        return None if slot is None else self.to(slot, packet)

    def forget(self) -> None:
        """Let go of the frames and flows so far."""
        super().forget()
        self._found = None

    def close(self) -> None:
        """Free the FlowNet."""
        self.estimator.close()


def make_way(estimator: StepEstimator | PairEstimator, span: str) -> Chained | Paired:
    """The way of an estimator's kind."""
    return Paired(estimator, span) if isinstance(estimator, PairEstimator) else Chained(estimator, span)


def kept(flow: KeyFlow | PairFlow) -> KeyFlow | PairFlow:
    """The flow, without its scale map, in memory of its own: a pair's is good until the next pair only."""
    return replace(flow, field=flow.field.copy(), scale=None) if isinstance(flow, PairFlow) else flow
