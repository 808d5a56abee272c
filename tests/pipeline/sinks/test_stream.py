"""Streams on the network, read back by FFmpeg: the RTSP server, RTP and MPEG-TS over UDP."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from tests.pipeline.gst import needs_gstreamer

from keywarp.engines.errors import SinkError, SourceError, UsageError
from keywarp.flow.base import Size
from keywarp.models.fake import FakeModel
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.gst.bindings import has_element
from keywarp.pipeline.gst.encoders import ENCODERS, StreamEncoder
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.run import Parts, Run
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.stream import Address, RtspServerSink, UdpSink, make_stream_sink
from keywarp.pipeline.sources.gst import GstSource
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.synthetic import SyntheticSource
from keywarp.pipeline.sources.video import VideoSource
from keywarp.pipeline.stage import Sink

from .stream import make_info, make_packet, make_packets, make_yuv, run_sink

pytestmark = pytest.mark.gstreamer

RATE = 30
LONGEST_WAIT_S = 0.05  # process() never waits for encoder or network; what is left is the machine's own noise


class Feeder:
    """Pushes frames into an open sink at the rate of a camera; ``longest_s`` is the slowest ``process``."""

    def __init__(self, sink: Sink, size: Size, paint: Callable[[int], Picture] | None = None) -> None:
        self._sink, self._size, self._paint = sink, size, paint
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.waits_s: list[float] = []
        self.errors: list[BaseException] = []

    def _run(self) -> None:
        index = 0
        try:
            while not self._stopped.wait(1 / RATE):
                overlay = None if self._paint is None else self._paint(index)
                packet = make_packet(index, index * 33, size=self._size, overlay=overlay)
                start_s = time.perf_counter()
                self._sink.process(packet)
                self.waits_s.append(time.perf_counter() - start_s)
                index += 1
        except SinkError as error:
            self.errors.append(error)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def feeding(
    sink: Sink, size: Size = (320, 240), paint: Callable[[int], Picture] | None = None
) -> Iterator[Feeder]:
    feeder = Feeder(sink, size, paint)
    try:
        sink.open(make_info(size, live=True))
        feeder.start()
        yield feeder
        feeder.stop()
    finally:
        feeder._stopped.set()
        sink.close()


def served(options: str = "", host: str = "127.0.0.1:0") -> RtspServerSink:
    sink = make_sink(f"rtsp://{options}{host}/live")
    assert isinstance(sink, RtspServerSink)
    return sink


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quarters(_index: int) -> Picture:
    """Four flat quarters, so that nothing can be mistaken for anything else."""
    frame = make_yuv((320, 240))
    planes = yuv_planes(frame)
    planes.y[:120, :160], planes.y[:120, 160:], planes.y[120:, :160], planes.y[120:, 160:] = 50, 100, 150, 200
    planes.u[:60], planes.u[60:] = 90, 160
    planes.v[:, :80], planes.v[:, 80:] = 100, 150
    return Picture.from_av(frame)


def noise(size: Size) -> Callable[[int], Picture]:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(4):
        frame = make_yuv(size)
        yuv_planes(frame).y[:] = rng.integers(16, 235, (size[1], size[0]), np.uint8)
        pictures.append(Picture.from_av(frame))
    return lambda index: pictures[index % 4]


# --- RTSP -----------------------------------------------------------------------------------------------------


@needs_gstreamer
def test_what_is_served_can_be_read() -> None:
    sink = served()
    with (
        feeding(sink, paint=quarters) as feeder,
        closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source,
    ):
        info = source.open()
        frames = list(islice(source.frames(), 30))
        assert (info.size, info.live) == ((320, 240), True)
        sent, found = quarters(0).yuv(), frames[-1].picture.yuv()
        for one, other in ((sent.y, found.y), (sent.u, found.u), (sent.v, found.v)):
            assert np.abs(one.astype(int) - other).mean() < 2
        took_s = frames[-1].time_s - frames[0].time_s
        assert took_s == pytest.approx(29 / RATE, rel=0.35)
    assert np.median(feeder.waits_s) < 0.01
    assert sink.written >= 30
    assert sink.notes == []


@needs_gstreamer
def test_a_picture_is_seen_soon() -> None:
    sink = served()
    shown_at: dict[int, float] = {}

    def paint(index: int) -> Picture:
        shown_at[index] = time.monotonic()
        return Picture.from_av(make_yuv((320, 240), 20 + index % 50 * 4))

    with feeding(sink, paint=paint), closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source:
        source.open()
        delays_s = []
        for frame in islice(source.frames(), 45):
            now_s, level = time.monotonic(), float(frame.gray().mean())
            index = max((i for i in shown_at if abs(20 + i % 50 * 4 - level) < 2), default=None)
            if index is not None:
                delays_s.append(now_s - shown_at[index])
    assert len(delays_s) > 20
    assert np.median(delays_s[10:]) < 0.3


@needs_gstreamer
def test_two_clients_see_it_and_one_that_stops_reading_slows_nobody() -> None:
    sink, size = served(), (640, 480)
    with feeding(sink, size, noise(size)) as feeder:
        url = f"rtsp://127.0.0.1:{sink.port}/live"
        lazy = av.open(url, options={"rtsp_transport": "tcp"}, timeout=(10, 10))
        next(lazy.decode(video=0))
        with closing(VideoSource(url)) as source:
            source.open()
            gaps_s, last_s = [], time.monotonic()
            for _ in islice(source.frames(), 5 * RATE):
                now_s = time.monotonic()
                gaps_s.append(now_s - last_s)
                last_s = now_s
        lazy.close()
    assert max(gaps_s[5:]) < 1
    assert np.median(feeder.waits_s) < LONGEST_WAIT_S
    assert max(feeder.waits_s) < 0.5


@needs_gstreamer
def test_gstreamer_itself_reads_it_too() -> None:
    sink = served("anna:geheim@")
    with feeding(sink, paint=quarters):
        url = f"rtsp+gst://anna:geheim@127.0.0.1:{sink.port}/live"
        with closing(GstSource(url)) as source:
            info = source.open()
            frame = list(islice(source.frames(), 10))[-1]
            assert (info.size, info.live) == ((320, 240), True)
            assert "geheim" not in info.name
            assert np.abs(frame.gray().astype(int) - quarters(0).gray()).mean() < 2


@needs_gstreamer
def test_a_reader_comes_back_to_a_server_that_was_started_again() -> None:
    sink = served()
    reader = None
    try:
        with feeding(sink):
            port = sink.port
            reader = open_source(
                f"rtsp+gst://127.0.0.1:{port}/live", reconnect=ReconnectConfig(silence_s=0.5)
            )
            reader.open()
            stream = reader.frames()
            assert not any(frame.frozen for frame in islice(stream, 5))
        assert any(frame.frozen for frame in islice(stream, 200))
        with feeding(served(host=f"127.0.0.1:{port}")):
            assert any(frame.after_gap for frame in islice(stream, 600))
        assert reader.status.reconnects == 1
    finally:
        if reader is not None:
            reader.interrupt()
            reader.close()


@needs_gstreamer
def test_clients_may_come_and_go() -> None:
    sink = served()
    with feeding(sink):
        for _ in range(3):
            with closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source:
                source.open()
                assert len(list(islice(source.frames(), 5))) == 5


@needs_gstreamer
def test_a_password_is_asked_for_and_never_shown() -> None:
    sink = served("anna:ge%40heim@")
    assert "heim" not in sink.address.shown
    with feeding(sink):
        place = f"127.0.0.1:{sink.port}/live"
        for stranger in ("", "anna:falsch@", "otto:ge%40heim@"):
            with (
                closing(VideoSource(f"rtsp://{stranger}{place}")) as source,
                pytest.raises(SourceError, match="401"),
            ):
                source.open()
        with closing(VideoSource(f"rtsp://anna:ge%40heim@{place}")) as source:
            assert source.open().size == (320, 240)


@needs_gstreamer
def test_without_a_client_nothing_is_encoded() -> None:
    sink = served()
    with feeding(sink):
        time.sleep(0.3)
        assert sink._feed is not None
        assert sink._feed._appsrc is None
    assert sink.written > 3


@needs_gstreamer
def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        sink = served(host=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(
            SinkError, match=r"cannot be served: .*[Aa]ddress already in use; give another port"
        ):
            sink.open(make_info())
        sink.close()


@needs_gstreamer
def test_the_port_is_free_after_closing_and_no_thread_is_left() -> None:
    before = threading.active_count()
    sink = served()
    with feeding(sink):
        port = sink.port
        source = VideoSource(f"rtsp://127.0.0.1:{port}/live")
        source.open()
        next(source.frames())
    source.close()
    assert threading.active_count() == before
    again = served(host=f"127.0.0.1:{port}")
    with feeding(again), closing(VideoSource(f"rtsp://127.0.0.1:{port}/live")) as source:
        assert source.open().size == (320, 240)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


@needs_gstreamer
def test_a_viewer_that_comes_while_nothing_new_does_need_not_wait() -> None:
    sink = served()
    with closing(sink):
        sink.open(make_info((320, 240), live=True))
        sink.process(make_packet(0, 0, size=(320, 240)))
        with socket.create_connection(("127.0.0.1", sink.port), timeout=3) as viewer:
            request = f"DESCRIBE rtsp://127.0.0.1:{sink.port}/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"
            viewer.sendall(request.encode())
            answer = viewer.recv(4096).decode()
    assert answer.startswith("RTSP/1.0 200 OK")
    assert "H264/90000" in answer


@needs_gstreamer
def test_closing_does_not_wait_for_viewers_of_what_has_not_begun() -> None:
    sink = served()
    sink.open(make_info((320, 240), live=True))
    source = GstSource(f"rtsp+gst://127.0.0.1:{sink.port}/live")
    errors: list[SourceError] = []

    def look() -> None:
        try:
            source.open()
        except SourceError as error:
            errors.append(error)

    viewer = threading.Thread(target=look)
    viewer.start()
    time.sleep(0.5)
    start_s = time.monotonic()
    sink.close()
    assert time.monotonic() - start_s < 2
    assert sink.notes == []
    source.interrupt()
    viewer.join()
    assert len(errors) == 1


@needs_gstreamer
def test_two_servers_side_by_side() -> None:
    one, other = served(), served()
    with feeding(one, (320, 240)), feeding(other, (160, 120)):
        for sink, size in ((one, (320, 240)), (other, (160, 120))):
            with closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source:
                assert source.open().size == size


@needs_gstreamer
@pytest.mark.parametrize(("size", "grown"), [((321, 241), (322, 242)), ((64, 48), (64, 48))])
def test_odd_sizes_grow(size: Size, grown: Size) -> None:
    sink = served()
    with feeding(sink, size), closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source:
        assert source.open().size == grown
        frame = next(source.frames())
        assert float(np.ptp(frame.gray())) < 6  # the edge repeats what is beside it


@needs_gstreamer
def test_closing_is_always_possible() -> None:
    sink = served()
    sink.close()
    sink.open(make_info())
    sink.interrupt()
    sink.close()
    sink.close()


# --- UDP ------------------------------------------------------------------------------------------------------


@needs_gstreamer
def test_mpeg_ts_over_udp_can_be_read() -> None:
    port = free_udp_port()
    sink = make_sink(f"udp://127.0.0.1:{port}")
    assert isinstance(sink, UdpSink)
    with feeding(sink, paint=quarters), closing(VideoSource(f"udp://127.0.0.1:{port}")) as source:
        assert source.open().size == (320, 240)
        frame = list(islice(source.frames(), 10))[-1]
        assert np.abs(frame.gray().astype(int) - quarters(0).gray()).mean() < 2


@needs_gstreamer
def test_rtp_can_be_read_with_its_description(tmp_path: Path) -> None:
    port = free_udp_port()
    sink = UdpSink(f"rtp://127.0.0.1:{port}")
    description = tmp_path / "stream.sdp"
    description.write_text(sink.sdp())
    options = {"protocol_whitelist": "file,udp,rtp"}
    with (
        feeding(sink, paint=quarters),
        av.open(str(description), options=options, timeout=(10, 10)) as stream,
    ):
        frame = list(islice(stream.decode(video=0), 10))[-1]
        assert (frame.width, frame.height) == (320, 240)
        assert np.abs(yuv_planes(frame).y.astype(int) - quarters(0).gray()).mean() < 2


@needs_gstreamer
def test_a_film_goes_out_whole_and_at_its_own_pace() -> None:
    port = free_udp_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", port))
        receiver.settimeout(1)
        sink = UdpSink(f"udp://127.0.0.1:{port}")
        start_s = time.monotonic()
        run_sink(sink, make_packets(20))  # 40 ms each
        took_s = time.monotonic() - start_s
        sent = bytearray()
        with suppress(TimeoutError):
            while True:
                sent += receiver.recv(65536)
    assert sink.written == 20
    assert 0.7 < took_s < 3
    with av.open(io.BytesIO(sent), "r", format="mpegts") as stream:
        assert len(list(stream.decode(video=0))) == 20


@needs_gstreamer
def test_an_interrupt_ends_the_waiting_of_a_film() -> None:
    sink = UdpSink(f"udp://127.0.0.1:{free_udp_port()}")
    sink.open(make_info())
    sink.process(make_packet(0, 0))
    timer = threading.Timer(0.2, sink.interrupt)
    timer.start()
    start_s = time.monotonic()
    sink.process(make_packet(1, 60_000))  # a minute later
    assert time.monotonic() - start_s < 2
    timer.join()
    sink.close()


@needs_gstreamer
def test_nobody_has_to_listen() -> None:
    sink = UdpSink(f"udp://127.0.0.1:{free_udp_port()}")
    with feeding(sink) as feeder:
        time.sleep(0.5)
    assert feeder.errors == []
    assert sink.written > 5


@needs_gstreamer
def test_an_encoder_that_cannot_keep_up_leaves_frames_out() -> None:
    sink = make_stream_sink(f"udp://127.0.0.1:{free_udp_port()}", encoder="x264enc:placebo", threads=1)
    size = (1280, 720)
    paint = noise(size)
    sink.open(make_info(size, live=True))
    packets = [make_packet(index, index, size=size, overlay=paint(index)) for index in range(40)]
    start_s = time.monotonic()
    for packet in packets:
        sink.process(packet)
    took_s = time.monotonic() - start_s
    sink.close()
    assert took_s < 1
    assert 0 < sink.written < 40
    assert "frames were left out" in sink.notes[-1]


@needs_gstreamer
def test_a_name_that_is_no_host_is_said() -> None:
    sink = UdpSink("udp://no-such-host.invalid:5000")
    with closing(sink), pytest.raises(SinkError, match=r"there is no host 'no-such-host\.invalid'"):
        sink.open(make_info())


# --- Texts and encoders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("rtsp://0.0.0.0:8554/live", Address("rtsp", "0.0.0.0", 8554, "/live")),
        ("rtsp://localhost", Address("rtsp", "localhost", 8554, "/live")),
        ("rtsp://a:b%3Ac@[::1]:9/x/y", Address("rtsp", "::1", 9, "/x/y", "a", "b:c")),
        ("rtp://10.0.0.7:5004", Address("rtp", "10.0.0.7", 5004)),
        ("udp://239.1.1.1:1234", Address("udp", "239.1.1.1", 1234)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://",
        "rtsp://geheim:@/x",
        "rtsp://geheim@host/x",
        "rtsp://host:70000/x",
        "udp://host",
        "udp://host:0",
        "rtp://host:5/path",
        "rtp://anna:geheim@host:5",
        "http://host:5",
    ],
)
def test_addresses_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "element", "preset"),
    [
        ("libx264:veryfast", "x264enc", "veryfast"),
        ("libx264", "x264enc", None),
        ("x264enc:ultrafast", "x264enc", "ultrafast"),
        ("h264_nvenc:p4", "nvh264enc", None),
        ("nvv4l2h264enc", "nvv4l2h264enc", None),
        ("h264_qsv:fast", "qsvh264enc", None),
    ],
)
def test_encoders_are_known_by_both_names(text: str, element: str, preset: str | None) -> None:
    found = StreamEncoder.parse(text)
    assert (found.element, found.preset) == (element, preset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("libx265", "unknown H.264 encoder for streams 'libx265'; did you mean 'libx264'"),
        ("libx264:fastest", "unknown preset of libx264 'fastest'; did you mean 'faster'"),
        ("vah264enc:fast", "has no presets; give it as 'vah264enc'"),
    ],
)
def test_encoders_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        StreamEncoder.parse(text)


@needs_gstreamer
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_works_or_says_what_it_lacks(name: str) -> None:
    choice = StreamEncoder.parse(name)
    if choice.element in ("x264enc", "openh264enc") or has_element(choice.element):
        choice.try_out((320, 240), Fraction(30))
    else:
        with pytest.raises(SinkError, match=r"is in the package|comes with JetPack"):
            choice.try_out((320, 240), Fraction(30))


@needs_gstreamer
def test_another_encoder_serves_as_well() -> None:
    sink = make_stream_sink("rtsp://127.0.0.1:0", encoder="openh264enc")
    assert isinstance(sink, RtspServerSink)
    with feeding(sink, paint=quarters), closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as source:
        source.open()
        frame = list(islice(source.frames(), 10))[-1]
        assert np.abs(frame.gray().astype(int) - quarters(0).gray()).mean() < 3


# --- A whole run ----------------------------------------------------------------------------------------------


@needs_gstreamer
def test_a_run_serves_its_overlay() -> None:
    source = SyntheticSource(size=(320, 240), length=300, live=True, paced=True)
    run = Run(source, parts=Parts(models=[FakeModel()]), sinks=("rtsp://127.0.0.1:0/live",))
    frames: list[av.VideoFrame] = []

    def watch() -> None:
        sink = run.sinks[0]
        assert isinstance(sink, RtspServerSink)
        with closing(VideoSource(f"rtsp://127.0.0.1:{sink.port}/live")) as viewer:
            viewer.open()
            frames.extend(frame.picture.av_frame() for frame in islice(viewer.frames(), 10))
        run.stop()

    watcher: threading.Thread | None = None
    for _ in run:
        if watcher is None:
            watcher = threading.Thread(target=watch)
            watcher.start()
    assert watcher is not None
    watcher.join()
    assert [(frame.width, frame.height) for frame in frames] == [(320, 240)] * 10
