"""Scores of data sets and sequences, against figures worked out by hand, and on real frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.engines.errors import KeywarpError, SourceError, UsageError
from keywarp.flow.keyframes import FixedInterval, make_policy
from keywarp.flow.scenes.street import StreetScene
from keywarp.models.base import Earlier, KeyOutput
from keywarp.models.datasets import LabelMap, find_pairs
from keywarp.models.fake import FakeModel
from keywarp.models.labels import CAMVID, ClassSet
from keywarp.models.metrics import Scores, confusion
from keywarp.pipeline import run as run_module
from keywarp.pipeline.config import RunConfig
from keywarp.pipeline.evaluation import (
    Clip,
    IntervalScores,
    SequenceScores,
    Subject,
    evaluate_folder,
    evaluate_policy,
    evaluate_sequence,
    policy_frames,
    read_clip,
)
from keywarp.pipeline.evaluation.clip import DrawnTruth
from keywarp.pipeline.evaluation.policy import fixed_share
from keywarp.pipeline.evaluation.report import policy_figures, report
from keywarp.pipeline.evaluation.sequence import (
    aggregates_at_intervals,
    check_intervals,
    phases_of,
    total_frames,
)
from keywarp.pipeline.evaluation.sheet import draw_sheet, sheet_ages
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.synthetic import SyntheticSource

from .labelled import SIZE, flat, mixed, picture_of, write_labels, write_pairs
from .sources.films import pictures, write_film
from .stages.scenes import BrokenFlow

Pixels = NDArray[np.uint8]


def fake(**settings: Any) -> Subject:
    return Subject(model=FakeModel(), **settings)


# --- Data sets --------------------------------------------------------------------------------------------


def test_every_picture_is_scored_at_its_own_size(tmp_path: Path) -> None:
    sizes = [SIZE, (40, 20), SIZE, (33, 25), (40, 20)]
    shown = [mixed(seed, size) for seed, size in enumerate(sizes)]
    true = [labels.copy() for labels in shown]
    true[1][:5] = 255
    true[3][0] = (true[3][0] + 1) % len(CAMVID)
    pairs = find_pairs(write_pairs(tmp_path / "set", shown, true))
    subject, ticks = fake(), list[int]()
    found = evaluate_folder(subject, pairs, lambda: ticks.append(1))
    expected = sum(confusion(a, b, len(CAMVID)) for a, b in zip(true, shown, strict=True))
    np.testing.assert_array_equal(found.counts, expected)
    assert found.pixel_accuracy == pytest.approx(1 - 33 / found.counts.sum())
    assert len(ticks) == len(pairs)
    assert isinstance(subject.model, FakeModel)
    assert subject.model.calls.count("open") == 3  # one run for each size
    assert "propagate" not in subject.model.calls


def test_scores_are_at_full_size_where_frames_are_scaled(tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path / "set", [flat(3), flat(5, (80, 10))]))
    found = evaluate_folder(fake(size=(16, 12)), pairs)
    assert found.counts.sum() == SIZE[0] * SIZE[1] + 800
    assert found.miou == 1


def test_a_picture_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path / "set", [flat(label) for label in range(3)]))
    pairs[1].picture.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"picture '.*1\.png' cannot be read"):
        evaluate_folder(fake(), pairs)


def test_wrong_labels_are_errors(tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path / "set", [flat(0), flat(1)]))
    cv2.imwrite(str(pairs[1].labels.path), flat(12))
    with pytest.raises(UsageError, match=r"1\.png' hold the value 12"):
        evaluate_folder(fake(), pairs)
    cv2.imwrite(str(pairs[1].labels.path), flat(1, (24, 32)))
    with pytest.raises(UsageError, match=r"1\.png' are 24x32, their picture is 32x24"):
        evaluate_folder(fake(), pairs)


def test_labels_without_a_single_class_are_an_error(tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path / "set", [flat(1), flat(2)], [flat(255), flat(11)]))
    with pytest.raises(UsageError, match="none of the 2 label maps has a pixel with a class"):
        evaluate_folder(fake(), pairs)


class Recursive(FakeModel):
    """What it was given before counts for more than what it sees: each key frame says what the first one said."""

    def features_with(self, image: Any, earlier: Earlier[Any]) -> KeyOutput[Any]:
        super().features_with(image, earlier)
        return earlier.output


def test_key_frames_are_aggregated_but_not_the_network_on_every_frame(tmp_path: Path) -> None:
    shown = [flat(label) for label in (3, 3, 5, 5, 5, 3)]
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    subject, ticks = Subject(model=Recursive(), aggregate=True), list[int]()
    found = evaluate_sequence(subject, clip, [2], lambda: ticks.append(1))
    assert found.per_frame.miou == 1
    assert found.intervals[1].repeat_miou == 1
    assert found.intervals[1].pixel_accuracy == found.intervals[2].pixel_accuracy == pytest.approx(3 / 6)
    assert len(ticks) == total_frames([2], 6, aggregate=True) == 6 * (2 + 2)
    figures = report(subject, {}, None, found)
    assert figures["settings"]["aggregate"] is True
    assert figures["intervals"]["1"]["cost"] == pytest.approx(1 - found.intervals[1].miou)


def test_where_results_are_carried_nothing_is_said_to_be_aggregated(tmp_path: Path) -> None:
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(3)] * 4), None, CAMVID)
    subject, ticks = Subject(model=Recursive(), aggregate=True, level="result"), list[int]()
    found = evaluate_sequence(subject, clip, [2], lambda: ticks.append(1))
    assert len(ticks) == total_frames([2], 4, aggregate=aggregates_at_intervals(subject)) == 4 * (1 + 2)
    assert report(subject, {}, None, found)["settings"]["aggregate"] is False
    assert report(Subject(model=Recursive()), {}, None, None)["settings"]["aggregate"] is None


def test_a_policy_that_aggregates_is_scored_without_as_well(tmp_path: Path) -> None:
    shown = [flat(label) for label in (3, 3, 5, 5, 5, 3)]
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    model = Recursive()
    model.can_aggregate = True
    policy = make_policy("adaptive:share=0.5", 10)
    ticks = list[int]()
    scores = evaluate_policy(Subject(model=model), clip, "adaptive", policy, lambda: ticks.append(1))
    assert len(ticks) == policy_frames(Subject(model=model), clip, policy) == 2 * 2 * 6
    assert scores.aggregates_alone
    assert scores.runs[0].scores.pixel_accuracy == pytest.approx(3 / 6)
    assert scores.runs[0].alike.pixel_accuracy > 3 / 6
    assert [run.keys for run in scores.runs] == [3, 4]
    found = policy_figures(scores, evaluate_sequence(Subject(model=model), clip, scores.intervals))
    assert found["gain"] == pytest.approx(scores.alike_miou - found["fixed_miou"])
    assert found["aggregation_gain"] == pytest.approx(scores.miou - scores.alike_miou)
    assert found["aggregation_gain"] < 0
    both = evaluate_policy(Subject(model=model, aggregate=True), clip, "adaptive", policy)
    assert both.runs[0].scores.pixel_accuracy == pytest.approx(3 / 6)
    assert not both.aggregates_alone
    neither = evaluate_policy(Subject(model=model, aggregate=False), clip, "adaptive", policy)
    assert neither.miou == scores.alike_miou
    assert not neither.aggregates_alone


@pytest.mark.parametrize("interval", [4, 10, 25])
def test_a_policy_has_phases_as_fixed_intervals_have(tmp_path: Path, interval: int) -> None:
    shown = [flat(number // 3 % 11) for number in range(31)]
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    subject, ticks = fake(level="result"), list[int]()
    policy = FixedInterval(interval, cuts=False)
    scores = evaluate_policy(subject, clip, "fixed", policy, lambda: ticks.append(1))
    fixed = evaluate_sequence(subject, clip, [interval])
    assert [run.scores.miou for run in scores.runs] == [run.miou for run in fixed.intervals[interval].phases]
    assert len(ticks) == policy_frames(subject, clip, policy) == len(phases_of(interval)) * 31
    found = policy_figures(scores, fixed)
    assert (scores.intervals, found["gain"], found["aggregation_gain"]) == ((interval,), 0, None)
    assert found["spread"] == max(found["phases"]) - min(found["phases"]) > 0
    assert found["key_by_cause"]["first"] == 2 * len(phases_of(interval)) - 1


def test_how_long_a_policy_takes_that_has_no_interval_of_its_own_is_not_known(tmp_path: Path) -> None:
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(3), flat(5)]), None, CAMVID)
    assert policy_frames(fake(level="result"), clip, make_policy("codec", 10)) is None


def test_pictures_of_a_data_set_have_nothing_before_them(tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path / "set", [flat(label) for label in range(4)]))
    assert evaluate_folder(Subject(model=Recursive(), aggregate=True), pairs).miou == 1


def test_the_street_is_a_sequence_with_labels_of_its_own() -> None:
    text = "street:seed=3,size=64x48,length=4"
    clip = read_clip(text, None, CAMVID)
    assert (clip.name, len(clip), clip.places) == (text, 4, set())
    scene = StreetScene(size=(64, 48), rate=30, length=4, seed=3)
    for number, frame in enumerate(clip.source().frames()):
        np.testing.assert_array_equal(clip.truth(number), scene.frame(number).classes)
        np.testing.assert_array_equal(frame.bgr, scene.frame(number).bgr)
    assert evaluate_sequence(fake(level="result"), clip, [2]).intervals[2].miou > 0


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("street:length=4", Path("labels"), "labels of its own; leave --labels out"),
        ("street:length=endless", None, "cannot be run again and again; give it a length"),
        ("street:length=4,live=1", None, "cannot be run again and again"),
        ("street:lenght=4", None, "did you mean"),
    ],
)
def test_streets_that_cannot_be_sequences_are_refused(text: str, labels: Path | None, message: str) -> None:
    with pytest.raises(KeywarpError, match=message):
        read_clip(text, labels, CAMVID)


# --- Sequences, by hand -----------------------------------------------------------------------------------


def test_phases_ages_and_repeats_by_hand(tmp_path: Path) -> None:
    shown = [flat(label) for label in (0, 0, 1, 1, 2, 2)]  # nothing to see that could move
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    found = evaluate_sequence(fake(level="result"), clip, [2])
    assert (found.frames, found.per_frame.miou, list(found.intervals)) == (6, 1, [1, 2])
    two = found.intervals[2]
    # Key frames 0, 2, 4: all right. Key frames 0, 1, 3, 5: frame 2 is called 0, and frame 4 is called 1.
    assert [run.miou for run in two.phases] == pytest.approx([1, fmean([2 / 3, 1 / 3, 1 / 2])])
    assert [age.miou for age in two.ages] == pytest.approx([1, fmean([1 / 2, 1 / 3, 1 / 2])])
    assert two.miou == pytest.approx(0.75)
    assert two.spread == pytest.approx(0.5)
    assert two.min_miou == pytest.approx(4 / 9)
    assert two.min_key_age == 1
    assert two.pixel_accuracy == pytest.approx(fmean([1, 4 / 6]))
    assert two.repeat_miou == pytest.approx(two.miou)


def test_a_long_interval_is_run_in_some_of_its_phases(tmp_path: Path) -> None:
    labels = [number // 4 % 11 for number in range(45)]
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(label) for label in labels]), None, CAMVID)
    ticks = list[int]()
    found = evaluate_sequence(fake(level="result"), clip, [20, 43], lambda: ticks.append(1))
    assert phases_of(20) == list(range(20))
    assert phases_of(43) == [43 * number // 20 for number in range(20)]
    assert len(ticks) == total_frames([20, 43], 45) == 45 * (1 + 20 + 20)
    for interval in (20, 43):
        scores, right = found.intervals[interval], list[float]()
        for phase in phases_of(interval):
            keys = [0 if n < phase else n - (n - phase) % interval for n in range(45)]
            right.append(fmean(labels[n] == labels[key] for n, key in enumerate(keys)))
        assert [run.pixel_accuracy for run in scores.phases] == pytest.approx(right)
        assert [run.pixel_accuracy for run in scores.repeated] == pytest.approx(right)
        assert len(scores.ages) == interval
        assert all(age.counts.any() for age in scores.ages)


@pytest.mark.parametrize(("share", "keys"), [(0.01, 1), (0.03, 2)])
def test_a_policy_with_hardly_a_key_frame_is_compared_with_as_many(
    tmp_path: Path, share: float, keys: int
) -> None:
    shown = [flat(number // 5 % 11) for number in range(60)]
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    subject = fake(level="result")
    policy = make_policy(f"adaptive:share={share},cuts=off", 10)
    scores = evaluate_policy(subject, clip, "adaptive", policy)
    assert scores.runs[0].keys == keys
    assert total_frames(scores.intervals, 60) <= 60 * (1 + 2 * 20)
    found = policy_figures(scores, evaluate_sequence(subject, clip, scores.intervals))
    if keys == 1:
        assert (scores.intervals, found["fixed_miou"], found["gain"]) == ((), found["miou"], 0)
        once = evaluate_sequence(subject, clip, [60]).intervals[60].phases[0]  # frame 0 alone
        assert found["miou"] == once.miou
    else:
        assert scores.intervals == (33,)
        assert scores.share == pytest.approx(fixed_share(33, 60, phases_of(33)))


@pytest.mark.parametrize(
    ("broken", "interval", "by_cause"),
    [
        ((), 3, {"first": 3, "interval": 1 + 2 + 2}),  # frames 0, 3; 0, 1, 4; 0, 2, 5
        ((2,), 3, {"first": 3, "interval": 1 + 2 + 2, "nan": 2}),  # 0, 2, 5; 0, 1, 2, 5; 0, 2, 5
        ((1, 2, 3, 4, 5), 2, {"first": 2, "interval": 1, "nan": 5 + 4}),  # all, of which 1 begins a phase
    ],
)
def test_key_frames_of_an_interval_are_counted_by_their_cause(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: tuple[int, ...],
    interval: int,
    by_cause: dict[str, int],
) -> None:
    monkeypatch.setattr(run_module, "make_estimator", lambda *_, **__: BrokenFlow(broken))
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(3)] * 6), None, CAMVID)
    found = evaluate_sequence(fake(), clip, [interval])
    assert found.intervals[interval].by_cause == by_cause
    intervals = report(fake(), {}, None, found)["intervals"]
    assert intervals[str(interval)]["key_by_cause"] == by_cause
    assert intervals["1"]["key_by_cause"] == {"first": 1, "interval": 5}


MOTION_PX = (2, 1)
FRAMES = 9


def moving_labels() -> list[Pixels]:
    """What :class:`FakeModel` reads from each frame of the moving texture."""
    source = SyntheticSource(size=(64, 48), length=FRAMES, motion_px=MOTION_PX)
    source.open()
    return [frame.bgr[..., 0] % len(CAMVID) for frame in source.frames()]


def carried(labels: list[Pixels], number: int, age: int) -> Pixels:
    """The labels of the key frame, moved by ``age`` steps; what came into view takes the border's."""
    key = labels[number - age]
    rows = np.maximum(np.arange(key.shape[0]) - age * MOTION_PX[1], 0)
    columns = np.maximum(np.arange(key.shape[1]) - age * MOTION_PX[0], 0)
    moved: Pixels = key[rows][:, columns]
    return moved


