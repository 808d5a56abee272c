"""Timing: what the packets' spans add up to. It observes the graph and never changes it."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import Clock
from .keys import PROPAGATION
from .packet import Key, Packet

SCHEMA = "keywarp.report/1"
"""The layout of the report, described in docs/report.md."""

_BINS_PER_OCTAVE = 64  # neighbouring bins are 1.1 % apart
_RECENT_NS = 2_000_000_000
_MOST_RECENT = 1024
_LATEST_AGREEMENTS = 10
_PERCENTILES = (50, 90, 95, 99)


class Histogram:
    """Durations of any number in memory of fixed size: count, sum and maximum exact, percentiles within 0.6 %."""

    __slots__ = ("_bins", "count", "max_ns", "sum_ns")

    def __init__(self) -> None:
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0
        self._bins: dict[int, int] = {}

    def add(self, duration_ns: int) -> None:
        """Count one duration of 0 ns or more."""
        self.count += 1
        self.sum_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        index = round(math.log2(duration_ns) * _BINS_PER_OCTAVE) if duration_ns > 0 else -1
        self._bins[index] = self._bins.get(index, 0) + 1

    @property
    def mean_ms(self) -> float:
        """The mean in milliseconds, 0 where nothing was counted."""
        return self.sum_ns / self.count / 1e6 if self.count else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The smallest duration that ``percent`` of all do not exceed, in milliseconds."""
        wanted = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        bins = self._bins.copy()  # another thread may count meanwhile
        for index in sorted(bins):
            seen += bins[index]
            if seen >= wanted:
                middle_ns = 2 ** (index / _BINS_PER_OCTAVE) if index >= 0 else 0.0
                return min(middle_ns, self.max_ns) / 1e6
        return 0.0


@dataclass(slots=True)
class Durations:
    """Working and waiting times of one stage, or one part of it, for one kind of frame."""

    work: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)

    def as_dict(self) -> dict[str, float]:
        """The figures of the report."""
        figures: dict[str, float] = {"count": self.work.count, "mean_ms": round(self.work.mean_ms, 4)}
        for percent in _PERCENTILES:
            figures[f"p{percent}_ms"] = round(self.work.percentile_ms(percent), 4)
        figures["max_ms"] = round(self.work.max_ns / 1e6, 4)
        figures["wait_p50_ms"] = round(self.wait.percentile_ms(50), 4)
        return figures


@dataclass(slots=True)
class ByKind:
    """Durations of all frames, of key frames and of propagated ones."""

    all: Durations = field(default_factory=Durations)
    key: Durations = field(default_factory=Durations)
    propagated: Durations = field(default_factory=Durations)

    def add(self, work_ns: int, wait_ns: int, is_key: bool) -> None:
        """Count one frame."""
        for durations in (self.all, self.key if is_key else self.propagated):
            durations.work.add(work_ns)
            durations.wait.add(wait_ns)

    def as_dict(self) -> dict[str, dict[str, float]]:
        """The figures of the report."""
        return {
            "all": self.all.as_dict(),
            "key": self.key.as_dict(),
            "propagated": self.propagated.as_dict(),
        }


@dataclass(slots=True)
class Agreements:
    """How far what had been carried to key frames agreed with their full runs, each 0 to 1."""

    count: int = 0
    total: float = 0.0
    least: float = 1.0
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST_AGREEMENTS))

    def add(self, agreement: float) -> None:
        """Count one key frame."""
        self.latest.append(agreement)
        self.total += agreement
        self.least = min(self.least, agreement)
        self.count += 1  # last: another thread may look in between

    @property
    def recent(self) -> float | None:
        """The mean of the latest ones; None where nothing was compared. From any thread."""
        latest = tuple(self.latest)
        return sum(latest) / len(latest) if latest else None

    def as_dict(self) -> dict[str, float] | None:
        """The figures of the report; None where nothing was compared."""
        if not self.count:
            return None
        return {"count": self.count, "mean": round(self.total / self.count, 4), "least": round(self.least, 4)}


