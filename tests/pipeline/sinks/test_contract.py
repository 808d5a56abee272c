"""What every sink promises, checked for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keywarp.engines.errors import SinkError
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.sinks.collect import CollectSink
from keywarp.pipeline.sinks.jsonl import JsonLinesSink
from keywarp.pipeline.sinks.null import NullSink
from keywarp.pipeline.sinks.png import PngSink
from keywarp.pipeline.sinks.record import RecordSink
from keywarp.pipeline.sinks.snapshot import SnapshotSink
from keywarp.pipeline.sinks.video import VideoSink
from keywarp.pipeline.sinks.window import WindowSink
from keywarp.pipeline.stage import Sink

from .screen import virtual_screen
from .stream import make_info, make_packets, run_sink

Make = Callable[[Path], Sink]

SINKS: dict[str, Make] = {
    "null": lambda folder: NullSink(),
    "collect": lambda folder: CollectSink(OVERLAY),
    "jsonl": lambda folder: JsonLinesSink(folder / "deep" / "out.jsonl"),
    "jsonl-stdout": lambda folder: JsonLinesSink("-"),
    "png": lambda folder: PngSink(folder / "deep" / "labels"),
    "mp4": lambda folder: VideoSink(folder / "deep" / "out.mp4"),
    "mov": lambda folder: VideoSink(folder / "deep" / "out.mov"),
    "mkv": lambda folder: VideoSink(folder / "deep" / "out.mkv"),
    "own-picture": lambda folder: VideoSink(folder / "own.mp4", picture=None),
    "record": lambda folder: RecordSink(folder / "deep" / "clips"),
    "snapshot": lambda folder: SnapshotSink(folder / "deep" / "shots"),
    "window": lambda folder: WindowSink(),
}
WRITING: list[Make] = [SINKS[name] for name in ("jsonl", "png", "mp4", "mkv", "record", "snapshot")]


@pytest.fixture(params=SINKS)
def make_sink(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    if request.param != "window":
        yield SINKS[request.param]
        return
    pytest.importorskip("pygame", reason="needs pygame-ce: pip install 'keywarp[window]'")
    with virtual_screen(tmp_path_factory.mktemp("screen")) as screen:
        monkeypatch.setenv("DISPLAY", screen.display)
        yield SINKS["window"]


def test_an_empty_stream_leaves_nothing(make_sink: Make, tmp_path: Path) -> None:
    sink = make_sink(tmp_path)
    run_sink(sink, [])
    assert sink.written == 0
    assert list(tmp_path.rglob("*")) == []


def test_every_frame_is_counted_when_closed(make_sink: Make, tmp_path: Path) -> None:
    sink = make_sink(tmp_path)
    run_sink(sink, make_packets(9))
    assert sink.written == 9


def test_a_live_stream_is_taken_too(make_sink: Make, tmp_path: Path) -> None:
    sink = make_sink(tmp_path)
    run_sink(sink, make_packets(5), make_info(live=True))
    assert sink.written == 5


def test_closing_twice_and_before_opening_is_fine(make_sink: Make, tmp_path: Path) -> None:
    make_sink(tmp_path).close()
    sink = make_sink(tmp_path)
    run_sink(sink, make_packets(2))
    sink.close()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (641, 1), (33, 17)])
def test_any_size_is_taken(make_sink: Make, tmp_path: Path, size: tuple[int, int]) -> None:
    sink = make_sink(tmp_path)
    run_sink(sink, make_packets(3, size=size), make_info(size))
    assert sink.written == 3


@pytest.mark.parametrize("make", WRITING)
def test_a_folder_that_cannot_be_is_said_before_the_first_frame(make: Make, tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where a folder should be")
    with pytest.raises(SinkError, match="cannot be written: "):
        make(tmp_path).open(make_info())
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("make", WRITING)
def test_what_was_there_stays_when_nothing_comes(make: Make, tmp_path: Path) -> None:
    run_sink(make(tmp_path), make_packets(3))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run_sink(make(tmp_path), [])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
