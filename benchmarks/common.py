"""What the benchmarks share: clips, alternating repeats in processes of their own, medians, tables."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keywarp.pipeline.graph import Graph
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.sinks.video import VideoSink
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.stage import Stage

ROOT = Path(__file__).parents[1]
CLIPS = ROOT.parent / "shared" / "data" / "video"
OUT = ROOT / "out" / "bench"


def default_clip() -> str:
    """A real road clip where there is one, else a film of the street of the same length and size."""
    clip = CLIPS / "solidWhiteRight.mp4"
    return str(clip if clip.exists() else _street_film())


def _street_film() -> Path:
    path = OUT / "street.mp4"
    if not path.exists():
        sink = VideoSink(str(path))
        for _ in Graph([_Original()], [sink]).run(StreetSource(size=(960, 540), rate=25, length=221)):
            pass
    return path


class _Original(Stage):
    """Shows the frames as they are."""

    name = "original"
    writes = (OVERLAY,)

    def process(self, packet: Packet) -> None:
        """Take the frame's own picture."""
        packet[OVERLAY] = packet.frame.picture


def in_process(module: str, **arguments: Any) -> dict[str, Any]:
    """Call ``module.measure(**arguments)`` in a new process; its result comes back as JSON."""
    code = (
        "import json, sys, importlib\n"
        "module, arguments = json.loads(sys.argv[1])\n"
        "print(json.dumps(importlib.import_module(module).measure(**arguments)))"
    )
    command = [sys.executable, "-c", code, json.dumps([module, arguments])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {arguments} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def alternate(
    runs: Mapping[str, tuple[str, Mapping[str, Any]]], repeats: int
) -> dict[str, list[dict[str, Any]]]:
    """Measure each of ``runs`` (name: module, arguments) ``repeats`` times, taking turns.

    A machine's speed drifts; what is compared must have met the same weather.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, (module, arguments) in runs.items():
            results[name].append(in_process(module, **arguments))
    return results


def median(results: Sequence[Mapping[str, Any]], figure: str) -> float:
    """The median of one figure over repeats."""
    return statistics.median(float(result[figure]) for result in results)


def heading(text: str) -> None:
    """Print what is measured, and on what."""
    print(f"\n## {text}\n({platform.processor() or platform.machine()}, Python {platform.python_version()})")
