"""Key-frame policies of whole runs: as configured, for several models, reported; and fixed ones beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keywarp
from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import AdaptiveShare, FixedInterval, Signals
from keywarp.models.fake import FakeModel
from keywarp.models.metrics import Scores
from keywarp.pipeline.evaluation.policy import PolicyRun, PolicyScores, fixed_share
from keywarp.pipeline.evaluation.sequence import phases_of
from keywarp.pipeline.keys import PROPAGATION
from keywarp.pipeline.run import Parts
from keywarp.pipeline.sources.video import VideoSource

from .sources.films import pictures, read_all, write_film

STREET = "street:length=24,size=160x96"


def ran(**settings: Any) -> keywarp.Run:
    run = keywarp.Run(STREET, level="result", sinks=["null"], **settings)
    for _ in run:
        pass
    return run


@pytest.mark.parametrize(
    "policy", ["fixed", "codec", "adaptive", "adaptive:share=0.25", "adaptive:quality=70"]
)
def test_every_policy_runs_and_is_reported(policy: str) -> None:
    report = ran(policy=policy, interval=4).report()
    frames = report["frames"]
    assert report["policy"] == policy
    assert sum(frames["key_by_cause"].values()) == frames["key"]
    assert frames["key_share"] == round(frames["key"] / 24, 4)
    assert frames["key_by_cause"]["first"] == 1
    if "quality" not in policy:
        assert frames["key"] == pytest.approx(6, abs=1)


@pytest.mark.parametrize("model", ["enet", "enet-street"])
def test_the_wanted_quality_is_met_at_the_key_frames(model: str) -> None:
    run = keywarp.Run(
        "street:length=200,size=320x192,rate=15", models=[model], policy="adaptive:quality=92", sinks=["null"]
    )
    agreements = [each[PROPAGATION].agreement for each in run if each[PROPAGATION].is_key]
    found = [agreement for agreement in agreements if agreement is not None]
    frames = run.report()["frames"]
    assert agreements[0] is None  # nothing had been carried to the first
    assert len(found) == frames["key_agreement"]["count"] == frames["key"] - 1 > 15
    assert frames["key_agreement"]["mean"] == pytest.approx(0.92, abs=0.012)
    assert frames["key_agreement"]["least"] == pytest.approx(min(found), abs=1e-4)


@pytest.mark.parametrize(
    ("group", "causes"), [(1, {"first": 1, "interval": 2}), (2, {"first": 1, "intra": 5})]
)
def test_intra_frames_of_a_film_count_unless_it_has_no_others(
    tmp_path: Path, group: int, causes: dict[str, int]
) -> None:
    film = write_film(tmp_path / "film.mp4", pictures(12), options={"g": str(group), "bf": "0"})
    types = [frame.picture_type for frame in read_all(VideoSource(film))[1]]
    assert types == ["I", "I" if group == 1 else "P"] * 6
    run = keywarp.Run(str(film), policy="codec", interval=5, level="result", sinks=["null"])
    keys = [packet.frame.index for packet in run if packet[PROPAGATION].is_key]
    assert keys == ([0, 5, 10] if group == 1 else [0, 2, 4, 6, 8, 10])
    assert run.report()["frames"]["key_by_cause"] == causes


class Able(FakeModel):
    can_aggregate = True


@pytest.mark.parametrize(
    ("settings", "model", "said"),
    [
        ({}, Able(), None),
        ({"policy": "fixed", "level": "result"}, FakeModel(), None),
        ({"policy": "adaptive:quality=90", "level": "result"}, FakeModel(), None),
        ({"aggregate": False}, FakeModel(), None),
        ({"level": "result"}, Able(), "level 'result' carries no features; use level 'features'"),
        ({"models": [{"name": "enet", "level": "result"}]}, Able(), "level 'result' carries no features"),
        ({}, FakeModel(), "model 'fake' lacks the part 'aggregate'; export it again with keywarp export"),
        ({"flow": {"method": "flownet-inception"}}, Able(), "flow 'flownet-inception' .* use --aggregate"),
    ],
)
def test_what_keeps_adaptive_from_aggregating_is_logged(
    settings: dict[str, Any], model: FakeModel, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        keywarp.Run(STREET, parts=Parts(models=[model]), sinks=["null"], **{"policy": "adaptive", **settings})
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    if said is None:
        assert lines == []
    else:
        ((level, line),) = lines
        assert level == "INFO"
        assert re.match(rf"policy 'adaptive:share=0.1' runs without aggregated key frames: .*{said}", line)


def test_an_interval_beyond_the_clip_has_one_key_frame() -> None:
    frames = ran(interval=500).report()["frames"]
    assert frames["key_by_cause"] == {"first": 1}


def test_a_policy_is_checked_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="unknown policy 'adaptiv'; did you mean 'adaptive'"):
        keywarp.Run(STREET, policy="adaptiv")


def test_every_model_has_a_policy_of_its_own() -> None:
    policy = AdaptiveShare(0.25)
    models = [{"name": "enet"}, {"name": "enet"}]
    run = keywarp.Run(STREET, models=models, level="result", parts=Parts(policy=policy), sinks=["null"])
    second = PROPAGATION.of("2-enet-camvid")
    packets = list(run)
    keys = [[p.frame.index for p in packets if p[key].is_key] for key in (PROPAGATION, second)]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 6
    assert run.report()["policy"] == policy.name


# --- Beside fixed intervals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [1, 2, 7, 10, 51])
def test_the_share_of_fixed_intervals_is_counted_right(interval: int) -> None:
    counts = []
    for phase in range(interval):
        policy, age, count = FixedInterval(interval, phase), None, 0
        for number in range(51):
            age = None if age is None else age + 1
            if policy.is_key(Signals(age, number=number)):
                age, count = 0, count + 1
        counts.append(count)
    assert fixed_share(interval, 51) == pytest.approx(sum(counts) / len(counts) / 51)


@pytest.mark.parametrize(
    ("keys", "intervals"),
    [(51, (1,)), (50, (1, 2)), (6, (10,)), (5, (12, 13)), (3, (25,)), (2, (50,)), (1, ())],
)
def test_the_nearest_fixed_intervals(keys: int, intervals: tuple[int, ...]) -> None:
    run = PolicyRun({"first": 1, "adaptive": keys - 1}, Scores(np.eye(2, dtype=np.int64)))
    scores = PolicyScores("made up", 51, (run,))
    assert scores.intervals == intervals
    shares = [fixed_share(interval, 51, phases_of(interval)) for interval in intervals]
    assert not shares or max(shares) >= scores.share >= min(shares)
    assert len(set(shares)) == len(shares)
