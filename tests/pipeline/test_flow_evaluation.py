"""Flows scored on pictures with true flow: against figures by hand, on the street, and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.engines.fake import FakeEngine
from keywarp.flow.build import make_step_estimator
from keywarp.flow.dis import DisFlow
from keywarp.flow.fake import FakeFlow, FakePairFlow
from keywarp.flow.flo import write_flo
from keywarp.pipeline.cli.flows import is_about_flows
from keywarp.pipeline.evaluation.flow_data import flow_data
from keywarp.pipeline.evaluation.flows import Estimator, FlowScore, evaluate_flows, flows_report

from .commands import Call, caller
from .labelled import FLOW_SIZE, moved, write_chairs
from .sources.films import real


def scores_of(estimators: list[Estimator], spec: str) -> list[dict[str, FlowScore]]:
    found = []
    for data in flow_data(spec):
        table = evaluate_flows(estimators, data, engine=FakeEngine({}))
        found.append({f"{score.flow} {score.way}": score for score in table.scores})
    return found


# --- Scores -----------------------------------------------------------------------------------------------


def test_errors_are_in_pixels_of_the_picture_and_by_example(tmp_path: Path) -> None:
    folder = write_chairs(tmp_path / "chairs", [(3, 4), (0, 0)])
    (found,) = scores_of([FakeFlow(3, 4)], f"chairs:{folder}")
    zero, fake = found["zero none"], found["fake direct"]
    assert {name: error.epe_px for name, error in zero.by_example.items()} == {"pair_1": 5, "pair_2": 0}
    assert {name: error.epe_px for name, error in fake.by_example.items()} == {"pair_1": 0, "pair_2": 5}
    assert (zero.error.epe_px, zero.error.fl_all) == (2.5, 0.5)
    assert (zero.time_ms, zero.timed, zero.size) == (None, 0, None)
    assert fake.timed == 10  # two pairs, five times
    assert fake.time_ms is not None
    assert fake.time_ms > 0
    assert (fake.size, fake.gflops) == (FLOW_SIZE, None)


def test_dis_finds_the_motion_of_pairs(tmp_path: Path) -> None:
    folder = write_chairs(tmp_path / "chairs", [(4, -2)], (160, 120))
    (found,) = scores_of([DisFlow(preset="medium")], f"chairs:{folder}")
    assert found["zero none"].error.epe_px == pytest.approx(np.hypot(4, 2))
    assert found["dis:medium direct"].error.epe_px < 1


def test_a_pair_estimator_is_given_key_and_current(tmp_path: Path) -> None:
    folder = write_chairs(tmp_path / "chairs", [(5, 0)])

    def look(key: object, current: object) -> tuple[float, float]:
        same = np.array_equal(np.roll(key.bgr, 5, 1), current.bgr)  # type: ignore[attr-defined]
        return (5, 0) if same else (0, 0)

    estimator = FakePairFlow(look)
    (found,) = scores_of([estimator], f"chairs:{folder}")
    assert found["fake-pairs direct"].error.epe_px == 0
    assert (estimator.calls[0], estimator.calls[-1]) == ("open", "close")


def test_the_streets_own_flow_is_exact_and_chains() -> None:
    near, far = scores_of(
        [make_step_estimator("source", FLOW_SIZE), DisFlow()], "street:size=64x48,length=12"
    )
    assert near["source direct"].error.epe_px < 1e-4
    assert near["source direct"].time_ms is None
    assert list(far) == ["zero none", "source chained", "dis:sparse chained", "dis:sparse direct"]
    assert far["source chained"].error.epe_px < far["zero none"].error.epe_px / 5
    assert far["dis:sparse chained"].timed == 5 * far["dis:sparse direct"].timed


def test_places_in_the_street_are_spread_over_its_length() -> None:
    data = flow_data("street:size=64x48,length=200,distance=7")
    assert [(d.distance, len(d)) for d in data] == [(7, 24)]
    assert len(flow_data("street:length=6,distance=5")[0]) == 1
    assert [d.distance for d in flow_data("street:")] == [1, 5]


def test_the_report_has_every_figure(tmp_path: Path) -> None:
    folder = write_chairs(tmp_path / "chairs", [(3, 4)])
    spec = f"chairs:{folder}"
    tables = [evaluate_flows([FakeFlow()], data, engine=FakeEngine({})) for data in flow_data(spec)]
    found = json.loads(json.dumps(flows_report(spec, tables, {"codec": "no vectors"})))
    assert (found["schema"], found["data"]) == ("keywarp.flows/1", spec)
    assert found["skipped"] == [{"flow": "codec", "reason": "no vectors"}]
    (table,) = found["sets"]
    assert (table["distance"], table["examples"], table["size"]) == (1, 1, "64x48")
    zero, fake = table["flows"]
    assert (zero["flow"], zero["way"], zero["epe_px"], zero["fl_all"]) == ("zero", "none", 5, 1)
    assert (zero["examples"], zero["grid"], zero["time_ms"]) == ({"pair_1": 5}, None, None)
    assert (fake["grid"], fake["timed"], fake["gflops"], fake["pixels"]) == ("64x48", 10, None, 64 * 48)


# --- Data that is not as it should be ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cars:x", "unknown flow data 'cars'"),
        ("chairs:", "names no folder; write chairs:DIR"),
        ("chairs:nowhere", "folder of flow data 'nowhere' does not exist"),
        ("street:length=endless", "cannot be run again and again; give it a length"),
        ("street:distance=0", "'distance' is a number of frames, such as 5; given: '0'"),
        (
            "street:length=5,distance=5",
            "a distance of 5 frames is not possible in a street of 5; it is 1 to 4",
        ),
        ("street:sed=1", "did you mean 'seed'"),
    ],
)
def test_data_that_there_is_not_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flow_data(spec)


def test_pairs_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no flow data; each pair has"):
        flow_data(f"chairs:{tmp_path}")
    folder = write_chairs(tmp_path / "chairs", [(1, 1)])
    (folder / "pair_1_img2.ppm").rename(folder / "away")
    with pytest.raises(UsageError, match=r"pair_1_flow\.flo' has no picture 'pair_1_img2\.ppm' beside it"):
        flow_data(f"chairs:{folder}")
    (folder / "pair_1_img2.ppm").write_bytes(b"P6")
    with pytest.raises(UsageError, match=r"pair_1_img2\.ppm' cannot be read"):
        scores_of([], f"chairs:{folder}")
    (folder / "away").replace(folder / "pair_1_img2.ppm")
    write_flo(folder / "pair_1_flow.flo", moved((0, 0), (32, 48)))
    with pytest.raises(UsageError, match=r"is 64x48, its flow 'pair_1_flow\.flo' 32x48; they have one size"):
        scores_of([], f"chairs:{folder}")


def test_a_flow_that_only_sources_know_needs_one_that_knows_it(tmp_path: Path) -> None:
    folder = write_chairs(tmp_path / "chairs", [(1, 1)])
    with pytest.raises(UsageError, match=r"is what a source itself knows, and 'chairs:.*' knows none"):
        scores_of([make_step_estimator("source")], f"chairs:{folder}")
    with pytest.raises(
        UsageError, match=r"is made of a video's motion vectors, and 'chairs:.*' is no video with"
    ):
        scores_of([make_step_estimator("codec")], f"chairs:{folder}")


# --- The command ------------------------------------------------------------------------------------------


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs ``keywarp eval`` in this process, in a folder with ``chairs``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_chairs(tmp_path / "chairs", [(3, 4), (0, 0)], (160, 120))
    return caller(monkeypatch, capfd, "eval")


@pytest.mark.parametrize(
    ("data", "flow", "sequence", "about"),
    [
        (None, "dis", None, True),
        ("street:", None, None, True),
        ("chairs:x", "dis", "clip", True),
        (None, "dis", "clip", False),
        ("camvid:x", "dis", None, False),
        (None, None, None, False),
    ],
)
def test_what_is_about_flows(data: str | None, flow: str | None, sequence: str | None, about: bool) -> None:
    assert is_about_flows(data, flow, sequence) is about


def test_several_flows_are_in_one_table(call: Call) -> None:
    ended = call(
        "--flow", "dis,dis:fast,source,dis:medium", "--data", "chairs:chairs", "--json", "out/flows.json"
    )
    assert ended.code == 0, ended.err
    assert all(name in ended.out for name in ("zero", "dis ", "dis:fast", "dis:medium", "GFLOPs", "Fl-all"))
    assert "note: source was left out" in ended.out
    found = json.loads(Path("out/flows.json").read_text())
    (table,) = found["sets"]
    assert [row["flow"] for row in table["flows"]] == ["zero", "dis", "dis:fast", "dis:medium"]
    assert [entry["flow"] for entry in found["skipped"]] == ["source"]


def test_flows_are_called_what_they_were_given_as(call: Call) -> None:
    data = ("--data", "street:size=96x64,length=4,distance=1", "--json", "lk.json", "--quiet")
    assert call("--flow", "lk,lk:medium", *data).code == 0
    (table,) = json.loads(Path("lk.json").read_text())["sets"]
    assert [row["flow"] for row in table["flows"]] == ["zero", "lk", "lk:medium"]
    assert call("--set", "flow.method=lk", *data).code == 0
    (table,) = json.loads(Path("lk.json").read_text())["sets"]
    assert [row["flow"] for row in table["flows"]] == ["zero", "lk"]


def test_a_flow_alone_is_scored_on_the_street(call: Call) -> None:
    ended = call(
        "--flow", "dis:ultrafast", "--data", "street:size=96x64,length=8", "--json", "street.json", "--quiet"
    )
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    found = json.loads(Path("street.json").read_text())
    assert [table["distance"] for table in found["sets"]] == [1, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--flow dsi", "unknown flow 'dsi'; did you mean 'dis'?"),
        ("--flow dis,,dis:fast", "--flow 'dis,,dis:fast' has an empty name"),
        ("--flow source --data chairs:chairs", "knows none; use --flow lk"),
        ("--data chairs:none", "'none' does not exist"),
        ("--data street: --sheet x.png", "--sheet belongs to a model's evaluation"),
        ("--flow dis --labels x", "--labels belongs to a model's evaluation"),
        ("--flow lk --model bogus", "--model belongs to a model's evaluation"),
        ("--data street: --model enet", "--model belongs to a model's evaluation"),
        (
            "--flow dis --set level=result",
            "'level' belongs to a model's evaluation; flows have no use for it",
        ),
        ("--flow dis --set flw.size=64x48", "did you mean 'flow'?"),
        ("--flow dis --intervals 2", "--intervals belongs to a model's evaluation"),
        ("--data chairs:chairs --sequence clip", "--sequence belongs to a model's evaluation"),
        (
            "--flow dis --json chairs/pair_1_flow.flo --data chairs:chairs",
            "has the name of a picture or a flow",
        ),
        ("--flow dis --json link.json --data chairs:chairs", "has the name of a picture or a flow"),
        ("--flow dis,card.json --json card.json", "output 'card.json' would overwrite what is read"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    call: Call, tmp_path: Path, arguments: str, message: str
) -> None:
    Path("link.json").symlink_to("chairs/pair_1_flow.flo")
    Path("card.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    ended = call(*arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("card.json").read_text() == "{}"


def test_the_published_pairs_have_the_published_zero_flow_errors() -> None:
    folder = real("flow/chairs_00001_flow.flo").parent
    zero, dis = scores_of([DisFlow(preset="medium")], f"chairs:{folder}")[0].values()
    figures = {name: error.epe_px for name, error in zero.by_example.items()}
    assert figures == pytest.approx({"chairs_00001": 4.306, "chairs_00002": 2.113}, abs=5e-4)
    # The other way round it would be worse than no flow at all.
    assert all(dis.by_example[name].epe_px < 0.8 * epe_px for name, epe_px in figures.items())