def expected_run(results: Any, labels: list[Pixels], interval: int, phase: int) -> Scores:
    """One run's scores; ``results`` makes those of a frame and its key age."""
    counts = np.zeros((len(CAMVID), len(CAMVID)), np.int64)
    keys = [0, *range(phase, FRAMES, interval)]
    for number, truth in enumerate(labels):
        age = number - max(key for key in keys if key <= number)
        counts += confusion(truth, results(labels, number, age), len(CAMVID))
    return Scores(counts)


def test_a_clip_keeps_no_more_than_it_may() -> None:
    length, (width, height) = 3, (64, 48)

    def make_source() -> SyntheticSource:
        made.append(SyntheticSource(size=(width, height), length=length, motion_px=MOTION_PX))
        return made[-1]

    made = list[SyntheticSource]()
    scene = StreetScene(size=(width, height), length=length)
    truth = [DrawnTruth(scene, number) for number in range(length)]
    # BGR, the exact step's field and mask, and the truth
    needed = length * width * height * (3 + 2 * 4 + 1 + 1)
    subject = fake(flow={"method": "source"})
    for most_bytes, runs in ((needed, 1), (needed - 1, 3)):
        made.clear()
        clip = Clip("drawn", make_source, truth, CAMVID, most_bytes=most_bytes)
        for _ in range(2):
            packets = subject.packets(clip.source(), make_policy("fixed", 9), length)
            frames = [packet.frame for packet in packets]
        assert len(made) == runs
        step = frames[1].known_step
        assert step is not None
        assert frames[1].picture.given_bytes == width * height * 3
        assert step.field.nbytes + step.valid.nbytes == width * height * 9
    first, again = (next(iter(clip.source().frames())).picture for _ in range(2))
    assert first is not again


