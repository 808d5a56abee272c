"""What a watched source does, with streams whose every move is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import count, pairwise

import numpy as np
import pytest

from keywarp.engines.errors import SourceError
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.supervised import SupervisedSource
from keywarp.pipeline.stage import StreamInfo

QUICK = ReconnectConfig(first_s=0.01, longest_s=0.05, silence_s=0.3)


class Scripted(Source):
    """A live stream of ``frames`` frames at ``rate``, which then does what ``then`` does: ends, by default."""

    def __init__(
        self,
        frames: int = 5,
        *,
        rate: int = 100,
        size: tuple[int, int] = (64, 48),
        first_pts: int = 0,
        time_base: Fraction = Fraction(1, 1000),
        live: bool = True,
        then: Callable[[Scripted], None] | None = None,
        opening: Callable[[Scripted], None] | None = None,
    ) -> None:
        super().__init__()
        self.count, self.rate, self.size, self.live = frames, rate, size, live
        self.first_pts, self.time_base = first_pts, time_base
        self.then, self.opening = then, opening
        self.interrupted = threading.Event()
        self.opened_in: str | None = None
        self.closed = 0

    def open(self) -> StreamInfo:
        self.opened_in = threading.current_thread().name
        if self.opening is not None:
            self.opening(self)
        return StreamInfo("scripted", self.size, Fraction(self.rate), self.time_base, live=self.live)

    def frames(self) -> Iterator[Frame]:
        pixels = np.full((self.size[1], self.size[0], 3), 100, np.uint8)
        for index in range(self.count):
            if self.interrupted.wait(1 / self.rate):
                return
            pts = self.first_pts + round(index / self.rate / self.time_base)
            yield Frame(index, pts, self.time_base, self.clock.now_ns(), Picture.from_bgr(pixels))
        self.losses.add("corrupt", 2)
        self.notes.append("a note")
        if self.then is not None:
            self.then(self)

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed += 1


class Pausing(Scripted):
    """One that stops for a while and goes on."""

    def frames(self) -> Iterator[Frame]:
        yield from super().frames()
        time.sleep(0.8)
        self.first_pts += 900
        yield from super().frames()


def refuse(_: Source) -> None:
    raise SourceError("stream 'scripted' cannot be opened: refused")


def hang(source: Scripted) -> None:
    """A call that takes no notice of anything for a second."""
    time.sleep(1.0)


def in_turn(*sources: Scripted) -> Callable[[], Source]:
    left = iter(sources)
    return lambda: next(left)


def watched(*sources: Scripted, config: ReconnectConfig = QUICK) -> SupervisedSource:
    return SupervisedSource(in_turn(*sources), config)


def read(source: Source, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    """Frames until there are ``enough``; then everything must end within a moment."""
    frames: list[Frame] = []
    for frame in source.frames():
        frames.append(frame)
        if enough(frames):
            source.interrupt()
    start_s = time.perf_counter()
    source.close()
    assert time.perf_counter() - start_s < 1.0
    return frames


def fresh(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if not frame.frozen]


def test_a_stream_comes_back_on_one_line_of_times() -> None:
    source = watched(
        Scripted(5, first_pts=7000),
        Scripted(opening=refuse),
        Scripted(5, first_pts=10**9, time_base=Fraction(1, 90_000)),
        Scripted(500),
    )
    info = source.open()
    start_s = time.perf_counter()
    frames = read(source, lambda frames: sum(frame.after_gap for frame in frames) == 2 and len(frames) > 20)
    took_s = time.perf_counter() - start_s
    assert info.time_base == Fraction(1, 1000)
    assert frames[0].pts == 7000, "the stream's own times"
    assert {frame.time_base for frame in frames} == {info.time_base}
    assert all(two.index > one.index and two.pts > one.pts for one, two in pairwise(frames))
    assert frames[-1].time_s - frames[0].time_s == pytest.approx(took_s, abs=0.15), "times follow the clock"
    for one, two in pairwise(frames):
        assert two.after_gap == (one.frozen and not two.frozen)
    assert source.status.reconnects == 2
    assert source.status.state == "ended"
    assert source.losses.by_cause["corrupt"] == 4
    assert source.notes == ["a note", "'scripted' was lost and came back 2 times"]


def test_frozen_frames_are_the_last_picture_at_the_stream_s_rate() -> None:
    source = watched(Scripted(20, rate=20, then=hang), Scripted(opening=hang))
    source.open()
    frames = read(source, lambda frames: sum(frame.frozen for frame in frames) == 20)
    last = fresh(frames)[-1]
    frozen = [frame for frame in frames if frame.frozen]
    assert {id(frame.picture) for frame in frozen} == {id(last.picture)}
    gaps_ms = [(two.capture_ns - one.capture_ns) / 1e6 for one, two in pairwise(frozen)]
    assert np.median(gaps_ms) == pytest.approx(50, abs=15)
    wait_ms = (frozen[0].capture_ns - last.capture_ns) / 1e6
    assert 250 < wait_ms < 900, "after the silence of 0.3 s, or half a second overdue"


def test_a_hiccup_freezes_without_a_reconnection() -> None:
    source = watched(Pausing(5), config=ReconnectConfig(silence_s=5))
    source.open()
    frames = read(source, lambda frames: frames[-1].after_gap)
    assert any(frame.frozen for frame in frames)
    assert source.status.reconnects == 0


def test_another_size_is_scaled_and_noted() -> None:
    source = watched(Scripted(5), Scripted(100, size=(128, 96)))
    source.open()
    frames = read(source, lambda frames: frames[-1].after_gap)
    assert {frame.size for frame in frames} == {(64, 48)}
    assert "'scripted' came back with 128x96 pixels once: scaled" in source.notes


@pytest.mark.parametrize(("tries", "made"), [(0, 1), (1, 2), (3, 4)])
def test_tries_end(tries: int, made: int) -> None:
    sources = [Scripted(3), *(Scripted(opening=refuse) for _ in range(5))]
    source = watched(*sources, config=QUICK.model_copy(update={"tries": tries}))
    source.open()
    words = r"'scripted' was lost \(the stream ended\)" + (rf".* in {tries} .*: .*refused" if tries else "")
    with pytest.raises(SourceError, match=words):
        for _ in source.frames():
            pass
    source.close()
    assert sum(each.opened_in is not None for each in sources) == made
    assert all(each.closed for each in sources[:made])


def test_the_first_opening_raises_at_once() -> None:
    source = watched(Scripted(opening=refuse))
    with pytest.raises(SourceError, match="refused"):
        source.open()
    source.close()


def test_a_fault_is_not_taken_for_a_bad_network() -> None:
    def fail(_: Scripted) -> None:
        raise ZeroDivisionError

    source = watched(Scripted(3, then=fail))
    source.open()
    with pytest.raises(ZeroDivisionError):
        list(source.frames())
    source.close()


@pytest.mark.parametrize(
    "sources",
    [
        lambda: (Scripted(10**6),),
        lambda: (Scripted(3, then=hang), Scripted(10**6)),
        lambda: (Scripted(3), Scripted(opening=hang)),
        lambda: (Scripted(3), *(Scripted(opening=refuse) for _ in range(1000))),
    ],
    ids=["reading", "a read that hangs", "a try that hangs", "between two tries"],
)
def test_an_interrupt_ends_every_state(sources: Callable[[], tuple[Scripted, ...]]) -> None:
    source = watched(*sources())
    source.open()
    at_s: list[float] = []

    def interrupt() -> None:
        at_s.append(time.perf_counter())
        source.interrupt()

    timer = threading.Timer(0.6, interrupt)
    timer.start()
    frames = list(source.frames())
    source.close()
    assert time.perf_counter() - at_s[0] < 0.8
    assert frames
    timer.join()
    _wait_for_readers()


def test_an_interrupt_ends_an_opening() -> None:
    source = watched(Scripted(opening=hang))
    timer = threading.Timer(0.1, source.interrupt)
    timer.start()
    start_s = time.perf_counter()
    with pytest.raises(SourceError, match="interrupted"):
        source.open()
    assert time.perf_counter() - start_s < 0.4
    source.close()
    timer.join()
    _wait_for_readers()


def test_what_has_come_is_not_waited_for() -> None:
    source = watched(Scripted(1, rate=1000))
    source.open()
    time.sleep(0.1)
    start_s = time.perf_counter()
    source._wait(1.0)
    assert time.perf_counter() - start_s < 0.02
    source.close()


def test_what_comes_back_as_a_film_is_closed_and_left() -> None:
    film = Scripted(5, live=False)
    source = watched(Scripted(3), film, config=QUICK.model_copy(update={"tries": 1}))
    source.open()
    with pytest.raises(SourceError, match="could not be had back in 1 try: it came back as a film"):
        list(source.frames())
    source.close()
    assert film.closed == 1


def test_left_readers_end() -> None:
    source = watched(*(Scripted(2, then=hang if each % 2 else None) for each in range(30)))
    source.open()
    read(source, lambda frames: sum(frame.after_gap for frame in frames) == 6)
    _wait_for_readers()


def test_a_slow_reader_gets_the_newest_and_the_rest_is_counted() -> None:
    source = watched(Scripted(200), config=QUICK.model_copy(update={"tries": 0}))
    source.open()
    time.sleep(0.3)
    taken: list[Frame] = []

    def slowly(frame: Frame) -> Frame:
        time.sleep(0.05)
        return frame

    with pytest.raises(SourceError, match="the stream ended"):
        taken.extend(map(slowly, source.frames()))
    assert not any(frame.frozen for frame in taken)
    losses = dict(source.losses.by_cause)
    source.close()
    assert losses.pop("corrupt") == 2
    assert losses["early"] > 10
    assert losses["unread"] > 50
    assert len(taken) + sum(losses.values()) == 200


def test_a_film_by_http_is_not_watched_over() -> None:
    film = Scripted(50, rate=10_000, live=False)
    source = watched(film)
    info = source.open()
    frames = list(source.frames())
    source.close()
    assert not info.live
    assert [frame.index for frame in frames] == list(range(50))
    assert film.closed == 1


def test_a_scaled_one_tells_how_it_is_doing() -> None:
    inner = watched(Scripted(3))
    source = ScaledSource(inner, (32, 24))
    assert source.status is inner.status
    source.open()
    assert source.status.state == "live"
    source.close()


def test_frames_need_an_open_stream() -> None:
    with pytest.raises(SourceError, match=r"call open\(\) first"):
        next(watched(Scripted()).frames())


def _wait_for_readers() -> None:
    for _ in count():
        left = [thread for thread in threading.enumerate() if thread.name == "keywarp-reader"]
        if not left:
            return
        left[0].join(3)
        assert not left[0].is_alive()


class OfUnknownRate(Scripted):
    """One that does not say how many frames a second it brings."""

    def open(self) -> StreamInfo:
        return replace(super().open(), rate=None)


def test_a_slow_stream_of_unknown_rate_is_known_by_its_second_frame() -> None:
    source = watched(OfUnknownRate(4, rate=1), config=QUICK.model_copy(update={"silence_s": 2.0}))
    source.open()
    frames = read(source, lambda frames: len(fresh(frames)) == 4)
    assert any(frame.frozen for frame in frames)
    assert [frame.after_gap for frame in fresh(frames)] == [False, True, False, False]
    assert source.status.reconnects == 0
