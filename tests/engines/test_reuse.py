"""An engine that compiles each network once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.base import Array, NetworkSource, Plan
from keywarp.engines.errors import UsageError
from keywarp.engines.fake import FakeEngine, FakeNetwork
from keywarp.engines.openvino_ import OpenVinoEngine
from keywarp.engines.reuse import ReusingEngine


def double(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"y": inputs["x"] * 2}


@pytest.fixture
def engine() -> ReusingEngine:
    return ReusingEngine(FakeEngine({"double": FakeNetwork(double, {"x": np.float32})}))


def compiled(engine: ReusingEngine, width: int = 4, file: str = "a", precision: str | None = None) -> Plan:
    return engine.compile(NetworkSource("double", Path(file)), {"x": (1, width)}, precision=precision)


def test_the_same_request_gets_the_same_plan(engine: ReusingEngine) -> None:
    first = compiled(engine)
    assert compiled(engine) is first
    for other in (compiled(engine, 5), compiled(engine, file="b"), compiled(engine, precision="f16")):
        assert other is not first
    with first.session() as session:
        assert session.infer({"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[2, 2, 2, 2]]


def test_only_the_latest_plans_are_kept(engine: ReusingEngine) -> None:
    first, second = compiled(engine, 1), compiled(engine, 2)
    for width in range(3, 9):
        compiled(engine, width)
    assert compiled(engine, 1) is first
    compiled(engine, 9)
    assert compiled(engine, 1) is first
    assert compiled(engine, 2) is not second


def test_it_says_what_the_other_engine_says(engine: ReusingEngine) -> None:
    assert (engine.name, engine.precisions, engine.missing()) == ("fake", ("f32", "f16"), None)
    with pytest.raises(UsageError, match="no precision 'f64'"):
        compiled(engine, precision="f64")


@pytest.mark.parametrize("device", ["CPU", "GPU"])
def test_it_runs_where_the_other_engine_does(device: str) -> None:
    assert ReusingEngine(OpenVinoEngine(device)).on_cpu is (device == "CPU")
