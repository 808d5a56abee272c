"""A run on a network that fails: twenty dead servers in one go, with everything counted."""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from keywarp.models.fake import FakeModel
from keywarp.pipeline.run import Parts, Run

from .numbered import is_clean
from .rtsp import RtspServer, need_gstreamer, rtsp_server

need_gstreamer()
pytestmark = [
    pytest.mark.gstreamer,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts what /proc lists"),
]

KILLS = 20
RECOVERY_S = 2.0


@dataclass(frozen=True)
class Seen:
    """One packet as it left the graph."""

    at_s: float
    index: int
    time_s: float
    frozen: bool
    after_gap: bool
    clean: bool


class Watcher:
    """Iterates a run in a thread, and writes down what comes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seen: list[Seen] = []
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        for packet in self.run:
            frame = packet.frame
            clean = is_clean(frame.picture.gray())
            self.seen.append(
                Seen(time.perf_counter(), frame.index, frame.time_s, frame.frozen, frame.after_gap, clean)
            )

    def fresh_after(self, at_s: float, patience_s: float = 10.0) -> Seen:
        """The first fresh frame since ``at_s``, which may be yet to come."""
        deadline_s = time.perf_counter() + patience_s
        while time.perf_counter() < deadline_s:
            fresh = [each for each in self.seen[-400:] if each.at_s >= at_s and not each.frozen]
            if fresh:
                return fresh[0]
            time.sleep(0.01)
        raise AssertionError(f"no fresh frame within {patience_s} s: {self.run.health()}")

    def stop(self) -> None:
        self.run.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


def in_use() -> tuple[int, int]:
    """The threads and open files of this process."""
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


def settled(limit: tuple[int, int]) -> tuple[int, int]:
    """What is in use once left readers have had the time to end."""
    deadline_s = time.perf_counter() + 8
    while (now := in_use()) > limit and time.perf_counter() < deadline_s:
        time.sleep(0.1)
    return now


def _fail_once(server: RtspServer, watcher: Watcher, chance: random.Random) -> float:
    """Kill the server and start it again. Returns the seconds from its first taken connection to a fresh frame."""
    time.sleep(chance.uniform(0.05, 0.7))
    server.kill()
    time.sleep(chance.uniform(0.0, 0.8))
    back_s = server.start()
    return watcher.fresh_after(back_s).at_s - back_s


@pytest.mark.slow
def test_twenty_dead_servers() -> None:
    chance = random.Random(7)
    with rtsp_server() as server:
        run = Run(server.url, parts=Parts(models=[FakeModel()]), sinks=("null",))
        watcher = Watcher(run)
        try:
            watcher.fresh_after(0.0)
            _fail_once(server, watcher, chance)
            before = in_use()
            recoveries_s = [_fail_once(server, watcher, chance) for _ in range(KILLS)]
            after = settled(before)
            health = run.health()
        finally:
            watcher.stop()
    print("recoveries:", [round(each, 2) for each in recoveries_s], "in use:", before, after)
    assert max(recoveries_s) < RECOVERY_S
    assert after[0] <= before[0], "threads"
    assert after[1] <= before[1], "open files"
    assert health["state"] == "live"
    assert health["reconnects"] == KILLS + 1
    _check_stream(watcher.seen)
    frames = run.report()["frames"]
    assert frames["in"] == frames["out"] + sum(run.dropped_by_cause.values())
    assert frames["out"] + frames["frozen"] == len(watcher.seen)


def _check_stream(seen: list[Seen]) -> None:
    assert all(each.clean for each in seen), "no picture is black or smeared"
    for one, two in pairwise(seen):
        assert two.index > one.index
        assert two.time_s > one.time_s
        assert two.after_gap or two.frozen or not one.frozen, "the first good frame after frozen ones says so"
    gaps_s = [two.at_s - one.at_s for one, two in pairwise(seen)]
    assert max(gaps_s) < 1.0, "the output never stalls"
    assert sum(each.after_gap for each in seen) >= KILLS
