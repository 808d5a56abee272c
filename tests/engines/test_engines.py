"""What single engines promise beyond the contract, and the registry."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from keywarp.engines import build
from keywarp.engines.base import NetworkSource
from keywarp.engines.build import engine_names, get_engine
from keywarp.engines.errors import EngineError, MissingPackageError, UsageError
from keywarp.engines.onnx_file import OnnxFile, OnnxInput
from keywarp.engines.onnxruntime_ import OnnxRuntimeEngine
from keywarp.engines.openvino_ import OpenVinoEngine
from keywarp.engines.torch_ import TorchEngine

from .catalogue import CATALOGUE

BLOCKED = """
import pkgutil, sys
for name in ("openvino", "onnxruntime", "torch", "onnx", "tensorrt"):
    sys.modules[name] = None
import keywarp.engines
for found in pkgutil.iter_modules(keywarp.engines.__path__):
    __import__("keywarp.engines." + found.name)
from keywarp.engines.build import engine_names, get_engine
for name in engine_names():
    print(get_engine(name).missing())
try:
    get_engine()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_all_modules_import_without_the_runtimes_and_say_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "pip install openvino" in lines[0]
    assert "pip install 'keywarp[onnxruntime]'" in lines[1]
    assert "pip install 'keywarp[torch]'" in lines[2]
    assert lines[3].startswith("MissingPackageError no engine can run here")


class TestRegistry:
    def test_names(self) -> None:
        assert [get_engine(name).name for name in engine_names()] == list(engine_names())

    def test_auto_is_the_first_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert get_engine().name == "openvino"
        monkeypatch.setitem(sys.modules, "openvino", None)
        assert get_engine("auto").name == "onnxruntime"

    def test_auto_without_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(build, "_ENGINES", {})
        with pytest.raises(MissingPackageError):
            get_engine()

    def test_unknown_name(self) -> None:
        with pytest.raises(UsageError, match="unknown engine 'openvin'; did you mean 'openvino'"):
            get_engine("openvin")

    def test_compiling_with_a_missing_engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = CATALOGUE["identity"]
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingPackageError, match=r"pip install 'keywarp\[onnxruntime\]'"):
            get_engine("onnxruntime").compile(entry.source(tmp_path), entry.shapes)


class TestOpenVino:
    @pytest.mark.parametrize("precision", ["bf16", "f16"])
    def test_runs_the_precision_or_says_what_it_can(self, precision: str, tmp_path: Path) -> None:
        entry = CATALOGUE["conv"]
        source = entry.source(tmp_path)
        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if {"bf16": "BF16", "f16": "FP16"}[precision] not in able:
            with pytest.raises(EngineError, match=rf"in '{precision}' \(it can: f32"):
                OpenVinoEngine().compile(source, entry.shapes, precision=precision)
            return
        plan = OpenVinoEngine().compile(source, entry.shapes, precision=precision)
        with plan.session() as session:
            given = session.infer(entry.sample())["y"]
        assert plan.precision == precision
        np.testing.assert_allclose(given, entry.expected(entry.sample())["y"], atol=0.1)

    def test_unknown_device(self, tmp_path: Path) -> None:
        entry = CATALOGUE["identity"]
        with pytest.raises(UsageError, match=r"no device 'TPU' here \(accepted: .*CPU"):
            OpenVinoEngine("TPU").compile(entry.source(tmp_path), entry.shapes)


class TestTorch:
    def test_needs_a_module(self, tmp_path: Path) -> None:
        entry = CATALOGUE["identity"]
        source = replace(entry.source(tmp_path), module=None)
        with pytest.raises(EngineError, match="without a torch module; use engine 'openvino'"):
            TorchEngine().compile(source, entry.shapes)

    def test_module_that_is_not_the_file(self, tmp_path: Path) -> None:
        entry = CATALOGUE["two"]
        other = CATALOGUE["conv"].source(tmp_path).module
        source = NetworkSource("two", entry.source(tmp_path).onnx_path, other)
        with pytest.raises(EngineError, match=r"cannot compile 'two' for a \[2, 3\], b \[2, 3\]"):
            TorchEngine().compile(source, entry.shapes)


