"""Training killed at random moments, by SIGKILL, ends with the weights of a run that was left alone."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.pipeline.forks import Forks, forks

KILLS = 20
MOST_STEPS = 4
EPOCHS = 40  # of 3 steps each: more than all killed runs can make together
MODULES = ("torch._dynamo", "keywarp.models.training.train", "keywarp.pipeline.cli.networks")


def command(out: Path) -> list[str]:
    words = ["train", "enet", "--out", str(out), "--size", "64x48", "--epochs", str(EPOCHS)]
    words += ["--data", "street:seed=0,length=48,every=4,size=96x64"]
    return [*words, "--set", "batch=4", "--set", "threads=1"]


def start(out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "keywarp", *command(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def kill_after(runs: Forks, out: Path, writes: int, then_s: float) -> None:
    """Run with a checkpoint after every step; SIGKILL, ``then_s`` after it was replaced so many times."""
    checkpoint = out / "last.pt"
    last = written(checkpoint)
    runs.start([*command(out), "--set", "save_every_s=0"], out.parent, out.parent / "error.txt")
    while writes > 0:
        assert runs.is_running(), "the run ended before it was killed"
        now = written(checkpoint)
        writes, last = writes - (now != last), now
        time.sleep(0.002)
    time.sleep(then_s)
    runs.signal(signal.SIGKILL)
    assert runs.wait() == -signal.SIGKILL


def written(checkpoint: Path) -> int:
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform == "win32", reason="forks processes (Linux, macOS)")
def test_a_run_killed_20_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    rng = random.Random(0)
    out, alone = tmp_path / "killed", tmp_path / "alone"
    with forks(*MODULES) as runs:
        for _ in range(KILLS):
            kill_after(runs, out, rng.randrange(MOST_STEPS), rng.uniform(0, 0.2))
    assert (out / "last.pt").exists()
    ends = [start(folder) for folder in (out, alone)]
    assert [process.wait() for process in ends] == [0, 0]
    found, expected = (load_file(folder / "weights.safetensors") for folder in (out, alone))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    with (out / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(EPOCHS)]
