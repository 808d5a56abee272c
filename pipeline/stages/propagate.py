"""Propagation: the one place where model, flow and key-frame policy meet.

Deep Feature Flow, Zhu et al., CVPR 2017, Algorithm 1: on a key frame the model runs in full; on the frames
after it what it computed there is carried along the flow.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Generic, TypeVar

from keywarp.engines.errors import KeywarpError, UsageError
from keywarp.flow.base import KeyFlow, PairEstimator, PairFlow, PairSetup, Size, StepEstimator, StepFlow
from keywarp.flow.build import make_estimator
from keywarp.flow.keyframes import Cause, KeyframePolicy, Signals, begins_scene, watch, watches
from keywarp.flow.motion import grid_size, is_finite, match
from keywarp.flow.motion_vectors import VECTOR_CODECS
from keywarp.models.base import Earlier, KeyOutput, Level, Model, Setup
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION, STEP_FLOW, Propagation
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Stage, StreamInfo

from .keyslot import InlineRunner, KeySlot, Runner, SlotState

_log = logging.getLogger(__name__)

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
    switch the model off: its result then is :meth:`Model.nothing`. ``flow_size``: of the pictures that a flow
    compares to which they change.

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
        self._setup = setup
        self._policy = policy
        self._steps = steps
        self._result = result
        self._propagation = propagation
        self._runner = runner or InlineRunner()
        self._current: KeySlot[Result] | None = None
        self._pending: KeySlot[Result] | None = None
        self._previous: Frame | None = None
        self._reached: Frame | None = None
        self._broken: Frame | None = None
        self._sound: StepFlow | KeyFlow | PairFlow | None = None
        self._found: tuple[KeySlot[Result], Frame, PairFlow] | None = None
        self._since_request: int | None = None
        self._number = 0
        self._controls = controls
        self._flow_size = flow_size
        self._compares = compares
        self._knobs = None if controls is None else controls.knobs
        self._knows_step = False
        self._info: StreamInfo | None = None
        self._frame_size: Size = (0, 0)
        self._shown: tuple[Result, Propagation] | None = None

    def open(self, info: StreamInfo) -> None:
        """Compile the model, and a FlowNet, for this stream."""
        if _needs_known_step(self._steps) and not info.knows_step:
            raise UsageError(
                f"flow '{self._steps.name}' is what a source itself knows, and '{info.name}' knows none; "
                f"use --flow lk"
            )
        _check_vectors(self._steps, info)
        self._info = info
        self._knows_step = info.knows_step
        self._frame_size = info.size
        self.model.open(self._setup, info.size)
        self._open_pairs(self._steps)

    def process(self, packet: Packet) -> None:
        """Bring the packet's result: by a full run, along the flow, or the last one for a frozen frame."""
        self._obey()
        if not packet.frame.frozen or self._shown is None:
            self._shown = self._perceive(packet) if self._is_on else self._skip(packet)
        packet[self._result], packet[self._propagation] = self._shown

    @property
    def aggregates(self) -> bool:
        """Whether key frames are aggregated where features are carried. From any thread."""
        return self._setup.aggregates

    @property
    def unaggregated(self) -> str:
        """What keeps key frames from being aggregated now, and what to do about it; empty where nothing does. From
        any thread.
        """
        return what_bars_aggregation(self.model, self._setup.level, self._steps)

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
        if signals.age is None:
            return "gap" if frame.after_gap else "first"
        cause = None if self._pending is not None else self._policy.cause(signals)
        if cause is not None:
            return cause
        if not self._advance(packet):
            return "nan"
        signals = self._measured(signals, packet)
        if self._pending is not None:  # at most one is under way, unless it has lost its sense
            return "cut" if signals.cut else None
        return self._policy.cause(signals)

    def _measured(self, signals: Signals, packet: Packet) -> Signals:
        """The signals with what the policy wants to know of pictures and flow."""
        slot, previous = self._current, self._previous
        if slot is None or previous is None or not watches(self._policy):
            return signals
        flow, step = self._flow_to(slot, packet), self._step(packet)
        with packet.span(f"{self.name}.signals"):
            return watch(
                self._policy,
                signals,
                key=slot.frame,
                previous=previous,
                now=packet.frame,
                flow=flow,
                step=step,
            )

    def _advance(self, packet: Packet) -> bool:
        """Bring the key frames in use up to this frame, once; False where the flow to it is broken."""
        frame, current = packet.frame, self._current
        step = self._step(packet)
        flow = step if step is not None or current is None else self._flow_to(current, packet)
        if self._broken is frame:
            return False
        if flow is not None and flow is not self._sound and not is_finite(flow):
            _log.warning("flow '%s' is not finite on frame %d: a key frame", self._steps.name, frame.index)
            self._broken = frame
            return False
        self._sound = flow
        if self._reached is not frame:
            for slot in (current, self._pending):
                if slot is not None and slot.frame is not frame:
                    slot.advance(step)
            self._reached = frame
        return True

    def _obey(self) -> None:
        """Take over what the controls say by now."""
        if self._controls is None or self._controls.knobs is self._knobs:
            return
        before, now = self._knobs, self._controls.knobs
        assert before is not None
        self._knobs = now
        if now.interval != before.interval:
            self._policy = self._policy.with_interval(now.interval)
        if before.aggregate and not now.aggregate:
            self._aggregate(False)  # first: it may stand in the flow's way
        if now.flow != before.flow:
            self._change_flow(now.flow)
        if now.level != before.level:
            self._forget()
            self.model.change(now.level, aggregates=self._setup.aggregates)
            self._setup = replace(self._setup, level=now.level)
            self._reopen_pairs()
        if now.aggregate and (not before.aggregate or now.flow != before.flow):
            self._aggregate(True)
            if not before.aggregate and (reason := self.unaggregated):
                _log.warning("key frames are not aggregated: %s", reason)

    def _aggregate(self, wanted: bool) -> None:
        """Aggregate key frames from now on, or no more; where they cannot be, nothing changes."""
        if wanted == self._setup.aggregates or (
            wanted and what_bars_aggregation(self.model, "features", self._steps)
        ):
            return
        if self._pending is not None:
            self._pending.wait()
        try:
            self.model.change(self._setup.level, aggregates=wanted)
        except KeywarpError as error:
            _log.warning("key frames are not aggregated: %s", error)
            return
        self._setup = replace(self._setup, aggregates=wanted)

    def _change_flow(self, name: str) -> None:
        """Go over to another flow; where it cannot be used on this stream, the one before it stays."""
        try:
            steps = make_estimator(name, self._flow_size, fused=self._setup.fused)
            _check_vectors(steps, self._info)
            self._open_pairs(steps)
        except KeywarpError as error:
            _log.warning("flow stays '%s': %s", self._steps.name, error)
            return
        if _needs_known_step(steps) and not self._knows_step:
            return
        if isinstance(self._steps, PairEstimator):
            self._steps.close()
            self._found = self._sound = None
            if not isinstance(steps, PairEstimator):
                self._drop()  # a chain of steps cannot begin in its middle
        self._steps = steps

    def _reopen_pairs(self) -> None:
        """Get a FlowNet's scale map where the level now needs it, and be rid of it where it does not."""
        try:
            self._open_pairs(self._steps)
        except KeywarpError as error:
            _log.warning("flow '%s' goes on without its scale map: %s", self._steps.name, error)
            self._open_pairs(self._steps, scaled=False)

    def _open_pairs(self, flow: StepEstimator | PairEstimator, *, scaled: bool = True) -> None:
        """Compile a FlowNet, and what its scale map needs of the model; where that fails it is closed again."""
        if not isinstance(flow, PairEstimator):
            return
        setup = self._setup
        wanted = self.model.card.name if scaled and setup.level == "features" else None
        try:
            flow.open(PairSetup(setup.engine, setup.precision, setup.threads, wanted), self._frame_size)
            if flow.scale_channels is not None:
                self.model.open_scale(flow.grid_size, flow.scale_channels)
        except BaseException:
            flow.close()
            raise

    def _forget(self) -> None:
        """Start anew: the next frame is a key frame."""
        self._drop()
        self._policy.reset()

    def _drop(self) -> None:
        """Nothing of what was computed is carried on. A full run that is still under way ends first."""
        if self._pending is not None and self._pending.state is not SlotState.REQUESTED:
            self._pending.wait()
        self._current = self._pending = self._previous = self._since_request = None
        self._reached = self._broken = self._found = self._sound = None

    def close(self) -> None:
        """Free the model, once a full run that is still under way has ended."""
        self._forget()
        self._shown = None
        if isinstance(self._steps, PairEstimator):
            self._steps.close()
        self.model.close()

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

    def _carried_to(self, packet: Packet, cause: Cause) -> Result | None:
        """What was carried to a frame that becomes a key frame, where that is to be compared with its full run."""
        slot = self._current
        if slot is None or cause not in _COMPARED or not (self._policy.learns or self._compares):
            return None
        return self._propagated(slot, packet) if self._advance(packet) else None

    def _earlier(self, packet: Packet) -> Earlier[Result] | None:
        """The key frame before this one, to be aggregated with it; None where it is not wanted or of no use."""
        slot, previous, frame = self._current, self._previous, packet.frame
        if not self._setup.aggregates or self._setup.level != "features" or slot is None or previous is None:
            return None
        if not self._advance(packet):
            return None
        flow, step = self._flow_to(slot, packet), self._step(packet)
        with packet.span(f"{self.name}.signals"):
            if begins_scene(key=slot.frame, previous=previous, now=frame, flow=flow, step=step):
                return None
            size = grid_size(flow)
            found = match(slot.frame.gray(size), frame.gray(size), flow)
        if isinstance(flow, PairFlow):  # which is good until the next pair; the full run may come after that
            flow = replace(flow, field=flow.field.copy(), scale=None)
        return Earlier(slot.output, flow, found)

    def _latest_finished(self) -> KeySlot[Result]:
        """The slot to propagate from; waits for the first one, since there is nothing to show before it."""
        pending = self._pending
        if pending is not None and (pending.state is SlotState.FINISHED or self._current is None):
            full = pending.output.result  # raises what the run raised
            if pending.carried is not None:
                pending.agreement = self.model.agreement(pending.carried, full)
                self._policy.learn(100 * pending.agreement)
                pending.carried = None
            self._current, self._pending = pending, None
        assert self._current is not None
        return self._current

    def _step(self, packet: Packet) -> StepFlow | None:
        """This frame's step flow: another model's, or made now for all of them; None where pairs are compared."""
        if isinstance(self._steps, PairEstimator):
            return None
        step = packet.get(STEP_FLOW)
        if step is None:
            assert self._previous is not None
            with packet.span(f"{self.name}.flow"):
                step = self._steps.step(self._previous, packet.frame)
            packet[STEP_FLOW] = step
        return step

    def _flow_to(self, slot: KeySlot[Result], packet: Packet) -> KeyFlow | PairFlow:
        """The flow from this frame to a key frame: its steps, chained, or found for the two."""
        if not isinstance(self._steps, PairEstimator):
            return slot.flow
        if self._found is None or self._found[0] is not slot or self._found[1] is not packet.frame:
            with packet.span(f"{self.name}.flow"):
                self._found = slot, packet.frame, self._steps.pair(slot.frame, packet.frame)
        return self._found[2]

    def _result_of(self, slot: KeySlot[Result], packet: Packet) -> Result:
        if slot.frame is packet.frame:
            return slot.output.result
        pending = self._pending
        if pending is not None and pending.frame is packet.frame and pending.carried is not None:
            return pending.carried
        return self._propagated(slot, packet)

    def _propagated(self, slot: KeySlot[Result], packet: Packet) -> Result:
        flow = self._flow_to(slot, packet)
        with packet.span(f"{self.name}.{self.model.propagation_part}"):
            return self.model.propagate(slot.output, flow)


