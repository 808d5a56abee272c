"""Streams by RTSP from a real server, over networks that fail."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import pytest
from tests.pipeline.numbered import is_clean, read_code
from tests.pipeline.rtsp import Relay, RtspServer, free_port, need_gstreamer, rtsp_server

from keywarp.engines.errors import SourceError
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources import container
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.supervised import SupervisedSource
from keywarp.pipeline.sources.video import VideoSource

need_gstreamer()
pytestmark = pytest.mark.gstreamer

QUICK = ReconnectConfig(silence_s=0.8)


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    with rtsp_server() as running:
        yield running


def read_for(
    source: Source,
    seconds: float,
    at: Mapping[float, Callable[[], object]] | None = None,
    *,
    until_fresh: bool = True,
) -> list[tuple[float, Frame]]:
    """Frames with the seconds at which they came; ``at`` says what happens when. Ends with a fresh one."""
    frames: list[tuple[float, Frame]] = []
    to_do = sorted((at or {}).items())
    start_s = time.perf_counter()
    for frame in source.frames():
        now_s = time.perf_counter() - start_s
        frames.append((now_s, frame))
        while to_do and now_s >= to_do[0][0]:
            to_do.pop(0)[1]()
        if now_s > seconds and (not frame.frozen or not until_fresh or now_s > seconds + 10):
            break
    return frames


def watched(url: str, config: ReconnectConfig = QUICK) -> SupervisedSource:
    source = open_source(url, reconnect=config)
    assert isinstance(source, SupervisedSource)
    return source


def check(
    frames: list[tuple[float, Frame]], *, longest_gap_s: float = 0.9, clean: bool = True
) -> list[Frame]:
    """What holds of any stream, however bad the network. Returns the fresh frames."""
    for (one_s, one), (two_s, two) in pairwise(frames):
        assert two.index == one.index + 1
        assert two.pts > one.pts
        assert two_s - one_s < longest_gap_s, "the output never stalls"
        assert two.frozen or two.after_gap or not one.frozen
    assert not clean or all(is_clean(frame.picture.gray()) for _, frame in frames), (
        "neither black nor smeared"
    )
    return [frame for _, frame in frames if not frame.frozen]


def numbers(frames: list[Frame]) -> list[int]:
    codes = [read_code(frame.picture.gray()) for frame in frames]
    return [code[0] for code in codes if code is not None]


@pytest.mark.parametrize("transport", ["", "#tcp", "#udp"])
def test_every_frame_comes_once_and_soon(server: RtspServer, transport: str) -> None:
    source = watched(server.url + transport)
    start_s = time.perf_counter()
    info = source.open()
    opened_s = time.perf_counter() - start_s
    frames = read_for(source, 1.5)
    lost = source.losses.total
    source.close()
    got = numbers(check(frames))[5:]  # the server itself may leave out some before it is playing
    assert lost == 0
    assert got == list(range(got[0], got[-1] + 1))
    assert len(got) > 30
    assert opened_s < 1.0
    assert info.live
    assert info.rate == 30
    assert info.size == (640, 360)


def test_frames_have_the_sender_s_time(server: RtspServer) -> None:
    """The picture bears when it was painted, by the clock that both processes share."""
    source = watched(server.url)
    source.open()
    frames = read_for(source, 3.0)
    source.close()
    late_ms = []
    for frame in check(frames):
        code = read_code(frame.picture.gray())
        assert code is not None
        late_ms.append(frame.capture_ns / 1e6 % 2**32 - code[1])
    assert min(late_ms) > -20, "nothing is captured before it is painted"
    assert sorted(late_ms)[len(late_ms) // 2] < 100
    print(f"captured after painted: {min(late_ms):.1f} to {max(late_ms):.1f} ms")


REFUSED: dict[str, tuple[str, str]] = {
    "a port that nobody listens on": ("rtsp://anna:hunter2@127.0.0.1:{free}/cam", "Connection refused"),
    "a wrong password": (
        "rtsp://anna:hunter2@127.0.0.1:{locked}/cam",
        "refused us .*check user and password",
    ),
    "no password": ("rtsp://127.0.0.1:{locked}/cam?key=hunter2", "refused us .*check user and password"),
    "no such stream": ("rtsp://anna:hunter2@127.0.0.1:{open}/none", "404"),
    "no video": ("rtsp://anna:hunter2@127.0.0.1:{open}/sound", "holds only audio"),
}


@pytest.fixture(scope="module")
def locked() -> Iterator[RtspServer]:
    with rtsp_server("--user", "anna", "--password", "swordfish") as running:
        yield running


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_opened(
    server: RtspServer,
    locked: RtspServer,
    case: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, words = REFUSED[case]
    source = watched(url.format(free=free_port(), locked=locked.port, open=server.port))
    start_s = time.perf_counter()
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError, match=words) as caught:
        source.open()
    assert time.perf_counter() - start_s < 3
    source.close()
    said = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert "hunter2" not in said
    assert "\n" not in str(caught.value)


def test_the_right_password(locked: RtspServer, caplog: pytest.LogCaptureFixture) -> None:
    source = watched(f"rtsp://anna:swordfish@127.0.0.1:{locked.port}/cam")
    info = source.open()
    frames = read_for(source, 0.5)
    source.close()
    check(frames)
    assert "swordfish" not in repr(info) + "".join(source.notes) + caplog.text


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_dead_host_and_an_interrupt(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that no packet comes back from: a full queue of connections drops them as a dead host does."""
    monkeypatch.setattr(container, "OPEN_TIMEOUT_S", 1.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            source = watched(f"{scheme}://127.0.0.1:{port}/cam")
            start_s = time.perf_counter()
            with pytest.raises(SourceError, match="did not answer within"):
                source.open()
            assert time.perf_counter() - start_s < 2.5
            source.close()
            timer = threading.Timer(0.2, source.interrupt)
            timer.start()
            start_s = time.perf_counter()
            with pytest.raises(SourceError, match="interrupted"):
                source.open()
            assert time.perf_counter() - start_s < 0.8
            source.close()
            timer.join()
            _wait_for_readers()


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process by a signal")
def test_a_server_that_freezes(server: RtspServer) -> None:
    source = watched(server.url)
    source.open()
    at = {0.5: lambda: server.signal(signal.SIGSTOP), 3.0: lambda: server.signal(signal.SIGCONT)}
    frames = read_for(source, 4.0, at)
    source.close()
    check(frames)
    assert source.status.reconnects == 1
    assert sum(frame.after_gap for _, frame in frames) >= 1


@pytest.mark.slow
def test_a_network_that_stalls_for_ten_seconds(server: RtspServer) -> None:
    with Relay(server.port) as relay:
        source = watched(relay.url)
        source.open()

        def stall(on: bool) -> None:
            relay.stalled = on

        frames = read_for(source, 11.0, {0.5: lambda: stall(True), 10.5: lambda: stall(False)})
        source.close()
    fresh = check(frames)
    back_s = [at_s for at_s, frame in frames if frame.after_gap]
    assert source.status.reconnects >= 1
    assert 10.4 < back_s[-1] < 12.5
    frozen = sum(frame.frozen for _, frame in frames)
    assert frozen == pytest.approx(9.5 * 30, rel=0.15), "at the stream's own rate"
    assert numbers(fresh) == sorted(set(numbers(fresh))), "no picture comes twice"


@pytest.mark.parametrize(
    "damage",
    [{"lost_packets": 0.02}, {"damaged_packets": 0.02}, {"damage": 0.01}, {"damage": 0.05}],
    ids=["2 % of packets lost", "2 % of packets damaged", "1 % of bytes", "5 % of bytes"],
)
def test_damage(server: RtspServer, damage: dict[str, float]) -> None:
    with Relay(server.port) as relay:
        source = watched(relay.url)
        source.open()

        def spoil(by: float) -> None:
            for name, share in damage.items():
                setattr(relay, name, share * by)

        frames = read_for(source, 4.0, {0.5: lambda: spoil(1), 3.0: lambda: spoil(0)})
        losses = source.losses.by_cause
        source.close()
    fresh = [frame for _, frame in frames if not frame.frozen]
    # A changed byte may give another picture that is just as valid, which no decoder can know.
    clean = [frame for frame in fresh if is_clean(frame.picture.gray())]
    smeared = len(fresh) - len(clean)
    check(frames, clean=False)
    got = numbers(clean)
    missing = got[-1] - got[0] + 1 - len(fresh)
    print(f"{damage}: {len(fresh)} fresh, {smeared} smeared, {missing} missing, {losses}, {source.status}")
    assert got == sorted(set(got)), "a picture of the past, whole, came as a new one"
    assert relay.hit > 0
    assert sum(losses.values()) <= missing + 2
    assert sum(losses.values()) + smeared > 0, "what was hit is lost or seen"
    assert smeared <= len(fresh) // 4


def test_a_stream_that_comes_back_larger() -> None:
    with (
        rtsp_server("--size", "640x360", "--first", "1000") as small,
        rtsp_server("--size", "1280x720") as large,
        Relay(small.port) as relay,
    ):
        source = watched(relay.url)
        source.open()

        def swap() -> None:
            relay.target = large.port
            relay.cut()

        frames = read_for(source, 1.5, {0.5: swap})
        source.close()
    assert {frame.size for _, frame in frames} == {(640, 360)}
    check([each for each in frames if each[0] < 0.5])
    assert numbers([frames[-1][1]])[0] < 1000, "it is the other server's picture"
    assert any("came back with 1280x720 pixels once: scaled" in note for note in source.notes)


def test_another_codec_on_return() -> None:
    with rtsp_server() as one, rtsp_server("--codec", "jpeg") as other, Relay(one.port) as relay:
        source = watched(relay.url)
        source.open()

        def swap() -> None:
            relay.target = other.port
            relay.cut()

        frames = read_for(source, 1.5, {0.5: swap})
        source.close()
    check(frames)
    assert source.status.reconnects == 1


@pytest.mark.parametrize(
    ("rate", "size", "seconds"), [(1, "640x360", 2.5), (240, "320x192", 2.0), (3, "7680x4320", 2.0)]
)
def test_slow_fast_and_large_streams(rate: int, size: str, seconds: float) -> None:
    with rtsp_server("--rate", str(rate), "--size", size, "--bitrate", "20000") as server:
        source = watched(server.url)
        start_s = time.perf_counter()
        source.open()
        opened_s = time.perf_counter() - start_s
        frames = read_for(source, seconds)
        losses = source.losses.by_cause
        source.close()
    fresh = [frame for _, frame in frames if not frame.frozen]
    got = numbers(fresh)
    print(
        f"{rate}/s {size}: opened in {opened_s:.2f} s, {len(got)} frames in {frames[-1][0]:.1f} s, {losses}"
    )
    assert got == sorted(set(got))
    assert len(got) + losses.get("unread", 0) == got[-1] - got[0] + 1
    assert source.status.reconnects == 0
    if rate == 1:
        assert not any(frame.frozen for _, frame in frames), "slow is not silent"


def test_twenty_connections_leave_nothing(server: RtspServer) -> None:
    for _ in range(20):
        source = VideoSource(server.url)
        source.open()
        next(source.frames())
        source.close()
    _wait_for_readers()


def _wait_for_readers() -> None:
    for thread in threading.enumerate():
        if thread.name == "keywarp-reader":
            thread.join(6)
            assert not thread.is_alive()
