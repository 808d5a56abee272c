"""A live run in the long term: how old the pictures in the browser are at first and at last, and the memory.

python -m benchmarks.live [--minutes 30] [--size 640x360] [--rate 30]

An RTSP server, ``keywarp run --serve`` and Chromium, all on this machine; needs GStreamer and Chromium.
"""

from __future__ import annotations

import argparse
import time

from tests.pipeline.live import Seen, pipeline, viewer
from tests.pipeline.rtsp import rtsp_server

WARM_UP_S, MINUTE_S = 5.0, 60.0


def _line(when: str, seen: Seen, rss_bytes: int) -> str:
    ages = ", ".join(f"p{percent} {seen.percentile_ms(percent):.0f}" for percent in (50, 95, 99))
    return (
        f"{when}: {seen.rate:.1f} pictures/s, {seen.unreadable} unreadable, from painting to page {ages} ms, "
        f"RSS {rss_bytes / 1e6:.1f} MB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rate", type=int, default=30)
    options = parser.parse_args()
    plain = ("--set", "overlay.hud=false", "--set", "overlay.legend=false", "--set", "overlay.opacity=0.3")
    with (
        rtsp_server("--size", options.size, "--rate", str(options.rate)) as camera,
        pipeline(camera.url, options=plain) as running,
        viewer(running.url) as watching,
    ):
        watching.watch(WARM_UP_S)
        first, first_rss = watching.watch(MINUTE_S), running.rss_bytes()
        print(_line("first minute", first, first_rss), flush=True)
        time.sleep(max(0.0, 60 * options.minutes - 2 * MINUTE_S))
        last, last_rss = watching.watch(MINUTE_S), running.rss_bytes()
        print(_line(f"minute {options.minutes:.0f}", last, last_rss))
        older = last.percentile_ms(95) / first.percentile_ms(95)
        print(f"RSS {100 * (last_rss / first_rss - 1):+.2f} %, p95 {older:.2f}x")
        health = running.ask("/report")["health"]
        print(f"frames {health['frames']}")


if __name__ == "__main__":
    main()
