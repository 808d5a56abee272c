"""The command line, as a user meets it: what a run leaves behind, bad input, signals, full disks, damage."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import keywarp
from keywarp.models.card import ALIASES, BUNDLED
from keywarp.pipeline.sources.video import VideoSource

from .commands import Call, Ended, caller
from .sources.films import pictures, read_all, real, write_film

DEADLINE_S = 100
SMALL = "street:length=12,size=160x96"
TINY = "street:length=3,size=64x48"
FIGURES = {"count", "mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "wait_p50_ms"}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs the entry point in this process, in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    return caller(monkeypatch, capfd)


def spawn(*arguments: object, code: str | None = None, cwd: Path) -> Ended:
    """Runs the command as a process of its own; ``code``: Python that comes instead of ``-m keywarp``."""
    start = ["-m", "keywarp"] if code is None else ["-c", code]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def check_refused(ended: Ended, *words: str) -> None:
    """Exit code 2 and one line that holds ``words``."""
    assert ended.code == 2, ended
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: ")
    for word in words:
        assert word in ended.err


def times_s(path: Path) -> list[float]:
    return [frame.time_s for frame in read_all(VideoSource(path))[1]]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- A run and what it leaves behind ----------------------------------------------------------------------


def test_one_run_feeds_all_sinks_and_reports_every_stage(tmp_path: Path) -> None:
    # A frame rate that changes on the way
    pts = [0, 1, 2, 3, 5, 7, 9, 10, 14, 15, 16, 17]
    film = write_film(tmp_path / "clip.mp4", pictures(12, (160, 96)), pts=pts)
    sinks = ["out.mp4", "second.mp4", "lines.jsonl", "png:labels", "null"]
    flags = [flag for text in sinks for flag in ("--sink", text)]
    ended = spawn("run", film, "--interval", 4, *flags, "--report", "made/run.json", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "perceive" in ended.out
    assert "wrote out.mp4, second.mp4, lines.jsonl, png:labels, made/run.json" in ended.out

    wanted = [float(p * Fraction(1, 25)) for p in pts]
    assert times_s(film) == wanted
    assert times_s(tmp_path / "out.mp4") == wanted
    assert times_s(tmp_path / "second.mp4") == wanted
    lines = json_lines(tmp_path / "lines.jsonl")
    assert [line["index"] for line in lines] == list(range(12))
    assert [line["time_s"] for line in lines] == pytest.approx(wanted)
    assert [line["key_age"] for line in lines] == [0, 1, 2, 3] * 3
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == [
        f"{i:06d}.png" for i in range(12)
    ]
    check_report(json.loads((tmp_path / "made" / "run.json").read_text()))


def check_report(report: dict[str, Any]) -> None:
    """The keys are exactly those that docs/report.md promises."""
    assert set(report) == {
        "schema", "policy", "aggregate", "fused", "flow_kernel", "frames", "fps", "wall_s", "cpu_s", "peak_rss_mb",
        "stages", "latency", "notes",
    }  # fmt: skip
    frames = report["frames"]
    assert [frames[kind] for kind in ("in", "out", "dropped", "key")] == [12, 12, 0, 3]
    assert report["policy"] == "fixed"
    assert frames["key_by_cause"] == {"first": 1, "interval": 2}
    parts = {f"perceive.{part}" for part in ("prepare", "features", "flow", "signals", "warp_head")}
    stages = {"read", "perceive", "overlay", "mp4", "mp4-2", "jsonl", "png", "null"}
    assert set(report["stages"]) == stages | parts
    for name, kinds in [*report["stages"].items(), ("latency", report["latency"])]:
        assert set(kinds) == {"all", "key", "propagated"}, name
        assert all(set(figures) == FIGURES for figures in kinds.values()), name
        if name not in parts:
            assert [kinds[kind]["count"] for kind in ("all", "key", "propagated")] == [12, 3, 9], name
    perceive = report["stages"]["perceive"]
    assert perceive["key"]["mean_ms"] >= report["stages"]["perceive.features"]["key"]["mean_ms"]
    assert perceive["propagated"]["mean_ms"] >= report["stages"]["perceive.flow"]["all"]["mean_ms"]
    assert report["latency"]["all"]["max_ms"] >= perceive["all"]["max_ms"]
    assert report["fps"] > 0
    assert report["wall_s"] > 0
    assert report["cpu_s"] > 0
    assert 20 < report["peak_rss_mb"] < 2000


def test_two_models_share_the_flow(call: Call) -> None:
    ended = call(
        "run", SMALL, "--model", "enet", "--model", "enet-camvid", "--sink", "null", "--report", "r.json"
    )
    assert (ended.code, ended.err) == (0, "")
    stages = json.loads(Path("r.json").read_text())["stages"]
    second = "perceive-2-enet-camvid"
    assert stages[second]["all"]["count"] == 12
    assert {f"{second}.features", f"{second}.warp_head"} <= set(stages)
    assert stages["perceive.flow"]["all"]["count"] == 10
    assert f"{second}.flow" not in stages


def test_without_a_sink_the_film_goes_to_out(call: Call) -> None:
    assert call("run", TINY).code == 0
    assert len(times_s(Path("out/street.mp4"))) == 3


def test_names_with_brackets_are_printed_as_they_are(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for index, size in enumerate([(64, 48), (32, 24)]):
        cv2.imwrite(str(folder / f"[bold]{index}.png"), np.zeros((size[1], size[0], 3), np.uint8))
    ended = call("run", folder, "--sink", "[red]out.mp4")
    assert (ended.code, ended.err) == (0, "")
    assert "wrote [red]out.mp4" in ended.out
    assert "[bold]1.png 32x24" in ended.out


def test_quiet_prints_nothing(call: Call) -> None:
    assert call("run", TINY, "--sink", "null", "--quiet") == Ended(0, "", "")


def test_lines_on_standard_output_are_alone_there(call: Call) -> None:
    ended = call("run", TINY, "--sink", "jsonl:-")
    assert [json.loads(line)["index"] for line in ended.out.splitlines()] == [0, 1, 2]
    assert "perceive" in ended.err


def test_flags_of_every_kind_arrive(call: Call) -> None:
    ended = call(
        "run", "street:length=6", "--size", "96x64", "--rate", 10, "--interval", 3, "--level", "result",
        "--flow", "dis:fast", "--threads", 1, "--engine", "openvino", "--precision", "f32",
        "--encoder", "libx264:ultrafast", "--set", "overlay.hud=false", "--config", "accurate",
        "--sink", "out.mkv", "--report", "r.json",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    info, frames = read_all(VideoSource("out.mkv"))
    assert (info.size, len(frames)) == ((96, 64), 6)
    assert frames[1].time_s == pytest.approx(0.1)
    report = json.loads(Path("r.json").read_text())
    assert report["frames"]["key"] == 2
    assert "perceive.warp" in report["stages"]


def test_the_demo_needs_nothing(tmp_path: Path) -> None:
    ended = spawn("demo", "--seconds", 1, "--out", "film", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "warp_head" in ended.out
    info, frames = read_all(VideoSource(tmp_path / "film" / "demo.mp4"))
    assert (info.size, len(frames)) == ((640, 360), 30)
    assert json.loads((tmp_path / "film" / "report.json").read_text())["frames"]["out"] == 30


# --- The other commands -----------------------------------------------------------------------------------


def test_doctor_lists_what_there_is_and_how_to_get_the_rest(call: Call) -> None:
    ended = call("doctor")
    assert (ended.code, ended.err) == (0, "")
    for word in ("openvino", "onnxruntime", "torch", "libx264", "cameras", "CPU"):
        assert word in ended.out
    for row in ended.out.splitlines():
        cells = [cell.strip() for cell in row.split("│")]
        if len(cells) == 6 and cells[2] == "no":
            assert cells[4], f"nothing says how to get: {row}"


def test_doctor_names_the_extra_that_is_missing(tmp_path: Path) -> None:
    ended = spawn("doctor", code=_without("torch", "onnxruntime"), cwd=tmp_path)
    assert ended.code == 0
    assert "pip install 'keywarp[onnxruntime]'" in ended.out


def test_models_lists_every_bundled_model(call: Call) -> None:
    ended = call("models")
    assert (ended.code, ended.err) == (0, "")
    for path in BUNDLED.glob("*.json"):
        assert path.stem in ended.out
        assert json.loads(path.read_text())["provenance"]["licence"] in ended.out
    assert all(alias in ended.out for alias in ALIASES)


def test_complexity_of_enet_is_the_published_one(call: Call) -> None:
    pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")
    ended = call("complexity", "enet", "--classes", 20, "--size", "640x360", "--json", "made/enet.json")
    assert (ended.code, ended.err) == (0, "")
    figures = json.loads(Path("made/enet.json").read_text())
    assert figures["flops"] == pytest.approx(3.83e9, rel=0.03)  # Paszke et al. 2016, table 4
    assert figures["parameters"] == pytest.approx(0.37e6, rel=0.05)
    assert figures["flops"] == 2 * figures["macs"]
    assert "GFLOPs" in ended.out


def test_complexity_has_the_table_of_deep_feature_flow(call: Call) -> None:
    pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")
    ended = call("complexity", "--table", "dff", "--size", "256x192", "--json", "made/dff.json")
    assert (ended.code, ended.err) == (0, "")
    for text in ("resnet-50 over", "resnet-101 over", "flownet-inception", "95.24", "input's resolution"):
        assert text in ended.out
    figures = json.loads(Path("made/dff.json").read_text())
    assert len(figures["ratios"]) == 6


def test_a_network_with_random_weights_is_exported_and_runs(call: Call) -> None:
    pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")
    ended = call("export", "enet", "--out", "made")
    assert (ended.code, ended.err) == (0, "")
    assert "UNTRAINED" in ended.out
    ended = call("run", TINY, "--model", "made/enet.json", "--sink", "null", "--quiet")
    assert (ended.code, ended.err) == (0, "")


def _without(*packages: str) -> str:
    blocked = "".join(f"sys.modules['{package}'] = None\n" for package in packages)
    return f"import sys\n{blocked}from keywarp.pipeline.cli import main\nmain()"


@pytest.mark.parametrize(
    "arguments",
    [
        ["complexity", "enet"],
        ["export", "enet", "--weights", "w.safetensors"],
        ["train", "enet", "--data", "street:seed=0,length=4"],
        ["run", TINY, "--sink", "null", "--engine", "torch"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_torch_says_how_to_get_it(arguments: list[str], tmp_path: Path) -> None:
    ended = spawn(*arguments, code=_without("torch"), cwd=tmp_path)
    check_refused(ended, "torch", "not installed", "pip install 'keywarp[torch]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [[], ["run"], ["demo"], ["train"], ["export"], ["complexity"], ["doctor"], ["models"]]
)
def test_every_command_has_help(command: list[str], call: Call) -> None:
    ended = call(*command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Usage" in ended.out


def test_the_version(call: Call) -> None:
    assert call("--version") == Ended(0, f"keywarp {keywarp.__version__}\n", "")


def test_a_run_says_how_well_results_were_carried(call: Call, tmp_path: Path) -> None:
    report = tmp_path / "run.json"
    ended = call(
        "run",
        SMALL,
        "--interval",
        "3",
        "--agreement",
        "--sink",
        "null",
        "--report",
        report,
        "--level",
        "result",
    )
    found = json.loads(report.read_text())["frames"]["key_agreement"]
    assert (ended.code, found["count"]) == (0, 3)
    assert 0.5 < found["least"] <= found["mean"] < 1
    assert (
        f"of the pixels carried to 3 key frames {100 * found['mean']:.1f} % were as in the full run"
        in ended.out
    )


def test_without_a_command_there_is_help(call: Call) -> None:
    ended = call()
    assert (ended.code, ended.err) == (2, "")
    assert "Usage" in ended.out
    assert "doctor" in ended.out


# --- Bad input: one clear sentence, exit code 2, no traceback ------------------------------------------------

USAGE: tuple[tuple[str, list[str], list[str]], ...] = (
    ("no such file", ["run", "nothere.mp4"], ["source 'nothere.mp4' does not exist"]),
    ("no such folder", ["run", "nowhere/clip.mp4"], ["there is no folder 'nowhere'"]),
    ("no source", ["run", ""], ["no source is given"]),
    ("no such camera", ["run", "7"], ["no camera '/dev/video7'"]),
    ("no such device", ["run", "/dev/video31"], ["no camera '/dev/video31'"]),
    ("unknown street option", ["run", "street:sead=1"], ["did you mean 'seed'?"]),
    ("street too small", ["run", "street:size=8x8"], ["16"]),
    ("unknown model", ["run", TINY, "--model", "enett"], ["unknown model 'enett'; did you mean 'enet'?"]),
    (
        "model without weights",
        ["run", TINY, "--model", "resnet-50"],
        ["no weights of the network 'resnet-50' come with keywarp", "enet-camvid", "`keywarp export resnet-50`"],
    ),
    ("flow as a model", ["run", TINY, "--model", "flownet-inception"], ["a flow network, not a model", "--flow"]),
    ("unknown card", ["run", TINY, "--model", "my.json"], ["model card 'my.json' does not exist"]),
    ("unknown engine", ["run", TINY, "--engine", "openvno"], ["did you mean 'openvino'?"]),
    ("unknown precision", ["run", TINY, "--precision", "f31"], ["'f31'", "f32"]),
    ("unknown flow", ["run", TINY, "--flow", "dis:fats"], ["did you mean 'dis:fast'?"]),
    ("unknown level", ["run", TINY, "--level", "reslt"], ["did you mean 'result'?"]),
    ("unknown config", ["run", TINY, "--config", "dfff"], ["did you mean 'dff'?"]),
    ("no config file", ["run", TINY, "--config", "my.yaml"], ["configuration 'my.yaml' cannot be read"]),
    ("unknown key", ["run", TINY, "--set", "intervall=3"], ["did you mean 'interval'?"]),
    ("unknown inner key", ["run", TINY, "--set", "flow.metod=dis"], ["did you mean 'flow.method'?"]),
    ("no assignment", ["run", TINY, "--set", "interval"], ["--set takes key=value"]),
    ("no YAML", ["run", TINY, "--set", "sinks=[a"], ["not YAML"]),
    ("no models", ["run", TINY, "--set", "models=[]"], ["'models' cannot be empty"]),
    ("unknown sink", ["run", TINY, "--sink", "out.mp5"], ["did you mean 'out.mp4'?"]),
    ("unknown sink word", ["run", TINY, "--sink", "nul"], ["did you mean 'null'?"]),
    ("unknown encoder", ["run", TINY, "--sink", "a.mp4", "--encoder", "libx265"], ["did you mean 'libx264'?"]),
    ("unknown preset", ["run", TINY, "--sink", "a.mp4", "--encoder", "libx264:veryfst"], ["'veryfast'?"]),
    ("interval 0", ["run", TINY, "--interval", "0"], ["'interval' cannot be 0", "1"]),
    ("no size", ["run", TINY, "--size", "big"], ["such as 640x360"]),
    ("threads 0", ["run", TINY, "--threads", "0"], ["'threads' cannot be 0"]),
    (
        "a size that the model cannot take",
        ["run", TINY, "--sink", "null", "--set", "models=[{name: enet, size: 100x100}]"],
        ["cannot take the size 100x100", "multiples of 8", "104x104"],
    ),
    ("film where none can be", ["run", TINY, "--sink", "/proc/x/a.mp4"], ["'/proc/x' cannot be written"]),
    ("lines where none can be", ["run", TINY, "--sink", "/proc/a.jsonl"], ["'/proc/a.jsonl' cannot be written"]),
    ("pictures where none can be", ["run", TINY, "--sink", "png:/proc/x"], ["'/proc/x' cannot be written"]),
    (
        "report where none can be",
        ["run", TINY, "--sink", "null", "--report", "/proc/x/r.json"],
        ["'/proc/x' cannot be written"],
    ),
    ("report is a folder", ["run", TINY, "--sink", "null", "--report", ".."], ["'..' cannot be written"]),
    ("demo where none can be", ["demo", "--out", "/proc/x"], ["'/proc/x' cannot be written"]),
    ("unknown network", ["complexity", "ennet"], ["did you mean 'enet'?"]),
    ("no network size", ["complexity", "enet", "--size", "0x0"], ["such as 640x360"]),
    ("no network at all", ["complexity"], ["name a network (enet, resnet-50", "--table dff"]),
    ("unknown table", ["complexity", "--table", "dfff"], ["unknown table 'dfff'; did you mean 'dff'?"]),
    ("a network and a table", ["complexity", "enet", "--table", "dff"], ["leave 'enet' out"]),
    ("no flow weights", ["export", "flownet"], ["flow network 'flownet' needs --weights"]),
    ("no weights", ["export", "enet", "--weights", "no.safetensors"], ["'no.safetensors' do not exist"]),
    ("unknown data", ["train", "enet", "--data", "camvidd:x"], ["did you mean 'camvid'?"]),
    (
        "unknown training setting",
        ["train", "enet", "--data", "street:seed=0", "--set", "batc=1"],
        ["did you mean 'batch'?"],
    ),
    (
        "training setting of another kind",
        ["train", "enet", "--data", "street:seed=0", "--set", "batch=many"],
        ["training setting 'batch' cannot be 'many'", "valid integer"],
    ),
    ("nothing to train on", ["train", "enet"], ["such as --data camvid:DIR"]),
    ("no pairs to train on", ["train", "flow"], ["such as --data shapes:DIR"]),
    ("unknown recipe", ["train", "enet", "--config", "enet-camvidd"], ["did you mean 'enet-camvid'?"]),
    (
        "unknown option",
        ["run", TINY, "--intervall", "3"],
        ["keywarp run has no option '--intervall'; did you mean '--interval'? See keywarp run --help"],
    ),
    (
        "unknown option like no other",
        ["doctor", "--all"],
        ["keywarp doctor has no option '--all'; see keywarp doctor --help"],
    ),
    ("unknown letter", ["run", TINY, "-x"], ["keywarp run has no option '-x'; see keywarp run --help"]),
    ("option of the program", ["--versoin"], ["keywarp has no option '--versoin'; did you mean '--version'?"]),
    ("option before its command", ["--quiet", "run", TINY], ["'--quiet': options follow a command; see keywarp -"]),
    ("option without its value", ["run", TINY, "--interval"], ["option '--interval' requires an argument; see"]),
    ("value that no option takes", ["run", TINY, "--quiet=3"], ["option '--quiet' does not take a value; see"]),
    (
        "value of another kind",
        ["run", TINY, "--interval", "soon"],
        ["'--interval' cannot be 'soon': ", "valid integer", "; see keywarp run --help"],
    ),
    (
        "value out of range",
        ["demo", "--seconds", "0"],
        ["'--seconds' cannot be '0': ", "greater than or equal to 1; see keywarp demo --help"],
    ),
    ("nothing to run", ["run"], ["keywarp run needs SOURCE: video file, URL, camera", "; see keywarp run --help"]),
    ("nothing to export", ["export"], ["keywarp export needs NETWORK: network name, such as enet"]),
    ("more than is taken", ["models", "enet"], ["unexpected extra argument", "(enet); see keywarp models --help"]),
    ("unknown command", ["ru", TINY], ["unknown command 'ru'; did you mean 'run'? (accepted: cameras, "]),
    ("unlike any command", ["bogus"], ["unknown command 'bogus' (accepted: ", "demo", "train)"]),
)  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), [row[1:] for row in USAGE], ids=[row[0] for row in USAGE])
def test_bad_input_is_refused_in_one_sentence(arguments: list[str], words: list[str], call: Call) -> None:
    check_refused(call(*arguments), *words)
    assert list(Path().iterdir()) == [], "something was left behind"


@pytest.mark.parametrize("content", [b"flow: dis:fast\n", b"\xff\xfe\x00\x81"])
def test_a_bad_configuration_file_is_refused(content: bytes, call: Call) -> None:
    Path("mine.yaml").write_bytes(content)
    check_refused(
        call("run", TINY, "--sink", "null", "--config", "mine.yaml", "--flow", "dis"),
        "mine.yaml" if b"\xff" in content else "flow",
    )


def _text_film(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("This is no film.\n" * 50)
    return path


def _film_without_frames(folder: Path) -> Path:
    path = folder / "empty.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    return path


def _folder_without_pictures(folder: Path) -> Path:
    path = folder / "pictures"
    path.mkdir()
    (path / "readme.txt").write_text("no pictures here")
    return path


def _unreadable_film(folder: Path) -> Path:
    path = write_film(folder / "secret.mp4", pictures(2))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip(
            "this user reads every file, whatever its permissions: run the tests as another one than root"
        )
    return path


def _empty_file(folder: Path) -> Path:
    path = folder / "nothing.mp4"
    path.touch()
    return path


def _broken_picture(folder: Path) -> Path:
    path = folder / "shots"
    path.mkdir()
    (path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_empty_file, "is empty (0 bytes)"),
        (_text_film, "notes.mp4"),
        (_film_without_frames, "empty.mp4"),
        (_folder_without_pictures, "holds no pictures"),
        (_broken_picture, "can be read"),
        (_unreadable_film, "may not be read"),
    ],
)
def test_a_source_that_is_none_is_refused(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    # As a process of its own: what libraries say on standard error counts too.
    source, here = make(tmp_path), tmp_path / "here"
    here.mkdir()
    flags = ["--sink", "out.mp4", "--sink", "png:labels", "--report", "r.json"]
    check_refused(spawn("run", source, *flags, cwd=here), words)
    assert list(here.iterdir()) == [], "something was left behind"


def test_what_was_there_before_survives_bad_input(call: Call) -> None:
    for name in ("out.mp4", "out.jsonl", "r.json"):
        Path(name).write_text("from an earlier run")
    flags = ["--sink", "out.mp4", "--sink", "out.jsonl", "--report", "r.json"]
    check_refused(call("run", "nothere.mp4", *flags))
    check_refused(call("run", TINY, "--sink", "/proc/x/a.mp4", *flags))
    for name in ("out.mp4", "out.jsonl", "r.json"):
        assert Path(name).read_text() == "from an earlier run"


# --- Model files -------------------------------------------------------------------------------------------


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """The bundled ENet, copied to where it may be damaged."""
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder / f"{ALIASES['enet']}.json"


def test_a_copied_model_runs(card: Path, call: Call) -> None:
    assert call("run", TINY, "--model", card, "--sink", "null").code == 0


@pytest.mark.parametrize("part", ["key", "warp_head"])
def test_a_damaged_model_file_is_refused(part: str, card: Path, call: Call) -> None:
    path = card.with_suffix(f".{part}.onnx")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    check_refused(call("run", TINY, "--model", card, "--sink", "null"), path.name, "damaged", "SHA-256")
    assert list(Path().iterdir()) == []


def test_a_missing_model_file_is_refused(card: Path, call: Call) -> None:
    card.with_suffix(".key.onnx").unlink()
    check_refused(call("run", TINY, "--model", card, "--sink", "null"), "lacks its file", "key.onnx")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"task": "poetry"}, "task"),
        ({"class_set": "camvd"}, "did you mean 'camvid'?"),
        ({"classes": ["sky"]}, "other classes"),
        ({"files": {}}, "has no part 'key'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_card_that_is_wrong_is_refused(change: dict[str, Any], words: str, card: Path, call: Call) -> None:
    card.write_text(json.dumps({**json.loads(card.read_text()), **change}))
    check_refused(call("run", TINY, "--model", card, "--sink", "null"), words)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x81"])
def test_a_file_that_is_no_card_is_refused(content: bytes, card: Path, call: Call) -> None:
    card.write_bytes(content)
    check_refused(call("run", TINY, "--model", card, "--sink", "null"), card.name, "not valid")


def _spoil(path: Path, choose: Callable[[list[Any]], list[Any]]) -> int:
    """Put NaN into the floating-point weights that ``choose`` picks, and correct the card."""
    onnx = pytest.importorskip("onnx", reason="needs onnx (pip install 'keywarp[torch]')")
    model = onnx.load(path)
    weights = [w for w in model.graph.initializer if onnx.numpy_helper.to_array(w).dtype == np.float32]
    weights = [w for w in weights if onnx.numpy_helper.to_array(w).ndim == 4]
    for weight in choose(weights):
        bad = onnx.numpy_helper.from_array(
            np.full_like(onnx.numpy_helper.to_array(weight), np.nan), weight.name
        )
        weight.CopyFrom(bad)
    onnx.save(model, path)
    card_path = path.parent / f"{path.name.partition('.')[0]}.json"
    card = json.loads(card_path.read_text())
    part = path.name.split(".")[-2]
    card["files"][part]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    card_path.write_text(json.dumps(card))
    return len(weights)


@pytest.mark.parametrize("level", ["features", "result"])
@pytest.mark.parametrize(
    "choose",
    [lambda w: w[:1], lambda w: w[-1:]],
    ids=["first", "last"],
)
def test_weights_that_are_not_numbers_are_refused(
    choose: Callable[[list[Any]], list[Any]], level: str, card: Path, call: Call
) -> None:
    assert _spoil(card.with_suffix(".key.onnx"), choose) > 20
    flags = ["--level", level, "--sink", "out.mp4", "--report", "r.json"]
    check_refused(call("run", TINY, "--model", card, *flags), "enet-camvid", "not finite")
    assert list(Path().iterdir()) == []


# --- A disk that fills, a film that ends early -------------------------------------------------------------

_LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from keywarp.pipeline.cli import main
main()
"""


