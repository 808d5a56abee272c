"""What engines/base.py promises, asked of every engine."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.base import Array, Engine, NetworkSource, Plan
from keywarp.engines.build import engine_names, get_engine
from keywarp.engines.errors import EngineError, UsageError
from keywarp.engines.fake import FakeEngine

from .catalogue import CATALOGUE, Entry

# Sums of a few dozen float32 products, added up in another order.
ATOL = 1e-5

ENTRIES = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


def _engine(name: str) -> Engine:
    if name == "fake":
        return FakeEngine({entry.name: entry.fake() for entry in CATALOGUE.values()})
    engine = get_engine(name)
    if engine.missing() is not None:
        pytest.skip(str(engine.missing()))
    return engine


@pytest.fixture(params=[*engine_names(), "fake"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return _engine(request.param)


@pytest.fixture(params=engine_names())
def real_engine(request: pytest.FixtureRequest) -> Engine:
    return _engine(request.param)


def _plan(engine: Engine, name: str, folder: Path, **given: tuple[str, ...]) -> Plan:
    entry = CATALOGUE[name]
    return engine.compile(entry.source(folder), entry.shapes, outputs=given.get("outputs"))


def _assert_close(given: Array, expected: Array) -> None:
    assert given.dtype == expected.dtype
    np.testing.assert_allclose(given, expected, rtol=0, atol=ATOL)


class TestPlan:
    @ENTRIES
    def test_declares_what_the_session_gives(self, engine: Engine, entry: Entry, tmp_path: Path) -> None:
        plan = _plan(engine, entry.name, tmp_path)
        assert {s.name: s.shape for s in plan.inputs} == entry.shapes
        assert plan.engine == engine.name
        with plan.session() as session:
            outputs = session.infer(entry.sample())
        expected = entry.expected(entry.sample())
        assert [s.name for s in plan.outputs] == list(outputs) == list(expected)
        for spec in plan.outputs:
            array = outputs[spec.name]
            assert (array.dtype, array.shape) == (spec.dtype, spec.shape)
            assert array.flags.c_contiguous
            _assert_close(array, expected[spec.name])

    def test_one_file_at_two_sizes(self, engine: Engine, tmp_path: Path) -> None:
        source = CATALOGUE["conv"].source(tmp_path)
        shapes = [engine.compile(source, {"x": (1, 3, *size)}).outputs[0].shape for size in ((8, 8), (4, 10))]
        assert shapes == [(1, 4, 4, 4), (1, 4, 2, 5)]

    @pytest.mark.parametrize("outputs", [("difference",), ("difference", "sum")])
    def test_keeps_only_the_wanted_outputs_in_order(
        self, engine: Engine, outputs: tuple[str, ...], tmp_path: Path
    ) -> None:
        entry = CATALOGUE["two"]
        plan = _plan(engine, "two", tmp_path, outputs=outputs)
        assert tuple(s.name for s in plan.outputs) == outputs
        with plan.session() as session:
            given = session.infer(entry.sample())
        assert tuple(given) == outputs
        for name in outputs:
            _assert_close(given[name], entry.expected(entry.sample())[name])

    def test_runs_f32_unless_asked(self, engine: Engine, tmp_path: Path) -> None:
        assert engine.precisions[0] == "f32"
        assert _plan(engine, "identity", tmp_path).precision == "f32"

    def test_unknown_precision(self, engine: Engine, tmp_path: Path) -> None:
        entry = CATALOGUE["identity"]
        with pytest.raises(UsageError, match=r"no precision 'f31' \(accepted: f32"):
            engine.compile(entry.source(tmp_path), entry.shapes, precision="f31")

    def test_unknown_output_names_the_nearest(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="'diference'; did you mean 'difference'"):
            _plan(engine, "two", tmp_path, outputs=("diference",))

    @pytest.mark.parametrize("given", [{"threads": 0}, {"buffers": 0}])
    def test_no_threads_or_buffers(self, engine: Engine, given: dict[str, int], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="at least 1"):
            _plan(engine, "identity", tmp_path).session(
                threads=given.get("threads"), buffers=given.get("buffers", 1)
            )


class TestFiles:
    def test_missing_file(self, real_engine: Engine, tmp_path: Path) -> None:
        path = tmp_path / "nowhere.onnx"
        source = NetworkSource("n", path, CATALOGUE["identity"].source(tmp_path).module)
        with pytest.raises(EngineError, match=r"nowhere\.onnx' cannot be read: No such file"):
            real_engine.compile(source, {"x": (1,)})

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"\x3a\xff\xff\x7fxyz"])
    def test_damaged_file(self, real_engine: Engine, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "broken.onnx"
        source = NetworkSource("n", path, CATALOGUE["identity"].source(tmp_path).module)
        path.write_bytes(content)
        with pytest.raises(EngineError, match=r"broken\.onnx' is no ONNX file"):
            real_engine.compile(source, {"x": (1,)})

    @pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 3, 8), (1, 3, 0, 8)])
    def test_shape_that_the_file_excludes(
        self, real_engine: Engine, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        source = CATALOGUE["conv"].source(tmp_path)
        with pytest.raises(EngineError) as raised:
            real_engine.compile(source, {"x": shape})
        assert f"'x' of '{source.onnx_path}' cannot be {list(shape)}" in str(raised.value)

    def test_sizes_of_one_symbol_that_differ(self, real_engine: Engine, tmp_path: Path) -> None:
        source = CATALOGUE["two"].source(tmp_path)
        with pytest.raises(EngineError, match=r"'b' .* cannot be \[3, 3\].*where \{'n': 2\}"):
            real_engine.compile(source, {"a": (2, 3), "b": (3, 3)})

    def test_shape_that_the_network_cannot_take(self, real_engine: Engine, tmp_path: Path) -> None:
        source = CATALOGUE["add"].source(tmp_path)
        with pytest.raises(EngineError, match=r"cannot compile 'add' for x \[2\], y \[3\]: "):
            real_engine.compile(source, {"x": (2,), "y": (3,)})

    def test_missing_and_unknown_inputs(self, real_engine: Engine, tmp_path: Path) -> None:
        source = CATALOGUE["two"].source(tmp_path)
        with pytest.raises(EngineError, match=r"missing: \['b'\]"):
            real_engine.compile(source, {"a": (2, 3)})
        with pytest.raises(UsageError, match=r"unknown input .* 'c'"):
            real_engine.compile(source, {"a": (2, 3), "c": (2, 3)})


class TestSession:
    def test_overwrites_its_outputs_at_the_next_call_at_the_earliest(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        entry = CATALOGUE["two"]
        samples = [entry.sample(seed) for seed in range(5)]
        expected = [entry.expected(sample) for sample in samples]
        for buffers in (1, 2, 3):
            with _plan(engine, "two", tmp_path).session(buffers=buffers) as session:
                given = [session.infer(sample)["sum"] for sample in samples]
            for array, wanted in zip(given[-buffers:], expected[-buffers:], strict=True):
                _assert_close(array, wanted["sum"])

    def test_outputs_are_apart_from_inputs(self, engine: Engine, tmp_path: Path) -> None:
        inputs = CATALOGUE["identity"].sample()
        with _plan(engine, "identity", tmp_path).session() as session:
            output = session.infer(inputs)["y"]
            inputs["x"][:] = 5
            _assert_close(output, CATALOGUE["identity"].sample()["x"])

    @ENTRIES
    def test_writes_no_input(self, engine: Engine, entry: Entry, tmp_path: Path) -> None:
        inputs = entry.sample()
        for array in inputs.values():
            array.flags.writeable = False
        with _plan(engine, entry.name, tmp_path).session() as session:
            for _ in range(2):
                session.infer(inputs)
        for name, array in entry.sample().items():
            np.testing.assert_array_equal(inputs[name], array)

    def test_sees_changes_within_an_array_given_before(self, engine: Engine, tmp_path: Path) -> None:
        inputs = CATALOGUE["two"].sample()
        strided = {"a": np.zeros((2, 6), np.float32)[:, ::2], "b": inputs["b"]}
        with _plan(engine, "two", tmp_path).session() as session:
            for value in (1, 2):
                for given in (inputs, strided):
                    given["a"][:] = value
                    _assert_close(session.infer(given)["sum"], given["a"] + given["b"])

    def test_arrays_that_are_not_contiguous_or_aligned(self, engine: Engine, tmp_path: Path) -> None:
        entry = CATALOGUE["conv"]
        x = entry.sample()["x"]
        raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
        raw[:] = x
        expected = entry.expected({"x": x})["y"]
        with _plan(engine, "conv", tmp_path).session() as session:
            for given in (np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1], raw, x):
                _assert_close(session.infer({"x": given})["y"], expected)

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("threads", [1, 2])
    def test_sessions_run_at_once(self, engine: Engine, threads: int, tmp_path: Path) -> None:
        entry = CATALOGUE["two"]
        plan = _plan(engine, "two", tmp_path)
        failures: list[int] = []

        def work(seed: int) -> None:
            with plan.session(threads=threads, buffers=2) as session:
                for turn in range(20):
                    sample = entry.sample(100 * seed + turn)
                    if not np.allclose(session.infer(sample)["sum"], sample["a"] + sample["b"]):
                        failures.append(seed)

        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert failures == []

    def test_closes_twice_and_leaves_its_outputs(self, engine: Engine, tmp_path: Path) -> None:
        entry = CATALOGUE["conv"]
        plan = _plan(engine, "conv", tmp_path)
        session = plan.session()
        output = session.infer(entry.sample())["y"]
        session.close()
        session.close()
        with pytest.raises(EngineError, match="closed"):
            session.infer(entry.sample())
        with plan.session() as another:
            another.infer(entry.sample(1))
        _assert_close(output, entry.expected(entry.sample())["y"])

    def test_wrong_inputs(self, engine: Engine, tmp_path: Path) -> None:
        good = CATALOGUE["two"].sample()
        a, b = good["a"], good["b"]
        wrong: list[tuple[dict[str, Array], str]] = [
            ({}, r"inputs \[\] given; this plan takes \['a', 'b'\]"),
            ({"a": a}, r"inputs \['a'\] given"),
            ({"a": a, "c": b}, "input 'b' is missing; given"),
            ({"a": a.astype(np.float64), "b": b}, r"'a' is float64\[2, 3\].*takes float32\[2, 3\]"),
            ({"a": a, "b": b[:1]}, r"input 'b' is float32\[1, 3\]"),
        ]
        with _plan(engine, "two", tmp_path).session() as session:
            for inputs, message in wrong:
                with pytest.raises(EngineError, match=message):
                    session.infer(inputs)
            _assert_close(session.infer(good)["sum"], a + b)
