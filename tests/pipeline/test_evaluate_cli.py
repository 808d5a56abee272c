"""``keywarp eval`` as a user meets it: real frames, what it prints and writes, and every wrong input."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from keywarp.flow.gradients import best_kernel
from keywarp.models.fused import kernels
from keywarp.models.labels import CAMVID, CLASS_SETS, ClassSet
from keywarp.pipeline import run as run_module
from keywarp.pipeline.config import RunConfig

from .commands import Call, caller
from .labelled import flat, mixed, picture_of, write_labels, write_pairs
from .sources.films import real, write_film
from .stages.scenes import BrokenFlow

FRAMES = 12


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs ``keywarp eval`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return caller(monkeypatch, capfd, "eval")


# --- Real frames ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of a labelled drive: ``part`` and ``part_labels``, and ``part.mp4``."""
    folder = tmp_path_factory.mktemp("street")
    for name in ("part", "part_labels"):
        (folder / name).mkdir()
        found = sorted(real(f"camvid/{name.replace('part', 'clip_a')}").glob("*.png"))
        for path in found[:FRAMES]:
            shutil.copy(path, folder / name)
    _cut(real("camvid/clip_a_15fps_h264_P.mp4"), folder / "part.mp4")
    return folder


def _cut(source: Path, target: Path) -> None:
    """The first frames of a film without B-frames, as they are."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        old = given.streams.video[0]
        new: Any = output.add_stream_from_template(old)
        for number, packet in enumerate(given.demux(old)):
            if number == FRAMES:
                break
            packet.stream = new
            output.mux(packet)


def test_a_split_and_its_frames_as_a_sequence_agree(call: Call, street: Path) -> None:
    ended = call(
        "--data", f"camvid:{street}", "--split", "part", "--sequence", street / "part", "--intervals", "5",
        "--json", "out/eval.json", "--sheet", "out/sheet.jpg",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "wrote out/eval.json, out/sheet.jpg" in ended.out
    assert "12 pictures of camvid:" in ended.out
    assert all(name in ended.out for name in CAMVID.names)
    found = json.loads(Path("out/eval.json").read_text())
    _check_keys(found)
    assert found["settings"] == {
        "engine": "openvino",
        "precision": "f32",
        "level": "features",
        "fused": next(iter(kernels()), None),
        "flow_kernel": best_kernel(),
        "aggregate": None,
        "flow": {"method": RunConfig().flow.method, "size": None},
        "size": None,
        "input_size": None,
        "threads": None,
    }
    assert found["frames"] == found["sequence_frames"] == FRAMES
    first, fifth = found["intervals"]["1"], found["intervals"]["5"]
    assert found["miou"] == first["miou"] == first["repeat_miou"] == first["min_miou"]
    assert 0.4 < fifth["miou"] <= first["miou"] + 0.01
    assert fifth["repeat_miou"] < fifth["miou"]
    assert fifth["cost"] == pytest.approx(first["miou"] - fifth["miou"])
    assert (len(fifth["ages"]), len(fifth["phases"])) == (5, 5)
    assert fifth["spread"] == pytest.approx(max(fifth["phases"]) - min(fifth["phases"]))
    sheet = cv2.imread("out/sheet.jpg")
    assert sheet is not None
    assert sheet.shape[1] == 96 + 4 * 326 - 6 + 24  # key ages 0, 1, 2, 4


def _check_keys(found: dict[str, Any]) -> None:
    """The keys that docs/evaluation.md names, and fractions of 1."""
    means = {"miou", "pixel_accuracy", "mean_accuracy", "fw_iou", "dice"}
    assert means | {"model", "data", "settings", "frames", "classes", "intervals"} <= set(found)
    assert list(found["classes"]) == list(CAMVID.names)
    for figures in (found, *found["classes"].values(), *found["intervals"].values()):
        for name, value in figures.items():
            if isinstance(value, float) and not name.endswith("cost"):
                assert 0 <= value <= 1, name
    assert sum(figures["share"] for figures in found["classes"].values()) == pytest.approx(1)


def test_a_policy_is_shown_beside_fixed_intervals(call: Call, street: Path) -> None:
    ended = call(
        "--sequence", street / "part", "--intervals", "1", "--policy", "adaptive:share=0.3", "--level", "result",
        "--json", "eval.json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "adaptive:share=0.3" in ended.out
    assert "mean of 3 phases" in ended.out
    assert "where a phase begins): 5 first, " in " ".join(ended.out.split())
    found = json.loads(Path("eval.json").read_text())
    policy, intervals = found["policy"], found["intervals"]
    assert policy["key_share"] == pytest.approx(
        sum(policy["key_by_cause"].values()) / len(policy["phases"]) / FRAMES
    )
    assert {"3", "4"} & set(intervals)
    nearest = [intervals[name]["miou"] for name in intervals if name != "1"]
    assert min(nearest) <= policy["fixed_miou"] <= max(nearest)
    assert policy["gain"] == pytest.approx(policy["miou"] - policy["fixed_miou"])
    assert policy["cost"] == pytest.approx(intervals["1"]["miou"] - policy["miou"])


def test_a_film_of_the_frames_scores_about_the_same(call: Call, street: Path) -> None:
    sequence = ("--sequence", street / "part.mp4", "--intervals", "3", "--level", "result", "--quiet")
    ended = call(*sequence, "--json", "eval.json", "--set", "flow.size=480x270")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    found = json.loads(Path("eval.json").read_text())
    assert found["settings"]["flow"]["size"] == "480x270"
    assert found["settings"]["level"] == "result"
    assert found["frames"] == FRAMES
    assert found["miou"] == found["intervals"]["1"]["miou"] > 0.4
    third = found["intervals"]["3"]
    assert third["repeat_miou"] < third["miou"] < found["miou"] + 0.01


# --- Input that is not as it should be --------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with the splits ``a`` and ``b``, a labelled film, and one without labels."""
    for split in ("a", "b"):
        write_pairs(tmp_path / "set" / split, [mixed(seed) for seed in range(3)])
    for name in ("clip", "bare"):
        write_film(tmp_path / f"{name}.mp4", [picture_of(flat(0))] * 4)
    write_labels(tmp_path / "clip_labels", [flat(0)] * 4)
    (tmp_path / "link.json").symlink_to("set/a/0.png")
    (tmp_path / "film.json").symlink_to("clip.mp4")
    (tmp_path / "card.json").write_text("{}")
    monkeypatch.setitem(CLASS_SETS, "pets", ClassSet("pets", ("cat", "dog"), ((0, 0, 0), (9, 9, 9))))
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "there is nothing to evaluate; give a data set (--data camvid:DIR), a labelled sequence"),
        ("--data camvid:set", "'set_labels' does not exist; give one of the splits in 'set': a, b"),
        ("--data camvid:set --split c", "'set/c' does not exist; give one of the splits in 'set': a, b"),
        ("--data camvid:nowhere", "'nowhere' does not exist; a data set is pictures in DIR and labels"),
        ("--data bogus:set", "unknown data set 'bogus' (accepted: camvid, chairs, pets, street)"),
        ("--data pets:set --split a", "has the classes of 'camvid', the data those of 'pets'"),
        ("--split a --sequence clip.mp4", "--split belongs to --data, which is not given"),
        ("--data camvid:set/a --labels x", "--labels belongs to --sequence, which is not given"),
        ("--data camvid:set/a --intervals 5", "--intervals belongs to --sequence, which is not given"),
        ("--data camvid:set/a --policy codec", "--policy belongs to --sequence, which is not given"),
        ("--sequence clip.mp4 --policy codecs", "unknown policy 'codecs'; did you mean 'codec'?"),
        ("--sequence clip.mp4 --set policy=codec", "'policy' cannot be set for an evaluation; name one with"),
        ("--data camvid:set/a --sheet x.jpg", "--sheet belongs to --sequence, which is not given"),
        ("--sequence nowhere", "sequence 'nowhere' does not exist"),
        ("--sequence bare.mp4", "labels 'bare_labels' does not exist; name the one of 'bare.mp4' with --labels"),
        ("--sequence bare.mp4 --labels set/a_labels", "'bare.mp4' has 4 frames, and there are 3 label maps"),
        ("--sequence clip.mp4 --intervals 1,x", "'x' in --intervals is no whole number of at least 1"),
        ("--sequence clip.mp4 --intervals 2.5", "'2.5' in --intervals is no whole number"),
        ("--sequence clip.mp4 --intervals 0", "'0' in --intervals is no whole number"),
        ("--sequence clip.mp4 --intervals ,", "'' in --intervals is no whole number"),
        ("--sequence clip.mp4 --intervals 2,5", "interval 5 cannot be evaluated on a sequence of 4 frames"),
        ("--sequence clip.mp4 --sheet sheet.mp4", "the sheet 'sheet.mp4' is no picture's name"),
        ("--sequence clip.mp4 --json x.jpg --sheet x.jpg", "output 'x.jpg' would overwrite output 'x.jpg'"),
        ("--sequence clip.mp4 --json clip.mp4", "would overwrite the source 'clip.mp4'"),
        ("--sequence clip.mp4 --json clip.mp4/x", "cannot be written"),
        ("--sequence set/a --sheet set/a/0.png", "would overwrite the source 'set/a', or lie among it"),
        ("--sequence clip.mp4 --sheet clip_labels/0.png", "would overwrite what is evaluated"),
        ("--data camvid:set/a --json set/a_labels/1.png", "would overwrite what is evaluated"),
        ("--data camvid:set/a --json link.json", "'link.json' would overwrite what is evaluated"),
        ("--sequence clip.mp4 --json film.json", "'film.json' would overwrite the source 'clip.mp4'"),
        ("--sequence clip.mp4 --model card.json --json card.json", "'card.json' would overwrite what is read"),
        ("--sequence clip.mp4 --flow card.json --json card.json", "'card.json' would overwrite what is read"),
        ("--sequence clip.mp4 --level result --aggregate", "at level 'result' none are carried"),
        ("--sequence clip.mp4 --level result --set aggregate=true", "at level 'result' none are carried"),
        ("--sequence clip.mp4 --set rate=5", "rate 5.0 cannot be had from 'clip.mp4': a video has its own times"),
        ("--data camvid:set/a --set rate=5", "'rate' belongs to --sequence, which is not given"),
        ("--sequence set/a/*.png --sheet set/a/7.png", "would overwrite the source 'set/a/*.png', or lie among it"),
        ("--sequence clip.mp4 --labels clip_labels --json clip_labels/0.png", "would overwrite what is evaluated"),
        ("--sequence clip.mp4 --set interval=3", "'interval' cannot be set for an evaluation; name intervals with"),
        ("--sequence clip.mp4 --set sinks=[x.mp4]", "'sinks' cannot be set for an evaluation"),
        ("--sequence clip.mp4 --set delivery.mode=newest", "'delivery' cannot be set where results are scored"),
        ("--data camvid:set --split a --set delivery.max_age_ms=1", "every frame is run, however long it takes"),
        ("--sequence clip.mp4 --set serve.port=0", "'serve' cannot be set where results are scored"),
        ("--sequence clip.mp4 --set flow.sise=1x1", "did you mean 'flow.size'"),
        ("--sequence clip.mp4 --model enett", "did you mean 'enet'"),
        ("--sequence clip.mp4 --size 10", "a size is WIDTHxHEIGHT in pixels"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_leaves_nothing(
    call: Call, here: Path, arguments: str, message: str
) -> None:
    before = contents(here)
    ended = call(*arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert contents(here) == before


@pytest.mark.parametrize(
    ("sequence", "place", "frames"),
    [("clip.mp4", "clip_labels", 4), ("set/a", "set/a", 3), ("set/a", "set/a_labels", 3)],
)
def test_figures_may_lie_among_what_is_read(
    call: Call, here: Path, sequence: str, place: str, frames: int
) -> None:
    for _ in range(2):  # and are not read the next time
        ended = call("--sequence", sequence, "--intervals", "1", "--json", f"{place}/x.json", "--quiet")
        assert (ended.code, ended.err) == (0, "")
    assert json.loads((here / place / "x.json").read_text())["frames"] == frames


def test_key_frames_of_a_broken_flow_are_told_of(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--sequence", "clip.mp4", "--intervals", "2", "--policy", "adaptive", "--json", "x.json"]
    sound = call(*arguments)
    assert (sound.code, "broken" in sound.out) == (0, False)
    monkeypatch.setattr(run_module, "make_estimator", lambda *_, **__: BrokenFlow((1, 2, 3)))
    ended = call(*arguments)
    said, found = " ".join(ended.out.split()), json.loads(Path("x.json").read_text())
    assert ended.code == 0, ended.err
    assert (
        "note: interval 2: 5 of 8 frames (all phases) became key frames because the flow to them was" in said
    )
    assert "note: adaptive: 9 of 16 frames (all phases) became key frames" in said
    assert said.count("note:") == 2
    assert found["intervals"]["2"]["key_by_cause"] == {"first": 2, "interval": 1, "nan": 5}
    assert found["policy"]["key_by_cause"]["nan"] == 3 + 3 * 2  # phases begin with one of them


def test_an_evaluation_that_fails_leaves_no_outputs(call: Call, here: Path) -> None:
    cv2.imwrite("set/b_labels/2.png", flat(99))
    ended = call("--data", "camvid:set", "--split", "b", "--json", "new/eval.json")
    assert (ended.code, ended.out) == (2, "")
    assert re.search(r"2\.png' hold the value 99; .* 0 to 10, and 11 or 255 for void", ended.err)
    assert not Path("new").exists()


def test_the_usual_intervals_are_those_that_the_clip_can_have(call: Call, here: Path) -> None:
    ended = call("--sequence", "clip.mp4", "--json", "eval.json", "--level", "result")
    assert ended.code == 0, ended.err
    assert list(json.loads(Path("eval.json").read_text())["intervals"]) == ["1", "2", "3"]
    assert np.isfinite(json.loads(Path("eval.json").read_text())["pixel_accuracy"])
