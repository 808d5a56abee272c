"""A whole run in Python: flow and propagation against the street's exact truth, engines, models, real clips."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import keywarp
from keywarp.engines.build import get_engine
from keywarp.engines.errors import EngineError, GraphError
from keywarp.engines.fake import FakeEngine
from keywarp.flow.base import StepEstimator, StepFlow
from keywarp.flow.dis import PRESETS, DisFlow
from keywarp.flow.keyframes import FixedInterval
from keywarp.flow.known import KnownFlow
from keywarp.models.base import Setup
from keywarp.models.build import load_model
from keywarp.models.fake import FakeModel
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.config import RunConfig
from keywarp.pipeline.frame import Frame, JoinedStep
from keywarp.pipeline.graph import Graph
from keywarp.pipeline.keys import PROPAGATION, SEGMENTATION, STEP_FLOW
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sinks.collect import CollectSink
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.sources.video import VideoSource
from keywarp.pipeline.stage import StreamInfo
from keywarp.pipeline.stages.propagate import Propagate

from .sources.films import pictures, read_all, real, write_film

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SIZE = (320, 180)
COUNT = 24
INTERVAL = 8
DROPPED = (2, 5, 6, 10, 14, 15, 16, 20)


# --- The street, drawn once -------------------------------------------------------------------------------


class Drawn(Source):
    """Frames drawn beforehand. ``labels``: pictures of the true classes, for a model that reads them off.

    ``live``: comes faster than a graph can take it, so that frames are dropped at the entrance. ``gaps``: leaves
    frames out by itself, always the same ones, and chains the steps over the gaps.
    """

    def __init__(self, *, labels: bool = False, live: bool = False, gaps: bool = False) -> None:
        super().__init__()
        frames = [label_frame(frame) if labels else frame for frame in street()[1]]
        self._frames = with_gaps(frames) if gaps else frames
        self._live = live

    def open(self) -> StreamInfo:
        return StreamInfo(
            "drawn", SIZE, Fraction(30), Fraction(1, 30), COUNT, live=self._live, knows_step=True
        )

    def frames(self) -> Iterator[Frame]:
        for frame in self._frames:
            if self._live:
                time.sleep(0.002)
            yield frame

    def close(self) -> None:
        pass


@lru_cache(maxsize=1)
def street() -> tuple[StreetSource, list[Frame]]:
    source = StreetSource(size=SIZE, length=COUNT, seed=0)
    return source, read_all(source)[1]


def true_labels(index: int) -> Labels:
    return street()[0].scene.frame(index).classes


def true_step(index: int, previous: int) -> StepFlow:
    return street()[0].scene.frame(index).step(previous)


def label_frame(frame: Frame) -> Frame:
    classes = true_labels(frame.index)
    return replace(frame, picture=Picture.from_bgr(np.dstack([classes, classes, classes])))


def with_gaps(frames: list[Frame]) -> list[Frame]:
    kept: list[Frame] = []
    step = None
    for frame in frames:
        step = frame.step if step is None else JoinedStep.of(step, frame.step)
        if frame.index not in DROPPED:
            kept.append(replace(frame, step=step))
            step = None
    return kept


def away_from_edges(labels: Labels) -> Mask:
    """Pixels whose neighbours for two pixels around are all of their class."""
    kernel = np.ones((5, 5), np.uint8)
    inner: Mask = cv2.erode(labels, kernel) == cv2.dilate(labels, kernel)
    return inner


def agreement(found: list[Labels], wanted: list[Labels]) -> float:
    return float(np.mean([np.mean(a == b) for a, b in zip(found, wanted, strict=True)]))


# --- Step flow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1, 2, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_dis_flow_has_the_sign_and_scale_of_the_exact_flow(preset: str, gap: int) -> None:
    frames = street()[1]
    errors: dict[str, list[float]] = {"found": [], "still": [], "negated": [], "doubled": []}
    for index in range(gap, COUNT, 4):
        found = DisFlow(preset=preset).step(frames[index - gap], frames[index])
        exact = true_step(index, index - gap).resized(found.size)
        seen = exact.valid & found.valid
        for name, factor in (("found", 1), ("still", 0), ("negated", -1), ("doubled", 2)):
            off_px = np.linalg.norm(factor * found.field - exact.field, axis=2)
            errors[name].append(float(np.median(off_px[seen])))
    mean_px = {name: float(np.mean(values)) for name, values in errors.items()}
    cell_px = SIZE[0] / DisFlow(preset=preset).step(frames[0], frames[1]).size[0]
    assert mean_px["found"] * cell_px < 0.55 * gap + 0.2  # pixels of the picture
    assert mean_px["found"] < 0.4 * mean_px["still"]
    assert mean_px["found"] < 0.4 * mean_px["doubled"]
    assert mean_px["found"] < 0.2 * mean_px["negated"]


def test_every_frame_of_the_street_brings_its_exact_step() -> None:
    frames = street()[1]
    for index in (1, 9, COUNT - 1):
        step = frames[index].known_step
        assert step is not None
        np.testing.assert_array_equal(step.field, true_step(index, index - 1).field)


def test_a_film_knows_no_step_flow(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", pictures(3))
    with pytest.raises(keywarp.KeywarpError, match=r"film.mp4' knows none; use --flow lk"):
        list(keywarp.Run(str(film), flow={"method": "source"}, sinks=["null"]))


class Slow(FakeModel):
    """Takes its time, so that a live source has to drop."""

    def propagate(self, key: Any, flow: Any) -> SegmentationMap:
        time.sleep(0.008)
        return super().propagate(key, flow)


def perceive(
    source: Source, steps: StepEstimator, model: FakeModel, interval: int = INTERVAL
) -> list[Packet]:
    stage = Propagate(
        model, Setup(FakeEngine({})), policy=FixedInterval(interval), steps=steps, result=SEGMENTATION
    )
    sink = CollectSink(SEGMENTATION)
    assert len(list(Graph([stage], [sink]).run(source))) == len(sink.packets)
    return sink.packets


def test_frames_dropped_at_the_entrance_leave_one_step_over_the_gap() -> None:
    packets = perceive(Drawn(labels=True, live=True), KnownFlow(SIZE), Slow())
    indices = [packet.frame.index for packet in packets]
    assert len(indices) < COUNT
    assert indices == sorted(indices)
    gaps = [(a, b) for a, b in pairwise(indices) if b - a > 1]
    assert gaps
    for earlier, later in gaps:
        step = packets[indices.index(later)].frame.known_step
        assert step is not None
        exact = true_step(later, earlier)
        seen = step.valid & exact.valid
        assert seen.mean() > 0.5
        off_px = np.linalg.norm(step.field - exact.field, axis=2)[seen]
        # Between surfaces each link of the chain reads a mixture of both flows; elsewhere it is exact.
        assert np.median(off_px) < 0.03
        assert np.mean(off_px > 1) < 0.005 * (later - earlier)


# --- Labels carried along the exact flow ------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True], ids=["every frame", "frames dropped"])
def test_labels_along_the_exact_flow_are_true_away_from_edges(gaps: bool) -> None:
    packets = perceive(Drawn(labels=True, gaps=gaps), KnownFlow(SIZE), FakeModel())
    assert len(packets) == COUNT - len(DROPPED) * gaps
    carried, repeated, inner, inner_repeated = [], [], [], []
    for packet in packets:
        age, index = packet[PROPAGATION].age, packet.frame.index
        if age == 0:
            continue
        truth, key = true_labels(index), true_labels(packet[PROPAGATION].key_index)
        found, calm = packet[SEGMENTATION].labels, away_from_edges(truth)
        carried.append(np.mean(found == truth))
        repeated.append(np.mean(key == truth))
        # What the key frame did not show cannot be carried from it.
        shown = calm & true_step(index, packet[PROPAGATION].key_index).valid
        inner.append(np.mean(found[shown] == truth[shown]))
        inner_repeated.append(np.mean(key[shown] == truth[shown]))
    assert np.mean(inner) > 0.98
    assert 1 - np.mean(inner) < 0.3 * (1 - np.mean(inner_repeated))
    assert 1 - np.mean(carried) < 0.6 * (1 - np.mean(repeated))


def test_labels_along_dis_flow_beat_the_repeated_key_frame() -> None:
    packets = perceive(Drawn(labels=True), _PictureSteps(), FakeModel())
    pairs = [(p[SEGMENTATION].labels, true_labels(p.frame.index), p[PROPAGATION].key_index) for p in packets]
    carried = agreement([a for a, _, _ in pairs], [b for _, b, _ in pairs])
    repeated = agreement([true_labels(k) for _, _, k in pairs], [b for _, b, _ in pairs])
    assert 1 - carried < 0.8 * (1 - repeated)


class _PictureSteps(StepEstimator):
    """DIS on the street's own pictures, whatever the frames that it is asked about show."""

    name = "street pictures"

    def __init__(self) -> None:
        self._dis = DisFlow()

    def step(self, previous: Any, current: Any) -> StepFlow:
        frames = street()[1]
        return self._dis.step(frames[previous.index], frames[current.index])


