"""Propagation: the one place where model, flow and key-frame policy meet.

Deep Feature Flow, Zhu et al., CVPR 2017, Algorithm 1: on a key frame the model runs in full; on the frames
after it what it computed there is carried along the flow.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from keywarp.engines.errors import UsageError
from keywarp.flow.base import StepEstimator, StepFlow
from keywarp.flow.keyframes import KeyframePolicy, Signals
from keywarp.models.base import KeyOutput, Model, Setup
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION, STEP_FLOW, Propagation
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Stage, StreamInfo

from .keyslot import InlineRunner, KeySlot, Runner, SlotState

Result = TypeVar("Result")


class Propagate(Stage, Generic[Result]):
    """Runs a model in full on key frames and propagates what it yields to the frames between.

    Writes the model's result under ``result`` and how it came about under ``propagation``. The step flow is
    estimated only on frames that need it, and shared: the first model on the stream that needs it writes
    STEP_FLOW, the others read it. With a runner that returns before the work is done, frames are propagated
    from the old key frame until the new one is finished; at most one is under way.
    """

    def __init__(
        self,
        model: Model[Result],
        setup: Setup,
        *,
        policy: KeyframePolicy,
        steps: StepEstimator,
        result: Key[Result],
        propagation: Key[Propagation] = PROPAGATION,
        name: str = "perceive",
        runner: Runner | None = None,
    ) -> None:
        self.name = name
        self.urgent = True
        self.writes = (result, propagation)
        self.model = model
        self._setup = setup
        self._policy = policy
        self._steps = steps
        self._result = result
        self._propagation = propagation
        self._runner = runner or InlineRunner()
        self._current: KeySlot[Result] | None = None
        self._pending: KeySlot[Result] | None = None
        self._previous: Frame | None = None
        self._since_request: int | None = None
        self._number = 0

    def open(self, info: StreamInfo) -> None:
        """Compile the model for this stream."""
        if self._steps.needs_known_step and not info.knows_step:
            raise UsageError(
                f"flow '{self._steps.name}' is what a source itself knows, and '{info.name}' knows none; "
                f"use --flow dis"
            )
        self.model.open(self._setup, info.size)

    def process(self, packet: Packet) -> None:
        """Bring the packet's result: by a full run, or along the flow."""
        frame = packet.frame
        if self._since_request is not None:
            self._since_request += 1
        signals = Signals(self._since_request, frame.picture_type, self._number)
        if self._pending is None and self._policy.is_key(signals):
            self._request(packet)
        slot = self._latest_finished()
        for older in (slot, self._pending):
            if older is not None and older.frame is not frame:
                older.advance(self._step(packet))
        packet[self._result] = self._result_of(slot, packet)
        packet[self._propagation] = Propagation(slot.frame is frame, slot.age, slot.frame.index)
        self._previous = frame
        self._number += 1

    def close(self) -> None:
        """Free the model, once a full run that is still under way has ended."""
        if self._pending is not None and self._pending.state is not SlotState.REQUESTED:
            self._pending.wait()
        self._current = self._pending = self._previous = None
        self.model.close()

    def _request(self, packet: Packet) -> None:
        """Start the full run of this frame."""
        self._pending = KeySlot(packet.frame)
        self._since_request = 0

        def work() -> KeyOutput[Result]:
            with packet.span(f"{self.name}.prepare"):
                image = self.model.prepare(packet.frame.picture)
            with packet.span(f"{self.name}.features"):
                return self.model.features(image)

        self._pending.run(self._runner, work)

    def _latest_finished(self) -> KeySlot[Result]:
        """The slot to propagate from; waits for the first one, since there is nothing to show before it."""
        pending = self._pending
        if pending is not None and (pending.state is SlotState.FINISHED or self._current is None):
            _ = pending.output  # raises what the run raised
            self._current, self._pending = pending, None
        assert self._current is not None
        return self._current

    def _step(self, packet: Packet) -> StepFlow:
        """This frame's step flow: another model's, or made now for all of them."""
        step = packet.get(STEP_FLOW)
        if step is None:
            assert self._previous is not None
            with packet.span(f"{self.name}.flow"):
                step = self._steps.step(self._previous, packet.frame)
            packet[STEP_FLOW] = step
        return step

    def _result_of(self, slot: KeySlot[Result], packet: Packet) -> Result:
        if slot.frame is packet.frame:
            return slot.output.result
        with packet.span(f"{self.name}.{self.model.propagation_part}"):
            return self.model.propagate(slot.output, slot.flow)
