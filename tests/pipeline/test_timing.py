from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import PROPAGATION, Propagation
from keywarp.pipeline.packet import Packet, Span
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.timing import SCHEMA, Histogram, RunTiming

MS = 1_000_000


def test_an_empty_histogram_says_zero() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.mean_ms, histogram.percentile_ms(99)) == (0, 0.0, 0.0)


def test_percentiles_are_within_six_tenths_of_a_percent_of_the_exact_ones() -> None:
    durations_ns = np.random.default_rng(1).lognormal(np.log(5e6), 1.0, 20_000).astype(int)
    histogram = Histogram()
    for duration_ns in durations_ns:
        histogram.add(int(duration_ns))
    for percent in (50, 90, 95, 99):
        exact_ms = np.percentile(durations_ns, percent, method="inverted_cdf") / 1e6
        assert histogram.percentile_ms(percent) == pytest.approx(exact_ms, rel=0.006)
    assert histogram.mean_ms == pytest.approx(durations_ns.mean() / 1e6)
    assert histogram.percentile_ms(100) == durations_ns.max() / 1e6 or (
        histogram.percentile_ms(100) == pytest.approx(durations_ns.max() / 1e6, rel=0.006)
    )


def test_a_duration_of_zero_counts() -> None:
    histogram = Histogram()
    histogram.add(0)
    assert (histogram.count, histogram.percentile_ms(50)) == (1, 0.0)


def packet(
    index: int,
    clock: ManualClock,
    is_key: bool,
    *spans: Span,
    agreement: float | None = None,
    key_index: int | None = None,
) -> Packet:
    key_index = index if key_index is None else key_index
    picture = Picture.from_bgr(np.zeros((2, 2, 3), np.uint8))
    made = Packet(Frame(index, index, Fraction(1, 25), index * 40 * MS, picture), clock)
    made[PROPAGATION] = Propagation(
        is_key, 0 if is_key else 1, key_index, "cut", agreement, aggregated=is_key
    )
    made.spans.extend(spans)
    return made


def test_a_report_keeps_key_and_propagated_frames_apart() -> None:
    clock = ManualClock()
    timing = RunTiming(clock)
    timing.add(
        packet(0, clock, True, Span("perceive", 5 * MS, 20 * MS, 3 * MS), Span("mp4", 30 * MS, 5 * MS))
    )
    timing.add(
        packet(1, clock, False, Span("perceive", 45 * MS, 2 * MS, 5 * MS), Span("mp4", 50 * MS, 5 * MS))
    )
    clock.advance_ms(100)
    report = timing.report(
        frames_in=4,
        dropped={"late": 2},
        policy="adaptive",
        frozen=3,
        missed={"mp4": 1},
        written={"mp4": 2},
    )
    assert report["schema"] == SCHEMA
    assert report["policy"] == "adaptive"
    assert report["frames"] == {
        "in": 4,
        "out": 2,
        "dropped": 2,
        "dropped_by_cause": {"late": 2},
        "key": 1,
        "key_by_cause": {"cut": 1},
        "key_aggregated": 1,
        "key_share": 0.5,
        "key_agreement": None,
        "frozen": 3,
        "missed": {"mp4": 1},
        "written": {"mp4": 2},
    }
    perceive = report["stages"]["perceive"]
    assert perceive["key"]["p50_ms"] == pytest.approx(20, rel=0.006)
    assert perceive["propagated"]["p50_ms"] == pytest.approx(2, rel=0.006)
    assert perceive["all"]["mean_ms"] == 11
    assert perceive["all"]["count"] == 2
    assert perceive["all"]["max_ms"] == 20
    assert perceive["propagated"]["wait_p50_ms"] == pytest.approx(5, rel=0.006)
    # Latency ends when the last sink has accepted the frame: 35 - 0 and 55 - 40 ms.
    assert report["latency"]["all"]["max_ms"] == 35
    assert report["latency"]["propagated"]["max_ms"] == 15
    assert report["fps"] == pytest.approx(2 / 0.055, abs=0.001)
    assert report["wall_s"] == 0.1
    assert report["peak_rss_mb"] > 1


def test_a_frame_that_a_sink_still_works_on_counts_at_once_and_its_times_later() -> None:
    clock = ManualClock()
    timing = RunTiming(clock)
    slow = packet(0, clock, True, Span("perceive", 5 * MS, 20 * MS))
    slow.awaited = 1
    timing.add(slow)
    timing.add(packet(1, clock, False, Span("perceive", 45 * MS, 2 * MS)))
    assert timing.frames_out == 2
    assert timing.latency.all.work.count == 1
    assert timing.latency.key.work.count == 0
    slow.spans.append(Span("mp4", 30 * MS, 170 * MS))
    slow.awaited = 0
    timing.settle()
    timing.settle()
    assert timing.latency.all.work.count == 2
    assert timing.latency.key.work.max_ns == 200 * MS
    assert timing.stages["mp4"].key.work.count == 1
    assert timing.fps == pytest.approx(2 / 0.2)


def test_a_run_without_frames_has_a_report_too() -> None:
    report = RunTiming(ManualClock()).report(frames_in=0, dropped={})
    assert report["frames"]["out"] == 0
    assert report["fps"] == 0
    assert report["latency"]["all"]["count"] == 0


def test_a_key_frame_whose_full_run_ended_late_counts_once() -> None:
    timing = RunTiming(ManualClock())
    for index in range(6):
        found = None if index < 3 else 0.75  # of the key frame 1, as of frame 3
        timing.add(packet(index, ManualClock(), index == 0, agreement=found, key_index=0 if index < 3 else 1))
    assert timing.report(frames_in=6, dropped={})["frames"]["key_agreement"] == {
        "count": 1,
        "mean": 0.75,
        "least": 0.75,
    }


def test_the_latest_agreements_count_for_how_a_stream_does_now() -> None:
    timing = RunTiming(ManualClock())
    assert timing.agreements.recent is None
    for index in range(30):
        agreement = 0.5 if index < 10 else 0.9
        key_index = index - index % 2
        timing.add(packet(index, ManualClock(), index == key_index, agreement=agreement, key_index=key_index))
    assert timing.agreements.recent == pytest.approx(0.9)
    assert timing.report(frames_in=30, dropped={})["frames"]["key_agreement"] == {
        "count": 15,
        "mean": round((5 * 0.5 + 10 * 0.9) / 15, 4),
        "least": 0.5,
    }