def test_motion_vectors_count_and_what_is_made_of_them_is_not_kept(tmp_path: Path) -> None:
    size = (64, 48)
    film = write_film(tmp_path / "clip.mp4", pictures(4, size))
    folder = write_labels(tmp_path / "labels", [flat(0, size)] * 4)
    maps = [LabelMap(folder / f"{index}.png") for index in range(4)]

    def make_source() -> Source:
        made.append(open_source(str(film)))
        made[-1].want_vectors()
        return made[-1]

    made = list[Source]()
    kept = Clip("film", make_source, maps, CAMVID)
    first, again = (list(kept.source().frames()) for _ in range(2))
    (one,), (other,) = first[2].vectors, again[2].vectors
    assert one is not None
    assert other is not None
    assert one.painted("past", (8, 6)) is not None
    assert one.painted("past", (8, 6)) is not other.painted("past", (8, 6))
    blocks = [each.blocks.nbytes for frame in first for each in frame.vectors if each is not None]
    assert len(blocks) >= 3
    needed = sum(blocks) + sum(frame.picture.given_bytes + size[0] * size[1] for frame in first)
    for most_bytes, is_kept in ((needed, True), (needed - 1, False)):
        clip = Clip("film", make_source, maps, CAMVID, most_bytes=most_bytes)
        assert (clip.source() is not made[-1]) is is_kept


