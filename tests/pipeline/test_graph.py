"""The graph: layout, order, errors, stopping, dropping. Stages here are real threads; nothing sleeps to pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import GraphError, SinkError, SourceError, StageError
from keywarp.flow.base import StepFlow
from keywarp.pipeline.frame import Frame, OnDemand
from keywarp.pipeline.graph import Graph
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.stage import Sink, Stage, StreamInfo
from keywarp.pipeline.work import READ

pytestmark = pytest.mark.timeout(30)

NUMBER: Key[int] = Key("number")
DOUBLE: Key[int] = Key("double")
SIZE = (8, 4)


class Counter(Source):
    """Frames 0 to ``count`` - 1; ``gate`` is called before each, ``fail_at`` raises instead of that frame."""

    def __init__(
        self,
        count: int,
        *,
        live: bool = False,
        fail_at: int | None = None,
        gate: Callable[[int], object] = lambda index: None,
    ) -> None:
        super().__init__()
        self.count, self.live, self.fail_at, self.gate = count, live, fail_at, gate
        self.events: list[str] = []

    def open(self) -> StreamInfo:
        self.events.append("open")
        return StreamInfo("counter", SIZE, Fraction(25), Fraction(1, 25), self.count, self.live)

    def frames(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.gate(index)
            if index == self.fail_at:
                raise SourceError("the cable is out; plug it in again")
            picture = Picture.from_bgr(np.full((SIZE[1], SIZE[0], 3), index % 256, np.uint8))
            step = OnDemand(lambda: shifted(1.0))
            yield Frame(index, index, Fraction(1, 25), self.clock.now_ns(), picture, step=step)

    def close(self) -> None:
        self.events.append("close")


def shifted(dx: float) -> StepFlow:
    still = StepFlow.still(SIZE)
    return StepFlow(still.field + np.array([dx, 0], np.float32), still.valid)


class Recorder(Stage):
    """Does ``work`` on each packet; records what the graph promised: order and thread of every call."""

    def __init__(
        self, name: str, work: Callable[[Packet], object] = lambda packet: None, **keys: Any
    ) -> None:
        self.name = name
        self.reads, self.writes = keys.get("reads", ()), keys.get("writes", ())
        self._work = work
        self.calls: list[object] = []
        self.threads: set[int] = set()
        self.fail_in: str | None = None

    def _record(self, call: object) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())
        if self.fail_in == call:
            raise ValueError(f"{call} was told to fail")

    def open(self, info: StreamInfo) -> None:
        self._record("open")

    def process(self, packet: Packet) -> None:
        self._record(packet.frame.index)
        self._work(packet)

    def close(self) -> None:
        self._record("close")


class SinkRecorder(Recorder, Sink):
    """The same as a sink."""


def number() -> Recorder:
    return Recorder("number", lambda p: p.__setitem__(NUMBER, p.frame.index), writes=(NUMBER,))


def double() -> Recorder:
    work = lambda p: p.__setitem__(DOUBLE, 2 * p[NUMBER])  # noqa: E731
    return Recorder("double", work, reads=(NUMBER,), writes=(DOUBLE,))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("sinks", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_every_frame_comes_out_in_order_through_all_stages_and_sinks(count: int, sinks: int) -> None:
    stages = [number(), double()]
    ends = [SinkRecorder(f"sink{i}", reads=(DOUBLE,)) for i in range(sinks)]
    source = Counter(count)
    packets = list(Graph(stages, ends).run(source))
    assert [p.frame.index for p in packets] == list(range(count))
    assert [p[DOUBLE] for p in packets] == [2 * i for i in range(count)]
    for stage in (*stages, *ends):
        assert stage.calls == ["open", *range(count), "close"]
        assert len(stage.threads) == 1
    assert source.events == ["open", "close"]
    for packet in packets:
        names = [span.name for span in packet.spans]
        assert names[:3] == [READ, "number", "double"]
        assert sorted(names[3:]) == sorted(sink.name for sink in ends)


def test_all_problems_of_a_layout_are_named_at_once() -> None:
    stages = [double(), number(), Recorder("number", writes=(DOUBLE,))]
    with pytest.raises(GraphError) as caught:
        Graph(stages, [SinkRecorder("out", reads=(Key("labels"),), writes=(Key("more"),))])
    message = str(caught.value)
    for part in (
        "2 stages are called 'number'",
        "'double' reads 'number', which no stage before it writes",
        "'number' and 'double' both write 'double'",
        "'out' reads 'labels'",
        "sink 'out' writes 'more'",
    ):
        assert part in message
    with pytest.raises(GraphError, match="there is no stage"):
        Graph([], [])


def test_a_graph_runs_once() -> None:
    graph = Graph([number()], [])
    assert len(list(graph.run(Counter(2)))) == 2
    with pytest.raises(GraphError, match="runs once"):
        list(graph.run(Counter(2)))


def test_an_error_carries_stage_and_frame_and_earlier_frames_still_come_out() -> None:
    bad = number()
    bad.fail_in = 7  # type: ignore[assignment]
    sink = SinkRecorder("sink")
    seen: list[int] = []
    source = Counter(100)
    with pytest.raises(StageError, match=r"stage 'number' failed on frame 7: 7 was told to fail") as caught:
        seen.extend(p.frame.index for p in Graph([bad, double()], [sink]).run(source))
    assert (caught.value.stage, caught.value.frame_index) == ("number", 7)
    assert isinstance(caught.value.__cause__, ValueError)
    assert sink.calls == ["open", *range(7), "close"]
    assert source.events == ["open", "close"]


def test_a_failing_sink_ends_the_run_and_the_other_sink_is_finished() -> None:
    bad, good = SinkRecorder("bad"), SinkRecorder("good")
    bad.fail_in = 3  # type: ignore[assignment]
    with pytest.raises(StageError, match="'bad' failed on frame 3"):
        list(Graph([number()], [bad, good]).run(Counter(10_000)))
    assert good.calls[0] == "open"
    assert good.calls[-1] == "close"
    assert good.calls[1:-1] == list(range(len(good.calls) - 2))
    assert 4 <= len(good.calls) - 2 < 100  # what was under way, not the whole stream


@pytest.mark.parametrize("method", ["open", "close"])
def test_an_error_in_open_or_close_reaches_the_caller_and_all_are_closed(method: str) -> None:
    stages = [number(), double()]
    stages[1].fail_in = method
    with pytest.raises(StageError, match=f"stage 'double' failed while opening or closing: {method}"):
        list(Graph(stages, []).run(Counter(3)))
    assert stages[0].calls[-1] == "close"
    assert stages[1].calls[-1] == "close"
    assert (0 in stages[0].calls) == (method == "close")  # a graph that cannot open reads no frame


def test_errors_that_say_it_well_are_raised_as_they_are() -> None:
    class Full(SinkRecorder):
        def open(self, info: StreamInfo) -> None:
            raise SinkError("no room; delete something")

    with pytest.raises(SinkError, match="no room"):
        list(Graph([number()], [Full("full")]).run(Counter(3)))
    seen: list[int] = []
    with pytest.raises(SourceError, match="the cable is out"):
        seen.extend(p.frame.index for p in Graph([number()], []).run(Counter(9, fail_at=5)))
    assert seen == [0, 1, 2, 3, 4]


def test_a_source_that_cannot_open_is_closed_and_starts_no_thread() -> None:
    class Absent(Counter):
        def open(self) -> StreamInfo:
            raise SourceError("there is no such file")

    source = Absent(1)
    with pytest.raises(SourceError, match="no such file"):
        list(Graph([number()], []).run(source))
    assert source.events == ["close"]


def test_stop_finishes_what_is_under_way() -> None:
    sink = SinkRecorder("sink")
    graph = Graph([number()], [sink])
    seen: list[int] = []
    for packet in graph.run(Counter(1_000_000)):
        seen.append(packet.frame.index)
        if packet.frame.index == 50:
            graph.stop()
    assert seen == list(range(len(seen)))
    assert 51 <= len(seen) < 200
    assert sink.calls == ["open", *seen, "close"]
    assert graph.frames_in == len(seen)


@pytest.mark.parametrize("leave", ["break", "raise"])
def test_leaving_the_loop_closes_everything(leave: str) -> None:
    sink = SinkRecorder("sink")
    source = Counter(1_000_000)

    def consume() -> None:
        run = Graph([number()], [sink]).run(source)
        for packet in run:
            if packet.frame.index == 20:
                if leave == "raise":
                    raise KeyboardInterrupt
                break
        run.close()  # type: ignore[attr-defined]

    if leave == "raise":
        with pytest.raises(KeyboardInterrupt):
            consume()
    else:
        consume()
    assert sink.calls[-1] == "close"
    assert source.events == ["open", "close"]


def test_a_live_source_drops_the_oldest_at_the_entrance_and_counts_it() -> None:
    busy, release = threading.Event(), threading.Event()

    def hold(packet: Packet) -> None:
        busy.set()
        if packet.frame.index == 0:
            assert release.wait(10)

    def gate(index: int) -> None:
        if index == 1:
            assert busy.wait(10)  # frame 0 is being worked on, frames 1 to 9 arrive meanwhile
        if index == 9:
            return

    class Source10(Counter):
        def frames(self) -> Iterator[Frame]:
            yield from super().frames()
            release.set()

    stage = Recorder("slow", hold)
    graph = Graph([stage], [])
    packets = list(graph.run(Source10(10, live=True, gate=gate)))
    assert [p.frame.index for p in packets] == [0, 9]
    assert graph.dropped == {"late": 8}
    assert graph.frames_in == 10
    # The delivered frame's step flow leads over the eight dropped ones: nine steps of one pixel.
    step = packets[1].frame.known_step
    assert step is not None
    np.testing.assert_allclose(step.field[0, 0], [9.0, 0.0])


def test_a_file_is_never_dropped_however_slow_a_stage_is() -> None:
    slow = Recorder("slow", lambda packet: threading.Event().wait(0.002))
    graph = Graph([slow], [])
    assert [p.frame.index for p in graph.run(Counter(60))] == list(range(60))
    assert not graph.dropped


def test_an_error_that_nobody_is_left_to_hear_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    sink = SinkRecorder("sink")
    sink.fail_in = "close"
    run = Graph([number()], [sink]).run(Counter(1000))
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert "stage 'sink' failed while opening or closing: close was told to fail" in caplog.text


def test_stop_interrupts_source_and_sinks_and_what_the_source_then_says_is_no_error() -> None:
    heard: list[str] = []

    class Camera(Counter):
        def __init__(self) -> None:
            super().__init__(10_000)
            self.told = threading.Event()

        def frames(self) -> Iterator[Frame]:
            yield next(super().frames())
            assert self.told.wait(10)
            raise SourceError("the camera went silent")

        def interrupt(self) -> None:
            heard.append("source")
            self.told.set()

    class Window(SinkRecorder):
        def interrupt(self) -> None:
            heard.append("sink")

    graph = Graph([number()], [Window("window")])
    seen: list[int] = []
    for packet in graph.run(Camera()):
        seen.append(packet.frame.index)
        graph.stop()
    assert seen == [0]
    assert {"source", "sink"} <= set(heard)


class Opening(Counter):
    """One that calls ``while_opening`` and then cannot be opened."""

    def __init__(self, while_opening: Callable[[], object]) -> None:
        super().__init__(1)
        self._while_opening = while_opening

    def open(self) -> StreamInfo:
        super().open()
        self._while_opening()
        raise SourceError("interrupted")


def test_a_stop_while_the_source_opens_is_no_error() -> None:
    graph = Graph([Recorder("a")], [])
    source = Opening(lambda: graph.stop())
    assert list(graph.run(source)) == []
    assert source.events == ["open", "close"]


def test_a_graph_that_was_stopped_before_opens_nothing() -> None:
    graph, source = Graph([Recorder("a")], []), Counter(3)
    graph.stop()
    assert list(graph.run(source)) == []
    assert source.events == ["close"]


@pytest.mark.parametrize("absent", ["read", "number", "double", "left", "right"])
def test_a_thread_that_cannot_be_started_ends_the_run(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    start = threading.Thread.start

    def start_but_one(thread: threading.Thread) -> None:
        if thread.name == f"keywarp-{absent}":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_one)
    stages, sinks = [number(), double()], [SinkRecorder("left"), SinkRecorder("right")]
    source = Counter(5)
    with pytest.raises(
        GraphError, match=f"the thread of '{absent}' cannot be started: can't start new thread"
    ):
        list(Graph(stages, sinks).run(source))
    assert source.events == ["open", "close"]
    names = ["read", "number", "double", "left", "right"]
    for work in (*stages, *sinks):  # those before it were opened and closed, with no frame in between
        begun = names.index(work.name) < names.index(absent)
        assert work.calls == (["open", "close"] if begun else [])


def test_a_thread_that_cannot_be_started_ends_a_run_without_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", never)
    source = Counter(5)
    with pytest.raises(GraphError, match="the thread of 'read' cannot be started"):
        list(Graph([number()], []).run(source))
    assert source.events == ["open", "close"]
