"""What a codec's motion vectors cost: decoding with and without them, the field made of them, and flow.

python -m benchmarks.vectors [SOURCE] [--frames 150] [--repeats 7] [--threads 2]

Runs take turns; each line is the median of what a run took more than the plain decoding beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing
from itertools import islice

import cv2

from keywarp.flow.base import StepEstimator
from keywarp.flow.build import make_step_estimator
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.video import VideoSource

from .common import CLIPS, default_clip, heading

_CLIP = CLIPS.parent / "mv_reference" / "vid_h264.mp4"
WAYS = {
    "decoding": (False, None),
    "+ vectors": (True, None),
    "+ vectors and field (codec)": (True, "codec"),
    "+ vectors and choice (auto)": (True, "auto"),
    "+ lk": (False, "lk"),
}


def measure(source: str, frames: int, threads: int, vectors: bool, flow: str | None) -> tuple[float, float]:
    """Milliseconds a frame, by the clock and of CPU time."""
    video = VideoSource(source, threads=threads)
    if vectors:
        video.want_vectors()
    steps = None if flow is None else make_step_estimator(flow)
    with closing(video):
        video.open()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        previous, count = None, 0
        for frame in islice(video.frames(), frames):
            _use(frame, previous, steps)
            previous, count = frame, count + 1
        per_frame = 1e3 / count
        return (time.perf_counter() - start_s) * per_frame, (time.process_time() - start_cpu_s) * per_frame


def _use(frame: Frame, previous: Frame | None, steps: StepEstimator | None) -> None:
    if steps is not None and previous is not None:
        steps.step(previous, frame)


def main() -> None:
    """Print what is added to a frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=str(_CLIP) if _CLIP.exists() else default_clip())
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    heading(f"motion vectors: {options.source}, {options.threads} decoder threads")
    rounds = [
        {
            name: measure(options.source, options.frames, options.threads, vectors, flow)
            for name, (vectors, flow) in WAYS.items()
        }
        for _ in range(options.repeats)
    ]
    print(f"{'':>30}  by the clock          of CPU time")
    for name in WAYS:
        texts = []
        for kind in (0, 1):
            plain = [each["decoding"][kind] for each in rounds]
            taken = [each[name][kind] for each in rounds]
            more = statistics.median(mine - other for mine, other in zip(taken, plain, strict=True))
            ratio = statistics.median(mine / other for mine, other in zip(taken, plain, strict=True))
            figure = f"{statistics.median(plain):6.2f} ms" if name == "decoding" else f"{more:+6.2f} ms"
            texts.append(f"{figure} ({ratio:.2f}x)")
        print(f"{name:>30}  {texts[0]:>20}  {texts[1]:>20}")


if __name__ == "__main__":
    main()