@pytest.mark.parametrize("most_bytes", [1 << 30, 0], ids=["kept in memory", "read anew"])
def test_every_run_along_a_known_motion_is_as_worked_out(tmp_path: Path, most_bytes: int) -> None:
    labels = moving_labels()
    maps = [LabelMap(write_labels(tmp_path, labels) / f"{index}.png") for index in range(FRAMES)]
    opened = list[SyntheticSource]()

    def make_source() -> SyntheticSource:
        opened.append(SyntheticSource(size=(64, 48), length=FRAMES, motion_px=MOTION_PX))
        return opened[-1]

    clip = Clip("moving", make_source, maps, CAMVID, most_bytes=most_bytes)
    ticks = list[int]()
    found = evaluate_sequence(fake(flow={"method": "source"}), clip, (4, 3), lambda: ticks.append(1))
    assert list(found.intervals) == [1, 3, 4]
    for interval in (1, 3, 4):
        scores = found.intervals[interval]
        runs = [expected_run(carried, labels, interval, phase) for phase in range(interval)]
        assert [run.miou for run in scores.phases] == pytest.approx([run.miou for run in runs])
        held = [
            expected_run(lambda all_, number, age: all_[number - age], labels, interval, phase)
            for phase in range(interval)
        ]
        assert [run.miou for run in scores.repeated] == pytest.approx([run.miou for run in held])
        assert scores.miou == pytest.approx(fmean(run.miou for run in runs))
        assert scores.repeat_miou == pytest.approx(fmean(run.miou for run in held))
        total = sum(run.counts.sum() for run in scores.phases)
        assert sum(age.counts.sum() for age in scores.ages) == total == interval * FRAMES * 64 * 48
    assert found.per_frame.miou == 1
    assert found.intervals[3].repeat_miou < 0.5 < found.intervals[3].miou < 1
    assert found.intervals[4].min_key_age == 3
    assert len(ticks) == total_frames((4, 3), FRAMES) == FRAMES * (1 + 3 + 4)
    assert len(opened) == (1 if most_bytes else 1 + 1 + 3 + 4)
    assert all(source.closed for source in opened)


