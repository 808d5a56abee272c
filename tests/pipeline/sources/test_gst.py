"""GStreamer as a source: pixels, memory, times, errors; with real pipelines."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tests.pipeline.gst import Pixels, needs_gstreamer, plane, raw_video

from keywarp.engines.errors import MissingPackageError, SourceError, UsageError
from keywarp.models.fake import FakeModel
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.gst.bindings import load_namespace
from keywarp.pipeline.gst.memory import Lending
from keywarp.pipeline.gst.packages import PACKAGES, how_to_get
from keywarp.pipeline.gst.presets import expand, is_gst
from keywarp.pipeline.gst.report import gst_report
from keywarp.pipeline.gst.secrets import without_credentials
from keywarp.pipeline.run import Parts, Run
from keywarp.pipeline.sources.gst import GstSource
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.supervised import SupervisedSource
from keywarp.pipeline.sources.video import VideoSource

from .films import read_all, real

WIDTH, HEIGHT = 322, 242  # no multiple of 4: rows are padded


def pictures(
    form: str, count: int = 3, pattern: str = "smpte", size: tuple[int, int] = (WIDTH, HEIGHT)
) -> str:
    caps = f"video/x-raw,format={form},width={size[0]},height={size[1]},framerate=30/1"
    return f"videotestsrc num-buffers={count} pattern={pattern} ! {caps}"


def first_of(text: str) -> Frame:
    with closing(GstSource(text)) as source:
        source.open()
        return next(source.frames())


def address(array: Pixels) -> int:
    return int(array.__array_interface__["data"][0])


pytestmark = pytest.mark.gstreamer


# --- Pixels ---------------------------------------------------------------------------------------------------


@needs_gstreamer
def test_nv12_is_what_gst_launch_writes(tmp_path: Path) -> None:
    data = raw_video(pictures("NV12", 1), tmp_path)
    frame = first_of(f"gst: {pictures('NV12')}").picture.av_frame
    picture = first_of(f"gst: {pictures('NV12')}").picture
    luma = plane(data, 0, 324, HEIGHT, WIDTH)
    chroma = plane(data, 324 * HEIGHT, 324, HEIGHT // 2, WIDTH)
    np.testing.assert_array_equal(picture.gray(), luma)
    np.testing.assert_array_equal(picture.yuv().u, chroma[:, 0::2])
    np.testing.assert_array_equal(picture.yuv().v, chroma[:, 1::2])
    assert frame().colorspace == 6  # BT.601, as small pictures are
    assert frame().color_range == 1


@needs_gstreamer
def test_i420_is_what_gst_launch_writes(tmp_path: Path) -> None:
    data = raw_video(pictures("I420", 1), tmp_path)
    planes = first_of(f"gst: {pictures('I420')}").picture.yuv()
    start = 324 * HEIGHT
    np.testing.assert_array_equal(planes.y, plane(data, 0, 324, HEIGHT, WIDTH))
    np.testing.assert_array_equal(planes.u, plane(data, start, 164, HEIGHT // 2, WIDTH // 2))
    np.testing.assert_array_equal(
        planes.v, plane(data, start + 164 * HEIGHT // 2, 164, HEIGHT // 2, WIDTH // 2)
    )


@needs_gstreamer
@pytest.mark.parametrize("size", [(322, 242), (321, 241), (640, 360), (2, 2)])
def test_bgr_is_what_gst_launch_writes(size: tuple[int, int], tmp_path: Path) -> None:
    data = raw_video(pictures("BGR", 1, size=size), tmp_path)
    stride = (3 * size[0] + 3) // 4 * 4
    expected = plane(data, 0, stride, size[1], 3 * size[0]).reshape(size[1], size[0], 3)
    np.testing.assert_array_equal(first_of(f"gst: {pictures('BGR', size=size)}").bgr, expected)


@needs_gstreamer
@pytest.mark.parametrize("size", [(322, 242), (321, 241)])
def test_gray_is_what_gst_launch_writes(size: tuple[int, int], tmp_path: Path) -> None:
    data = raw_video(pictures("GRAY8", 1, size=size), tmp_path)
    expected = plane(data, 0, (size[0] + 3) // 4 * 4, size[1], size[0])
    np.testing.assert_array_equal(first_of(f"gst: {pictures('GRAY8', size=size)}").gray(), expected)


@needs_gstreamer
def test_yuy2_is_what_gst_launch_writes(tmp_path: Path) -> None:
    data = raw_video(pictures("YUY2", 1), tmp_path)
    rows = plane(data, 0, 644, HEIGHT, 2 * WIDTH)
    picture = first_of(f"gst: {pictures('YUY2')}").picture
    np.testing.assert_array_equal(picture.gray(), rows[:, 0::2])


@needs_gstreamer
@pytest.mark.parametrize("form", ["NV12", "I420", "YUY2"])
def test_odd_sizes_come_whole(form: str) -> None:
    wanted = first_of(f"gst: {pictures('BGR', pattern='gradient', size=(33, 17))}").bgr
    made = f"{pictures('BGR', pattern='gradient', size=(33, 17))} ! videoconvert ! video/x-raw,format={form}"
    found = first_of(f"gst: {made}").bgr
    assert found.shape == (17, 33, 3)
    assert np.abs(found.astype(int) - wanted).max() <= 4


@needs_gstreamer
@pytest.mark.parametrize("form", ["RGB", "BGRx", "Y444", "P010_10LE", "UYVY"])
def test_other_formats_are_converted(form: str) -> None:
    wanted = first_of(f"gst: {pictures('BGR', pattern='blue')}").bgr
    found = first_of(f"gst: {pictures(form, pattern='blue')}").bgr
    assert np.abs(found.astype(int) - wanted).max() <= 4


@needs_gstreamer
@pytest.mark.parametrize(
    ("colors", "matrix", "color_range"),
    [("bt601", 6, 1), ("bt709", 1, 1), ("1:4:16:4", 6, 2), ("bt2020", 9, 1)],
)
def test_colours_are_tagged_as_the_caps_say(colors: str, matrix: int, color_range: int) -> None:
    made = f"{pictures('BGR', pattern='red')} ! videoconvert ! video/x-raw,format=I420,colorimetry={colors}"
    frame = first_of(f"gst: {made}")
    tagged = frame.picture.av_frame()
    assert (int(tagged.colorspace), int(tagged.color_range)) == (matrix, color_range)
    blue, green, red = (int(value) for value in frame.bgr[HEIGHT // 2, WIDTH // 2])
    assert red > 245
    assert max(blue, green) < 10


@needs_gstreamer
def test_a_film_is_what_ffmpeg_reads() -> None:
    path = real("video/carnd_test_video.mp4")
    info, frames = read_all(GstSource(f"gst: filesrc location={path} ! decodebin ! appsink"))
    reference_info, references = read_all(VideoSource(path))
    assert (info.size, info.rate, info.live) == (reference_info.size, reference_info.rate, False)
    assert len(frames) == len(references) == 38
    for frame, reference in zip(frames, references, strict=True):
        assert np.abs(frame.bgr.astype(int) - reference.bgr).max() <= 2
        assert abs(frame.time_s - reference.time_s - frames[0].time_s + references[0].time_s) < 1e-4


@needs_gstreamer
def test_a_change_of_size_on_the_way_is_scaled_to_the_first() -> None:
    one, other = pictures("I420", 2, size=(64, 48)), pictures("I420", 2, size=(128, 96))
    with closing(GstSource(f"gst: concat name=c ! appsink {one} ! c. {other} ! c.")) as source:
        info = source.open()
        sizes = [frame.size for frame in source.frames()]
    assert info.size == (64, 48)
    assert sizes == [(64, 48)] * 4


# --- Memory ---------------------------------------------------------------------------------------------------


@needs_gstreamer
@pytest.mark.parametrize("form", ["NV12", "I420", "GRAY8"])
def test_planes_lie_in_the_buffer(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keywarp.pipeline.gst.memory._copy", None)  # a copy would fail
    with closing(GstSource(f"gst: {pictures(form)}")) as source:
        source.open()
        frames = list(source.frames())
        assert source.lending.held == 3
        assert not frames[0].gray().flags.writeable
        places = {address(frame.gray()) for frame in frames}
    assert len(places) == 3


@needs_gstreamer
def test_bgr_lies_in_the_buffer() -> None:
    with closing(GstSource(f"gst: {pictures('BGR', size=(320, 240))}")) as source:
        source.open()
        frame = next(source.frames())
        bgr = frame.bgr
        assert bgr.flags.c_contiguous
        assert not bgr.flags.owndata
        del frame
        gc.collect()
        assert source.lending.held == 1
        before = bgr.copy()
        list(source.frames())
        np.testing.assert_array_equal(bgr, before)


@needs_gstreamer
def test_a_view_keeps_its_buffer_and_nothing_else_does() -> None:
    with closing(GstSource(f"gst: {pictures('NV12', 20, 'ball')}")) as source:
        source.open()
        stream = source.frames()
        view = next(stream).gray()[10:20]
        before = view.copy()
        for frame in stream:
            assert frame.gray().size
        del frame, stream
        gc.collect()
        assert source.lending.held == 1
        np.testing.assert_array_equal(view, before)
        del view
        gc.collect()
        assert source.lending.held == 0


@needs_gstreamer
def test_views_stay_good_after_the_pipeline_is_gone() -> None:
    frame = first_of(f"gst: {pictures('NV12')}")
    gc.collect()
    assert frame.gray()[5, 5] == frame.gray()[0, 0]
    assert frame.bgr.shape == (HEIGHT, WIDTH, 3)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@needs_gstreamer
def test_buffers_go_back_and_memory_stays(tmp_path: Path) -> None:
    with closing(GstSource(f"gst: {pictures('NV12', 500, size=(1280, 720))}")) as source:
        source.open()
        places, before = set(), 0.0
        for frame in source.frames():
            places.add(address(frame.gray()))
            if frame.index == 50:
                before = resident_mib()
        assert frame.index == 499
        assert resident_mib() - before < 10  # 500 of them are 660 MiB
    assert len(places) < 12


@needs_gstreamer
def test_a_pool_that_cannot_grow_is_not_emptied() -> None:
    with closing(GstSource(f"gst: {pictures('NV12', 12, 'ball')}")) as source:
        source.open()
        source.lending.most = 2
        frames = list(source.frames())
        assert source.lending.held <= 3  # the first came before
        assert source.lending.copied >= 9
        assert len({frame.gray().tobytes() for frame in frames}) == 12
    assert "were copied" in source.notes[-1]


def test_lending_counts() -> None:
    lending = Lending(most=1)
    assert lending.take()
    assert not lending.take()
    lending.give_back()
    assert lending.take()
    assert (lending.held, lending.copied) == (1, 1)


# --- Times ----------------------------------------------------------------------------------------------------


@needs_gstreamer
def test_times_are_exact_at_the_usual_rates() -> None:
    text = pictures("I420", 5).replace("30/1", "30000/1001")
    info, frames = read_all(GstSource(f"gst: {text}"))
    assert info.rate == Fraction(30000, 1001)
    assert [frame.pts for frame in frames] == [0, 3003, 6006, 9009, 12012]


@needs_gstreamer
def test_a_live_picture_has_the_time_when_it_was_taken() -> None:
    text = "videotestsrc is-live=true ! video/x-raw,format=NV12,width=320,height=240,framerate=50/1"
    with closing(GstSource(f"gst: {text}")) as source:
        info = source.open()
        stream = source.frames()
        next(stream)
        ages_ms = []
        for _ in range(20):
            frame = next(stream)
            ages_ms.append((source.clock.now_ns() - frame.capture_ns) / 1e6)
    assert info.live
    assert min(ages_ms) >= 0
    assert sorted(ages_ms)[10] < 15  # as long as the pipeline takes


@needs_gstreamer
def test_what_waits_in_the_pipeline_grows_old() -> None:
    text = "videotestsrc is-live=true ! video/x-raw,format=NV12,width=320,height=240,framerate=20/1"
    with closing(GstSource(f"gst: {text} ! queue min-threshold-time=300000000 ! appsink")) as source:
        source.open()
        stream = source.frames()
        next(stream)
        frame = next(stream)
        age_ms = (source.clock.now_ns() - frame.capture_ns) / 1e6
    assert 250 < age_ms < 600


@needs_gstreamer
def test_a_film_is_stamped_when_it_is_decoded() -> None:
    source = GstSource(f"gst: {pictures('NV12')}")
    source.clock = ManualClock(5_000)
    with closing(source):
        assert not source.open().live
        assert next(source.frames()).capture_ns == 5_000


# --- Ends and errors ------------------------------------------------------------------------------------------


@needs_gstreamer
def test_an_interrupt_ends_a_stream_that_brings_nothing() -> None:
    # a valve that is shut on the way: no end, no error, no frames
    text = "videotestsrc is-live=true ! video/x-raw,framerate=30/1 ! valve name=v drop=false ! appsink"
    with closing(GstSource(f"gst: {text}")) as source:
        source.open()
        stream = source.frames()
        next(stream)
        source._pipeline.get_by_name("v").set_property("drop", True)
        timer = threading.Timer(0.3, source.interrupt)
        timer.start()
        start_s = time.monotonic()
        list(stream)
        timer.join()
        assert time.monotonic() - start_s < 1.5


@needs_gstreamer
def test_closing_from_another_thread_ends_the_stream() -> None:
    source = GstSource("gst: videotestsrc is-live=true ! video/x-raw,framerate=5/1")
    source.open()
    timer = threading.Timer(0.3, source.close)
    timer.start()
    start_s = time.monotonic()
    list(source.frames())
    timer.join()
    assert time.monotonic() - start_s < 2
    source.close()


@needs_gstreamer
def test_a_stream_that_never_begins_can_be_interrupted() -> None:
    source = GstSource("gst: videotestsrc is-live=true ! valve drop=true ! appsink")
    timer = threading.Timer(0.3, source.interrupt)
    timer.start()
    start_s = time.monotonic()
    with pytest.raises(SourceError, match="was interrupted"):
        source.open()
    timer.join()
    assert time.monotonic() - start_s < 2


@needs_gstreamer
def test_a_source_can_be_opened_again() -> None:
    source = GstSource(f"gst: {pictures('NV12')}")
    for _ in range(2):
        source.open()
        assert len(list(source.frames())) == 3
        source.close()


WRONG = {
    "videotestsrcc": "no element 'videotestsrcc'; did you mean 'videotestsrc'",
    "videotestsrc ! x264enc2 ! appsink": "no element 'x264enc2'; did you mean 'x264enc'",
    "nvarguscamerasrc ! appsink": "no element 'nvarguscamerasrc'; it comes with JetPack",
    "videotestsrc patern=ball": "has no property 'patern'; did you mean 'pattern'",
    "videotestsrc ! audio/x-raw ! appsink": "could not link videotestsrc",
    "videotestsrc ! x264enc": "gives pictures: raw video",
    "videotestsrc ! autovideosink": "the last element before the appsink gives pictures",
    "videotestsrc ((": "cannot be built: syntax error",
    "videotestsrc num-buffers=0": "ended before its first frame",
    "videotestsrc ! appsink name=a videotestsrc ! appsink name=b": "one appsink, .* this pipeline has 2",
    "videotestsrc ! appsink caps=video/x-raw,format=GRAY16_LE": "gives 'GRAY16_LE' pictures",
    "filesrc location=/no/such/film.mp4 ! decodebin": "element 'filesrc\\d*' says: Resource not found",
    "v4l2src device=/dev/video99": "element 'v4l2src\\d*' says: Cannot identify device",
    "filesrc location=/proc/version ! decodebin": "element '\\w+' says: ",
    "rtspsrc location=rtsp://anna:geheim@127.0.0.1:1/x ! decodebin": "element 'rtspsrc\\d*' says: ",
    "rtspsrc location=rtsp://127.0.0.1:1/x user-id=anna user-pw=geheim ! decodebin": "element 'rtspsrc\\d*' says: ",
}


@needs_gstreamer
@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said(text: str) -> None:
    with closing(GstSource(f"gst: {text}")) as source, pytest.raises(SourceError) as caught:
        source.open()
    assert re.search(WRONG[text], str(caught.value))
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "anna" not in str(caught.value)


@needs_gstreamer
def test_formats_that_do_not_meet_are_said_with_the_element(tmp_path: Path) -> None:
    path = real("video/carnd_test_video.mp4")
    text = f"gst: filesrc location={path} ! decodebin ! video/x-raw,width=64 ! appsink"
    with closing(GstSource(text)) as source, pytest.raises(SourceError, match=r"format.*'[\w-]+' takes"):
        source.open()


@needs_gstreamer
def test_an_error_on_the_way_comes_after_the_frames_before_it() -> None:
    source = GstSource("gst: videotestsrc ! identity error-after=5 ! appsink")
    with closing(source):
        source.open()
        stream = source.frames()
        seen = list(islice(stream, 4))
        with pytest.raises(SourceError, match=r"element 'identity\d*' says"):
            next(stream)
    assert [frame.index for frame in seen] == [0, 1, 2, 3]


# --- Texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://anna:geheim@host:554/x", "rtsp://host:554/x"),
        ("rtsp://anna:ge@heim@host/x", "rtsp://host/x"),
        ("rtsp://anna:ge/heim@host/x", "rtsp://host/x"),
        ("rtsp://host:554/x@2", "rtsp://host:554/x@2"),
        ("location=rtsp://host/x?token=geheim ! y", "location=rtsp://host/x ! y"),
        ('user-id=anna user-pw="ge heim" ! y', "user-id=*** user-pw=*** ! y"),
        ("x264enc key-int-max=30", "x264enc key-int-max=30"),
        ("srtsrc uri=srt://h:1 passphrase=geheim", "srtsrc uri=srt://h:1 passphrase=***"),
    ],
)
def test_nothing_secret_is_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def no_element(_name: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "pipeline"),
    [
        ("gst:  videotestsrc ", "videotestsrc"),
        (
            "csi:0",
            "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,format=NV12,"
            "framerate=30/1 ! nvvidconv flip-method=0 ! video/x-raw,format=NV12",
        ),
        (
            "csi:1,size=1920x1080,rate=30000/1001,flip=180",
            "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,format=NV12,"
            "framerate=30000/1001 ! nvvidconv flip-method=2 ! video/x-raw,format=NV12",
        ),
        ('gst-file:/a "b.mp4', 'filesrc location="/a \\"b.mp4" ! decodebin'),
        (
            "rtsp+gst://u:p@cam/1",
            'rtspsrc location="rtsp://u:p@cam/1" protocols=tcp latency=100 ! application/x-rtp,media=video '
            "! decodebin",
        ),
    ],
)
def test_presets_stand_for_pipelines(text: str, pipeline: str) -> None:
    assert is_gst(text)
    assert expand(text, has=no_element) == pipeline


def test_on_a_jetson_decoded_pictures_are_fetched_from_its_own_memory() -> None:
    found = expand("gst-file:a.mp4", has=lambda name: name == "nvvidconv")
    assert found.endswith("decodebin ! nvvidconv ! video/x-raw,format=NV12")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gst:", "followed by a pipeline"),
        ("csi:front", "the camera's number, such as csi:0"),
        ("csi:0,size=big", "WIDTHxHEIGHT"),
        ("csi:0,rate=0", "a number of frames a second"),
        ("csi:0,flip=up", "unknown flip"),
        ("csi:0,colour=1", "unknown option of csi: 'colour'"),
    ],
)
def test_presets_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expand(text, has=no_element)


def test_every_element_has_one_package() -> None:
    elements = [element for names in PACKAGES.values() for element in names]
    assert len(elements) == len(set(elements))
    assert "sudo apt install gstreamer1.0-plugins-ugly" in (how_to_get("x264enc") or "")
    assert how_to_get("nosuchelement") is None


@needs_gstreamer
@pytest.mark.parametrize("text", [f"gst: {pictures('NV12')}", f"  gst:{pictures('NV12')} ! appsink"])
def test_the_command_line_knows_the_texts(text: str) -> None:
    source = open_source(text)
    assert isinstance(source, SupervisedSource)
    scaled = open_source(text, size=(64, 48))
    assert isinstance(scaled, ScaledSource)
    with closing(scaled):
        assert scaled.open().size == (64, 48)
        assert len(list(scaled.frames())) == 3


# --- A whole run ----------------------------------------------------------------------------------------------


@needs_gstreamer
@pytest.mark.parametrize("form", ["NV12", "BGR"])
def test_a_run_takes_it_like_any_other_source(form: str, tmp_path: Path) -> None:
    film = tmp_path / "out.mp4"
    text = f"gst: {pictures(form, 25, 'ball', (320, 240))}"
    run = Run(text, parts=Parts(models=[FakeModel()]), interval=5, sinks=(str(film),))
    assert sum(1 for _ in run) == 25
    assert run.dropped == 0
    info, frames = read_all(VideoSource(film))
    assert (info.size, len(frames)) == ((320, 240), 25)
    assert [frame.time_s for frame in frames[:3]] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-4)


# --- What is installed ----------------------------------------------------------------------------------------


def test_missing_bindings_are_said_with_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(MissingPackageError) as caught:
        load_namespace.__wrapped__("Gst")
    assert "pip install 'keywarp[gstreamer]'" in str(caught.value)
    assert "sudo apt install gir1.2-gstreamer-1.0" in str(caught.value)


def test_without_bindings_the_report_and_the_errors_say_so() -> None:
    code = (
        "import sys; sys.modules['gi'] = None\n"
        "from keywarp.pipeline.gst.report import gst_report\n"
        "from keywarp.pipeline.sources.parse import open_source\n"
        "from keywarp.engines.errors import MissingPackageError\n"
        "[part] = gst_report()\n"
        "assert not part.ok and 'pip install' in part.cure\n"
        "try: open_source('gst: videotestsrc')\n"
        "except MissingPackageError as error: print('said so')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "said so", done.stderr


@needs_gstreamer
def test_a_missing_description_is_said_with_its_package() -> None:
    with pytest.raises(MissingPackageError, match=r"'GstNothing-1\.0\.typelib' is not installed"):
        load_namespace("GstNothing")


@needs_gstreamer
def test_the_report_tells_what_is_here() -> None:
    parts = gst_report()
    assert parts[0].ok
    assert re.match(r"1\.\d+", parts[0].detail)
    assert all(part.ok or part.cure for part in parts)


@needs_gstreamer
def test_openvino_may_be_loaded_after_gstreamer() -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install keywarp")
    source = f"gst: {pictures('I420', size=(96, 64))}"
    command = [sys.executable, "-m", "keywarp", "run", source, "--engine", "openvino", "--sink", "null"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
