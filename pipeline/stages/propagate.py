"""Propagation: the one place where model, flow and key-frame policy meet.

Deep Feature Flow, Zhu et al., CVPR 2017, Algorithm 1: on a key frame the model runs in full; on the frames
after it what it computed there is carried along the flow.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from keywarp.flow.base import PairEstimator, Size, StepEstimator
from keywarp.flow.keyframes import Cause, KeyframePolicy, Signals, begins_scene, watch, watches
from keywarp.flow.motion import grid_size, match
from keywarp.models.base import Earlier, KeyOutput, Model, Setup
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION, Propagation
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Stage, StreamInfo

from .keyslot import InlineRunner, KeySlot, Runner, SlotState
from .means import Lost, Means
from .ways import kept

_COMPARED: tuple[Cause, ...] = ("adaptive", "interval", "intra")
"""Causes of key frames to which results can be carried as to any other frame: those that policies choose."""
_BREAKS: tuple[Cause, ...] = ("cut", "nan")
"""Causes after which nothing from before may be shown: key frames that others wait for."""

Result = TypeVar("Result")


class Propagate(Stage, Generic[Result]):
    """Runs a model in full on key frames and propagates what it yields to the frames between.

    Writes the model's result under ``result`` and how it came about under ``propagation``. The step flow is
    estimated only on frames that need it, and shared: the first model on the stream that needs it writes
    STEP_FLOW, the others read it. With a runner that returns before the work is done, frames are propagated
    from the old key frame until the new one is finished; at most one is under way.

    ``steps`` may also be an estimator for pairs, a FlowNet: then each frame is compared with the key frame itself,
    nothing is chained, and there is no step flow. Its scale map is used at level ``features``, for the model that
    it was trained for.

    A frame to which the flow is broken (not a number, or infinite) becomes a key frame, and so does the first of a
    new scene; what was carried along ends there.

    Where the setup aggregates, a full run is given what the key frame before it carries, unless another scene has
    begun since, or the flow to it is broken.

    A frozen frame gets the last result again, whatever it is. After a gap in the stream the next frame is a key
    frame. ``controls`` may change the interval, the flow, the level and the aggregation while the stream runs, and
    switch the model off: its result then is :meth:`Model.nothing`. What they ask for and cannot be stays as it was,
    with a line in the log. ``flow_size``: the size of the pictures that a flow chosen by the controls compares.

    Where the policy learns, or the stage ``compares``, what was carried to each key frame that the policy chose is
    compared with its full run.
    """

    def __init__(
        self,
        model: Model[Result],
        setup: Setup,
        *,
        policy: KeyframePolicy,
        steps: StepEstimator | PairEstimator,
        result: Key[Result],
        propagation: Key[Propagation] = PROPAGATION,
        name: str = "perceive",
        runner: Runner | None = None,
        controls: Controls | None = None,
        flow_size: Size | None = None,
        compares: bool = False,
    ) -> None:
        self.name = name
        self.urgent = True
        self.writes = (result, propagation)
        self.model = model
        self._means = Means(model, setup, policy, steps, stage=name, flow_size=flow_size)
        self._result = result
        self._propagation = propagation
        self._runner = runner or InlineRunner()
        self._current: KeySlot[Result] | None = None
        self._pending: KeySlot[Result] | None = None
        self._previous: Frame | None = None
        self._reached: Frame | None = None
        self._since_request: int | None = None
        self._number = 0
        self._controls = controls
        self._compares = compares
        self._knobs = None if controls is None else controls.knobs
        self._shown: tuple[Result, Propagation] | None = None

    def open(self, info: StreamInfo) -> None:
        """Compile the model, and a FlowNet, for this stream."""
        self._means.open(info)

    def process(self, packet: Packet) -> None:
        """Bring the packet's result: by a full run, along the flow, or the last one for a frozen frame."""
        self._obey()
        if not packet.frame.frozen or self._shown is None:
            self._shown = self._perceive(packet) if self._is_on else self._skip(packet)
        packet[self._result], packet[self._propagation] = self._shown

    @property
    def aggregates(self) -> bool:
        """Whether key frames are aggregated where features are carried. From any thread."""
        return self._means.setup.aggregates

    @property
    def unaggregated(self) -> str:
        """What keeps key frames from being aggregated now, and what to do about it; empty where nothing does. From
        any thread.
        """
        return self._means.unaggregated

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
        cause = self._decide(packet)
        if cause in _BREAKS:
            self._drop()
        if cause is not None:
            self._request(packet, cause)
            self._heed_cut(packet)
        slot = self._latest_finished()
        if slot.frame is not frame and not self._advance(packet):
            self._current = None  # nothing leads from it to here: wait for the full run that is under way
            if self._pending is None:  # there is none where it had just ended
                self._request(packet, "nan")
            slot = self._latest_finished()
        result = self._result_of(slot, packet)
        self._previous = frame
        self._number += 1
        is_key = slot.frame is frame
        aggregated = is_key and slot.output.mixed
        return result, Propagation(is_key, slot.age, slot.frame.index, slot.cause, slot.agreement, aggregated)

    def _decide(self, packet: Packet) -> Cause | None:
        """Why this frame becomes a key frame, None where it is propagated. Flow is asked for where nothing else
        settles it: it is what the frame is propagated along, if it is.
        """
        frame = packet.frame
        signals = Signals(self._since_request, frame.picture_type, self._number)
        cause = None if self._pending is not None else self._means.policy.cause(signals)
        if cause is not None:
            return "gap" if cause == "first" and frame.after_gap else cause
        if not self._advance(packet):
            return "nan"
        signals = self._measured(signals, packet)
        if self._pending is not None:  # at most one is under way, unless it has lost its sense
            return "cut" if signals.cut else None
        return self._means.policy.cause(signals)

    def _measured(self, signals: Signals, packet: Packet) -> Signals:
        """The signals with what the policy wants to know of pictures and flow."""
        slot, previous = self._current, self._previous
        if slot is None or previous is None or not watches(self._means.policy):
            return signals
        flow, step = self._means.way.to(slot, packet), self._means.way.step(previous, packet)
        with packet.span(f"{self.name}.signals"):
            return watch(
                self._means.policy,
                signals,
                key=slot.frame,
                previous=previous,
                now=packet.frame,
                flow=flow,
                step=step,
            )

    def _advance(self, packet: Packet) -> bool:
        """Bring the key frames in use up to this frame, once; False where the flow to it is broken."""
        if not self._means.way.reaches(self._current, self._previous, packet):
            return False
        if self._reached is not packet.frame:
            step = self._means.way.step(self._previous, packet)
            for slot in (self._current, self._pending):
                if slot is not None and slot.frame is not packet.frame:
                    slot.advance(step)
            self._reached = packet.frame
        return True

    def _obey(self) -> None:
        """Take over what the controls say by now."""
        if self._controls is None or self._controls.knobs is self._knobs:
            return
        before, now = self._knobs, self._controls.knobs
        assert before is not None
        self._knobs = now
        if self._pending is not None and self._means.touches(before, now):
            self._pending.wait()
        lost = self._means.change(before, now)
        if lost is Lost.ALL:
            self._forget()
        elif lost is Lost.CARRIED:
            self._drop()

    def _forget(self) -> None:
        """Start anew: the next frame is a key frame."""
        self._drop()
        self._means.policy.reset()

    def _drop(self) -> None:
        """Nothing of what was computed is carried on. A full run that is still under way ends first."""
        if self._pending is not None:
            self._pending.wait()
        self._current = self._pending = self._previous = self._since_request = None
        self._reached = None
        self._means.way.forget()

    def close(self) -> None:
        """Free the model, once a full run that is still under way has ended."""
        self._forget()
        self._shown = None
        self._means.close()

    def _request(self, packet: Packet, cause: Cause) -> None:
        """Start the full run of this frame."""
        earlier = self._earlier(packet)
        self._pending = KeySlot(packet.frame, cause, self._carried_to(packet, cause))
        self._since_request = 0

        def work() -> KeyOutput[Result]:
            with packet.span(f"{self.name}.prepare"):
                image = self.model.prepare(packet.frame.picture)
            with packet.span(f"{self.name}.features"):
                if earlier is not None:
                    return self.model.features_with(image, earlier)
                return self.model.features(image)

        self._pending.run(self._runner, work)

    def _heed_cut(self, packet: Packet) -> None:
        """Where the policy chose this frame before anything was measured, its full run is under way, and it begins
        a new scene: others wait for it as for any cut.
        """
        pending = self._pending
        if pending is None or pending.state is SlotState.FINISHED or pending.cause not in _COMPARED:
            return
        if self._means.policy.cuts and self._begins_scene(packet):
            pending.cause, pending.carried = "cut", None
            self._current = None

    def _begins_scene(self, packet: Packet) -> bool:
        """Whether this frame begins a new scene, as far as a sound flow leads to it."""
        slot, previous = self._current, self._previous
        if slot is None or previous is None or not self._advance(packet):
            return False
        flow, step = self._means.way.to(slot, packet), self._means.way.step(previous, packet)
        with packet.span(f"{self.name}.signals"):
            return begins_scene(key=slot.frame, previous=previous, now=packet.frame, flow=flow, step=step)

    def _carried_to(self, packet: Packet, cause: Cause) -> Result | None:
        """What was carried to a frame that becomes a key frame, where that is to be compared with its full run."""
        slot = self._current
        if slot is None or cause not in _COMPARED or not (self._means.policy.learns or self._compares):
            return None
        return self._propagated(slot, packet) if self._advance(packet) else None

    def _earlier(self, packet: Packet) -> Earlier[Result] | None:
        """The key frame before this one, to be aggregated with it; None where it is not wanted or of no use."""
        slot, frame = self._current, packet.frame
        if slot is None or self._previous is None or not self._means.aggregates:
            return None
        if not self._advance(packet) or self._begins_scene(packet):
            return None
        flow = self._means.way.to(slot, packet)
        with packet.span(f"{self.name}.signals"):
            size = grid_size(flow)
            found = match(slot.frame.gray(size), frame.gray(size), flow)
        return Earlier(slot.output, kept(flow), found)  # the full run may come after the next pair

    def _latest_finished(self) -> KeySlot[Result]:
        """The slot to propagate from; waits for the first one, since there is nothing to show before it."""
        pending = self._pending
        if pending is not None and (pending.state is SlotState.FINISHED or self._current is None):
            full = pending.output.result  # raises what the run raised
            if pending.carried is not None:
                pending.agreement = self.model.agreement(pending.carried, full)
                self._means.policy.learn(100 * pending.agreement)
                pending.carried = None
            self._current, self._pending = pending, None
        assert self._current is not None
        return self._current

    def _result_of(self, slot: KeySlot[Result], packet: Packet) -> Result:
        if slot.frame is packet.frame:
            return slot.output.result
        pending = self._pending
        if pending is not None and pending.frame is packet.frame and pending.carried is not None:
            return pending.carried
        return self._propagated(slot, packet)

    def _propagated(self, slot: KeySlot[Result], packet: Packet) -> Result:
        flow = self._means.way.to(slot, packet)
        with packet.span(f"{self.name}.{self.model.propagation_part}"):
            return self.model.propagate(slot.output, flow)