def test_frames_in_a_folder_are_taken_in_natural_order(tmp_path: Path) -> None:
    shown = [flat(index % 11) for index in range(12)]  # by name, 10.png comes before 2.png
    clip = read_clip(write_pairs(tmp_path / "clip", shown), None, CAMVID)
    assert [int(clip.truth(index)[0, 0]) for index in range(12)] == [index % 11 for index in range(12)]


def test_the_frames_of_a_film_take_the_labels_in_natural_order(tmp_path: Path) -> None:
    labels = [flat(index % 11) for index in range(12)]
    film = write_film(
        tmp_path / "clip.mp4", [np.full((24, 32, 3), 10 * index, np.uint8) for index in range(12)]
    )
    write_labels(tmp_path / "clip_labels", labels)
    clip = read_clip(film, None, CAMVID)
    assert len(clip) == 12
    assert [int(clip.truth(index)[0, 0]) for index in range(12)] == [index % 11 for index in range(12)]


def test_a_glob_takes_some_pictures_of_a_folder(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(index % 11) for index in range(12)])
    for labels in (None, tmp_path / "clip_labels"):
        clip = read_clip(f"{folder}/1*.png", labels, CAMVID)
        assert [int(clip.truth(index)[0, 0]) for index in range(len(clip))] == [1, 10, 0]
        assert clip.places == {folder, tmp_path / "clip_labels"}
    with pytest.raises(SourceError, match=r"no picture matches '.*x\*\.png'"):
        read_clip(f"{folder}/x*.png", None, CAMVID)
    with pytest.raises(
        UsageError, match=r"labels '.*cl\*_labels' does not exist; name the one of .* --labels"
    ):
        read_clip(f"{tmp_path}/cl*/1*.png", None, CAMVID)


