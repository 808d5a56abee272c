"""What a propagated frame costs beside a key frame: the whole of stage ``perceive``, full-size labels.

python -m benchmarks.perceive [SOURCE] [--repeats 5] [--size 640x360]
"""

from __future__ import annotations

import argparse
from typing import Any

from keywarp.pipeline.config import parse_size
from keywarp.pipeline.run import Run

from .common import alternate, default_clip, heading, median

PARTS = ("flow", "features", "warp_head", "warp")


def measure(level: str, source: str, size: tuple[int, int], flow: str | None = None) -> dict[str, Any]:
    """Medians over the frames of one run, in ms."""
    run = Run(
        source,
        level=level,
        size=size,
        engine="openvino",
        sinks=["null"],
        flow={"method": flow} if flow else {},
    )
    for _ in run:
        pass
    stages = run.report()["stages"]
    figures = {kind: stages["perceive"][kind]["p50_ms"] for kind in ("key", "propagated")}
    parts = {
        part: stages[f"perceive.{part}"]["all"]["p50_ms"] for part in PARTS if f"perceive.{part}" in stages
    }
    return {**figures, **parts}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=default_clip())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--flow", help="default: that of each level")
    options = parser.parse_args()
    heading(f"cost of a propagated frame, OpenVINO f32: {options.source} at {options.size}")
    shared = {"source": options.source, "size": parse_size(options.size), "flow": options.flow}
    runs = {level: ("benchmarks.perceive", {"level": level, **shared}) for level in ("features", "result")}
    for level, results in alternate(runs, options.repeats).items():
        key, propagated = median(results, "key"), median(results, "propagated")
        parts = ", ".join(f"{part} {median(results, part):.2f}" for part in PARTS if part in results[0])
        print(
            f"{level:>9}: key {key:.2f} ms, propagated {propagated:.2f} ms = 1/{key / propagated:.1f} ({parts})"
        )


if __name__ == "__main__":
    main()
