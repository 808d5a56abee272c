from __future__ import annotations

import re
from pathlib import Path

import av
import pytest

from keywarp.engines.errors import SinkError, UsageError
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.snapshot import SnapshotSink

from .stream import make_info, make_packet, make_packets, make_yuv, run_sink

NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z\.jpg")


def test_a_picture_every_so_often_the_first_at_once(tmp_path: Path) -> None:
    sink = make_sink(f"snapshot:{tmp_path},every=400ms")
    assert isinstance(sink, SnapshotSink)
    run_sink(sink, make_packets(25))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == sink.taken == 3
    assert all(NAME.fullmatch(name) for name in names)
    assert sink.written == 25


def test_it_shows_the_overlay(tmp_path: Path) -> None:
    overlay = Picture.from_av(make_yuv((64, 48), 200))
    run_sink(SnapshotSink(tmp_path), [make_packet(0, 0, overlay=overlay)])
    (path,) = tmp_path.iterdir()
    with av.open(str(path)) as container:  # not by OpenCV, which wrote it
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (64, 48)
    assert abs(float(frame.to_ndarray(format="gray").mean()) - (200 - 16) * 255 / 219) < 6


def test_the_oldest_of_its_own_give_way(tmp_path: Path) -> None:
    for name in ("20200101T000000.000Z.jpg", "cat.jpg"):
        (tmp_path / name).write_text("there before")
    run_sink(SnapshotSink(tmp_path, every_s=0.04, keep=2), make_packets(6))
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 3
    assert "cat.jpg" in names
    assert "20200101T000000.000Z.jpg" not in names


@pytest.mark.parametrize("live", [True, False])
def test_what_cannot_be_written_leaves_nothing_half(tmp_path: Path, live: bool) -> None:
    folder = tmp_path / "shots"
    sink = SnapshotSink(folder, every_s=0.04)
    sink.open(make_info(live=live))
    sink.process(make_packet(0, 0))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    if live:
        sink.process(make_packet(1, 40))
    else:
        with pytest.raises(SinkError, match="1 snapshots were kept"):
            sink.process(make_packet(1, 40))
    folder.mkdir()
    sink.process(make_packet(2, 80))
    sink.close()
    assert len(list(folder.iterdir())) == 1
    assert sink.notes == [f"1 snapshots could not be written to '{folder}'"]


@pytest.mark.parametrize("text", ["every=0", "every=1d", "every=-1s", "every=..s", "every=", "keep=no"])
def test_options_are_checked(text: str) -> None:
    with pytest.raises(UsageError, match=r"option '(every|keep)' of a sink is a"):
        make_sink(f"snapshot:shots,{text}")
