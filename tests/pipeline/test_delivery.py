"""Which frames get into the graph, and which of them a slow sink gets to see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.entrance import Delivery, Mode
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.graph import Graph
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.stage import Sink, Stage, StreamInfo
from keywarp.pipeline.timing import RunTiming

pytestmark = pytest.mark.timeout(30)

MS = 1_000_000
BLACK = Picture.from_bgr(np.zeros((4, 8, 3), np.uint8))


class Given(Source):
    """Frames as they are given; ``before`` is called with the place of each."""

    def __init__(
        self,
        frames: Sequence[Frame],
        before: Callable[[int], object] = lambda place: None,
        *,
        live: bool = True,
    ) -> None:
        super().__init__()
        self._given, self._before, self._live = frames, before, live

    def open(self) -> StreamInfo:
        return StreamInfo("given", (8, 4), Fraction(25), Fraction(1, 25), live=self._live)

    def frames(self) -> Iterator[Frame]:
        for place, frame in enumerate(self._given):
            self._before(place)
            yield frame

    def close(self) -> None:
        pass


class Work(Stage):
    """Calls ``work`` on each packet and keeps what passed."""

    def __init__(self, name: str, work: Callable[[Packet], object] = lambda packet: None) -> None:
        self.name = name
        self._work = work
        self.seen: list[int] = []

    def process(self, packet: Packet) -> None:
        self.seen.append(packet.frame.index)
        self._work(packet)


class End(Work, Sink):
    """The same as a sink."""


def frames(count: int, **options: Any) -> list[Frame]:
    return [Frame(index, index, Fraction(1, 25), 0, BLACK, **options) for index in range(count)]


def held_until_all_came(count: int) -> tuple[Callable[[Packet], object], Callable[[int], object]]:
    """Work that lasts, on frame 0, until the source has read all; and what the source waits for."""
    busy, release = threading.Event(), threading.Event()

    def work(packet: Packet) -> None:
        busy.set()
        if packet.frame.index == 0:
            assert release.wait(10)

    def before(place: int) -> None:
        if place == 1:
            assert busy.wait(10)
        if place == count:
            release.set()

    return work, before


def run_held(count: int, delivery: Delivery) -> tuple[list[int], dict[str, int]]:
    work, before = held_until_all_came(count)
    # One more frame, whose turn says that the others have come.
    graph = Graph([Work("slow", work)], [], delivery=delivery)
    delivered = [p.frame.index for p in graph.run(Given(frames(count + 1), before))]
    return delivered, dict(graph.dropped)


def test_newest_keeps_one_frame_waiting() -> None:
    delivered, dropped = run_held(9, Delivery("newest"))
    assert delivered[0] == 0
    assert delivered[-1] == 9
    assert len(delivered) + dropped["late"] == 10
    assert dropped["late"] >= 7


def test_every_queues_a_live_stream_and_counts_what_does_not_fit() -> None:
    assert run_held(9, Delivery("every", queue=20)) == (list(range(10)), {})
    delivered, dropped = run_held(9, Delivery("every", queue=4))
    assert delivered[0] == 0
    assert delivered[-4:] == [6, 7, 8, 9]
    assert len(delivered) + dropped["full"] == 10


def test_block_makes_a_live_source_wait() -> None:
    slow = Work("slow", lambda packet: threading.Event().wait(0.002))
    graph = Graph([slow], [], delivery=Delivery("block"))
    assert [p.frame.index for p in graph.run(Given(frames(40)))] == list(range(40))
    assert not graph.dropped


def test_frames_that_are_too_old_when_their_turn_comes_are_dropped() -> None:
    clock = ManualClock()
    old = [Frame(i, i, Fraction(1, 25), i * 40 * MS, BLACK, after_gap=i == 2) for i in range(6)]
    # The clock stands at 200 ms: frames 0 to 2 are older than 100 ms, frame 5 was captured just now.
    clock.advance_ms(200)
    stage = Work("stage")
    graph = Graph([stage], [], clock=clock, delivery=Delivery("block", max_age_ns=100 * MS))
    packets = list(graph.run(Given(old)))
    assert stage.seen == [3, 4, 5]
    assert graph.dropped == {"stale": 3}
    assert [p.frame.after_gap for p in packets] == [True, False, False]  # told by the dropped one


def test_a_frozen_picture_takes_no_fresh_ones_place_and_is_counted_apart() -> None:
    work, before = held_until_all_came(3)
    fresh = frames(4)
    fresh[2] = Frame(2, 2, Fraction(1, 25), 0, BLACK, frozen=True)
    graph = Graph([Work("slow", work)], [])
    delivered = [p.frame.index for p in graph.run(Given(fresh, before))]
    assert 2 not in delivered
    assert graph.frozen == 0
    assert graph.frames_in == 3
    assert len(delivered) + graph.dropped.total() == 3


def test_a_pause_drops_live_frames_and_marks_the_gap() -> None:
    paused = [False]

    def before(place: int) -> None:
        paused[0] = 3 <= place < 6

    graph = Graph([Work("stage")], [], delivery=Delivery("every"), paused=lambda: paused[0])
    packets = list(graph.run(Given(frames(9), before)))
    assert [p.frame.index for p in packets] == [0, 1, 2, 6, 7, 8]
    assert [p.frame.index for p in packets if p.frame.after_gap] == [6]
    assert graph.dropped == {"paused": 3}


def test_a_file_waits_in_a_pause() -> None:
    looks = iter([False, False, True, True, True, True, *[False] * 50])
    graph = Graph([Work("stage")], [], paused=lambda: next(looks))
    packets = list(graph.run(Given(frames(5), live=False)))
    assert [p.frame.index for p in packets] == list(range(5))
    assert not any(p.frame.after_gap for p in packets)
    assert not graph.dropped


def test_a_stop_ends_a_pause() -> None:
    graph = Graph([Work("stage")], [], paused=lambda: True)
    timer = threading.Timer(0.2, graph.stop)
    timer.start()
    assert len(list(graph.run(Given(frames(3), live=False)))) <= 1  # the one that waited
    timer.join()


def come_true(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true within 10 s."""
    deadline_s = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return condition()