def what_bars_aggregation(model: Model[Any], level: Level, flow: StepEstimator | PairEstimator) -> str:
    """Why key frames cannot be aggregated, and what to do about it; empty where they can be."""
    if level == "result":
        return "level 'result' carries no features; use level 'features'"
    if not model.can_aggregate:
        return lacks_aggregation(model)
    if isinstance(flow, PairEstimator) and flow.scale_channels is not None and not model.can_aggregate_scaled:
        return (
            f"the scale map of flow '{flow.name}' multiplies other features than those mixed; use flow 'lk'"
        )
    return ""


def lacks_aggregation(model: Model[Any]) -> str:
    """Why a model can never aggregate key frames."""
    return f"model '{model.card.name}' lacks the part 'aggregate'; export it again with keywarp export"


def _needs_known_step(flow: StepEstimator | PairEstimator) -> bool:
    return isinstance(flow, StepEstimator) and flow.needs_known_step


def _check_vectors(flow: StepEstimator | PairEstimator, info: StreamInfo | None) -> None:
    """Raise :class:`UsageError` where the flow needs motion vectors and the stream has none."""
    if not isinstance(flow, StepEstimator) or not flow.needs_vectors or info is None or info.has_vectors:
        return
    if info.codec in VECTOR_CODECS:
        raise UsageError(
            f"flow '{flow.name}' is made of motion vectors, and those of '{info.name}' are not read; "
            "they are where a run begins with --flow auto or --flow codec, or has a page"
        )
    what = f"{info.codec} video, of which FFmpeg hands out none" if info.codec else "no video with any"
    raise UsageError(
        f"flow '{flow.name}' is made of a video's motion vectors, and '{info.name}' is {what} (H.264, MPEG-4 and "
        "MPEG-1/2 files and streams have them); use --flow lk"
    )
