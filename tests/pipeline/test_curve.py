"""The curve: what is run and scored, against the sequence evaluation and by hand; table, JSON and plot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.engines.errors import KeywarpError, SourceError, UsageError
from keywarp.models.base import Array, Earlier, KeyOutput, Setup
from keywarp.models.fake import FakeModel
from keywarp.models.labels import CAMVID
from keywarp.models.metrics import Scores
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.config import RunConfig
from keywarp.pipeline.curve import Curve, Film, Point, Variant, make_variants, measure_curve, read_film
from keywarp.pipeline.curve import film as film_module
from keywarp.pipeline.curve.axes import Axis, even_ticks, log_ticks, tick_text
from keywarp.pipeline.curve.drawing import Drawing, Line, Marker, Text, to_pixels, to_svg
from keywarp.pipeline.curve.measure import REFERENCE_RUNS, aggregates, total_frames, usable_flows
from keywarp.pipeline.curve.plot import draw_curve
from keywarp.pipeline.curve.report import SCHEMA, curve_markdown, curve_report, headings
from keywarp.pipeline.curve.variants import check_intervals, in_turns, trials_of
from keywarp.pipeline.evaluation import Subject, evaluate_sequence, read_clip
from keywarp.pipeline.evaluation.sequence import phases_of
from keywarp.pipeline.sources.synthetic import SyntheticSource
from keywarp.pipeline.stage import StreamInfo

from .commands import Call, caller
from .labelled import flat, picture_of, write_labels, write_pairs
from .sources.films import pictures, write_film

FRAMES = 12
SIZE = (64, 48)


def fake(**settings: Any) -> Subject:
    return Subject(model=FakeModel(), **settings)


def film_of(source: SyntheticSource, truth: Sequence[NDArray[np.uint8]] | None = None) -> Film:
    info = source.open()
    return Film("made up", info, list(source.frames()), truth)


def moving(length: int = FRAMES) -> Film:
    """A texture that moves, with its true classes as :class:`FakeModel` reads them."""
    film = film_of(SyntheticSource(size=SIZE, length=length))
    return Film(film.name, film.info, film.frames, [f.anew().bgr[..., 0] % len(CAMVID) for f in film.frames])


def unlabelled(film: Film) -> Film:
    return Film(film.name, film.info, film.frames, None)


# --- What is run ------------------------------------------------------------------------------------------


def test_variants_are_all_combinations_without_interval_1() -> None:
    variants = make_variants(["dis", "source"], ["result"], ["fixed", "adaptive"], [5, 1, 2])
    assert len(variants) == 8
    assert variants[:2] == [Variant("dis", "result", "fixed", 2), Variant("dis", "result", "fixed", 5)]
    assert Counter(v.is_fixed for v in variants) == {True: 4, False: 4}


def test_interval_1_is_a_variant_where_key_frames_are_aggregated() -> None:
    variants = make_variants(
        ["dis"], ["features", "result"], ["fixed"], [2, 1], aggregates=lambda v: v.level == "features"
    )
    assert [(v.level, v.interval) for v in variants] == [("features", 1), ("features", 2), ("result", 2)]
    assert [trial.counts for trial in trials_of(variants[0])] == [True, False, False]


@pytest.mark.parametrize("intervals", [[2, 3], [1]])
def test_a_share_counts_whatever_the_intervals(intervals: list[int]) -> None:
    (variant,) = make_variants(["dis"], ["result"], ["adaptive:share=0.25"], intervals)
    assert variant.interval == 4


def test_a_policy_that_says_its_share_has_one_interval() -> None:
    variants = make_variants(["dis"], ["result"], ["adaptive:share=0.25", "fixed:cuts=off"], [2, 3])
    assert [(v.policy, v.interval) for v in variants] == [
        ("adaptive:share=0.25", 4),
        ("fixed:cuts=off", 2),
        ("fixed:cuts=off", 3),
    ]


@pytest.mark.parametrize(
    ("levels", "policies", "message"),
    [
        (["feature"], ["fixed"], "did you mean 'features'"),
        (["features"], ["fixd"], "did you mean 'fixed'"),
        (["features"], ["adaptive:share=2"], "a share of 2 key frames is not possible"),
    ],
)
def test_names_that_there_are_not_are_refused(levels: list[str], policies: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_variants(["dis"], levels, policies, [5])


def test_a_fixed_interval_is_run_in_every_phase_and_three_times_at_least() -> None:
    two = trials_of(Variant("dis", "result", "fixed", 2))
    assert [(trial.policy.phase, trial.counts) for trial in two] == [(0, True), (1, True), (0, False)]  # type: ignore[attr-defined]
    assert [trial.counts for trial in trials_of(Variant("dis", "result", "fixed", 7))] == [True] * 7
    assert [trial.counts for trial in trials_of(Variant("dis", "result", "adaptive", 10))] == [True] * 3
    assert [trial.counts for trial in trials_of(Variant("dis", "result", "adaptive", 2))] == [
        True,
        False,
        True,
    ]


def test_a_long_interval_is_run_in_as_many_phases_as_an_evaluation_runs() -> None:
    variant = Variant("dis", "result", "fixed", 100)
    trials = trials_of(variant)
    assert [trial.policy.phase for trial in trials] == list(phases_of(100)) == list(range(0, 100, 5))  # type: ignore[attr-defined]
    assert all(trial.counts for trial in trials)
    assert total_frames(moving(), [variant]) == FRAMES * (REFERENCE_RUNS + 20)


def test_runs_take_turns() -> None:
    own = [trials_of(Variant("dis", "result", "fixed", interval)) for interval in (10, 3)]
    numbers = [number for number, _ in in_turns(own)]
    assert Counter(numbers) == {0: 10, 1: 3}
    assert [place for place, number in enumerate(numbers) if number == 1] == [2, 6, 10]
    assert {id(trial) for _, trial in in_turns(own)} == {id(trial) for trials in own for trial in trials}


@pytest.mark.parametrize("interval", [0, 13])
def test_intervals_beyond_the_film_are_refused(interval: int) -> None:
    with pytest.raises(UsageError, match=f"interval {interval} cannot be shown on 12 frames"):
        check_intervals([2, interval], 12)
    variants = [Variant("dis", "result", "fixed", interval)]
    with pytest.raises(UsageError, match="cannot be shown"):
        measure_curve(fake(), moving(), variants)


# --- Films ------------------------------------------------------------------------------------------------


def test_every_pass_makes_everything_anew() -> None:
    film = moving()
    first, second = (list(film.source().frames()) for _ in range(2))
    assert [frame.index for frame in first] == list(range(FRAMES))
    assert first[3].known_step is not second[3].known_step
    np.testing.assert_array_equal(first[3].gray(), second[3].gray())
    assert first[3].gray() is not second[3].gray()
    assert film.head(2).info == film.info
    assert (len(film.head(2)), len(film.head(2).truth or ())) == (2, 2)


@pytest.mark.parametrize(("length", "is_cut"), [(4, False), (5, True)])
def test_a_film_is_said_to_be_cut_only_where_it_is(
    monkeypatch: pytest.MonkeyPatch, length: int, is_cut: bool
) -> None:
    monkeypatch.setattr(film_module, "_MOST_BYTES", 4 * 6 * SIZE[0] * SIZE[1])
    note = ("only 4 frames of 64x48 fit into memory",)
    for wanted, notes in ((None, note if is_cut else ()), (50, note if is_cut else ()), (4, ())):
        with closing(SyntheticSource(size=SIZE, length=length)) as source:
            frames, found = film_module._read(source, source.open(), 0, wanted)
        assert ([frame.index for frame in frames], found) == ([0, 1, 2, 3], notes)


def test_the_street_has_labels_of_its_own() -> None:
    film = read_film("street:size=64x48,length=9", first=2, frames=4)
    assert (film.first, len(film), film.info.size) == (2, 4, (64, 48))
    assert film.truth is not None
    assert [truth.shape for truth in film.truth] == [(48, 64)] * 4
    with pytest.raises(UsageError, match="street: has labels of its own"):
        read_film("street:length=9", labels=Path("labels"))


def test_frames_of_a_labelled_film_keep_their_labels(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(label) for label in range(6)])
    film = read_film(str(folder), labels=tmp_path / "clip_labels", first=2, frames=3)
    assert film.truth is not None
    assert [int(truth[0, 0]) for truth in film.truth] == [2, 3, 4]
    assert [int(frame.bgr[0, 0, 0]) for frame in film.source().frames()] == [2, 3, 4]
    assert len(read_film(str(folder), labels=tmp_path / "clip_labels")) == 6
    assert read_film(str(folder)).truth is None
    some = read_film(f"{folder}/[1-3].png", labels=tmp_path / "clip_labels")
    assert some.truth is not None
    assert [int(truth[0, 0]) for truth in some.truth] == [1, 2, 3]


@pytest.mark.parametrize("labels", [None, "clip_labels"])
def test_a_rate_counts_with_labels_and_without(tmp_path: Path, labels: str | None) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(label) for label in range(6)])
    film = read_film(str(folder), labels=None if labels is None else tmp_path / labels, rate=15)
    assert film.info.rate == film.source().open().rate == 15
    assert [float(frame.time_s) for frame in film.frames[:2]] == [0, 1 / 15]


def test_films_that_cannot_be_are_refused(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(0), flat(1)])
    with pytest.raises(UsageError, match="has no frame 2 or later"):
        read_film(str(folder), first=2)
    with pytest.raises(
        UsageError, match="has 1 frame from frame 1 on, and a curve is measured on 2 at least"
    ):
        read_film(str(folder), first=1)
    with pytest.raises(UsageError, match="a curve is measured on 2 frames at least; given: 1"):
        read_film(str(folder), frames=1)
    with pytest.raises(UsageError, match="is live; a curve runs the same frames many times"):
        read_film("street:live=1,length=4,size=64x48")
    with pytest.raises(SourceError, match=r"'nowhere\.mp4' does not exist"):
        read_film("nowhere.mp4")
    film = write_film(tmp_path / "film.mp4", pictures(4))
    with pytest.raises(UsageError, match="has 4 frames, and there are 3 label maps"):
        read_film(str(film), labels=write_labels(tmp_path / "three", [flat(0, SIZE)] * 3))


# --- Scores -----------------------------------------------------------------------------------------------


def test_with_labels_the_figures_are_those_of_the_sequence_evaluation(tmp_path: Path) -> None:
    shown = [flat(label) for label in (0, 0, 1, 1, 2, 2, 3, 4, 5, 5)]
    folder = write_pairs(tmp_path / "clip", shown)
    scores = evaluate_sequence(fake(level="result"), read_clip(folder, None, CAMVID), [2, 3])
    film = read_film(str(folder), labels=tmp_path / "clip_labels")
    variants = make_variants(["dis"], ["result"], ["fixed:cuts=off"], [2, 3])
    ticks = list[int]()
    curve = measure_curve(fake(), film, variants, tick=lambda: ticks.append(1))
    assert (curve.measure, curve.model, curve.runs_on) == ("miou", "fake", "fake")
    assert curve.per_frame.accuracy == 1
    for point, interval in zip(curve.points, (2, 3), strict=True):
        expected = scores.intervals[interval]
        assert point.accuracy == pytest.approx(expected.miou)
        assert [run.miou for run in point.phases] == pytest.approx([run.miou for run in expected.phases])
        assert point.runs == max(3, interval)
        assert point.timed_runs == 3 + 3
    assert len(ticks) == total_frames(film, variants) == 10 * (REFERENCE_RUNS + 3 + 3)


def test_a_long_interval_scores_what_the_sequence_evaluation_says(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "clip", [flat(number // 4 % 11) for number in range(30)])
    clip, film = read_clip(folder, None, CAMVID), read_film(str(folder), labels=tmp_path / "clip_labels")
    expected = evaluate_sequence(fake(level="result"), clip, [23]).intervals[23]
    variants = make_variants(["dis"], ["result"], ["fixed:cuts=off"], [23])
    (point,) = measure_curve(fake(), film, variants).points
    assert [run.miou for run in point.phases] == [run.miou for run in expected.phases]
    assert point.runs == len(phases_of(23)) == 20


@pytest.mark.parametrize("delivery", [{"mode": "newest"}, {"max_age_ms": 1e-6}])
def test_every_frame_is_run_whatever_a_shared_configuration_delivers(delivery: dict[str, Any]) -> None:
    config = RunConfig.model_validate({"delivery": delivery, "serve": {"port": 0}})
    variants = make_variants(["source"], ["result"], ["fixed"], [2])
    curve = measure_curve(Subject(config, model=FakeModel()), moving(), variants)
    assert curve.per_frame.accuracy == 1
    assert sum(curve.points[0].ages[0].counts.ravel()) == (6 + 7) * SIZE[0] * SIZE[1]


def test_along_a_known_motion_old_results_stay_good() -> None:
    film = moving()
    variants = make_variants(["source"], ["result"], ["fixed"], [4])
    (point,) = measure_curve(fake(), film, variants).points
    assert list(point.ages) == [0, 1, 2, 3]
    assert point.min_key_age == 3
    assert 0.5 < point.min_accuracy < point.accuracy < 1  # what comes into view is not known
    assert point.key_share == pytest.approx((3 + 4 + 4 + 4) / 48)
    assert point.time_ms == pytest.approx(
        point.key_share * point.key_ms + (1 - point.key_share) * point.propagated_ms
    )


def test_aggregation_is_of_the_points_at_level_features_and_said() -> None:
    settings: list[bool] = []

    class Watched(FakeModel):
        def open(self, setup: Setup, frame_size: tuple[int, int]) -> None:
            super().open(setup, frame_size)
            settings.append(setup.aggregates)

    subject = Subject(model=Watched(), aggregate=True)
    variants = make_variants(["source"], ["features", "result"], ["fixed"], [4])
    curve = measure_curve(subject, moving(), variants)
    assert (
        settings.count(True) == 4
    )  # the phases by features, not those by result nor the model on every frame
    assert len(settings) == 4 + 4 + REFERENCE_RUNS
    said = "Key frames of level features are aggregated by: source, fixed."
    assert said in curve_markdown(curve)
    assert curve_report(curve, subject)["settings"]["aggregated"] == ["source, fixed"]


@pytest.mark.parametrize(
    ("given", "policies"), [(None, ("adaptive",)), (True, ("fixed", "adaptive")), (False, ())]
)
def test_where_nothing_else_is_said_adaptive_key_frames_are_aggregated(
    given: bool | None, policies: tuple[str, ...]
) -> None:
    model = FakeModel()
    model.can_aggregate = True
    subject = Subject(model=model, aggregate=given)
    variants = make_variants(["source"], ["features"], ["fixed", "adaptive"], [4])
    curve = measure_curve(subject, moving(), variants)
    assert curve.aggregated == tuple(("source", policy) for policy in policies)
    assert bool(model.earlier) is bool(policies)
    assert ("No key frames are aggregated" in curve_markdown(curve)) is not bool(policies)


@pytest.mark.parametrize("given", [None, True])
def test_for_agreement_nothing_is_aggregated_unless_it_is_asked_for(given: bool | None) -> None:
    model = FakeModel()
    model.can_aggregate = True
    variants = make_variants(["source"], ["features"], ["adaptive"], [4])
    curve = measure_curve(Subject(model=model, aggregate=given), unlabelled(moving()), variants)
    assert curve.aggregated == ((("source", "adaptive"),) if given else ())
    assert bool(model.earlier) is bool(given)


@pytest.mark.parametrize(
    ("given", "labelled", "rows"),
    [
        (True, True, [("fixed", 1), ("fixed", 3), ("adaptive", 1), ("adaptive", 3)]),
        (True, False, [("fixed", 1), ("fixed", 3), ("adaptive", 1), ("adaptive", 3)]),
        (None, True, [("fixed", 3), ("adaptive", 1), ("adaptive", 3)]),
        (None, False, [("fixed", 3), ("adaptive", 3)]),
        (False, True, [("fixed", 3), ("adaptive", 3)]),
    ],
)
def test_every_frame_aggregated_is_a_point_beside_every_frame_by_itself(
    given: bool | None, labelled: bool, rows: list[tuple[str, int]]
) -> None:
    class Mixed(FakeModel):
        """What was mixed has another class."""

        can_aggregate = True

        def features_with(
            self, image: Array, earlier: Earlier[SegmentationMap]
        ) -> KeyOutput[SegmentationMap]:
            return self.features((image + 1) % len(CAMVID))

    film = moving() if labelled else unlabelled(moving())
    subject = Subject(model=Mixed(), aggregate=given)
    settings = ["source"], ["features"], ["fixed", "adaptive"], [1, 3]
    variants = make_variants(*settings, aggregates=partial(aggregates, subject, film))
    assert [(v.policy, v.interval) for v in variants] == rows
    curve = measure_curve(subject, film, variants)
    assert curve.per_frame.accuracy == 1
    for point in curve.points:
        if point.variant is not None and point.variant.interval == 1:
            assert point.key_share == 1
            assert point.time_ms == point.key_ms
            assert [run.pixel_accuracy for run in point.phases] == [1 / FRAMES]  # frame 0 has none before it
            assert f"| source, features, {point.variant.policy} | 1 | 100.0 |" in curve_markdown(curve)
    assert draw_curve(curve)


def test_a_flownet_is_not_said_to_aggregate() -> None:
    model = FakeModel()
    model.can_aggregate = True
    variants = make_variants(["source", "flownet-inception"], ["features"], ["adaptive"], [4])
    curve = measure_curve(Subject(model=model), read_film("street:size=64x64,length=8"), variants)
    assert curve.aggregated == (("source", "adaptive"),)


def test_without_labels_the_measure_is_the_agreement_with_every_frame() -> None:
    variants = make_variants(["source"], ["result"], ["fixed", "adaptive"], [1, 3])
    labelled = measure_curve(fake(), moving(), variants)
    curve = measure_curve(fake(), unlabelled(moving()), variants)
    assert (labelled.measure, curve.measure) == ("miou", "agreement")
    assert curve.per_frame.accuracy == curve.per_frame.min_accuracy == 1
    assert [v.interval for point in curve.points if (v := point.variant)] == [3, 3]
    for point, other in zip(curve.points, labelled.points, strict=True):
        assert point.accuracy == pytest.approx(
            np.mean([run.pixel_accuracy for run in other.phases])
        )  # the fake model is always right
        assert point.miou == pytest.approx(other.accuracy)


def test_on_a_film_that_stands_still_everything_agrees() -> None:
    still = film_of(SyntheticSource([picture_of(flat(4, SIZE))] * 8))
    variants = make_variants(["dis"], ["features", "result"], ["fixed", "adaptive"], [2, 5])
    curve = measure_curve(fake(), still, variants)
    assert {point.accuracy for point in (curve.per_frame, *curve.points)} == {1.0}
    fastest = min((curve.per_frame, *curve.points), key=lambda point: point.time_ms)
    assert curve.front == (fastest,)


def test_labels_without_a_class_are_refused() -> None:
    film = moving()
    film = Film(film.name, film.info, film.frames, [flat(255, SIZE)] * FRAMES)
    with pytest.raises(UsageError, match="no frame of 'made up' has a pixel with a class"):
        measure_curve(fake(), film, make_variants(["dis"], ["result"], ["fixed"], [2]))


def test_flows_that_cannot_run_are_skipped_or_raise() -> None:
    film = film_of(SyntheticSource(pictures(3)))
    info = StreamInfo("film", SIZE, None, Fraction(1, 25))
    film = Film("film", info, film.frames, None)
    usable, skipped = usable_flows(fake(), film, ["source", "dis"], named=False)
    assert usable == ["dis"]
    assert "'film' knows none; use --flow lk" in skipped["source"]
    with pytest.raises(KeywarpError, match="'film' knows none"):
        usable_flows(fake(), film, ["source", "dis"], named=True)


# --- What comes of it -------------------------------------------------------------------------------------


def point_of(variant: Variant | None, time_ms: float, right: int, worst: int) -> Point:
    scores = [Scores(np.array([[n, 1000 - n], [0, 0]], np.int64)) for n in (right, worst)]
    return Point(
        variant, "agreement", 3, 6, time_ms, time_ms, 1.0, (scores[0],), {0: scores[0], 2: scores[1]}
    )


def curve_of(*points: tuple[str, int, float, int], skipped: dict[str, str] | None = None) -> Curve:
    """A curve of (flow, interval, time, pixels of 1000 that agree), with 20 ms for every frame."""
    info = StreamInfo("films/a|b.mp4", SIZE, Fraction(25), Fraction(1, 25))
    film = Film(info.name, info, [], None, 3)
    made = [
        point_of(Variant(flow, "result", "fixed", interval), time_ms, right, right - 20)
        for flow, interval, time_ms, right in points
    ]
    reference = point_of(None, 20, 1000, 1000)
    return Curve(film, "agreement", "fake", "fake", reference, tuple(made), skipped or {})


MADE = curve_of(("dis", 2, 10.5, 990), ("dis", 5, 5, 950), ("codec", 2, 11, 985), ("codec", 5, 4, 955))


def test_the_front_has_the_points_that_nothing_beats() -> None:
    assert [(p.time_ms, p.accuracy) for p in MADE.front] == [(4, 0.955), (10.5, 0.99), (20, 1)]
    assert [p.time_ms for p in curve_of(("dis", 2, 30, 1000)).front] == [20]


def test_an_age_with_the_lowest_figure_is_named() -> None:
    point = MADE.points[0]
    assert (point.min_key_age, point.min_accuracy) == (2, 0.97)


def test_the_report_says_what_was_measured() -> None:
    found = json.loads(json.dumps(curve_report(MADE, fake())))
    assert found["schema"] == SCHEMA == "keywarp.curve/1"
    assert set(found) == {
        "schema", "clip", "model", "settings", "measure", "meaning", "per_frame", "points", "skipped", "notes",
    }  # fmt: skip
    assert found["clip"] == {
        "name": "films/a|b.mp4", "first_frame": 3, "frames": 0, "size": "64x48", "rate": 25.0
    }  # fmt: skip
    assert found["measure"] == "agreement"
    assert "not accuracy" in found["meaning"]["agreement"]
    first = found["points"][0]
    assert (first["flow"], first["level"], first["policy"], first["interval"]) == (
        "dis",
        "result",
        "fixed",
        2,
    )
    assert (first["agreement"], first["min_agreement"], first["min_key_age"]) == (0.99, 0.97, 2)
    assert first["speedup"] == pytest.approx(20 / 10.5)
    assert (first["runs"], first["timed_runs"]) == (3, 6)
    assert [point["pareto"] for point in found["points"]] == [True, False, False, True]
    # an agreement goes by its own name
    assert not any(key in first for key in ("accuracy", "miou", "min_miou"))
    assert found["per_frame"]["speedup"] == 1


def test_the_table_has_a_row_for_each_point_and_notes_what_was_left_out() -> None:
    curve = curve_of(("dis", 5, 5, 950), skipped={"codec": "there are no vectors"})
    lines = curve_markdown(curve).splitlines()
    assert lines[0] == "# Agreement against time: a|b.mp4, fake on fake"
    assert "not accuracy" in lines[2]
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert {row.count("|") for row in rows} == {len(headings("agreement")) + 1}
    assert "| dis, result, fixed | 5 | 100.0 | 5.00 | 4.00 | 95.00 |" in rows[-1]
    assert lines[-1] == "* `codec` was left out: there are no vectors"


def test_the_plot_shows_every_point_and_says_what_it_shows() -> None:
    drawing = draw_curve(MADE)
    texts = [item.text for item in drawing.items if isinstance(item, Text)]
    assert min(texts.count("2"), texts.count("5")) >= 2
    assert "agreement with the per-frame model in %" in texts
    assert any("model work per frame in ms" in text for text in texts)
    assert any("a|b.mp4" in text and "fake on fake" in text for text in texts)
    assert any("not accuracy" in text for text in texts)
    for name in ("dis, result, fixed", "codec, result, fixed", "the network on every frame", "Pareto front"):
        assert name in texts
    width, height = drawing.size
    for item in drawing.items:
        places = item.places if isinstance(item, Line) else [item.at]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_places_on_the_plot_are_in_the_order_of_the_figures() -> None:
    markers = [item for item in draw_curve(MADE).items if isinstance(item, Marker)]
    reference, *points = markers[:5]
    by_time = sorted(zip(MADE.points, points, strict=True), key=lambda pair: pair[0].time_ms)
    places = [marker.at[0] for _, marker in by_time]
    assert places == sorted(places)
    assert places[-1] < reference.at[0]
    by_agreement = sorted(zip(MADE.points, points, strict=True), key=lambda pair: -pair[0].accuracy)
    heights = [marker.at[1] for _, marker in by_agreement]
    assert heights == sorted(heights)
    assert reference.at[1] < heights[0]


def test_a_drawing_is_the_same_as_svg_and_as_pixels() -> None:
    drawing = Drawing((60, 40))
    drawing.add(Line([(5, 20), (55, 20)], (255, 0, 0), 3), Line([(5, 30), (55, 30)], (0, 0, 0), 2, (4, 4)))
    drawing.add(
        Marker((30, 20), "square", 6, (0, 0, 255), (0, 0, 255)),
        Marker((50, 8), "circle", 5, (0, 99, 0), (0, 99, 0)),
    )
    drawing.add(Text((4, 14), "a < b", 10, (0, 0, 0)), Text((58, 36), "up", 8, (0, 0, 0), turned=True))
    root = ElementTree.fromstring(to_svg(drawing))
    assert (root.get("width"), root.get("viewBox")) == ("60", "0 0 60 40")
    tags = Counter(child.tag.rpartition("}")[2] for child in root)
    assert tags == {"rect": 1, "polyline": 2, "polygon": 1, "circle": 1, "text": 2}
    pixels = to_pixels(drawing, 2)
    assert pixels.shape == (80, 120, 3)
    assert pixels[40, 20].tolist() == [0, 0, 255]  # red in BGR
    assert pixels[40, 60].tolist() == [255, 0, 0]
    assert pixels[16, 100].tolist() == [0, 99, 0]
    dashes = (pixels[60, 10:110, 0] < 128).astype(int)
    assert np.count_nonzero(np.diff(dashes)) >= 10
    assert (pixels[8:30, 8:40] < 128).any()  # the text


def test_ticks_are_round_and_within() -> None:
    assert log_ticks(0.9, 30, 7) == pytest.approx([1, 2, 3, 5, 10, 20, 30])
    assert log_ticks(3, 9) == pytest.approx([3, 4, 5, 6, 7, 8, 9])
    assert even_ticks(96.4, 100.2) == [96.5, 97, 97.5, 98, 98.5, 99, 99.5, 100]
    assert even_ticks(0, 1, 2) == [0, 0.5, 1]
    assert [tick_text(value) for value in (100.0, 0.5, 1.5)] == ["100", "0.5", "1.5"]
    axis = Axis(1, 100, 10, 30, log=True)
    assert [axis.place(value) for value in (1, 10, 100)] == pytest.approx([10, 20, 30])
    assert Axis(0, 4, 100, 0).place(1) == 75


# --- The command ------------------------------------------------------------------------------------------


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs ``keywarp curve`` in this process, in a folder with ``clip.mp4``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write_film(tmp_path / "clip.mp4", pictures(6, (64, 48)))
    write_labels(tmp_path / "labels", [flat(3, SIZE)] * 6)
    write_labels(tmp_path / "few", [flat(3, SIZE)] * 5)
    (tmp_path / "link.json").symlink_to("clip.mp4")
    (tmp_path / "card.json").write_text("{}")
    return caller(monkeypatch, capfd, "curve")


def test_the_command_writes_table_json_and_plots(call: Call) -> None:
    ended = call(
        "clip.mp4",
        "--intervals",
        "1,3",
        "--policies",
        "fixed",
        "--flows",
        "dis",
        "--levels",
        "result,features",
        "--out",
        "new",
    )
    assert ended.code == 0, ended.err
    assert "Agreement against time: clip.mp4" in ended.out
    assert "not accuracy" in " ".join(ended.out.split())
    assert "wrote new/curve.json, new/curve.md, new/curve.png, new/curve.svg" in " ".join(ended.out.split())
    found = json.loads(Path("new/curve.json").read_text())
    assert found["measure"] == "agreement"
    assert found["per_frame"]["agreement"] == 1
    assert [(p["level"], p["interval"]) for p in found["points"]] == [("result", 3), ("features", 3)]
    assert found["settings"]["engine"] == "openvino"
    plot = cv2.imread("new/curve.png")
    assert plot is not None
    assert plot.shape == (1520, 2400, 3)
    ElementTree.parse("new/curve.svg")
    assert Path("new/curve.md").read_text().startswith("# Agreement against time")


def test_interval_1_aggregated_is_a_row_of_its_own(call: Call) -> None:
    one = (
        "clip.mp4",
        "--intervals",
        "1",
        "--flows",
        "dis",
        "--policies",
        "fixed",
        "--quiet",
        "--frames",
        "3",
    )
    for flag in ("--aggregate", "--no-aggregate"):
        ended = call(*one, flag, "--out", flag)
        assert ended.code == 0, ended.err
    found = json.loads(Path("--aggregate/curve.json").read_text())
    (point,) = found["points"]
    assert [point[key] for key in ("level", "interval", "key_share", "propagated_ms")] == [
        "features",
        1,
        1,
        None,
    ]
    assert found["settings"]["aggregated"] == ["dis, fixed"]
    assert found["per_frame"]["agreement"] == 1
    assert json.loads(Path("--no-aggregate/curve.json").read_text())["points"] == []


def test_with_labels_it_is_miou_and_json_goes_where_it_is_wanted(call: Call) -> None:
    ended = call(
        "clip.mp4", "--labels", "labels", "--intervals", "2", "--policies", "adaptive,fixed:cuts=off", "--levels",
        "result", "--json", "figures.json", "--quiet", "--flows", "dis", "--frames", "4", "--start", "1",
    )  # fmt: skip
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    found = json.loads(Path("figures.json").read_text())
    assert (found["measure"], found["clip"]["first_frame"], found["clip"]["frames"]) == ("miou", 1, 4)
    assert [point["policy"] for point in found["points"]] == ["adaptive", "fixed:cuts=off"]
    assert all(0 <= point["min_miou"] <= point["miou"] <= 1 for point in found["points"])
    assert not Path("out/curve.json").exists()
    assert Path("out/curve.svg").exists()


def test_by_default_vectors_are_used_where_the_film_has_any(call: Call, tmp_path: Path) -> None:
    few = ("--intervals", "2", "--levels", "result", "--policies", "fixed", "--quiet")
    assert call("clip.mp4", *few, "--out", "film").code == 0
    found = json.loads(Path("film/curve.json").read_text())
    assert ([point["flow"] for point in found["points"]], found["skipped"]) == (["lk", "codec"], [])
    write_labels(tmp_path / "pictures", pictures(4, SIZE))
    assert call("pictures", *few, "--out", "out").code == 0
    found = json.loads(Path("out/curve.json").read_text())
    assert [point["flow"] for point in found["points"]] == ["lk"]
    assert [entry["flow"] for entry in found["skipped"]] == ["codec"]
    assert "* `codec` was left out: flow 'codec' is made of" in Path("out/curve.md").read_text()
    assert "left out: codec" in Path("out/curve.svg").read_text()
    ended = call("pictures", "--flows", "dis,codec", *few)
    assert (ended.code, ended.err.startswith("error: flow 'codec' is made of")) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere.mp4", "source 'nowhere.mp4' does not exist"),
        ("clip.mp4 --intervals 2,7", "interval 7 cannot be shown on 6 frames"),
        ("clip.mp4 --intervals 2,7 --frames 3", "interval 7 cannot be shown on 3 frames"),
        ("clip.mp4 --intervals 0", "'0' in --intervals is no whole number"),
        ("clip.mp4 --intervals 2,,3", "'' in --intervals is no whole number"),
        ("clip.mp4 --start 6", "has no frame 6 or later"),
        (
            "clip.mp4 --start 5",
            "'clip.mp4' has 1 frame from frame 5 on, and a curve is measured on 2 at least",
        ),
        ("clip.mp4 --labels labels --start 5", "'clip.mp4' has 1 frame from frame 5 on"),
        ("labels/0.png --frames 5", "'labels/0.png' has 1 frame, and a curve is measured on 2 at least"),
        (
            "clip.mp4 --labels labels --rate 15",
            "rate 15.0 cannot be had from 'clip.mp4': a video has its own times",
        ),
        ("clip.mp4 --labels few", "'clip.mp4' has 6 frames, and there are 5 label maps"),
        ("clip.mp4 --labels none", "the folder of labels 'none' does not exist"),
        ("clip.mp4 --policies fixd", "unknown policy 'fixd'; did you mean 'fixed'?"),
        ("clip.mp4 --policies adaptive:shar=1", "unknown policy option 'shar'"),
        ("clip.mp4 --flows dis,dsi", "unknown flow 'dsi'; did you mean 'dis'?"),
        ("clip.mp4 --flows source", "flow 'source' is what a source itself knows, and 'clip.mp4' knows none"),
        ("clip.mp4 --levels both", "unknown level 'both'"),
        ("clip.mp4 --out few/0.png", "cannot be written"),
        ("clip.mp4 --out clip.mp4", "would overwrite the source 'clip.mp4', or lie among it"),
        ("clip.mp4 --json clip.mp4", "output 'clip.mp4' would overwrite the source 'clip.mp4'"),
        ("clip.mp4 --json out/curve.png", "output 'out/curve.png' would overwrite output 'out/curve.png'"),
        ("clip.mp4 --json link.json", "output 'link.json' would overwrite the source 'clip.mp4'"),
        ("clip.mp4 --labels labels --json labels/0.png", "would overwrite what is read, or lie among it"),
        ("clip.mp4 --model card.json --json card.json", "output 'card.json' would overwrite what is read"),
        ("clip.mp4 --flows card.json --json card.json", "output 'card.json' would overwrite what is read"),
        ("clip.mp4 --labels labels --out labels", "would overwrite what is read, or lie among it"),
        (
            "clip.mp4 --set interval=3",
            "'interval' cannot be set for a curve; name intervals with --intervals",
        ),
        ("clip.mp4 --set policy=fixed", "'policy' cannot be set for a curve; name policies with --policies"),
        (
            "clip.mp4 --set flow.method=dis",
            "'flow.method' cannot be set for a curve; name flows with --flows",
        ),
        ("clip.mp4 --set delivery.mode=newest", "'delivery' cannot be set where results are scored"),
        ("clip.mp4 --set serve.port=0", "'serve' cannot be set where results are scored: there is no page"),
        ("clip.mp4 --model enett", "did you mean 'enet'"),
        ("street:live=1", "is live"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    call: Call, tmp_path: Path, arguments: str, message: str
) -> None:
    before = _contents(tmp_path)
    ended = call(*arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert _contents(tmp_path) == before


def _contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