@pytest.mark.parametrize("backlog", [1, 5])
@pytest.mark.parametrize("alone", [False, True])
def test_a_slow_sink_of_a_live_stream_misses_frames_and_holds_up_nobody(alone: bool, backlog: int) -> None:
    others, release = threading.Event(), threading.Event()
    count = 50

    def tell_last(packet: Packet) -> None:
        if packet.frame.index == count - 1:
            others.set()

    slow = End("slow", lambda packet: packet.frame.index == 0 and release.wait(20))
    slow.backlog = backlog
    stage, quick = Work("stage", tell_last if alone else lambda packet: None), End("quick", tell_last)
    graph = Graph([stage], [slow] if alone else [slow, quick], delivery=Delivery("newest"))
    seen: list[int] = []
    paced = Given(frames(count), lambda place: threading.Event().wait(0.004))
    reader = threading.Thread(target=lambda: seen.extend(p.frame.index for p in graph.run(paced)))
    reader.start()
    try:
        assert others.wait(10)  # while the slow one still works on the first
        assert slow.seen == [0]
        delivered = stage.seen if alone else quick.seen
        # So does the caller: for the slow one waits no more than its backlog and the frame that it works on.
        assert come_true(lambda: len(seen) >= len(delivered) - backlog - 1)
        assert seen == delivered[: len(seen)]
        assert slow.seen == [0]
    finally:
        release.set()
        reader.join(10)
    assert seen == delivered  # in order, and each once
    assert slow.missed == len(seen) - len(slow.seen)
    assert slow.missed > count / 2
    assert quick.missed == 0


@pytest.mark.parametrize(("mode", "live"), [(None, False), ("every", True), ("block", True)])
def test_where_sinks_are_waited_for_a_frame_comes_when_all_have_accepted_it(
    mode: Mode | None, live: bool
) -> None:
    slow = End("slow", lambda packet: threading.Event().wait(0.002))
    graph = Graph([Work("stage")], [slow, End("quick")], delivery=Delivery(mode))
    came = [(p.frame.index, p.awaited) for p in graph.run(Given(frames(40), live=live))]
    assert came == [(index, 0) for index in range(40)]
    assert slow.missed == 0


def test_the_times_of_a_frame_count_when_the_slow_sink_is_done_with_it() -> None:
    release, clock = threading.Event(), ManualClock()
    slow = End("slow", lambda packet: packet.frame.index == 0 and release.wait(20))
    graph = Graph([Work("stage")], [slow, End("quick")], clock=clock, delivery=Delivery("newest"))
    timing, early = RunTiming(clock), list[int]()
    paced = Given(frames(20), lambda place: threading.Event().wait(0.004))
    for packet in graph.run(paced):
        timing.add(packet)
        if packet.awaited:
            early.append(packet.frame.index)
        if timing.frames_out == 10:  # all of it until here took no time
            assert early[0] == 0
            assert timing.latency.all.work.max_ns == 0
            assert "slow" not in timing.stages
            clock.advance_ms(500)
            release.set()
    timing.settle()
    latency, accepted = timing.latency.all.work, timing.stages["slow"].all.work
    assert latency.count == timing.frames_out
    assert latency.max_ns == accepted.max_ns == 500 * MS
    assert accepted.count == len(slow.seen)


def test_a_sink_that_may_lag_gets_its_backlog() -> None:
    release = threading.Event()
    slow = End("slow", lambda packet: packet.frame.index == 0 and release.wait(10))
    slow.backlog = 30
    graph = Graph([Work("stage")], [slow], delivery=Delivery("newest"))
    release_late = lambda place: release.set() if place == 20 else threading.Event().wait(0.004)  # noqa: E731
    delivered = [p.frame.index for p in graph.run(Given(frames(21), release_late))]
    assert slow.seen == delivered
    assert slow.missed == 0
