"""The key slot: one key frame, from being asked for until the next one takes its place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from typing import Generic, Protocol, TypeVar

from keywarp.flow.base import KeyFlow, StepFlow
from keywarp.flow.compose import extend
from keywarp.flow.keyframes import Cause
from keywarp.models.base import KeyOutput
from keywarp.pipeline.frame import Frame

Result = TypeVar("Result")


_PAIRED = "compared with later frames directly"


class SlotState(Enum):
    """Where a key frame's computation stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    FINISHED = "finished"


class Runner(Protocol):
    """Runs the full model for key frames: at once, or beside the frames that follow."""

    def submit(self, work: Callable[[], KeyOutput[Result]]) -> Future[KeyOutput[Result]]:
        """Run ``work``; the future holds what it returned or raised."""
        ...


class InlineRunner:
    """Runs the work before it returns: the frame waits for its full run."""

    def submit(self, work: Callable[[], KeyOutput[Result]]) -> Future[KeyOutput[Result]]:
        """Run ``work`` now."""
        future: Future[KeyOutput[Result]] = Future()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - the future hands it on
            future.set_exception(error)
        return future


class KeySlot(Generic[Result]):
    """A key frame, its full run, and the flow from the latest frame back to it.

    The flow is extended frame by frame from the moment the frame is chosen, so that a run that finishes
    some frames later can be used at once. One thread uses a slot; only the work itself may run elsewhere.

    ``carried``: the result that was carried to this frame, where it is to be compared with the full run's, and
    ``agreement``, once that has been done, how far they agree (0 to 1).
    """

    def __init__(self, frame: Frame, cause: Cause = "first", carried: Result | None = None) -> None:
        self.frame = frame
        self.cause = cause
        self.carried = carried
        self.agreement: float | None = None
        self._future: Future[KeyOutput[Result]] | None = None
        self._flow: KeyFlow | None = None
        self._age = 0

    @property
    def state(self) -> SlotState:
        """Requested, running or finished."""
        if self._future is None:
            return SlotState.REQUESTED
        return SlotState.FINISHED if self._future.done() else SlotState.RUNNING

    def run(self, runner: Runner, work: Callable[[], KeyOutput[Result]]) -> None:
        """Start the full run."""
        self._future = runner.submit(work)

    @property
    def output(self) -> KeyOutput[Result]:
        """What the full run yielded, waiting for it; raises what it raised."""
        if self._future is None:
            raise RuntimeError(f"the full run of frame {self.frame.index} has not been started")
        return self._future.result()

    def wait(self) -> None:
        """Wait until the full run has ended, well or not."""
        if self._future is not None:
            self._future.exception()

    @property
    def age(self) -> int:
        """Delivered frames since this one."""
        return self._age

    @property
    def flow(self) -> KeyFlow:
        """The steps from the latest frame to this key frame, chained. There are none on the key frame itself."""
        if self._flow is None:
            why = _PAIRED if self._age else "the key frame itself"
            raise RuntimeError(f"no chained flow leads to frame {self.frame.index}: it is {why}")
        return self._flow

    def advance(self, step: StepFlow | None) -> None:
        """Take in the next delivered frame: its step flow, or None where nothing is chained."""
        if step is not None:
            if self._flow is None and self._age > 0:
                raise RuntimeError(f"no steps can follow frame {self.frame.index}: it is {_PAIRED}")
            self._flow = extend(step, self._flow if self._flow is not None else KeyFlow.start(step.size))
        self._age += 1
