"""Key-frame policies of whole runs: as configured, for several models, reported; and fixed ones beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import keywarp
from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import AdaptiveShare, FixedInterval, Signals
from keywarp.models.metrics import Scores
from keywarp.pipeline.evaluation.policy import PolicyScores, fixed_share
from keywarp.pipeline.keys import PROPAGATION
from keywarp.pipeline.run import Parts

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
    ("keys", "intervals"), [(51, (1,)), (50, (1, 2)), (6, (10,)), (5, (12, 13)), (1, (51,))]
)
def test_the_nearest_fixed_intervals(keys: int, intervals: tuple[int, ...]) -> None:
    scores = PolicyScores(
        "made up", 51, {"first": 1, "adaptive": keys - 1}, Scores(np.eye(2, dtype=np.int64))
    )
    assert scores.intervals == intervals
    assert fixed_share(intervals[0], 51) >= scores.share >= fixed_share(intervals[-1], 51) - 0.02