@pytest.mark.parametrize("sink", ["out.mp4", "out.mkv"])
def test_a_full_disk_ends_the_run_and_keeps_the_film_so_far(sink: str, tmp_path: Path) -> None:
    limit_bytes = 110_000
    ended = spawn(
        limit_bytes, "run", "street:length=240,size=320x192", "--level", "result", "--sink", sink,
        "--report", "r.json", code=_LIMITED, cwd=tmp_path,
    )  # fmt: skip
    check_refused(ended, f"'{sink}' could not be finished", "the disk is full", "frames were kept")
    found = re.search(r"(\d+) frames were kept", ended.err)
    assert found is not None
    kept = times_s(tmp_path / sink)
    assert (tmp_path / sink).stat().st_size <= limit_bytes
    assert len(kept) == int(found[1]) > 10
    # Without gaps, but for the last few, which a B-frame that is lost may have preceded.
    assert kept[:-4] == pytest.approx([index / 30 for index in range(len(kept) - 4)], abs=0.002)
    assert json.loads((tmp_path / "r.json").read_text())["frames"]["out"] >= len(kept)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    flags = ["--level", "result", "--sink", "out.jsonl"]
    ended = spawn(9_000, "run", "street:length=60,size=64x48", *flags, code=_LIMITED, cwd=tmp_path)
    check_refused(ended, "'out.jsonl' could not be finished", "the disk is full", "lines were kept")
    assert [line["index"] for line in json_lines(tmp_path / "out.jsonl")] == list(
        range(int(re.findall(r"(\d+) lines were kept", ended.err)[0]))
    )


