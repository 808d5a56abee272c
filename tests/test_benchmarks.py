"""The benchmarks are a list that is complete; what they measure is not for tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import NAMES

ROOT = Path(__file__).parents[1]
APART = {"live", "pictures"}


def test_all_of_them_run_but_those_that_are_said_not_to() -> None:
    programs = {
        path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py") if "\ndef main()" in path.read_text()
    }
    assert programs - APART == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_an_unknown_one_is_refused() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "flow"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "no benchmark flow; there are perceive, " in ended.stderr