class Recent:
    """The latencies of the last ``_RECENT_NS``: how a stream is doing now. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, int]] = deque(maxlen=_MOST_RECENT)

    def add(self, end_ns: int, latency_ns: int) -> None:
        """A frame came out."""
        self._frames.append((end_ns, latency_ns))

    def figures(self, now_ns: int) -> dict[str, float | None]:
        """``fps``, and ``latency_p50_ms`` and ``latency_p99_ms``, which are None where nothing came out lately."""
        frames = [item for item in tuple(self._frames) if item[0] > now_ns - _RECENT_NS]
        if not frames:
            return {"fps": 0.0, "latency_p50_ms": None, "latency_p99_ms": None}
        latencies = sorted(latency_ns / 1e6 for _, latency_ns in frames)
        # Up to now, so that the rate falls while nothing comes.
        span_s = (max(now_ns, frames[-1][0]) - frames[0][0]) / 1e9
        return {
            "fps": round((len(frames) - 1) / span_s, 2) if span_s > 0 else 0.0,
            "latency_p50_ms": round(latencies[(len(latencies) - 1) // 2], 3),
            "latency_p99_ms": round(latencies[math.ceil(0.99 * len(latencies)) - 1], 3),
        }


class RunTiming:
    """Sums up a run from the packets that left its graph.

    ``add`` each packet as it leaves the graph, and ``settle`` at the end; :meth:`report` may be asked for at any
    time. A packet that leaves the graph with a slow sink still at work on it is counted at once, but its times
    only when that sink is done. A frame counts as key where any model ran in full on it. Memory does not grow with
    the run.
    """

    def __init__(self, clock: Clock, propagations: tuple[Key[Any], ...] = (PROPAGATION,)) -> None:
        self._clock = clock
        self._propagations = propagations
        self._start_ns = clock.now_ns()
        self._first_ns: int | None = None
        self._last_ns = 0
        self._cpu_start_s = time.process_time()
        self.stages: dict[str, ByKind] = {}
        self.latency = ByKind()
        self.frames_out = 0
        self.frames_key = 0
        self.frames_aggregated = 0
        self.keys_by_cause: Counter[str] = Counter()
        self.agreements = Agreements()
        self.recent = Recent()
        self.key_age: int | None = None
        """Of the latest frame, by the first model."""
        self._compared: int | None = None
        self._unfinished: list[tuple[Packet, bool]] = []

    def add(self, packet: Packet) -> None:
        """Take in a packet. Frozen ones are no frames of the stream: they count nowhere."""
        if packet.frame.frozen:
            return
        found = [propagation for key in self._propagations if (propagation := packet.get(key)) is not None]
        made = [propagation for propagation in found if propagation.is_key]
        is_key = bool(made)
        self.keys_by_cause.update(key.cause for key in made[:1] if key.cause is not None)
        first = packet.get(self._propagations[0])
        self.key_age = None if first is None else first.age
        if first is not None and first.agreement is not None and first.key_index != self._compared:
            self.agreements.add(first.agreement)  # once, though a full run may have ended some frames later
            self._compared = first.key_index
        self.frames_out += 1
        self.frames_key += is_key
        self.frames_aggregated += any(key.aggregated for key in made)
        if self._first_ns is None:
            self._first_ns = packet.frame.capture_ns
        self._unfinished.append((packet, is_key))
        self.settle()

    def settle(self) -> None:
        """Take in the times of the packets with which all sinks are done by now. Only the thread that adds may."""
        unfinished = []
        for packet, is_key in self._unfinished:
            if packet.awaited:
                unfinished.append((packet, is_key))
            else:
                self._add_times(packet, is_key)
        self._unfinished = unfinished

    def _add_times(self, packet: Packet, is_key: bool) -> None:
        end_ns = 0
        for span in packet.spans:
            self.stages.setdefault(span.name, ByKind()).add(span.work_ns, span.wait_ns, is_key)
            end_ns = max(end_ns, span.start_ns + span.work_ns)
        latency_ns = max(0, end_ns - packet.frame.capture_ns)
        self.latency.add(latency_ns, 0, is_key)
        self._last_ns = max(self._last_ns, end_ns)
        self.recent.add(end_ns, latency_ns)

    @property
    def fps(self) -> float:
        """Frames per second from the first frame's capture to the last one's acceptance."""
        if self._first_ns is None or self._last_ns <= self._first_ns:
            return 0.0
        return self.frames_out / ((self._last_ns - self._first_ns) / 1e9)

    def report(
        self,
        *,
        frames_in: int,
        dropped: Mapping[str, int],
        policy: str | None = None,
        aggregates: bool = False,
        fused: str | None = None,
        flow_kernel: str | None = None,
        frozen: int = 0,
        missed: Mapping[str, int] | None = None,
        written: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """The report as plain data (docs/report.md). ``wall_s`` runs from the start, opening included.

        ``dropped``: frames by cause. ``policy``: what chose the key frames; ``aggregates``: whether they are
        aggregated by now where features are carried; ``fused``: the kernel that runs the head, if not the engine;
        ``flow_kernel``: that which refines flow by gradients, if not OpenCV.
        ``missed``: frames that a slow sink of a live stream let pass, by its name; ``written``: what each sink has
        accepted.
        """
        return {
            "schema": SCHEMA,
            "policy": policy,
            "aggregate": aggregates,
            "fused": fused,
            "flow_kernel": flow_kernel,
            "frames": {
                "in": frames_in,
                "out": self.frames_out,
                "dropped": sum(dropped.values()),
                "dropped_by_cause": dict(dropped),
                "key": self.frames_key,
                "key_by_cause": dict(self.keys_by_cause),
                "key_aggregated": self.frames_aggregated,
                "key_share": round(self.frames_key / self.frames_out, 4) if self.frames_out else None,
                "key_agreement": self.agreements.as_dict(),
                "frozen": frozen,
                "missed": dict(missed or {}),
                "written": dict(written or {}),
            },
            "fps": round(self.fps, 3),
            "wall_s": round((self._clock.now_ns() - self._start_ns) / 1e9, 3),
            "cpu_s": round(time.process_time() - self._cpu_start_s, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "stages": {name: stage.as_dict() for name, stage in dict(self.stages).items()},
            "latency": self.latency.as_dict(),
        }


def peak_rss_mb() -> float:
    """The largest resident set of this process so far, in units of 1,000,000 bytes; 0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    if (
        sys.platform == "linux"
    ):  # where getrusage tells of the parent too, from before this program was loaded
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    import resource

    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6
