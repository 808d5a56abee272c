"""Live streams by HTTP: motion JPEG and HLS, from real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from tests.pipeline.numbered import Painter, read_code

from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.parse import open_source

from .films import write_film

SIZE = (320, 192)
QUICK = ReconnectConfig(silence_s=0.8)


class _Camera(BaseHTTPRequestHandler):
    """Sends numbered pictures, 40 a second, until it has sent ``most`` of them."""

    most = 10**9
    numbers = iter(range(10**9))

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        painter = Painter(SIZE)
        try:
            for _ in range(self.most):
                _, jpeg = cv2.imencode(".jpg", painter.luma(next(self.numbers), 0))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                time.sleep(0.025)
        except OSError:  # nobody looks any more
            pass
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[Callable[[int], str]]:
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(most: int) -> str:
        handler = type("_Camera", (_Camera,), {"most": most, "numbers": iter(range(10**9))})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/video"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def _numbers(frames: list[Frame]) -> list[int]:
    codes = [read_code(frame.picture.gray()) for frame in frames if not frame.frozen]
    assert None not in codes
    return [code[0] for code in codes if code is not None]


def test_motion_jpeg(camera: Callable[[int], str]) -> None:
    source = open_source(camera(10**9), reconnect=QUICK)
    start_s = time.perf_counter()
    info = source.open()
    opened_s = time.perf_counter() - start_s
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if frame.time_s > 1.5:
            source.interrupt()
    source.close()
    assert info.live
    assert info.size == SIZE
    assert opened_s < 2
    assert len(_numbers(frames)) > 20
    rate = (len(frames) - 11) / (frames[-1].time_s - frames[10].time_s)
    assert 20 < rate < 45, "times are those of arrival, whatever rate FFmpeg guesses"
    assert source.status.reconnects == 0


def test_motion_jpeg_that_ends_is_lost_and_comes_back(camera: Callable[[int], str]) -> None:
    source = open_source(camera(30), reconnect=QUICK)
    source.open()
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if sum(each.after_gap for each in frames) == 2:
            source.interrupt()
    source.close()
    assert source.status.reconnects == 2
    got = _numbers(frames)
    assert got == sorted(set(got))


def _grow_playlist(folder: Path, segments: int, ended: threading.Event) -> None:
    """What an HLS server does: half a second of video at a time, and a list of the last few."""
    painter = Painter(SIZE)
    with av.open(
        str(folder / "live.m3u8"),
        "w",
        format="hls",
        options={
            "hls_time": "0.5",
            "hls_list_size": "4",
            "hls_flags": "delete_segments+temp_file+omit_endlist",
        },
    ) as output:
        stream = output.add_stream(
            "libx264", rate=20, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"}
        )
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        start_s = time.perf_counter()
        for number in range(segments * 10):
            if ended.wait(max(0.0, start_s + number / 20 - time.perf_counter())):
                return
            frame = av.VideoFrame.from_ndarray(painter.luma(number, 0), format="gray").reformat(
                format="yuv420p"
            )
            frame.pts = number
            output.mux(stream.encode(frame))


@pytest.mark.slow
def test_hls_plays_at_its_own_rate(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    ended = threading.Event()
    encoder = threading.Thread(target=_grow_playlist, args=(tmp_path, 60, ended))
    encoder.start()
    try:
        deadline_s = time.perf_counter() + 10
        while not (tmp_path / "live2.ts").exists() and time.perf_counter() < deadline_s:
            time.sleep(0.05)
        source = open_source(f"{serve(tmp_path)}/live.m3u8", reconnect=QUICK)
        info = source.open()
        frames, came_s = [], []
        for frame in source.frames():
            frames.append(frame)
            came_s.append(time.perf_counter())
            if came_s[-1] - came_s[0] > 4:
                source.interrupt()
        source.close()
    finally:
        ended.set()
        encoder.join()
    assert info.live
    got = _numbers(frames)
    print("HLS:", len(got), "fresh of", len(frames), got[0], got[-1], source.losses.by_cause, source.status)
    assert got == sorted(set(got))
    assert len(got) > 50, "4 s at 20 a second"
    assert max(two - one for one, two in pairwise(came_s)) < 0.9


def test_a_film_by_http_comes_whole(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    write_film(tmp_path / "film.mp4", np.zeros((40, 48, 64, 3), np.uint8))
    source = open_source(f"{serve(tmp_path)}/film.mp4")
    info = source.open()
    frames = list(source.frames())
    source.close()
    assert not info.live
    assert len(frames) == 40
    assert source.notes == []
