"""A live run as a user has it: an RTSP camera, ``keywarp run --serve``, and a browser that reads the pictures.

Needs GStreamer and Chromium; used by tests and by ``benchmarks/live.py``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .page.browser import chromium
from .rtsp import free_port

_START_S = 60.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

_READ_NUMBERS = """
const [offset_ms] = arguments;
const canvas = document.getElementById("picture");
window.seen = [];
const copy = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
const read = () => {
  const now_ms = Date.now();
  const { width, height } = canvas, square = Math.floor(width / 32);
  if (!square) return;
  copy.canvas.width = square * 32;
  copy.canvas.height = square * 3;
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, square * 32, square * 3);
  const values = [0, 1, 2].map((row) => {
    let value = 0;
    const y = row * square + (square >> 1);
    for (let bit = 0; bit < 32; bit++) {
      const x = bit * square + (square >> 1);
      if (data[4 * (y * square * 32 + x) + 1] > 126) value += 2 ** bit;
    }
    return value;
  });
  const whole = ((values[0] ^ values[1] ^ 0xa5a5a5a5) >>> 0) === values[2];
  // When it was painted, by the machine's monotonic clock in ms, modulo 2^32
  const age_ms = whole ? (((now_ms - offset_ms - values[1]) % 2 ** 32) + 2 ** 32) % 2 ** 32 : null;
  window.seen.push([values[0], age_ms]);
};
new MutationObserver(read).observe(canvas, { attributes: true, attributeFilter: ["data-drawn"] });
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser read off the pictures in some seconds. ``ages_ms``: from painting to reading, sorted."""

    ages_ms: tuple[float, ...]
    unreadable: int
    seconds: float

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return (len(self.ages_ms) + self.unreadable) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Of the ages."""
        return self.ages_ms[min(len(self.ages_ms) - 1, int(len(self.ages_ms) * percent / 100))]


class Viewer:
    """A page in Chromium, and the numbers in the pictures that it draws."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser = browser
        browser.get(url)
        offset_ms = time.time_ns() // 1_000_000 - time.perf_counter_ns() // 1_000_000
        browser.execute_script(_READ_NUMBERS, offset_ms)

    def watch(self, seconds: float) -> Seen:
        """Read for some seconds."""
        self._browser.execute_script("window.seen = []")
        start_s = time.monotonic()
        time.sleep(seconds)
        seen = self._browser.execute_script("return window.seen")
        ages_ms = sorted(age_ms for _, age_ms in seen if age_ms is not None)
        return Seen(tuple(ages_ms), sum(age is None for _, age in seen), time.monotonic() - start_s)

    def errors(self) -> list[str]:
        """What the browser's console complained about."""
        return [entry["message"] for entry in self._browser.get_log("browser") if entry["level"] == "SEVERE"]


class Pipeline:
    """``keywarp run`` in a process of its own, with a page."""

    def __init__(self, sources: Sequence[str], *options: str) -> None:
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "keywarp", "run", *sources, "--serve", address, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = f"http://{address}/"

    def wait_until_live(self) -> None:
        """Until pictures come out."""
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            if self._process.poll() is not None:
                raise AssertionError(f"keywarp ended: {self._process.communicate()[1]}")
            with contextlib.suppress(OSError, ValueError, KeyError):
                if self.ask("/report")["report"]["frames"]["out"] > 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"no picture came within {_START_S:.0f} s")

    def ask(self, path: str) -> Any:
        """JSON from the page's server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def rss_bytes(self) -> int:
        """What the process and its page's server hold in memory."""
        return sum(_rss_bytes(pid) for pid in (self._process.pid, *_children(self._process.pid)))

    def end(self) -> tuple[int, str]:
        """End it as a service manager does; its exit code and what it said on standard error."""
        self._process.send_signal(signal.SIGTERM)
        try:
            _, said = self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        return self._process.returncode, said


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
        int(text)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if task.name != str(pid)
        for text in (task / "children").read_text().split()
    ]


@contextmanager
def pipeline(*sources: str, options: Sequence[str] = ()) -> Iterator[Pipeline]:
    """A running one, ended at the end."""
    made = Pipeline(sources, *options)
    try:
        made.wait_until_live()
        yield made
    finally:
        made.end()


@contextmanager
def viewer(url: str) -> Iterator[Viewer]:
    """A browser that looks at a page."""
    with chromium(900, 700) as browser:
        yield Viewer(browser, url)


def recent_p99_ms(running: Pipeline, seconds: float) -> float:
    """The median of the pipeline's own p99 of the latency, asked for some seconds long."""
    found = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(0.5)
        found.append(running.ask("/report")["health"]["latency_p99_ms"])
    return statistics.median(value for value in found if value is not None)
