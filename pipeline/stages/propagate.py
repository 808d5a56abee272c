"""Propagation: the one place where model, flow and key-frame policy meet.

Deep Feature Flow, Zhu et al., CVPR 2017, Algorithm 1: on a key frame the model runs in full; on the frames
after it what it computed there is carried along the flow.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size, StepEstimator, StepFlow
from keywarp.flow.build import make_step_estimator
from keywarp.flow.keyframes import FixedInterval, KeyframePolicy, Signals
from keywarp.models.base import KeyOutput, Model, Setup
from keywarp.pipeline.controls import Controls
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

    A frozen frame gets the last result again, whatever it is. After a gap in the stream the next frame is a key
    frame. ``controls`` may change the interval, the flow and the level while the stream runs, and switch the model
    off: its result then is :meth:`Model.nothing`. ``flow_size``: the grid of a flow that they change to.
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
        controls: Controls | None = None,
        flow_size: Size | None = None,
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
        self._controls = controls
        self._flow_size = flow_size
        self._knobs = None if controls is None else controls.knobs
        self._knows_step = False
        self._shown: tuple[Result, Propagation] | None = None

    def open(self, info: StreamInfo) -> None:
        """Compile the model for this stream."""
        if self._steps.needs_known_step and not info.knows_step:
            raise UsageError(
                f"flow '{self._steps.name}' is what a source itself knows, and '{info.name}' knows none; "
                f"use --flow dis"
            )
        self._knows_step = info.knows_step
        self.model.open(self._setup, info.size)

    def process(self, packet: Packet) -> None:
        """Bring the packet's result: by a full run, along the flow, or the last one for a frozen frame."""
        self._obey()
        if not packet.frame.frozen or self._shown is None:
            self._shown = self._perceive(packet) if self._is_on else self._skip(packet)
        packet[self._result], packet[self._propagation] = self._shown

    @property
    def _is_on(self) -> bool:
        return self._knobs is None or self._knobs.enabled

    def _skip(self, packet: Packet) -> tuple[Result, Propagation]:
        self._forget()
        return self.model.nothing(), Propagation(False, 0, packet.frame.index)

    def _perceive(self, packet: Packet) -> tuple[Result, Propagation]:
        frame = packet.frame
        if frame.after_gap:
            self._forget()
        if self._since_request is not None:
            self._since_request += 1
        signals = Signals(self._since_request, frame.picture_type, self._number)
        if self._pending is None and self._policy.is_key(signals):
            self._request(packet)
        slot = self._latest_finished()
        for older in (slot, self._pending):
            if older is not None and older.frame is not frame:
                older.advance(self._step(packet))
        result = self._result_of(slot, packet)
        self._previous = frame
        self._number += 1
        return result, Propagation(slot.frame is frame, slot.age, slot.frame.index)

    def _obey(self) -> None:
        """Take over what the controls say by now."""
        if self._controls is None or self._controls.knobs is self._knobs:
            return
        before, now = self._knobs, self._controls.knobs
        assert before is not None
        self._knobs = now
        if now.interval != before.interval:
            self._policy = FixedInterval(now.interval)
        if now.flow != before.flow:
            steps = make_step_estimator(now.flow, self._flow_size)
            self._steps = self._steps if steps.needs_known_step and not self._knows_step else steps
        if now.level != before.level:
            self._forget()
            self.model.set_level(now.level)

    def _forget(self) -> None:
        """Start anew: the next frame is a key frame. A full run that is still under way ends first."""
        if self._pending is not None and self._pending.state is not SlotState.REQUESTED:
            self._pending.wait()
        self._current = self._pending = self._previous = self._since_request = None

    def close(self) -> None:
        """Free the model, once a full run that is still under way has ended."""
        self._forget()
        self._shown = None
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
