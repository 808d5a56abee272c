"""Training killed at random moments, by SIGKILL, ends with the weights of a run that was left alone."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

KILLS = 20
MOST_STEPS = 4
EPOCHS = 40  # of 3 steps each: more than all killed runs can make together


def start(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "keywarp", "train", "enet", "--out", str(out), "--size", "64x48"]
    command += ["--data", "street:seed=0,length=48,every=4,size=96x64", "--epochs", str(EPOCHS)]
    command += ["--set", "batch=4", "--set", "save_every_s=0", "--set", "threads=1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def kill_after(process: subprocess.Popen[bytes], checkpoint: Path, writes: int, then_s: float) -> None:
    """SIGKILL, ``then_s`` after the file was replaced so many times."""
    last = written(checkpoint)
    while writes > 0:
        assert process.poll() is None, "the run ended before it was killed"
        now = written(checkpoint)
        writes, last = writes - (now != last), now
        time.sleep(0.002)
    time.sleep(then_s)
    process.kill()
    process.wait()


def written(checkpoint: Path) -> int:
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_20_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    rng = random.Random(0)
    out = tmp_path / "killed"
    for _ in range(KILLS):
        kill_after(start(out), out / "last.pt", rng.randrange(MOST_STEPS), rng.uniform(0, 0.2))
    assert start(out).wait() == 0
    assert start(tmp_path / "alone").wait() == 0
    found, expected = (load_file(folder / "weights.safetensors") for folder in (out, tmp_path / "alone"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    with (out / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(EPOCHS)]
