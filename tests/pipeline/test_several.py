"""Several sources at once, by the command line."""

from __future__ import annotations

import json
import threading
from io import StringIO
from pathlib import Path

import av
import pytest
from rich.console import Console

from keywarp.engines.errors import UsageError
from keywarp.pipeline.cli.run import default_sink
from keywarp.pipeline.cli.several import Group, Member, default_sinks, finish, settings_of
from keywarp.pipeline.run import Run

from .commands import Call, caller

FAST = ("--size", "96x64", "--level", "result", "--quiet")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capfd, "run")


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_each_source_gets_its_own_run_and_output(run: Call, tmp_path: Path) -> None:
    sink, report = f"{tmp_path}/camera{{n}}.mp4", tmp_path / "report.json"
    ended = run("street:seed=1,length=8", "street:seed=2,length=5", "--sink", sink, "--report", report, *FAST)
    assert ended.code == 0, ended.err
    assert [frames_in(tmp_path / f"camera{n}.mp4") for n in (1, 2)] == [8, 5]
    sources = json.loads(report.read_text())["sources"]
    assert [sources[n]["frames"]["out"] for n in ("1", "2")] == [8, 5]


def test_one_that_fails_leaves_the_others_alone(run: Call, tmp_path: Path) -> None:
    sink = f"{tmp_path}/camera{{n}}.mp4"
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(b"no video at all")
    done = run(cut, "street:length=6", "--sink", sink, *FAST)
    assert done.code == 2
    assert "error: source 1: video" in done.err
    assert frames_in(tmp_path / "camera2.mp4") == 6


def test_one_output_for_several_sources_is_refused() -> None:
    with pytest.raises(UsageError, match=r"put \{n\} into its name"):
        settings_of({"sinks": ["out/a.mp4"]}, 1, 2)


def test_shares_are_divided_and_ports_differ() -> None:
    own = settings_of({"threads": 8, "sinks": ["null"], "serve": {"port": 9000}}, 3, 4)
    assert own["threads"] == 2
    assert own["serve"]["port"] == 9002
    assert settings_of({"serve": {"port": 0}}, 2, 2)["serve"]["port"] == 0


def test_usual_outputs_do_not_collide() -> None:
    named = default_sinks(["a/clip.mp4", "b/clip.mp4", "c.mp4"], lambda text: f"out/{Path(text).stem}.mp4")
    assert named == ["out/clip-1.mp4", "out/clip-2.mp4", "out/c.mp4"]


def test_all_end_where_nobody_can_be_told() -> None:
    runs = [Run("street:live=1,length=endless,size=64x48", sinks=["null"]) for _ in range(2)]
    group = Group([Member(number, run) for number, run in enumerate(runs, 1)])

    def tell() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        group.run(tell)
    assert not group.errors
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("keywarp-source")]


def test_a_source_that_is_not_there_leaves_no_report(run: Call, tmp_path: Path) -> None:
    report = tmp_path / "reports" / "report.json"
    ended = run("street:length=2", tmp_path / "none.mp4", "--report", report, "--sink", "null", *FAST)
    assert ended.code == 2
    assert not report.parent.exists()


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("0", "window"),
        ("0,format=mjpeg,size=1280x720", "window"),
        ("/dev/video0", "window"),
        ("gst: rtspsrc location=rtsp://h/x user-pw=hush ! decodebin", "out/gst.mp4"),
        ("rtsp://anna:hush@h/yard", "out/yard.mp4"),
    ],
)
def test_the_usual_output_is_a_window_or_a_name_without_secrets(source: str, sink: str) -> None:
    assert default_sink(source) == sink


def test_notes_are_told_with_the_number_of_their_source() -> None:
    run = Run("street:length=1,size=64x48", sinks=["null"])
    run.source.notes.append("it was dark")
    said = StringIO()
    assert finish(Group([Member(2, run)]), Console(file=said, width=200)) == 0
    assert "note: source 2: it was dark" in said.getvalue()
