"""A policy that begins later: its phases."""

from __future__ import annotations

from .base import Cause, KeyframePolicy, Signals


class Delayed(KeyframePolicy):
    """Another policy that begins at frame ``phase``, which is a key frame as frame 0 is.

    So a fixed interval's phases are; it lets any policy fall differently on the frames of a film.
    """

    def __init__(self, policy: KeyframePolicy, phase: int) -> None:
        super().__init__(cuts=policy.cuts)
        self.name = policy.name
        self.needs_motion, self.aggregates = policy.needs_motion, policy.aggregates
        self.learns, self.mean_interval = policy.learns, policy.mean_interval
        self._policy, self._phase = policy, phase

    def cause(self, signals: Signals) -> Cause | None:
        """The other policy's cause, from frame ``phase`` on."""
        if signals.age is not None and signals.number == self._phase > 0:
            self._policy.reset()
            self._policy.cause(signals)  # it has seen this frame
            return "first"
        return super().cause(signals)

    def with_interval(self, interval: int) -> KeyframePolicy:
        """The other policy's."""
        return self._policy.with_interval(interval)

    def reset(self) -> None:
        """Reset the other policy."""
        self._policy.reset()

    def learn(self, agreement: float) -> None:
        """The other policy's."""
        self._policy.learn(agreement)

    def _wanted(self, signals: Signals, age: int) -> Cause | None:
        is_early = signals.number is not None and signals.number < self._phase
        return None if is_early else self._policy.cause(signals)
