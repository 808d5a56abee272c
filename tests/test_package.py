"""What people install: a wheel and an sdist of what git has, the wheel run without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEADLINE_S = 110
PACKAGES = ("pipeline", "engines", "flow", "models")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * DEADLINE_S)]


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the last commit, and nothing that lies about beside them."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout and git (apt install git)")
    folder = tmp_path_factory.mktemp("tree")
    run("git", "archive", "--output", folder / "tree.tar", "HEAD", cwd=ROOT)
    with tarfile.open(folder / "tree.tar") as archive:
        archive.extractall(folder, filter="fully_trusted")
    (folder / "tree.tar").unlink()
    return folder


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with an sdist, and the wheel made from it."""
    pytest.importorskip("build", reason="needs build (pip install 'keywarp[dev]')")
    pytest.importorskip("setuptools", "77", reason="needs setuptools 77 (pip install --upgrade setuptools)")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=tree)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_holds_the_packages_their_data_and_nothing_else(wheel: Path, tree: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"keywarp", info}
    inside = {name.removeprefix("keywarp/") for name in names if name.startswith("keywarp/")}
    wanted = {"__init__.py", "__main__.py", "py.typed"}
    for package in PACKAGES:
        wanted |= {str(path.relative_to(tree)) for path in (tree / package).rglob("*.py*")}
    wanted |= {str(path.relative_to(tree)) for path in (tree / "configs").rglob("*.yaml")}
    wanted |= {str(path.relative_to(tree)) for path in (tree / "pipeline" / "page" / "assets").iterdir()}
    assert list((tree / "models" / "weights").glob("*.json"))
    for weights in (tree / "models" / "weights", tree / "flow" / "weights"):
        kinds = ("*.json", "*.onnx", "*.safetensors")
        wanted |= {str(path.relative_to(tree)) for kind in kinds for path in weights.glob(kind)}
    if shutil.which("c++") is not None:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        wanted |= {f"{module}{suffix}" for module in ("models/fused/_rows", "flow/_gradients")}
    assert inside == wanted
    assert f"{info}/licenses/LICENSE" in names


def test_a_wheel_can_be_built_without_a_compiler(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    (folder,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist"]
    run(*command, cwd=folder, CC="false", CXX="false")
    (path,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    assert "keywarp/models/fused/head.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 15_000_000, "a FlowNet is 9 MB of it"


_DEMO = """
import sys
for name in ("torch", "onnx", "onnxruntime", "safetensors", "ptflops", "pygame"):
    sys.modules[name] = None
import keywarp
assert keywarp.__file__.startswith(sys.argv.pop(1)), keywarp.__file__
from keywarp.pipeline.cli import main
main()
"""


def test_the_wheel_runs_the_demo_without_torch(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("pip", reason="needs pip (python -m ensurepip)")
    site = tmp_path / "site"
    flags = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", "--target", site]
    run(sys.executable, "-m", "pip", "install", *flags, wheel, cwd=tmp_path, PIP_ROOT_USER_ACTION="ignore")
    demo = ["demo", "--seconds", "1", "--out", "film"]
    run(sys.executable, "-c", _DEMO, site, *demo, cwd=tmp_path, PYTHONPATH=str(site))
    assert (tmp_path / "film" / "demo.mp4").stat().st_size > 10_000
    report = json.loads((tmp_path / "film" / "report.json").read_text())
    assert report["frames"]["out"] == 30


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Path, tree: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "src/keywarp/__init__.py"):
        assert name in names, name
    for package in PACKAGES:
        assert f"src/keywarp/{package}/__init__.py" in names, package
