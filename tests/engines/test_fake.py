from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.base import NetworkSource
from keywarp.engines.errors import EngineError, UsageError
from keywarp.engines.fake import FakeEngine, FakeNetwork

DOUBLE = FakeNetwork(lambda inputs: {"y": inputs["x"] * 2}, {"x": np.float32})
SOURCE = NetworkSource("double", Path("unused.onnx"))
ONE = np.ones((2,), np.float32)


def test_records_copies_of_all_calls() -> None:
    engine = FakeEngine({"double": DOUBLE})
    x = ONE.copy()
    with engine.compile(SOURCE, {"x": (2,)}).session() as session:
        session.infer({"x": x})
        x[:] = 7
        session.infer({"x": x})
    assert [call.network for call in engine.calls] == ["double", "double"]
    assert [call.inputs["x"].tolist() for call in engine.calls] == [[1, 1], [7, 7]]


def test_overwrites_outputs_exactly_when_a_session_may() -> None:
    plan = FakeEngine({"double": DOUBLE}).compile(SOURCE, {"x": (2,)})
    for buffers in (1, 2):
        with plan.session(buffers=buffers) as session:
            first = session.infer({"x": ONE})["y"]
            for turn in range(2, buffers + 1):
                session.infer({"x": ONE * turn})
            assert first.tolist() == [2, 2]
            session.infer({"x": ONE * 9})
            assert first.tolist() == [18, 18]


def test_fails_on_the_calls_it_is_told_to() -> None:
    engine = FakeEngine({"double": DOUBLE}, fail_on=(2,))
    with engine.compile(SOURCE, {"x": (2,)}).session() as session:
        session.infer({"x": ONE})
        with pytest.raises(EngineError, match="call 2"):
            session.infer({"x": ONE})
        assert session.infer({"x": ONE})["y"].tolist() == [2, 2]


def test_takes_time_by_the_given_sleep() -> None:
    slept: list[float] = []
    engine = FakeEngine({"double": DOUBLE}, seconds_per_call=0.5, sleep=slept.append)
    with engine.compile(SOURCE, {"x": (2,)}).session() as session:
        session.infer({"x": ONE})
        session.infer({"x": ONE})
    assert slept == [0.5, 0.5]


def test_unknown_network_and_shapes() -> None:
    engine = FakeEngine({"double": DOUBLE})
    with pytest.raises(UsageError, match="unknown fake network 'doble'; did you mean 'double'"):
        engine.compile(NetworkSource("doble", Path("unused.onnx")), {"x": (2,)})
    with pytest.raises(EngineError, match=r"shapes of \['z'\] given"):
        engine.compile(SOURCE, {"z": (2,)})
