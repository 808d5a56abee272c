"""What step flows are worth: true labels carried along them, pans that they find, and their time.

    python -m benchmarks.flows [--flows lk,lk:fine,dis,dis:medium@480x360] [--clip FOLDER] [--seeds 21,22]

Each frame's true labels are warped along chained steps to each of the next frames and compared with the true labels
there (mIoU, pixels that are void in either left out): no network has a part in it. Pans: parts of pictures, moved
by a share of their width; the mean error, in percent of the width, away from the edges. Times are medians of one
step on one thread, frames of 480x360 with their brightness at hand; flows take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from keywarp.engines.errors import UsageError
from keywarp.flow.base import KeyFlow, StepEstimator, resize_field
from keywarp.flow.build import make_step_estimator
from keywarp.flow.compose import extend
from keywarp.flow.warp import warp_labels
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.metrics import Scores, confusion
from keywarp.pipeline.config import parse_size
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture, Pixels

from .common import heading
from .policies import CLIP, clip, street

_AGES = (4, 9)
_PANS = (0.01, 0.03, 0.06, 0.09, 0.12)
_PART = (320, 240)
_FLOWS = (
    "lk,lk:quick,lk:fine,lk:fine@480x360,dis,dis:ultrafast,dis:ultrafast@480x360,dis:fast,dis:fast@480x360,"
    "dis:medium@320x240,dis:medium@480x360"
)
Labelled = Sequence[tuple[Frame, Pixels]]


def make(text: str) -> StepEstimator:
    """The estimator of ``NAME`` or ``NAME@WIDTHxHEIGHT``."""
    name, _, size = text.partition("@")
    parsed = parse_size(size) if size else None
    if parsed is not None and not isinstance(parsed, tuple):
        raise UsageError(f"'{text}' is not a flow; write NAME or NAME@WIDTHxHEIGHT")
    return make_step_estimator(name, parsed)


def read(frames: Iterable[tuple[Pixels, Pixels]]) -> Labelled:
    """Frames with their labels."""
    return [
        (Frame(n, n, Fraction(1, 25), 0, Picture.from_bgr(pixels)), labels)
        for n, (pixels, labels) in enumerate(frames)
    ]


def carried(flow: StepEstimator, frames: Labelled) -> list[float]:
    """mIoU, in percent, over the next 4 and the next 9 frames."""
    steps = [flow.step(before, now) for (before, _), (now, _) in pairwise(frames)]
    counts = np.zeros((max(_AGES) + 1, len(CAMVID), len(CAMVID)), np.int64)
    for key, (_, labels) in enumerate(frames[:-1]):
        field = KeyFlow.start(steps[0].size)
        ahead = zip(steps[key:], frames[key + 1 : key + len(counts)], strict=False)
        for age, (step, (_, truth)) in enumerate(ahead, 1):
            field = extend(step, field)
            found = warp_labels(labels, field.field)
            known = np.where(found == VOID, VOID, truth)
            counts[age] += confusion(known, np.where(found == VOID, 0, found), len(CAMVID))
    return [100 * Scores(counts[: age + 1].sum(0)).miou for age in _AGES]


def pan_error(flow: StepEstimator, pictures: Sequence[Pixels], share: float) -> float:
    """The mean error over pictures that are moved to the side by this share of their width, in percent of it."""
    width, height = _PART
    shift = round(share * width), round(share * width / 4)
    inner = slice(shift[1] + 8, height - shift[1] - 8), slice(shift[0] + 8, width - shift[0] - 8)
    errors = []
    for pixels in pictures:
        parts = (pixels[y : y + height, x : x + width] for x, y in ((40, 40), (40 + shift[0], 40 + shift[1])))
        before, now = (Frame(0, 0, Fraction(1, 25), 0, Picture.from_bgr(part)) for part in parts)
        field = resize_field(flow.step(before, now).field, _PART)
        errors.append(np.linalg.norm(field - np.array(shift, np.float32), axis=2)[inner].mean())
    return float(100 / width * np.mean(errors))


def times_ms(flows: Sequence[StepEstimator], frames: Labelled, repeats: int) -> list[float]:
    """The median time of a step of each."""
    found: list[list[float]] = [[] for _ in flows]
    for _ in range(repeats):
        for flow, times in zip(flows, found, strict=True):
            previous: Frame | None = None
            for frame in (frame.anew() for frame, _ in frames):
                frame.gray()
                start = time.perf_counter()
                if previous is not None:
                    flow.step(previous, frame)
                    times.append(time.perf_counter() - start)
                previous = frame
    return [1e3 * median(times) for times in found]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", default=_FLOWS)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--seeds", default="21,22")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = {options.clip.name: read(clip(options.clip))} if options.clip.exists() else {}
    seeds = [seed for seed in options.seeds.split(",") if seed]
    sets |= {f"street {seed}": read(street(int(seed), 15, 40)) for seed in seeds}
    heading("true labels carried along chained steps, mIoU over the next 4 and the next 9 frames; pans; time")
    first = next(iter(sets.values()))
    pictures = [frame.bgr for frame, _ in first[::5]]
    pans = ", ".join(f"{share:.0%}" for share in _PANS)
    columns = "  ".join(f"{name:>11}" for name in sets)
    print(f"{'flow':>26}  {columns}   error of a pan by {pans}    ms")
    flows = {name: make(name) for name in options.flows.split(",")}
    times = times_ms(list(flows.values()), first, options.repeats)
    for (name, flow), spent_ms in zip(flows.items(), times, strict=True):
        scores = "  ".join("{:5.2f} {:5.2f}".format(*carried(flow, frames)) for frames in sets.values())
        errors = " ".join(f"{pan_error(flow, pictures, share):6.2f}" for share in _PANS)
        print(f"{name:>26}  {scores}   {errors}   {spent_ms:6.2f}", flush=True)


if __name__ == "__main__":
    main()