def test_a_rate_is_that_of_pictures_and_streets_and_a_film_has_its_own(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(0)] * 3)
    text = "street:seed=1,size=96x64,length=3"
    for rate, fps in ((None, 25), (12.5, 12.5)):
        frames = list(read_clip(folder, None, CAMVID, rate=rate).source().frames())
        assert [float(frame.time_s) for frame in frames] == [0, 1 / fps, 2 / fps]
    slow = read_clip(text, None, CAMVID, rate=5)
    assert slow.source().open().rate == 5
    np.testing.assert_array_equal(slow.truth(2), read_clip(f"{text},rate=5", None, CAMVID).truth(2))
    assert (slow.truth(2) != read_clip(text, None, CAMVID).truth(2)).any()
    film = write_film(tmp_path / "clip.mp4", [picture_of(flat(0))] * 3)
    with pytest.raises(
        UsageError, match=r"rate 5 cannot be had from '.*clip\.mp4': a video has its own times"
    ):
        read_clip(film, None, CAMVID, rate=5)


# --- Sequences that cannot be scored ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 5])
def test_a_film_with_another_number_of_labels_is_refused_with_both(tmp_path: Path, count: int) -> None:
    film = write_film(tmp_path / "clip.mp4", [picture_of(flat(0))] * 4)
    labels = write_labels(tmp_path / "labels", [flat(0)] * count)
    with pytest.raises(UsageError, match=rf"clip\.mp4' has 4 frames, and there are {count} label maps"):
        read_clip(film, labels, CAMVID)


class Lossy(SyntheticSource):
    """Says that a frame was lost before the last one."""

    def frames(self) -> Iterator[Frame]:
        yield from super().frames()
        self.losses.add("undecodable")


def test_a_film_with_frames_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    labels = [LabelMap(write_labels(tmp_path, [flat(0)] * 3) / f"{index}.png") for index in range(3)]
    with pytest.raises(UsageError, match="1 frames of 'film' cannot be read"):
        Clip("film", lambda: Lossy(size=SIZE, length=3), labels, CAMVID)


def test_labels_of_another_size_than_the_film_are_refused(tmp_path: Path) -> None:
    film = write_film(tmp_path / "clip.mp4", [picture_of(flat(0))] * 2)
    labels = write_labels(tmp_path / "labels", [flat(0), flat(0, (24, 32))])
    with pytest.raises(UsageError, match=r"1\.png' are 24x32, their frame is 32x24"):
        read_clip(film, labels, CAMVID)


def test_pictures_of_several_sizes_are_no_sequence(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(0), flat(1), flat(2, (24, 32))])
    with pytest.raises(UsageError, match=r"2\.png' is 24x32, those before it are 32x24"):
        read_clip(folder, None, CAMVID)


