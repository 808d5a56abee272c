"""How much of what is possible the pipeline reaches.

Every stage is timed alone, on packets that the stages before it made. No pipeline can be faster than its
slowest stage, nor than all CPU work over all cores: the larger of the two is the bound.

    python -m benchmarks.bound [SOURCE] [--repeats 5] [--size 640x360] [--level features]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2

from keywarp.pipeline.clock import MonotonicClock
from keywarp.pipeline.config import parse_size
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.run import Run
from keywarp.pipeline.threads import available_cores

from .common import OUT, alternate, default_clip, heading, median


def _run(source: str, size: tuple[int, int], level: str) -> Run:
    OUT.mkdir(parents=True, exist_ok=True)
    return Run(source, level=level, size=size, engine="openvino", sinks=[str(OUT / "bound.mp4")])


def measure(kind: str, source: str, size: tuple[int, int], level: str) -> dict[str, Any]:
    """Milliseconds a frame: of the pipeline, or of each stage alone (wall and CPU)."""
    run = _run(source, size, level)
    return _pipeline(run) if kind == "pipeline" else _alone(run)


def _pipeline(run: Run) -> dict[str, Any]:
    start_ns = 0
    for packet in run:
        start_ns = start_ns or packet.spans[0].start_ns
    return {"ms": (time.perf_counter_ns() - start_ns) / 1e6 / run.timing.frames_out}


def _alone(run: Run) -> dict[str, Any]:
    cv2.setNumThreads(run.threads.opencv)
    info = run.source.open()
    packets: list[Packet] = []

    def read() -> None:
        packets.extend(Packet(frame, MonotonicClock()) for frame in run.source.frames())

    figures = {"read": _timed(read)}
    run.source.close()
    for stage in (*run.graph.stages, *run.graph.sinks):
        stage.open(info)

        def work(stage: Any = stage) -> None:
            for packet in packets:
                stage.process(packet)
            if stage in run.graph.sinks:
                stage.close()  # an encoder has frames left to write

        figures[stage.name] = _timed(work)
        if stage not in run.graph.sinks:
            stage.close()
    return {
        name: {"wall_ms": wall_s * 1e3 / len(packets), "cpu_ms": cpu_s * 1e3 / len(packets)}
        for name, (wall_s, cpu_s) in figures.items()
    }


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=default_clip())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--level", default="features,result")
    options = parser.parse_args()
    cores = available_cores()
    for level in options.level.split(","):
        heading(f"pipeline against its bound, level {level}: {options.source} at {options.size}")
        shared = {"source": options.source, "size": parse_size(options.size), "level": level}
        runs = {kind: ("benchmarks.bound", {"kind": kind, **shared}) for kind in ("alone", "pipeline")}
        results = alternate(runs, options.repeats)
        stages = {
            name: {
                figure: median([r[name] for r in results["alone"]], figure)
                for figure in ("wall_ms", "cpu_ms")
            }
            for name in results["alone"][0]
        }
        for name, figures in stages.items():
            print(
                f"{name:>10} alone: {figures['wall_ms']:6.2f} ms a frame, {figures['cpu_ms']:6.2f} ms of CPU"
            )
        slowest = max(figures["wall_ms"] for figures in stages.values())
        shared_cpu = sum(figures["cpu_ms"] for figures in stages.values()) / cores
        bound, reached = max(slowest, shared_cpu), median(results["pipeline"], "ms")
        print(f"bound {bound:.2f} ms (slowest {slowest:.2f}, CPU over {cores} cores {shared_cpu:.2f})")
        print(f"pipeline {reached:.2f} ms a frame: {100 * bound / reached:.0f} % of the bound's speed")


if __name__ == "__main__":
    main()
