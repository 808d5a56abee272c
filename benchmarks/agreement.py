"""Do the engines say the same? Label maps of every engine against OpenVINO's, f32, over a clip.

python -m benchmarks.agreement [SOURCE] [--frames 221] [--size 640x360]
"""

from __future__ import annotations

import argparse
from typing import Any, cast

import numpy as np

from keywarp.engines.build import engine_names, get_engine
from keywarp.flow.base import Size
from keywarp.pipeline.config import parse_size
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.run import Run

from .common import default_clip, heading


def label_maps(engine: str, source: str, size: Size, level: str, frames: int) -> Any:
    """(N, H, W) uint8: the labels of the first ``frames`` frames, all by the engine itself."""
    run = Run(source, engine=engine, level=level, interval=5, size=size, precision="f32", fused=False)
    maps = []
    for packet in run:
        maps.append(packet[SEGMENTATION].labels)
        if len(maps) == frames:
            break
    return np.stack(maps)


def main() -> None:
    """Print the share of equal labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=default_clip())
    parser.add_argument("--frames", type=int, default=221)
    parser.add_argument("--size", default="640x360")
    options = parser.parse_args()
    heading(f"agreement of the engines, f32, interval 5: {options.source} at {options.size}")
    for level in ("features", "result"):
        shared = (options.source, cast("Size", parse_size(options.size)), level, options.frames)
        reference = label_maps("openvino", *shared)
        for engine in engine_names():
            if engine in ("auto", "openvino") or get_engine(engine).missing() is not None:
                continue
            equal = label_maps(engine, *shared) == reference
            worst = equal.mean(axis=(1, 2)).min()
            print(
                f"{level:>9} {engine:>12}: {100 * equal.mean():.4f} % equal, worst frame {100 * worst:.4f} %"
            )


if __name__ == "__main__":
    main()
