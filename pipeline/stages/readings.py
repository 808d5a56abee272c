"""Readings: the numbers on the heads-up display, smoothed from the packets that pass."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from keywarp.pipeline.keys import Propagation
from keywarp.pipeline.packet import Packet, Span

_RATE_WINDOW_NS = 1_000_000_000
_RATE_FRAMES = 8
_SMOOTHING = 0.3
_HISTORY = 96


@dataclass(frozen=True, slots=True)
class Work:
    """All top-level work on one frame up to the display, and whether it was a key frame."""

    work_ms: float
    is_key: bool


class Readings:
    """Follows a stream. Frames are counted where they pass the display, by the clock's time."""

    def __init__(self) -> None:
        self.latency_ms = 0.0
        self.is_key = True
        self.age = 0
        self.interval = 1
        """Frames from one key frame to the next, as last seen."""
        self.frozen_s: int | None = None
        """For how many whole seconds the stream has been interrupted, None while it is not."""
        self.stage_ms: dict[str, float] = {}
        """Smoothed work per frame of each stage, in the order of the stream."""
        self.history: deque[Work] = deque(maxlen=_HISTORY)
        self._fresh_ns: int | None = None
        self._passed_ns: deque[int] = deque()
        self._fresh: list[list[Span]] = []
        self._ripe: list[list[Span]] = []

    def observe(self, packet: Packet, propagation: Propagation, now_ns: int) -> None:
        """Take in one packet, at the time at which it passes."""
        if packet.frame.frozen:
            self._fresh_ns = now_ns if self._fresh_ns is None else self._fresh_ns
            self.frozen_s = int((now_ns - self._fresh_ns) / 1e9)
            return
        self.frozen_s, self._fresh_ns = None, now_ns
        self.latency_ms = max(0.0, (now_ns - packet.frame.capture_ns) / 1e6)
        self._count(now_ns)
        self._follow_keys(propagation)
        work_ns = sum(span.work_ns for span in packet.spans if "." not in span.name)
        self.history.append(Work(work_ns / 1e6, self.is_key))
        self._fresh.append(packet.spans)

    @property
    def fps(self) -> float | None:
        """Frames a second over the last second, or the last few frames; None where time stands still."""
        if len(self._passed_ns) < 2 or self._passed_ns[-1] == self._passed_ns[0]:
            return None
        return (len(self._passed_ns) - 1) * 1e9 / (self._passed_ns[-1] - self._passed_ns[0])

    def refresh_stages(self) -> None:
        """Bring :attr:`stage_ms` up to date.

        Packets are read one refresh late: meanwhile the sinks have written their spans into them.
        """
        for name, mean_ms in _mean_work_ms(self._ripe or self._fresh).items():
            before = self.stage_ms.get(name, mean_ms)
            self.stage_ms[name] = before + _SMOOTHING * (mean_ms - before)
        self._ripe, self._fresh = self._fresh, []

    def _count(self, now_ns: int) -> None:
        passed = self._passed_ns
        passed.append(now_ns)
        while len(passed) > _RATE_FRAMES and passed[0] < now_ns - _RATE_WINDOW_NS:
            passed.popleft()

    def _follow_keys(self, propagation: Propagation) -> None:
        age, self.is_key = propagation.age, propagation.is_key
        if age <= self.age:  # a newer key frame took over
            self.interval = self.age + 1
        self.interval = max(self.interval, age + 1)
        self.age = age


def _mean_work_ms(packets: list[list[Span]]) -> dict[str, float]:
    totals: dict[str, tuple[int, int]] = {}
    for spans in packets:
        for span in tuple(spans):
            if "." not in span.name:
                work_ns, count = totals.get(span.name, (0, 0))
                totals[span.name] = work_ns + span.work_ns, count + 1
    return {name: work_ns / count / 1e6 for name, (work_ns, count) in totals.items()}
