"""What the last seconds of frames add up to: rate, latency, the stages' work; and how that went over time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from .ring import KEY, PROPAGATED, FrameRecord

_RATE_S = 2.0
_LATENCY_S = 3.0
_FRAMES = 120
_KEY_FRAMES = 30
_POINTS = 240  # a minute of them

Point = tuple[float, float, float | None, float | None]


class Trend:
    """Sums up records as they come. Memory does not grow.

    A point is (time in s, frames per second, latency p50 and p99 in ms, None without frames).
    """

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=_POINTS)
        self.frames: deque[FrameRecord] = deque(maxlen=_FRAMES)
        self._recent: deque[FrameRecord] = deque(maxlen=1000)
        self._by_kind: dict[int, deque[FrameRecord]] = {
            KEY: deque(maxlen=_KEY_FRAMES),
            PROPAGATED: deque(maxlen=_FRAMES),
        }

    def add(self, records: Sequence[FrameRecord], now_ns: int) -> None:
        """Take in new records and make the next point."""
        for record in records:
            self.frames.append(record)
            self._recent.append(record)
            kind = self._by_kind.get(record.flags & (KEY | PROPAGATED))
            if kind is not None:
                kind.append(record)
        while self._recent and now_ns - self._recent[0].shown_ns > _LATENCY_S * 1e9:
            self._recent.popleft()
        latencies = sorted(record.latency_ms for record in self._recent)
        self.points.append(
            (round(now_ns / 1e9, 3), self._rate(now_ns), _rank(latencies, 0.50), _rank(latencies, 0.99))
        )

    def stages(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The mean work of each stage on recent key and propagated frames, in ms; None where it had none."""
        return [
            {"name": name, "key": self._mean(KEY, place), "propagated": self._mean(PROPAGATED, place)}
            for place, name in enumerate(names)
        ]

    def _rate(self, now_ns: int) -> float:
        """Frames per second over the last two seconds, by the times between them."""
        times = [record.shown_ns for record in self._recent if now_ns - record.shown_ns <= _RATE_S * 1e9]
        if len(times) < 2 or times[-1] <= times[0]:
            return float(len(times))
        return round((len(times) - 1) / ((times[-1] - times[0]) / 1e9), 2)

    def _mean(self, kind: int, place: int) -> float | None:
        values = [record.stages_ms[place] for record in self._by_kind[kind] if place < len(record.stages_ms)]
        known = [value for value in values if not math.isnan(value)]
        return round(fmean(known), 3) if known else None


def _rank(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 3)


def as_tick(record: FrameRecord) -> list[float]:
    """A record as the page takes it: index, flags, key age, work in ms, latency in ms."""
    return [record.index, record.flags, record.key_age, round(record.work_ms, 2), round(record.latency_ms, 2)]
