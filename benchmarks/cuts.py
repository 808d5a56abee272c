"""How many cuts between scenes are seen, and how many steps within a scene are taken for one.

    python -m benchmarks.cuts [--flows lk,lk:quick,lk:fine,dis,flownet-inception] [--size 480x360]

Cuts are made of the first films at hand, of CamVid's sequence and pictures, and of drawn streets: each from one to
each other, and between two places of one town. Steps are those between neighbouring frames of the same films, and
between frames 3 and 5 apart, as a live stream that drops frames has them. A flow network compares with a key frame
3 frames before the previous one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import islice, pairwise, permutations, product

import cv2
import numpy as np

from keywarp.engines.build import get_engine
from keywarp.flow.base import KeyFlow, PairEstimator, PairFlow, PairSetup, StepEstimator
from keywarp.flow.build import make_estimator
from keywarp.flow.compose import extend
from keywarp.flow.keyframes import begins_scene
from keywarp.flow.scenes.street import StreetScene
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture, Pixels
from keywarp.pipeline.sources.video import VideoSource

from .common import CLIPS, heading

CAMVID = CLIPS.parent / "camvid"
FILMS = (
    "solidWhiteRight.mp4",
    "carnd_test_small2.mp4",
    "intel_bottle-detection.mp4",
    "intel_car-detection.mp4",
)
_BEFORE_KEY = 3
_PLACES = (5, 20, 35)
_DROPPED = (1, 3, 5)

Shot = Sequence[Frame]
Change = tuple[Frame, Frame, Frame]
"""Key frame, previous frame and current one."""


def frames_of(pictures: Iterator[Pixels], size: tuple[int, int]) -> Shot:
    """The pictures, made ``size``, as frames."""
    made = (cv2.resize(bgr, size, interpolation=cv2.INTER_AREA) for bgr in pictures)
    return [Frame(n, n, Fraction(n, 25), 0, Picture.from_bgr(np.asarray(bgr))) for n, bgr in enumerate(made)]


def film(name: str) -> Iterator[Pixels]:
    """The first frames of a film."""
    source = VideoSource(str(CLIPS / name), threads=2)
    with closing(source):
        source.open()
        yield from (frame.bgr for frame in islice(source.frames(), 150))


def street(seed: int, kind: str) -> Iterator[Pixels]:
    """A drawn drive."""
    scene = StreetScene(size=(480, 360), rate=30, length=None, seed=seed, kind=kind)
    return (scene.frame(number).bgr for number in range(50))


def folder(pattern: str) -> Iterator[Pixels]:
    """The pictures of a folder."""
    return (np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(CAMVID.glob(pattern)))


def cuts_between(pairs: Iterable[tuple[Shot, Shot]]) -> list[Change]:
    """From one shot to the other, at three places."""
    return [
        (one[place], one[place + _BEFORE_KEY], other[-place]) for one, other in pairs for place in _PLACES
    ]


def steps_within(shots: Sequence[Shot], apart: int) -> list[Change]:
    """Two frames so many apart in one shot."""
    return [
        (shot[number - _BEFORE_KEY], shot[number], shot[number + apart])
        for shot in shots
        for number in range(_BEFORE_KEY, len(shot) - apart, apart)
    ]


def taken_for_cuts(flow: StepEstimator | PairEstimator, changes: Sequence[Change]) -> str:
    """How many of them a run would take for the beginning of a scene."""
    found = 0
    for key, previous, now in changes:
        along: KeyFlow | PairFlow
        if isinstance(flow, StepEstimator):
            step = flow.step(previous, now)
            along = extend(step, KeyFlow.start(step.size))
        else:
            step, along = None, flow.pair(key, now)
        found += begins_scene(key=key, previous=previous, now=now, flow=along, step=step)
    return f"{found}/{len(changes)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flows", default="lk,lk:quick,lk:fine,dis,flownet-inception")
    parser.add_argument("--size", default="480x360")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    size = width, height
    cv2.setNumThreads(1)
    films = [frames_of(film(name), size) for name in FILMS if (CLIPS / name).exists()]
    drive = frames_of(folder("clip_a/*.png"), size)
    films += [drive] if drive else []
    streets = [frames_of(street(seed, "town"), size) for seed in range(1, 11)]
    streets += [frames_of(street(seed, "motorway"), size) for seed in (1, 2)]
    town = list(frames_of(islice(folder("train/*.jpg"), 0, None, 4), size))
    np.random.default_rng(0).shuffle(town)
    changes = {
        "cuts: films": cuts_between(permutations(films, 2)),
        "streets": cuts_between(permutations(streets, 2)),
        "film to street": cuts_between(product(films, streets)),
        "street to film": cuts_between(product(streets, films)),
        "one town": [(one, one, other) for one, other in pairwise(town)],
        **{f"within, {apart} apart": steps_within([*films, *streets], apart) for apart in _DROPPED},
    }
    heading(f"taken for cuts, {options.size}: all cuts should be, no step within a scene")
    print(f"{'':>18}" + "".join(f"{name:>18}" for name in changes))
    for name in options.flows.split(","):
        flow = make_estimator(name)
        if isinstance(flow, PairEstimator):
            flow.open(PairSetup(get_engine("openvino"), threads=1), size)
        print(
            f"{name:>18}" + "".join(f"{taken_for_cuts(flow, made):>18}" for made in changes.values()),
            flush=True,
        )


if __name__ == "__main__":
    main()
