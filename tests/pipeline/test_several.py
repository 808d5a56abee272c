"""Several sources at once, by the command line."""

from __future__ import annotations

import json
import threading
from io import StringIO
from pathlib import Path

import av
import cv2
import pytest
from rich.console import Console

from keywarp.engines.errors import UsageError
from keywarp.pipeline.cli.run import default_sink
from keywarp.pipeline.cli.several import Group, Member, default_sinks, finish, settings_of
from keywarp.pipeline.run import Run
from keywarp.pipeline.sinks.places import check_places

from .commands import Call, caller
from .sources.films import pictures, write_film

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


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two films, a link to one of them, and a folder of pictures, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    for name in ("x1.mp4", "x2.mp4"):
        write_film(tmp_path / name, pictures(3, (64, 48)))
    (tmp_path / "link.json").symlink_to("x1.mp4")
    (tmp_path / "hard.json").hardlink_to("x2.mp4")
    (tmp_path / "shots").mkdir()
    for number, picture in enumerate(pictures(2, (64, 48))):
        cv2.imwrite(f"shots/{number:06d}.png", picture)
    (tmp_path / "own.yaml").write_text("interval: 3\n")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("x1.mp4 x2.mp4 --sink null --report x1.mp4", "'x1.mp4' would overwrite the source 'x1.mp4'"),
        ("x1.mp4 x2.mp4 --sink null --report ./shots/../x2.mp4", "would overwrite the source 'x2.mp4'"),
        ("x1.mp4 x2.mp4 --sink null --report link.json", "'link.json' would overwrite the source 'x1.mp4'"),
        ("x1.mp4 x2.mp4 --sink null --report hard.json", "'hard.json' would overwrite the source 'x2.mp4'"),
        ("x1.mp4 file://{here}/x2.mp4 --sink null --report x2.mp4", "would overwrite the source 'file://"),
        ("x1.mp4 env:FILM --sink null --report x2.mp4", "would overwrite the source 'env:FILM'"),
        ("x2.mp4 x1.mp4 --sink x{n}.mp4", "output 'x1.mp4' would overwrite the source 'x1.mp4'"),
        ("x1.mp4 shots --sink null --report shots/000001.png", "would overwrite the source 'shots'"),
        ("x1.mp4 shots/*.png --sink png:shot{n} --sink png:{n}/../shots", "the source 'shots/*.png'"),
        ("x1.mp4 shots/000000.png --sink png:{n}/../shots", "would overwrite the source 'shots/000000.png'"),
        ("x1.mp4 x2.mp4 --sink y{n}.mp4 --report y2.mp4", "would overwrite output 'y2.mp4'"),
        ("x1.mp4 --sink null --report x1.mp4", "would overwrite the source 'x1.mp4'"),
        ("x1.mp4 --sink null --report link.json", "would overwrite the source 'x1.mp4'"),
        ("shots --sink null --report shots/000001.png", "would overwrite the source 'shots'"),
        ("x1.mp4 --sink null --config own.yaml --report own.yaml", "'own.yaml' would overwrite what is read"),
        ("x1.mp4 x2.mp4 --sink null --config own.yaml --report own.yaml", "would overwrite what is read"),
    ],
)  # fmt: skip
def test_no_output_takes_the_place_of_what_is_read(
    run: Call, films: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.setenv("FILM", "x2.mp4")
    before = contents(films)
    ended = run(*arguments.replace("{here}", str(films)).split(), *FAST)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert contents(films) == before


SHOT = "shots/20250101T000000.000Z.jpg"


@pytest.mark.parametrize(
    ("outputs", "source"),
    [
        ("record:shots", "shots/*.png"),
        ("snapshot:shots,every=1s", "shots/*.png"),
        ("snapshot:shots", "shots/a*.jpg"),
        ("record:shots snapshot:.", "shots/000001.png"),
        ("snapshot:shots,keep=1", SHOT),
        ("shots/sheet.png", "shots/000001.png"),
        ("png:shots", "shots/a.jpg"),
        ("out/sheet.png png:out", "x1.mp4"),
        ("png:out out/sheet.png", "shots"),
        ("png:out out/123.png out/labels.jsonl", "shots/*"),
        ("png:shots/sheets.png", "shots"),
    ],
)  # fmt: skip
def test_an_output_may_lie_beside_pictures_that_it_cannot_be_taken_for(
    films: Path, outputs: str, source: str
) -> None:
    (films / "shots" / "a.jpg").touch()
    (films / SHOT).touch()
    check_places(outputs.split(), source)


@pytest.mark.parametrize(
    ("outputs", "source", "message"),
    [
        ("png:shots", "shots", "the source 'shots', or lie among it"),
        ("shots/", "shots", "the source 'shots', or lie among it"),
        ("snapshot:shots", "shots", "the source 'shots', or lie among it"),
        ("record:./x/../shots,keep=1", "shots", "the source 'shots', or lie among it"),
        ("shots/sheet.webp", "shots", "the source 'shots', or lie among it"),
        ("shots/", "shots/*.png", "or lie among it"),
        ("png:shots", "shots/a*.jpg", "or lie among it"),
        ("png:other", "shots/*.png", "or lie among it"),
        ("png:shots", "other/000001.png", "or lie among it"),
        ("png:shots", "first.png", "the source 'first.png', or lie among it"),
        ("shots/sheet.png", "shots/*.png", "or lie among it"),
        ("shots/000001.png", "shots/000001.png", "output 'shots/000001.png' would overwrite the source"),
        ("snapshot:shots", "shots/*", "or lie among it"),
        ("snapshot:other,every=1s", "shots/*.jpg", "or lie among it"),
        ("snapshot:shots,keep=1", "shots/2025*.jpg", "or lie among it"),
        ("png:out out/000123.png", "x1.mp4", "output 'out/000123.png' would overwrite output 'png:out'"),
        ("out/0001234.png png:out", "x1.mp4", "'png:out' would overwrite output 'out/0001234.png'"),
        ("record:out out/", "x1.mp4", "output 'out/' would overwrite output 'record:out'"),
    ],
)  # fmt: skip
def test_no_output_is_taken_for_a_picture_that_is_read(
    films: Path, outputs: str, source: str, message: str
) -> None:
    (films / "shots" / "a.jpg").touch()
    (films / SHOT).touch()
    (films / "other").symlink_to("shots")
    (films / "first.png").symlink_to("shots/000000.png")
    with pytest.raises(UsageError, match="would overwrite") as caught:
        check_places(outputs.split(), source)
    assert message in str(caught.value)


def test_recordings_and_snapshots_may_lie_beside_a_glob(run: Call, films: Path) -> None:
    before = contents(films / "shots")
    ended = run("shots/*.png", "--sink", "record:shots", "--report", "shots/report.json", *FAST)
    assert ended.code == 0, ended.err
    ended = run("shots/*.png", "--sink", "snapshot:shots,keep=1", *FAST)
    assert ended.code == 0, ended.err
    after = contents(films / "shots")
    assert before.items() <= after.items()
    assert sorted(path.suffix for path in after.keys() - before.keys()) == [".jpg", ".json", ".mp4"]


@pytest.mark.parametrize("flag", ["--model", "--flow"])
def test_a_report_does_not_take_the_place_of_a_card(run: Call, films: Path, flag: str) -> None:
    card = films / "card.json"
    card.write_text("{}")
    for sources in (["x1.mp4"], ["x1.mp4", "x2.mp4"]):
        ended = run(*sources, "--sink", "null", flag, "card.json", "--report", "./card.json")
        assert (ended.code, card.read_text()) == (2, "{}")
        assert "card.json' would overwrite what is read" in ended.err


def test_two_windows_in_one_process_are_refused(run: Call) -> None:
    both = [
        ["0", "1"],
        ["0", "1", "--sink", "window"],
        ["street:length=1", "--sink", "window", "--sink", "window"],
    ]
    for arguments in both:
        ended = run(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "there can be only one; show pages with --serve" in ended.err


def test_what_writes_nothing_needs_no_number() -> None:
    assert settings_of({"sinks": ["null", "null:overlay"]}, 2, 2)["sinks"] == ["null", "null:overlay"]
    for text in ("jsonl:-", "udp://host:5000", "rtsp://:8554/live", "out/"):
        with pytest.raises(UsageError, match=r"put \{n\} into its name"):
            settings_of({"sinks": [text]}, 1, 2)


def test_shares_are_divided_and_ports_differ() -> None:
    own = settings_of({"threads": 8, "sinks": ["null"], "serve": {"port": 9000}}, 3, 4)
    assert own["threads"] == 2
    assert own["serve"]["port"] == 9002
    assert settings_of({"serve": {"port": 0}}, 2, 2)["serve"]["port"] == 0


def test_usual_outputs_do_not_collide() -> None:
    named = default_sinks(["a/clip.mp4", "b/clip.mp4", "c.mp4"], lambda text: f"out/{Path(text).stem}.mp4")
    assert named == ["out/clip-1.mp4", "out/clip-2.mp4", "out/c.mp4"]
    assert default_sinks(["0", "1", "c.mp4"], default_sink) == ["window", "window", "out/c.mp4"]


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
