"""Whether a long run stays as fast and as small as a short one.

python -m benchmarks.long_run [--repeats 3]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import av

from keywarp.pipeline.run import Run

from .common import OUT, alternate, default_clip, heading, in_process, median


def repeated(source: str, frames: int) -> Path:
    """A video of ``frames`` frames: the source's own packets over and over, nothing encoded anew."""
    path = OUT / f"repeated-{frames}.mp4"
    OUT.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        copied, written, offset = None, 0, 0
        while written < frames:
            with av.open(source) as video:
                stream = video.streams.video[0]
                copied = copied or output.add_stream_from_template(stream)
                longest = 0
                for packet in video.demux(stream):
                    if packet.dts is None or packet.pts is None or written >= frames:
                        continue
                    longest = max(longest, packet.pts + (packet.duration or 1))
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = copied
                    output.mux(packet)
                    written += 1
                offset += longest
    return path


def measure(source: str, sink: str) -> dict[str, Any]:
    """Mean cost of a frame and the peak of memory."""
    run = Run(source, size=(640, 360), engine="openvino", sinks=[sink])
    for _ in run:
        pass
    report = run.report()
    return {
        "frames": report["frames"]["out"],
        "ms": 1000 / report["fps"],
        "cpu_ms": 1000 * report["cpu_s"] / report["frames"]["out"],
        "perceive_ms": report["stages"]["perceive"]["all"]["mean_ms"],
        "rss_mb": report["peak_rss_mb"],
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    clip = default_clip()
    heading(f"a long run against a short one, {clip} at 640x360")
    _speed(clip, options.repeats)
    _memory(clip)


def _speed(clip: str, repeats: int) -> None:
    sources = {frames: str(repeated(clip, frames)) for frames in (200, 10_000)}
    runs = {
        str(frames): ("benchmarks.long_run", {"source": source, "sink": "null"})
        for frames, source in sources.items()
    }
    results = alternate(runs, repeats)
    for frames, each in results.items():
        cost, perceive = median(each, "ms"), median(each, "perceive_ms")
        print(f"{frames:>6} frames: {cost:.2f} ms a frame, perceive {perceive:.2f} ms")
    ratio = median(results["10000"], "ms") / median(results["200"], "ms")
    print(f"a frame of 10,000 costs {ratio:.2f} x a frame of 200")


def _memory(clip: str) -> None:
    peaks = {}
    for frames in (180, 1800):
        figures = in_process(
            "benchmarks.long_run", source=str(repeated(clip, frames)), sink=str(OUT / "long.mp4")
        )
        peaks[frames] = figures["rss_mb"]
        print(f"{frames:>6} frames into mp4: peak {figures['rss_mb']:.0f} MB")
    print(f"1,800 frames peak {peaks[1800] - peaks[180]:+.0f} MB over 180")


if __name__ == "__main__":
    main()
