"""Overlays, looked at through FFmpeg's own conversion to RGB."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.controls import Controls, Knobs
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, SEGMENTATION, Propagation
from keywarp.pipeline.packet import Packet, Span
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.stages import tint
from keywarp.pipeline.stages.overlay import Overlay
from keywarp.pipeline.stages.readings import Readings
from keywarp.pipeline.stages.tint import class_opacities

# 8-bit YUV there and back: one step of chroma is up to 2 of a primary, and both ways round
ROUNDING = 5
BT709, BT601 = 1, 5
LIMITED, FULL = 1, 2


def gray_frame(
    size: tuple[int, int], level: int = 110, space: int = BT601, color_range: int = LIMITED
) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "yuv420p")
    planes = yuv_planes(frame)
    planes.y[:], planes.u[:], planes.v[:] = level, 128, 128
    frame.colorspace, frame.color_range = space, color_range
    return frame


def make_packet(
    picture: Picture, labels: NDArray[np.uint8], clock: ManualClock, index: int = 0, interval: int = 10
) -> Packet:
    packet = Packet(Frame(index, index, Fraction(1, 25), clock.now_ns(), picture), clock)
    packet[SEGMENTATION] = SegmentationMap(labels, CAMVID)
    age = index % interval
    packet[PROPAGATION] = Propagation(age == 0, age, index - age)
    return packet


def overlaid(
    frame: av.VideoFrame, labels: NDArray[np.uint8], *, panels: bool = False, opacity: float = 0.5
) -> Picture:
    clock = ManualClock()
    packet = make_packet(Picture.from_av(frame), labels, clock)
    Overlay(clock, opacity=opacity, hud=panels, legend=panels).process(packet)
    return packet[OVERLAY]


def stripes(size: tuple[int, int], count: int) -> NDArray[np.uint8]:
    """Labels 0..count-1 in upright stripes, the last one void."""
    columns = np.arange(size[0]) * count // size[0]
    columns[columns == count - 1] = VOID
    return np.repeat(columns.astype(np.uint8)[None], size[1], axis=0)


@pytest.mark.parametrize("space", [BT601, BT709])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("opacity", [0.3, 0.7])
def test_classes_get_their_colours_at_the_opacity(space: int, color_range: int, opacity: float) -> None:
    size, count = (192, 16), len(CAMVID) + 1
    frame = gray_frame(size, space=space, color_range=color_range)
    below = frame.to_ndarray(format="rgb24")[0, 0].astype(float)
    found = overlaid(frame, stripes(size, count), opacity=opacity).bgr[..., ::-1]
    shares = class_opacities(CAMVID, opacity)
    for label, color in enumerate(CAMVID.colors_rgb):
        middle = found[8, 16 * label + 8]
        wanted = below + shares[label] * (np.array(color) - below)
        assert np.abs(middle - wanted).max() <= ROUNDING, CAMVID.names[label]


def test_pixels_without_a_class_are_the_picture_s(rng: np.random.Generator) -> None:
    frame = gray_frame((64, 48))
    for plane in (planes := yuv_planes(frame)).y, planes.u, planes.v:
        plane[:] = rng.integers(0, 256, plane.shape)
    found = overlaid(frame, np.full((48, 64), VOID, np.uint8)).yuv()
    for name in ("y", "u", "v"):
        assert np.array_equal(getattr(found, name), getattr(planes, name))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_frame_s_own_picture_stays(rng: np.random.Generator) -> None:
    frame = gray_frame((640, 360))
    before = frame.to_ndarray().copy()
    overlaid(frame, rng.integers(0, 11, (360, 640), np.uint8), panels=True)
    assert np.array_equal(frame.to_ndarray(), before)


def test_tags_are_carried() -> None:
    frame = gray_frame((64, 48), space=BT709, color_range=FULL)
    frame.color_primaries, frame.color_trc = 1, 13
    found = overlaid(frame, np.zeros((48, 64), np.uint8)).av_frame()
    assert (found.color_range, found.colorspace, found.color_primaries, found.color_trc) == (
        FULL,
        BT709,
        1,
        13,
    )


def test_old_full_range_formats_become_a_tag() -> None:
    frame = av.VideoFrame(64, 48, "yuvj420p")
    planes = yuv_planes(frame)
    planes.y[:], planes.u[:], planes.v[:] = 255, 128, 128
    found = overlaid(frame, np.full((48, 64), VOID, np.uint8))
    assert (found.av_frame().format.name, found.av_frame().color_range) == ("yuv420p", FULL)
    assert found.bgr.min() >= 254


SIZES = [(1, 1), (2, 1), (1, 2), (641, 1), (1, 359), (3, 5), (96, 64), (161, 121), (320, 180), (641, 359)]


@pytest.mark.parametrize("size", [*SIZES, (480, 360), (360, 640), (1280, 720), (3840, 2160)])
def test_any_size_gets_every_pixel_tinted_and_panels_that_fit(size: tuple[int, int]) -> None:
    labels = np.full((size[1], size[0]), 8, np.uint8)
    plain = overlaid(gray_frame(size), labels).yuv()
    assert {plane.size and int(np.ptp(plane)) for plane in (plain.y, plain.u, plain.v)} == {0}
    assert plain.y[0, 0] != 110
    panels = overlaid(gray_frame(size), labels, panels=True).yuv()
    covered = np.mean(panels.y != plain.y)
    assert covered < 0.45
    if min(size) >= 360:
        assert covered > 0.02


@pytest.mark.parametrize("pixel_format", ["bgr", "rgb24", "nv12", "yuv444p", "yuv422p10le", "gray"])
def test_pictures_in_bgr_and_other_formats_are_shown_as_they_are(pixel_format: str) -> None:
    rows, columns = np.mgrid[:47, :63]
    bgr = np.stack([60 + 2 * columns, 220 - 3 * rows, 30 + columns + 2 * rows], axis=-1).astype(np.uint8)
    if pixel_format == "bgr":
        picture = Picture.from_bgr(bgr)
    else:
        frame = av.VideoFrame.from_ndarray(bgr, "bgr24")
        picture = Picture.from_av(frame.reformat(format=pixel_format))
    clock = ManualClock()
    packet = make_packet(picture, np.full((47, 63), VOID, np.uint8), clock)
    Overlay(clock).process(packet)
    assert np.abs(packet[OVERLAY].bgr.astype(int) - picture.bgr).max() <= ROUNDING
    assert np.ptp(picture.bgr) > 80


def test_without_16_bit_tables_the_result_is_the_same(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    frame, labels = gray_frame((65, 49)), rng.integers(0, 11, (49, 65), np.uint8)
    quick = overlaid(frame, labels).bgr
    monkeypatch.setattr(tint, "_LUT_TAKES_16_BITS", False)
    assert np.array_equal(overlaid(frame, labels).bgr, quick)


def test_old_opencv_writes_with_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    from keywarp.pipeline.stages.text import text_mask

    text_mask.cache_clear()
    if hasattr(cv2, "FontFace"):
        monkeypatch.delattr(cv2, "FontFace")
    mask = text_mask("12.5 ms", 11)
    text_mask.cache_clear()
    assert mask.max() > 150
    assert 25 < mask.shape[1] < 80
    assert mask.shape[0] == 15


def test_of_several_models_the_first_is_shown() -> None:
    clock = ManualClock()
    left = np.full((48, 64), VOID, np.uint8)
    left[:, :32] = 8
    packet = make_packet(Picture.from_av(gray_frame((64, 48))), left, clock)
    packet[SEGMENTATION.of("2-other")] = SegmentationMap(np.full((48, 64), 3, np.uint8), CAMVID)
    stage = Overlay(clock, legend=False, hud=False)
    assert [key.name for key in stage.reads] == ["segmentation"]
    stage.process(packet)
    found, below = packet[OVERLAY].bgr, packet.frame.picture.bgr
    assert np.all(found[:, :31, 0].astype(int) - below[:, :31, 0] > 30)  # a car's blue
    assert np.array_equal(found[:, 34:], below[:, 34:])


def test_the_display_changes_with_key_frames_and_the_legend_with_classes() -> None:
    clock = ManualClock()
    stage = Overlay(clock, title=lambda: "model · engine")
    pictures = []
    for index in range(12):
        labels = np.full((360, 640), 3 if index < 11 else 7, np.uint8)
        packet = make_packet(Picture.from_av(gray_frame((640, 360))), labels, clock, index)
        packet.spans.append(Span("perceive", 0, 5_000_000))
        clock.advance_ms(40 if index < 10 else 400)
        stage.process(packet)
        pictures.append(packet[OVERLAY].yuv().y)
    badge, strip = np.s_[34:56, 12:180], np.s_[300:, 100:540]
    assert not np.array_equal(pictures[0][badge], pictures[1][badge])
    assert np.array_equal(pictures[5][strip], pictures[6][strip])
    assert not np.array_equal(pictures[10][strip], pictures[11][strip])


@pytest.mark.parametrize("opacity", [-0.1, 1.1])
def test_opacity_has_bounds(opacity: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Overlay(ManualClock(), opacity=opacity)


class TestReadings:
    def observe(
        self, readings: Readings, clock: ManualClock, ages: list[int], *, ms: float = 40
    ) -> list[Packet]:
        packets = []
        for index, age in enumerate(ages):
            packet = Packet(
                Frame(index, index, Fraction(1, 25), clock.now_ns(), Picture.from_av(gray_frame((2, 2)))),
                clock,
            )
            packet.spans += [Span("perceive", 0, 3_000_000), Span("perceive.flow", 0, 1_000_000)]
            clock.advance_ms(ms)
            readings.observe(packet, Propagation(age == 0, age, index - age), clock.now_ns())
            packets.append(packet)
        return packets

    def test_rate_and_latency_are_the_clock_s(self) -> None:
        readings = Readings()
        assert readings.fps is None
        self.observe(readings, ManualClock(), [0, 1, 2, 3, 4, 5])
        assert readings.fps == pytest.approx(25)
        assert readings.latency_ms == pytest.approx(40)

    def test_a_clock_that_stands_still_has_no_rate(self) -> None:
        readings = Readings()
        self.observe(readings, ManualClock(), [0, 1, 2], ms=0)
        assert readings.fps is None

    @pytest.mark.parametrize(
        ("ages", "interval"),
        [([0], 1), ([0, 1, 2], 3), ([0, 1, 2, 3, 0, 1], 4), ([0, 0, 0], 1), ([0, 1, 2, 0, 1, 0], 2)],
    )
    def test_the_interval_is_learnt(self, ages: list[int], interval: int) -> None:
        readings = Readings()
        self.observe(readings, ManualClock(), ages)
        assert readings.interval == interval

    def test_stages_come_without_their_parts_and_with_the_sinks(self) -> None:
        readings, clock = Readings(), ManualClock()
        packets = self.observe(readings, clock, [0, 1])
        readings.refresh_stages()
        assert readings.stage_ms == {"perceive": pytest.approx(3)}
        for packet in packets:
            packet.spans.append(Span("mp4", 0, 7_000_000))
        readings.refresh_stages()
        assert readings.stage_ms["mp4"] == pytest.approx(7)


def test_a_frozen_picture_is_pale_and_says_for_how_long_nothing_came() -> None:
    clock = ManualClock()
    overlay = Overlay(clock, opacity=0.8)
    labels = np.full((360, 640), 3, np.uint8)
    picture = Picture.from_av(gray_frame((640, 360)))
    shown = []
    for index, frozen in enumerate((False, False, True, True, False)):
        packet = make_packet(picture, labels, clock, index)
        packet.frame = replace(packet.frame, frozen=frozen)
        overlay.process(packet)
        shown.append(packet[OVERLAY].bgr)
        clock.advance_ms(3000 if index == 2 else 40)
    fresh, frozen_, later, back = shown[1:]

    def colour(pixels: NDArray[np.uint8]) -> int:
        row = pixels[250].astype(int)
        return int((row.max(axis=1) - row.min(axis=1)).mean())

    assert colour(frozen_) < 0.5 * colour(fresh)
    assert colour(back) == pytest.approx(colour(fresh), abs=1)
    assert not np.array_equal(frozen_[:120, :200], later[:120, :200])  # the seconds go on


def test_the_controls_change_the_opacity_at_once() -> None:
    clock, controls = ManualClock(), Controls(Knobs(opacity=0.8))
    overlay = Overlay(clock, hud=False, legend=False, opacity=0.8, controls=controls)
    labels = np.full((48, 64), 8, np.uint8)
    found = []
    for opacity in (0.8, 0.0):
        controls.change({"opacity": opacity})
        packet = make_packet(Picture.from_av(gray_frame((64, 48))), labels, clock)
        overlay.process(packet)
        found.append(packet[OVERLAY].bgr)
    gray = Picture.from_av(gray_frame((64, 48))).bgr
    assert np.abs(found[0].astype(int) - gray).max() > 50
    assert np.array_equal(found[1], gray)


def test_a_stream_may_begin_with_a_frozen_picture() -> None:
    clock = ManualClock(10**15)
    overlay = Overlay(clock)
    packet = make_packet(Picture.from_av(gray_frame((640, 360))), np.zeros((360, 640), np.uint8), clock)
    packet.frame = replace(packet.frame, frozen=True)
    overlay.process(packet)
    assert packet[OVERLAY].size == (640, 360)
    readings = Readings()
    readings.observe(packet, packet[PROPAGATION], clock.now_ns())
    assert readings.frozen_s == 0