def test_a_sequence_that_is_not_there_or_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere' does not exist"):
        read_clip(tmp_path / "nowhere", None, CAMVID)
    folder = write_pairs(tmp_path / "clip", [flat(0), flat(1)])
    with pytest.raises(
        UsageError, match=r"labels '.*none' does not exist; name the one of '.*clip' with --labels"
    ):
        read_clip(folder, tmp_path / "none", CAMVID)
    (tmp_path / "clip_labels" / "1.png").unlink()
    with pytest.raises(UsageError, match=r"1\.png' has no labels"):
        read_clip(folder, None, CAMVID)
    (tmp_path / "empty").mkdir()
    film = write_film(tmp_path / "clip.mp4", [picture_of(flat(0))] * 2)
    with pytest.raises(UsageError, match="empty' holds no PNG"):
        read_clip(film, tmp_path / "empty", CAMVID)


def test_a_sequence_without_a_class_is_an_error(tmp_path: Path) -> None:
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(1)] * 2, [flat(255)] * 2), None, CAMVID)
    with pytest.raises(UsageError, match=r"none of the label maps of '.*clip' has a pixel with a class"):
        evaluate_sequence(fake(), clip, [1])


@pytest.mark.parametrize("interval", [0, -1, 7])
def test_intervals_that_the_clip_cannot_have_are_refused(interval: int) -> None:
    with pytest.raises(
        UsageError, match=f"interval {interval} .* 6 frames; it is a whole number from 1 to 6"
    ):
        check_intervals([2, interval], 6)
    assert check_intervals(iter([6, 2, 2]), 6) == [1, 2, 6]


# --- Subjects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        {"delivery": {"mode": "newest"}},
        {"delivery": {"max_age_ms": 1e-6}},
        {"serve": {"port": 0}},
        {"sinks": ["null"]},
    ],
)
def test_every_frame_is_scored_and_none_is_shown(tmp_path: Path, setting: dict[str, Any]) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(number % 7) for number in range(30)])
    clip, pairs = read_clip(folder, None, CAMVID), find_pairs(folder)
    subject = Subject(RunConfig(level="result", **setting), model=FakeModel())
    ticks = list[int]()
    assert evaluate_sequence(subject, clip, [1], lambda: ticks.append(1)).per_frame.miou == 1
    assert evaluate_policy(subject, clip, "fixed", FixedInterval(1), lambda: ticks.append(1)).miou == 1
    assert evaluate_folder(subject, pairs, lambda: ticks.append(1)).miou == 1
    assert len(ticks) == 3 * 30
    assert subject.config == RunConfig(level="result")
    (name,) = setting
    with pytest.raises(
        UsageError, match=f"'{name}' cannot be set where results are scored: .*; leave it out"
    ):
        fake(**setting)
    with pytest.raises(UsageError, match=f"'{name}' cannot be set"):
        subject.varied(**setting)


@pytest.mark.parametrize("length", [3, 5])
def test_results_out_of_step_with_the_labels_are_an_error(length: int) -> None:
    source = SyntheticSource(size=SIZE, length=length)
    with pytest.raises(KeywarpError, match=f"a run over 4 frames brought {length}, .* are not in step"):
        list(fake().packets(source, FixedInterval(1), 4))


class Sparse(SyntheticSource):
    """Leaves out a frame, and says so by the numbers of the others alone."""

    def frames(self) -> Iterator[Frame]:
        return (frame for frame in super().frames() if frame.index != 2)


