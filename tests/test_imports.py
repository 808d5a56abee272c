"""The import layers of the design, and that heavy packages are imported only where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("engines", "flow", "models", "pipeline")  # each may import itself and those before it
OPTIONAL = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "safetensors",
    "ptflops",
    "pygame",
    "paho",
    "gi",
    "tensorrt",
    "gi",
)
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imported_names(path: Path) -> Iterator[str]:
    package = ("keywarp", *path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_down_one_line(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    above = LAYERS[LAYERS.index(layer) + 1 :]
    names = list(imported_names(path))
    upward = [name for name in names if name.startswith(tuple(f"keywarp.{other}" for other in above))]
    bare = [name for name in names if name.split(".")[0] in LAYERS]
    assert not upward, f"{layer} may not import {upward}"
    assert not bare, f"import keywarp.{bare[0]}, not {bare[0]}"


def test_every_module_of_the_base_install_imports_without_the_optional_packages() -> None:
    needs_torch = {"models/networks", "models/training"}
    single = {
        "engines/weights.py",
        "flow/flow_part.py",
        "flow/flownet.py",
        "flow/inception.py",
        "models/complexity.py",
        "models/complexity_table.py",
        "models/export.py",
        "models/export_flow.py",
        "models/export_network.py",
    }
    names = [
        "keywarp." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if str(path.relative_to(ROOT)) not in single
        and "/".join(path.relative_to(ROOT).parts[:2]) not in needs_torch
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {OPTIONAL!r}: sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_importing_keywarp_alone_imports_nothing_heavy() -> None:
    code = (
        "import keywarp, sys; print(sorted({'numpy', 'cv2', 'openvino', 'torch', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