class TestOnnxFile:
    def test_reads_names_types_and_dimensions(self, tmp_path: Path) -> None:
        file = OnnxFile.read(CATALOGUE["grid_sample"].source(tmp_path).onnx_path)
        assert file.inputs == (
            OnnxInput("x", np.dtype(np.float32), (1, 2, "h", "w")),
            OnnxInput("grid", np.dtype(np.float32), (1, "gh", "gw", 2)),
        )
        assert file.outputs == ("y",)

    def test_initializers_are_no_inputs(self, tmp_path: Path) -> None:
        proto = CATALOGUE["conv"].proto()
        weight = onnx.helper.make_tensor_value_info("weight", onnx.TensorProto.FLOAT, [4, 3, 3, 3])
        proto.graph.input.append(weight)
        path = tmp_path / "old.onnx"
        onnx.save(proto, path)
        assert [i.name for i in OnnxFile.read(path).inputs] == ["x"]

    def test_pruned_is_the_file_less_the_other_outputs(self, tmp_path: Path) -> None:
        file = OnnxFile.read(CATALOGUE["two"].source(tmp_path).onnx_path)
        expected = CATALOGUE["two"].proto()
        del expected.graph.output[0], expected.graph.node[0]
        assert onnx.load_from_string(file.pruned(("difference",))) == expected

    def test_pruned_keeps_what_a_branch_reads_from_outside(self, tmp_path: Path) -> None:
        """Both bodies of the If read tensors of the outer graph."""
        x, y, z = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xyz")
        c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        bodies = {
            f"{side}_branch": helper.make_graph(
                [helper.make_node(op, [name], [f"{side}_y"])],
                side,
                [],
                [helper.make_tensor_value_info(f"{side}_y", TensorProto.FLOAT, [2])],
            )
            for side, op, name in (("then", "Neg", "twice"), ("else", "Abs", "x"))
        }
        nodes = [
            helper.make_node("Add", ["x", "x"], ["twice"]),
            helper.make_node("Exp", ["x"], ["z"]),
            helper.make_node("If", ["c"], ["y"], **bodies),
        ]
        path = tmp_path / "if.onnx"
        onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x, c], [y, z])), path)
        pruned = onnx.load_from_string(OnnxFile.read(path).pruned(("y",)))
        assert [node.op_type for node in pruned.graph.node] == ["Add", "If"]

    def test_every_cut_is_an_error_or_a_reading(self, tmp_path: Path) -> None:
        data = CATALOGUE["conv"].source(tmp_path).onnx_path.read_bytes()
        path = tmp_path / "cut.onnx"
        whole = 0
        for size in range(0, len(data), 3):
            path.write_bytes(data[:size])
            try:
                OnnxFile.read(path)
                whole += 1
            except EngineError as error:
                assert "is no ONNX file" in str(error)  # noqa: PT017
        assert whole < 10


def test_onnxruntime_does_not_compute_what_only_a_dropped_output_needs(tmp_path: Path) -> None:
    """The second output reads past the end of its table, which fails wherever it is computed."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y"))
    index, bad = helper.make_tensor_value_info("i", TensorProto.INT64, [1]), "bad"
    nodes = [
        helper.make_node("Neg", ["x"], ["y"]),
        helper.make_node("Add", ["i", "far"], ["j"]),
        helper.make_node("Gather", ["x", "j"], [bad]),
    ]
    outputs = [y, helper.make_tensor_value_info(bad, TensorProto.FLOAT, [1])]
    far = numpy_helper.from_array(np.array([99]), "far")
    graph = helper.make_graph(nodes, "g", [x, index], outputs, [far])
    path = tmp_path / "gather.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    source, shapes = NetworkSource("gather", path), {"x": (2,), "i": (1,)}
    with pytest.raises(EngineError, match="out of"):
        OnnxRuntimeEngine().compile(source, shapes)
    plan = OnnxRuntimeEngine().compile(source, shapes, outputs=("y",))
    assert [spec.name for spec in plan.inputs] == ["x", "i"]
    assert [spec.name for spec in plan.outputs] == ["y"]


TWO_AT_ONCE = """
import sys, threading
from pathlib import Path
from typing import Any
from keywarp.engines.base import NetworkSource
from keywarp.engines.build import get_engine
source = NetworkSource("identity", Path(sys.argv[1]))
ready = threading.Barrier(2)
def compile_and_open():
    ready.wait()
    get_engine("openvino").compile(source, {"x": (1, 3)}).session(threads=1).close()
threads = [threading.Thread(target=compile_and_open, daemon=True) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join(30)
sys.exit(any(thread.is_alive() for thread in threads))
"""


def test_two_threads_may_be_the_first_to_compile_with_openvino(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    path = tmp_path / "identity.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    for _ in range(5):  # each in a process of its own: only the first use can hang
        command = [sys.executable, "-c", TWO_AT_ONCE, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_that_are_not_finite_are_found_in_the_file(
    tmp_path: Path, value: float, dtype: type[np.floating[Any]], raw: bool
) -> None:
    if not raw and dtype is np.float16:
        pytest.skip("ONNX keeps halves outside raw data as integers")
    path = tmp_path / "weights.onnx"

    def write(values: list[float]) -> OnnxFile:
        array = np.array(values, dtype)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        weight = helper.make_tensor("w", kind, [3], array.tobytes() if raw else array, raw=raw)
        x, y = (helper.make_tensor_value_info(name, kind, [3]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weight])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        return OnnxFile.read(path)

    write([0.0, 1.0, 2.0]).check_finite()
    with pytest.raises(EngineError, match=r"weight 'w' of '.*weights.onnx' is not finite"):
        write([0.0, value, 2.0]).check_finite()