def test_the_truth_is_that_of_a_frames_own_number(tmp_path: Path) -> None:
    labels = [LabelMap(write_labels(tmp_path, moving_labels()) / f"{index}.png") for index in range(FRAMES)]
    made = [
        SyntheticSource(size=(64, 48), length=FRAMES, motion_px=MOTION_PX),
        Sparse(size=(64, 48), length=FRAMES, motion_px=MOTION_PX),
    ]
    clip, scores = Clip("film", lambda: made.pop(0), labels, CAMVID, most_bytes=0), list[float]()
    subject = fake()
    compared = subject.compare
    subject.compare = lambda truth, packet: watched(compared(truth, packet))  # type: ignore[method-assign]

    def watched(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        scores.append(Scores(counts).pixel_accuracy)
        return counts

    with pytest.raises(KeywarpError, match=f"a run over {FRAMES} frames brought {FRAMES - 1}"):
        evaluate_sequence(subject, clip, [1])
    assert scores == [1] * (FRAMES - 1)


def test_frames_that_come_anew_and_are_more_than_the_labels_are_an_error(tmp_path: Path) -> None:
    labels = [LabelMap(write_labels(tmp_path, moving_labels()) / f"{index}.png") for index in range(FRAMES)]
    made = [SyntheticSource(size=(64, 48), length=length) for length in (FRAMES, FRAMES + 1)]
    clip = Clip("film", lambda: made.pop(0), labels, CAMVID, most_bytes=0)
    with pytest.raises(
        KeywarpError, match=f"'film' had {FRAMES} frames, .* now has more: frame {FRAMES} has none"
    ):
        evaluate_sequence(fake(), clip, [1])


def test_a_model_with_other_classes_is_refused(tmp_path: Path) -> None:
    pets = ClassSet("pets", ("cat", "dog"), ((0, 0, 0), (9, 9, 9)))
    with pytest.raises(
        UsageError, match=r"model 'fake' has the classes of 'camvid', the data those of 'pets'"
    ):
        fake().check_classes(pets)
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(0), flat(1)]), None, pets)
    with pytest.raises(UsageError, match="the data those of 'pets'"):
        evaluate_sequence(fake(), clip, [1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ["enet", "enet"]}, "one model is evaluated at a time; given: enet, enet"),
        ({"models": ["enett"]}, "did you mean 'enet'"),
        ({"engine": "opnvino"}, "did you mean 'openvino'"),
        ({"level": "feature"}, "did you mean 'features'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Subject(**settings)


# --- Reports and sheets -----------------------------------------------------------------------------------


def test_figures_that_do_not_exist_are_null(tmp_path: Path) -> None:
    subject = fake()
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(0), flat(1)], [flat(0), flat(255)]), None, CAMVID)
    found = evaluate_sequence(subject, clip, [2])
    figures = report(subject, {"sequence": "clip"}, None, found)
    assert figures["classes"]["tree"] == {"iou": None, "accuracy": None, "dice": None, "share": 0.0}
    assert figures["classes"]["sky"]["iou"] == 1.0
    assert figures["intervals"]["2"]["ages"] == [1.0, None]
    assert figures["intervals"]["2"]["min_key_age"] == 0


def test_the_lowest_age_is_one_that_has_a_score() -> None:
    nothing, half = np.zeros((2, 2), np.int64), np.array([[1, 1], [1, 1]], np.int64)
    scores = IntervalScores(2, (Scores(half),), (Scores(nothing), Scores(half)), (Scores(half),), {})
    assert scores.min_key_age == 1
    assert scores.min_miou == pytest.approx(1 / 3)
    assert SequenceScores(1, Scores(half), {2: scores}).intervals[2].miou == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("interval", "ages"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 1, 2]),
        (7, [0, 1, 2, 4, 6]),
        (10, [0, 1, 2, 4, 9]),
        (30, [0, 1, 2, 4, 9, 29]),
    ],
)
def test_a_sheet_shows_rising_ages_and_the_last(interval: int, ages: list[int]) -> None:
    assert sheet_ages(interval) == ages


def test_a_sheet_shows_errors_in_red_and_void_dark(tmp_path: Path) -> None:
    true = [flat(5)] * 6
    true[5] = flat(5)
    true[5][:, :16], true[5][:, 24:] = 255, 7  # nothing known, right, wrong
    clip = read_clip(write_pairs(tmp_path / "clip", [flat(5)] * 6, true), None, CAMVID)
    sheet = draw_sheet(fake(), clip, 3, "title", "note")
    assert sheet.dtype == np.uint8
    blue, green, red = (int(value) for value in _panel_pixel(sheet, column=2, row=2, x=300, y=120))
    assert red > 180 > 100 > max(blue, green)
    assert max(int(value) for value in _panel_pixel(sheet, column=2, row=2, x=20, y=120)) < 40
    gray = _panel_pixel(sheet, column=2, row=2, x=200, y=120)
    assert np.ptp(gray.astype(int)) == 0


def _panel_pixel(sheet: Pixels, *, column: int, row: int, x: int, y: int) -> Pixels:
    pixel: Pixels = sheet[124 + row * 246 + y, 96 + column * 326 + x]
    return pixel
