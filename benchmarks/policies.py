"""What the adaptive key-frame policy gains over fixed intervals with as many key frames.

    python -m benchmarks.policies [--clip FOLDER ...] [--seeds 21,22,23] [--shares 0.333,0.2,0.1]
        [--level result] [--flow dis]

Every frame is propagated once from each of the last key frames that it could have; whatever a policy does is then
a choice among these results, so that many policies and starts cost nothing more. For each start (the first frames
of the sequence left out) the policy runs once. It is compared with fixed intervals on the same frames, mean over
all phases, at exactly its share of key frames (between two intervals: mixed). `even`: the same for a fixed interval
that begins with the first frame, and so needs no second key frame for its phase; what is gained beyond it is due
to adapting. `hindsight`: the same for the key frames that somebody would choose, as many as the fixed interval has
(rounded), who knew every result and the truth beforehand: about the most that any policy can gain (one start).
`bias, rms error`: of the predicted agreement with full runs.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np

from keywarp.engines.build import get_engine
from keywarp.flow.base import KeyFlow, StepFlow
from keywarp.flow.build import make_step_estimator
from keywarp.flow.compose import extend
from keywarp.flow.keyframes import (
    AdaptiveShare,
    FixedInterval,
    KeyframePolicy,
    Signals,
    predicted_agreement,
    watch,
)
from keywarp.flow.motion import Motion
from keywarp.flow.scenes.street import StreetScene
from keywarp.models.base import LEVELS, KeyOutput, Level, Setup
from keywarp.models.build import load_model
from keywarp.models.labels import CAMVID
from keywarp.models.metrics import Counts, Scores, confusion
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.evaluation import read_clip
from keywarp.pipeline.evaluation.policy import fixed_share
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture, Pixels

from .common import ROOT, heading

CLIP = ROOT.parent / "shared" / "data" / "camvid" / "clip_a"
_SIZE = (480, 360)
_LABELLED = Iterable[tuple[Pixels, Pixels]]


@dataclass
class Results:
    """Every frame from every key frame up to ``ages`` - 1 frames before it.

    ``sums`` (N, ages, C, C): the confusion of a key frame and of the frames after it up to each age, together.
    ``agreement`` (N, ages): by frame and age, the share of pixels as in a full run. ``motions``: by frame and age,
    from age 1.
    """

    sums: Counts
    agreement: np.ndarray
    motions: list[list[Motion]]

    def __len__(self) -> int:
        return len(self.sums)

    def after(self, start: int) -> Results:
        """The same without the first frames."""
        return Results(self.sums[start:], self.agreement[start:], self.motions[start:])

    @property
    def ages(self) -> int:
        """How many key ages there are, 0 among them."""
        return self.sums.shape[1]

    def keys_of(self, policy: KeyframePolicy) -> list[int]:
        """The key frames that a policy chooses, told how well results were carried to them if it learns."""
        keys: list[int] = []
        for number in range(len(self)):
            age = number - keys[-1] if keys else None
            motion = None if age is None else self.motions[number][age - 1]
            if policy.is_key(Signals(age, None, number, motion)) or age == self.ages - 1:
                if policy.learns and age is not None:
                    policy.learn(100 * self.agreement[number, age])
                keys.append(number)
        return keys

    def miou(self, keys: Sequence[int]) -> float:
        """The mIoU with these key frames, in percent."""
        ends = [*keys[1:], len(self)]
        lengths = np.subtract(ends, keys)
        return 100 * Scores(self.sums[np.asarray(keys), lengths - 1].sum(0)).miou

    def best_keys(self, count: int) -> list[int]:
        """The ``count`` key frames with the highest mIoU, its change taken as linear in the confusion."""
        frames = len(self)
        count = max(count, -(-frames // self.ages))
        usual = self.sums[np.arange(0, frames, max(1, round(frames / count))), 0].sum(0)
        gain = (self.sums * _slope(usual)).sum(
            (2, 3)
        )  # (N, ages): of a key frame that serves for age + 1 frames
        reached = np.full((count + 1, frames + 1), -np.inf)
        length_to = np.zeros(reached.shape, np.intp)
        reached[0, 0] = 0
        for keys in range(1, count + 1):
            for end in range(1, frames + 1):
                lengths = np.arange(1, min(end, self.ages) + 1)
                found = reached[keys - 1, end - lengths] + gain[end - lengths, lengths - 1]
                best = int(found.argmax())
                reached[keys, end], length_to[keys, end] = found[best], lengths[best]
        chosen, end = [], frames
        for keys in range(count, 0, -1):
            end -= int(length_to[keys, end])
            chosen.append(end)
        return chosen[::-1]

    def fixed(self) -> tuple[list[float], list[float]]:
        """Share of key frames and mIoU of the fixed intervals, mean over their phases, the shares rising."""
        intervals = range(self.ages - 1, 0, -1)
        mious = [
            fmean(self.miou(sorted({0, *range(phase, len(self), n)})) for phase in range(n))
            for n in intervals
        ]
        return [fixed_share(n, len(self)) for n in intervals], mious


def run(frames: _LABELLED, ages: int, level: Level, flow: str = "lk") -> Results:
    """Run ENet in full on every frame and propagate each result to the ``ages`` - 1 frames after it."""
    cv2.setNumThreads(1)
    model, steps = load_model("enet"), make_step_estimator(flow)
    policy = AdaptiveShare(0.5, cuts=False)
    slots: deque[tuple[Frame, KeyOutput[SegmentationMap], KeyFlow]] = deque(maxlen=ages - 1)
    counts, agreement, motions = [], [], []
    for number, (pixels, truth) in enumerate(frames):
        now = Frame(number, number, Fraction(1, 25), 0, Picture.from_bgr(pixels))
        if number == 0:
            model.open(Setup(get_engine("openvino"), level, threads=1), now.size)
        full = model.features(model.prepare(now.picture))
        full = KeyOutput(full.result, {name: array.copy() for name, array in full.carried.items()})
        step = steps.step(slots[0][0], now) if slots else StepFlow.still((2, 2))
        slots = deque(((key, output, extend(step, to_key)) for key, output, to_key in slots), ages - 1)
        carried = [
            full.result.labels,
            *(model.propagate(output, to_key).labels for _, output, to_key in slots),
        ]
        tables = [confusion(truth, labels, len(CAMVID)) for labels in carried]
        missing = ages - len(tables)
        counts.append(np.pad(np.stack(tables), ((0, missing), (0, 0), (0, 0))))
        equal = [float((labels == carried[0]).mean()) for labels in carried]
        agreement.append(np.pad(equal, (0, missing), constant_values=np.nan))
        seen = (
            watch(policy, Signals(1), key=key, previous=key, now=now, flow=to_key, step=None)
            for key, _, to_key in slots
        )
        motions.append([signals.motion for signals in seen if signals.motion is not None])
        slots.appendleft((now, full, KeyFlow.start(step.size)))
    model.close()
    return Results(_sums(np.stack(counts)), np.stack(agreement), motions)


def _sums(counts: Counts) -> Counts:
    """From (N, ages, C, C) by frame and age to the same by key frame, each with those of lower ages."""
    by_key = np.zeros_like(counts)
    for age in range(counts.shape[1]):
        by_key[: len(counts) - age, age] = counts[age:, age]
    return by_key.cumsum(1)


def _slope(counts: Counts) -> np.ndarray:
    """By how much the mIoU grows with each entry of the confusion, at these counts."""
    hits = np.diag(counts).astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - hits
    there = union > 0
    share = np.divide(hits, union, out=np.zeros_like(hits), where=there)
    weight = np.divide(1.0, union, out=np.zeros_like(hits), where=there) / there.sum()
    # a wrong pixel makes the unions of two classes larger; a hit makes its own class's hits and union so
    slope = -(share * weight)[:, np.newaxis] - (share * weight)[np.newaxis]
    np.fill_diagonal(slope, (1 - share) * weight)
    return slope


def street(seed: int, rate: int, count: int, kind: str = "town") -> Iterator[tuple[Pixels, Pixels]]:
    """A drive at a steady speed."""
    scene = StreetScene(size=_SIZE, rate=rate, length=None, seed=seed, kind=kind)
    for number in range(count):
        frame = scene.frame(number)
        yield frame.bgr, frame.classes


def stop_and_go(seed: int, count: int) -> Iterator[tuple[Pixels, Pixels]]:
    """The same street at 60 steps a second, of which 0 to 4 pass from frame to frame: 2 s each, at 25 frames/s."""
    scene, place = StreetScene(size=_SIZE, rate=60, length=None, seed=seed), 0
    for number in range(count):
        frame = scene.frame(place)
        yield frame.bgr, frame.classes
        place += (2, 0, 1, 4)[number // 50 % 4]


def clip(folder: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """A labelled folder of pictures."""
    found = read_clip(folder, None, CAMVID)
    for number, frame in enumerate(found.source().frames()):
        yield frame.bgr, found.truth(number)


def compare(
    parts: Sequence[tuple[Results, tuple[list[float], list[float]]]], policy: KeyframePolicy
) -> tuple[list[float], float]:
    """What a policy gains on each part over its fixed intervals, and its mean share of key frames."""
    gains, shares = [], []
    for part, fixed in parts:
        policy.reset()
        keys = part.keys_of(policy)
        shares.append(len(keys) / len(part))
        gains.append(part.miou(keys) - float(np.interp(shares[-1], *fixed)))
    return gains, fmean(shares)


def hindsight(parts: Sequence[tuple[Results, tuple[list[float], list[float]]]], share: float) -> float:
    """What the best key frames gain over fixed intervals with as many, mean over the parts."""
    gains = []
    for part, fixed in parts:
        keys = part.best_keys(round(share * len(part)))
        gains.append(part.miou(keys) - float(np.interp(len(keys) / len(part), *fixed)))
    return fmean(gains)


def calibration(results: Results) -> tuple[float, float]:
    """Of the predicted agreement at ages 1 to 15, in points: its mean error and its root mean square error."""
    errors = [
        predicted_agreement(motion) - 100 * results.agreement[number, age]
        for number, motions in enumerate(results.motions)
        for age, motion in enumerate(motions[:15], 1)
    ]
    return fmean(errors), fmean(error**2 for error in errors) ** 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, action="append")
    parser.add_argument("--seeds", default="21,22,23")
    parser.add_argument("--shares", default="0.3333,0.2,0.1")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--level", choices=LEVELS, default="features")
    parser.add_argument("--flow", default="lk", help="lk, dis, ...: any that makes steps")
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    shares = [float(share) for share in options.shares.split(",")]
    sequences: list[tuple[str, _LABELLED]] = [
        (str(folder), clip(folder)) for folder in options.clip or [CLIP] if folder.exists()
    ]
    for seed in seeds:
        sequences += [
            (f"street {seed}, 30/s", street(seed, 30, options.frames)),
            (f"street {seed}, 15/s", street(seed, 15, options.frames)),
            (f"street {seed}, stop and go", stop_and_go(seed, options.frames)),
        ]
    heading(
        f"mIoU of adaptive above fixed at its share of key frames: mean of {options.starts} starts (range)"
    )
    print(
        f"{'sequence':>28}  share wanted   had   adaptive (range)         even  hindsight   bias, rms error"
    )
    for name, frames in sequences:
        results = run(frames, 31, options.level, options.flow)
        bias, error = calibration(results)
        parts = [(part, part.fixed()) for part in map(results.after, range(options.starts))]
        for share in shares:
            gains, had = compare(parts, AdaptiveShare(share))
            even, _ = compare(parts, FixedInterval(round(1 / share)))
            span = f"({min(gains):+.2f} to {max(gains):+.2f})"
            best = hindsight(parts[:: options.starts], had)
            print(
                f"{name[-28:]:>28}  {share:12.3f} {had:5.3f}  {fmean(gains):+6.2f} {span:<18} "
                f"{fmean(even):+6.2f}  {best:+9.2f}   {bias:+5.1f} {error:5.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