def test_a_report_that_finds_no_room_is_named(tmp_path: Path) -> None:
    ended = spawn(500, "run", TINY, "--sink", "null", "--report", "r.json", code=_LIMITED, cwd=tmp_path)
    check_refused(ended, "'r.json' cannot be written")


def test_a_film_that_was_cut_off_is_processed_as_far_as_it_goes(call: Call, tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", pictures(60, (160, 96)), container={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    ended = call("run", cut, "--sink", "out.mp4", "--sink", "out.jsonl", "--report", "r.json")
    assert (ended.code, ended.err) == (0, "")
    frames = json.loads(Path("r.json").read_text())["frames"]
    assert 10 < frames["out"] < 60
    assert frames["out"] == len(times_s(Path("out.mp4"))) == len(json_lines(Path("out.jsonl")))
    assert frames["dropped"] == 60 - frames["out"]
    assert f"{frames['dropped']} frames lost" in " ".join(ended.out.split())


# --- Pictures of every shape -------------------------------------------------------------------------------


def _noise(*shape: int, dtype: type = np.uint8) -> Any:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(_noise(359, 641, 3), id="641x359"),
        pytest.param(_noise(1, 640, 3), id="one pixel high"),
        pytest.param(_noise(480, 1, 3), id="one pixel wide"),
        pytest.param(_noise(1, 1, 3), id="one pixel"),
        pytest.param(_noise(48, 64), id="grey"),
        pytest.param(_noise(48, 64, 4), id="alpha"),
        pytest.param(_noise(48, 64, 3, dtype=np.uint16), id="16-bit"),
        pytest.param(_noise(48, 64, dtype=np.uint16), id="16-bit grey"),
    ],
)
def test_pictures_of_every_shape_go_through(pixels: Any, call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for index in range(3):
        assert cv2.imwrite(str(folder / f"{index}.png"), np.roll(pixels, 2 * index, axis=1))
    ended = call("run", folder, "--sink", "out.mp4", "--sink", "labels/", "--sink", "out.jsonl")
    assert (ended.code, ended.err) == (0, "")
    height, width = pixels.shape[:2]
    info, frames = read_all(VideoSource("out.mp4"))
    assert info.size == (width + width % 2, height + height % 2)
    assert len(frames) == len(json_lines(Path("out.jsonl"))) == 3
    labels = cv2.imread("labels/000002.png", cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert labels.shape == (height, width)


# --- Signals -----------------------------------------------------------------------------------------------

SIGNALS = [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.4), (signal.SIGINT, 1.1), (signal.SIGTERM, 1.7)]


@pytest.mark.parametrize(("number", "after_s"), SIGNALS, ids=lambda value: getattr(value, "name", str(value)))
def test_a_signal_ends_the_run_and_finishes_every_output(
    number: signal.Signals, after_s: float, tmp_path: Path
) -> None:
    _interrupt("street:length=2000,size=160x96", number, after_s, tmp_path)


def test_a_signal_during_a_real_clip(tmp_path: Path) -> None:
    clip = real("video/solidWhiteRight.mp4")
    _interrupt(str(clip), signal.SIGINT, 0.5, tmp_path, "--size", "320x180", "--interval", "1")


def _interrupt(source: str, number: signal.Signals, after_s: float, folder: Path, *flags: str) -> None:
    outputs = ["--sink", "out.mp4", "--sink", "out.jsonl", "--report", "r.json"]
    command = [sys.executable, "-m", "keywarp", "run", source, *flags, *outputs]
    film = folder / "out.mp4"
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_for(lambda: film.exists() or process.poll() is not None)
            time.sleep(after_s)
            process.send_signal(number)
            start_s = time.monotonic()
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert time.monotonic() - start_s < 10
    assert (process.returncode, err) == (128 + number, "")
    if not film.exists():  # the signal came before the first frame: nothing is left of the run
        assert list(folder.iterdir()) == []
        return
    count = len(times_s(film))
    assert count == len(json_lines(folder / "out.jsonl")) > 0
    assert json.loads((folder / "r.json").read_text())["frames"]["out"] == count
    assert f"{count} frames" in out


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, "the run did not start"
        time.sleep(0.02)


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    # The sink's reader has gone to sleep: the frame under way cannot be finished.
    command = [sys.executable, "-m", "keywarp", "run", "street:length=5000,size=160x96", "--sink", "jsonl:-"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode in (143, -signal.SIGTERM)