# --- ENet -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def enet_labels(
    level: str = "features", interval: int = 1, flow: str = "lk", engine: str = "auto"
) -> list[Labels]:
    run = keywarp.Run(
        Drawn(), level=level, interval=interval, flow={"method": flow}, engine=engine, sinks=["null"]
    )
    return [packet[SEGMENTATION].labels for packet in run]


@pytest.mark.parametrize("flow", ["lk", "source"])
@pytest.mark.parametrize("level", ["features", "result"])
def test_propagated_enet_is_closer_to_per_frame_enet_than_the_repeated_key_frame(
    level: str, flow: str
) -> None:
    every = enet_labels()
    repeated = agreement([every[i // INTERVAL * INTERVAL] for i in range(COUNT)], every)
    found = enet_labels(level, INTERVAL, flow)
    for index in range(0, COUNT, INTERVAL):
        np.testing.assert_array_equal(found[index], every[index])
    assert 1 - agreement(found, every) < 0.9 * (1 - repeated)


def test_interval_one_is_plain_inference_on_every_frame() -> None:
    model = load_model("enet")
    model.open(Setup(get_engine()), SIZE)
    try:
        plain = [model.features(model.prepare(f.picture)).result.labels for f in street()[1]]
    finally:
        model.close()
    for index, labels in enumerate(enet_labels()):
        np.testing.assert_array_equal(labels, plain[index], err_msg=f"frame {index}")


def _labels_or_skip(engine: str, source: Source | str, **settings: Any) -> list[Labels]:
    reason = get_engine(engine).missing()
    if reason is not None:
        pytest.skip(reason)
    try:
        run = keywarp.Run(source, engine=engine, sinks=["null"], **settings)
        return [packet[SEGMENTATION].labels for packet in run]
    except EngineError as error:
        if "without a torch module" in str(error):
            pytest.skip(f"models have no torch module yet: {error}")
        raise


@pytest.mark.parametrize("level", ["features", "result"])
@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_engines_agree_on_the_street(engine: str, level: str) -> None:
    frames, wanted = _openvino_on_another_street(level)
    found = _labels_or_skip(engine, _Given(frames), interval=3, level=level, fused=False)
    assert agreement(found, wanted) >= 0.999


@lru_cache(maxsize=2)
def _openvino_on_another_street(level: str) -> tuple[list[Frame], list[Labels]]:
    frames = read_all(StreetSource(size=(256, 144), length=30, seed=1))[1]
    return frames, _labels_or_skip("openvino", _Given(frames), interval=3, level=level, fused=False)


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_engines_agree_on_a_real_clip(engine: str) -> None:
    clip = str(real("video/carnd_test_video.mp4"))
    found = _labels_or_skip(engine, clip, size=(256, 144), interval=1, fused=False)
    wanted = _openvino_on_the_clip(clip)
    assert len(wanted) == 38
    assert agreement(found, wanted) >= 0.999


@lru_cache(maxsize=1)
def _openvino_on_the_clip(clip: str) -> list[Labels]:
    return _labels_or_skip("openvino", clip, size=(256, 144), interval=1, fused=False)


class _Given(Source):
    """Frames as they are."""

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__()
        self._frames = frames

    def open(self) -> StreamInfo:
        return StreamInfo("given", self._frames[0].size, Fraction(30), Fraction(1, 30), len(self._frames))

    def frames(self) -> Iterator[Frame]:
        yield from self._frames

    def close(self) -> None:
        pass


def test_two_models_share_the_step_flow_and_keep_their_own_intervals() -> None:
    run = keywarp.Run(
        Drawn(),
        models=["enet", {"name": "enet", "interval": 3, "level": "result"}],
        interval=INTERVAL,
        sinks=["null"],
    )
    packets = list(run)
    second = "2-enet-camvid"
    assert [p[PROPAGATION].is_key for p in packets] == [i % INTERVAL == 0 for i in range(COUNT)]
    assert [p[PROPAGATION.of(second)].is_key for p in packets] == [i % 3 == 0 for i in range(COUNT)]
    for packet in packets:
        flows = [span.name for span in packet.spans if span.name.endswith(".flow")]
        keys = [packet[PROPAGATION].is_key, packet[PROPAGATION.of(second)].is_key]
        assert len(flows) == (0 if all(keys) else 1)
        assert (STEP_FLOW in packet) == (not all(keys))
    for packet, labels in zip(packets, enet_labels(interval=INTERVAL), strict=True):
        np.testing.assert_array_equal(packet[SEGMENTATION].labels, labels)
    stages = run.report()["stages"]
    assert {"perceive.warp_head", f"perceive-{second}.warp"} <= set(stages)
    assert run.report()["frames"]["key"] == sum(i % INTERVAL == 0 or i % 3 == 0 for i in range(COUNT))


# --- The run itself ---------------------------------------------------------------------------------------


def test_a_run_stopped_before_it_starts_delivers_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    run = keywarp.Run(Drawn(), sinks=[str(tmp_path / "made" / "out.mp4")])
    run.stop()
    assert list(run) == []
    assert list(tmp_path.iterdir()) == []
    frames = run.report()["frames"]
    assert [frames[kind] for kind in ("in", "out", "dropped", "key", "frozen")] == [0] * 5
    assert not any(frames["written"].values())


def test_leaving_the_loop_early_finishes_the_film(tmp_path: Path) -> None:
    film = tmp_path / "out.mp4"
    run = keywarp.Run(Drawn(), sinks=[str(film), str(tmp_path / "out.jsonl")])
    packets = iter(run)
    for _ in range(5):
        next(packets)
    packets.close()  # type: ignore[attr-defined]
    frames = read_all(VideoSource(film))[1]
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert 5 <= len(frames) == len(lines) <= COUNT


def test_a_run_goes_once() -> None:
    run = keywarp.Run(Drawn(), interval=COUNT, sinks=["null"])
    assert len(list(run)) == COUNT
    with pytest.raises(GraphError, match="runs once"):
        next(iter(run))


def test_a_configuration_and_settings_go_together() -> None:
    run = keywarp.Run(Drawn(), RunConfig(interval=4, level="result"), interval=6, sinks=["null"])
    assert (run.config.interval, run.config.level) == (6, "result")


def test_frames_of_another_size_are_scaled() -> None:
    run = keywarp.Run(Drawn(), size="96x64", level="result", sinks=["null"])
    assert {packet[SEGMENTATION].labels.shape for packet in run} == {(64, 96)}


def test_the_clock_of_a_run_is_an_argument() -> None:
    run = keywarp.Run(
        _Given(read_all(StreetSource(size=(64, 48), length=3))[1]), clock=ManualClock(), sinks=["null"]
    )
    assert len(list(run)) == 3
    assert run.report()["wall_s"] == 0
    assert run.report()["stages"]["perceive"]["all"]["max_ms"] == 0


# --- Real clips: every frame, in order, at the source's times ---------------------------------------------


def _packet_times(path: Path) -> list[float]:
    """Presentation times in seconds of all packets that are shown, by the container alone."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base
        assert base is not None
        packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
    return sorted(float(p.pts * base) for p in packets if p.pts is not None)


@pytest.mark.parametrize(
    ("clip", "count"),
    [
        ("solidWhiteRight", 221),
        ("carnd_test_video", 38),
        ("carnd_test_small2", 100),
        ("intel_car-detection", 377),
        pytest.param("intel_bottle-detection", 1189, marks=pytest.mark.slow),
    ],
)
def test_every_frame_of_a_real_clip_comes_out_in_order(clip: str, count: int, tmp_path: Path) -> None:
    path = real(f"video/{clip}.mp4")
    lines_path = tmp_path / "out.jsonl"
    run = keywarp.Run(str(path), size="160x96", level="result", sinks=[str(lines_path), "null"])
    packets = [(p.frame.index, p.frame.time_s) for p in run]
    assert [index for index, _ in packets] == list(range(count))
    np.testing.assert_allclose([time_s for _, time_s in packets], _packet_times(path), atol=1e-6)
    lines = [json.loads(line) for line in lines_path.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(count))
    assert [line["key"] for line in lines] == [index % 10 == 0 for index in range(count)]
    frames = run.report()["frames"]
    assert (frames["in"], frames["out"], frames["dropped"]) == (count, count, 0)
    assert frames["key"] == -(-count // 10)


def test_the_report_has_the_notes(tmp_path: Path) -> None:
    whole, cut = real("video/carnd_test_video.mp4").read_bytes(), tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    run = keywarp.Run(str(cut), size="160x96", level="result", sinks=["null"])
    shown = len(list(run))
    (note,) = run.report()["notes"]
    assert "is cut short" in note
    assert f"{shown} frames decoded, {38 - shown} frames lost" in note
