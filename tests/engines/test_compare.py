from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.base import Array, NetworkSource, Plan
from keywarp.engines.build import engine_names, get_engine
from keywarp.engines.compare import compare
from keywarp.engines.errors import UsageError
from keywarp.engines.fake import Compute, FakeEngine, FakeNetwork

from .catalogue import CATALOGUE

NAN, INF = np.nan, np.inf


def _plan(compute: Compute) -> Plan:
    engine = FakeEngine({"n": FakeNetwork(compute, {"x": np.float32})})
    return engine.compile(NetworkSource("n", Path("unused.onnx")), {"x": (4,)})


def _real(inputs: Mapping[str, Array]) -> dict[str, Array]:
    x = inputs["x"]
    return {"real": x, "label": (x > 0).astype(np.int64)}


def _shifted(inputs: Mapping[str, Array]) -> dict[str, Array]:
    x = inputs["x"]
    return {"real": x + np.float32(0.5), "label": (x > 1).astype(np.int64)}


def _constant(values: list[float], _: Mapping[str, Array]) -> dict[str, Array]:
    return {"y": np.array(values, np.float32)}


def test_shares_and_differences_over_all_samples() -> None:
    samples = [{"x": np.array(x, np.float32)} for x in ([-1, 0, 1, 2], [-1, -1, -1, -1])]
    result = compare(_plan(_real), _plan(_shifted), samples)
    assert (result.reference, result.other, result.samples) == ("fake f32", "fake f32", 2)
    assert result["label"].equal_share == 7 / 8
    assert result["label"].max_abs_diff is None
    assert (result["real"].equal_share, result["real"].max_abs_diff) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [([NAN, INF], [NAN, INF], 0.0), ([1, INF], [1, -INF], INF), ([1, 2], [1, NAN], NAN)],
)
def test_numbers_that_are_not_finite(one: list[float], two: list[float], difference: float) -> None:
    plans = [_plan(partial(_constant, values)) for values in (one, two)]
    result = compare(plans[0], plans[1], [{"x": np.zeros(4, np.float32)}])
    np.testing.assert_equal(result["y"].max_abs_diff, difference)


def test_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="no samples"):
        compare(_plan(_real), _plan(_real), [])
    with pytest.raises(UsageError, match="same outputs"):
        compare(_plan(_real), _plan(lambda inputs: {"real": inputs["x"]}), [])


@pytest.mark.parametrize("name", CATALOGUE)
def test_all_engines_agree_in_f32(name: str, tmp_path: Path) -> None:
    entry = CATALOGUE[name]
    engines = [engine for engine in map(get_engine, engine_names()) if engine.missing() is None]
    reference, *others = (e.compile(entry.source(tmp_path), entry.shapes) for e in engines)
    for other in others:
        result = compare(reference, other, [entry.sample(seed) for seed in range(2)])
        for output in result.outputs:
            if output.max_abs_diff is None:
                assert output.equal_share == 1.0
            else:
                assert output.max_abs_diff < 1e-5
