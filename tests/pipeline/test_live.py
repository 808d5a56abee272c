"""The whole live path against real ends: an RTSP camera, the pipeline in its own process, a browser."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import keywarp
from keywarp.models.base import KeyOutput
from keywarp.models.fake import FakeModel
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.run import Parts

from .live import Pipeline, Seen, Viewer, pipeline, recent_p99_ms, viewer
from .page.feeder import wait_for
from .rtsp import RtspServer, need_gstreamer, rtsp_server

need_gstreamer()
pytestmark = [pytest.mark.gstreamer, pytest.mark.slow, pytest.mark.timeout(300)]

CAMERA = ("--size", "640x360", "--rate", "30")
# The squares with the numbers must stay black and white under the overlay.
PLAIN = ("--set", "overlay.hud=false", "--set", "overlay.legend=false", "--set", "overlay.opacity=0.3")
SOAK_S = 120.0
MOST_AGE_MS = 200.0


class SlowModel(FakeModel):
    """A model that takes three frame times of the camera."""

    def features(self, image: NDArray[np.uint8]) -> KeyOutput[SegmentationMap]:
        time.sleep(0.1)
        return super().features(image)


class Aside:
    """A run in a thread, for ``SOAK_S`` and a little longer, and how old each frame was when it came out."""

    def __init__(self, url: str) -> None:
        self.run = keywarp.Run(url, interval=1, sinks=["null"], parts=Parts(models=[SlowModel()]))
        self.ages_ms: list[tuple[float, float]] = []
        self._stop = threading.Timer(SOAK_S + 6.0, self.run.stop)
        self._thread = threading.Thread(target=self._follow)

    def start(self) -> None:
        self._stop.start()
        self._thread.start()

    def finish(self) -> None:
        self._thread.join()
        self._stop.cancel()

    def _follow(self) -> None:
        start_s = time.monotonic()
        for packet in self.run:
            age_ms = (time.perf_counter_ns() - packet.frame.capture_ns) / 1e6
            self.ages_ms.append((time.monotonic() - start_s, age_ms))

    def latency_ms(self, after_s: float) -> float:
        """The median over five seconds."""
        return statistics.median(age_ms for at_s, age_ms in self.ages_ms if after_s <= at_s < after_s + 5)


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspServer]:
    with rtsp_server(*CAMERA) as server:
        yield server


@pytest.fixture(scope="module")
def running(camera: RtspServer) -> Iterator[Pipeline]:
    with pipeline(camera.url, options=PLAIN) as found:
        yield found


@pytest.fixture(scope="module")
def watching(running: Pipeline) -> Iterator[Viewer]:
    with viewer(running.url) as found:
        yield found


@pytest.fixture(scope="module")
def slow(camera: RtspServer) -> Iterator[Aside]:
    """Begun together with the others, since it takes two minutes of mostly waiting."""
    aside = Aside(camera.url)
    aside.start()
    yield aside
    aside.run.stop()
    aside.finish()


def _check(seen: Seen) -> None:
    assert seen.rate > 25
    assert seen.unreadable == 0
    assert seen.percentile_ms(95) <= MOST_AGE_MS


@pytest.mark.usefixtures("slow")
def test_pictures_reach_the_browser_soon_and_go_on_so(running: Pipeline, watching: Viewer) -> None:
    watching.watch(5.0)  # the first seconds fill caches
    grown = []
    for _ in range(
        2
    ):  # a stall of a busy machine may take some memory for good, once; a leak takes it each time
        rss_bytes, begin_s = running.rss_bytes(), time.monotonic()
        _check(watching.watch(20.0))
        time.sleep(SOAK_S - 50.0)
        _check(watching.watch(20.0))
        assert time.monotonic() - begin_s > SOAK_S - 20.0
        grown.append(running.rss_bytes() / rss_bytes)
        if grown[-1] < 1.01:
            break
    else:
        pytest.fail(f"memory grew by factors of {grown}")
    assert watching.errors() == []


def test_a_model_at_a_third_of_the_cameras_rate_gets_no_later(slow: Aside) -> None:
    slow.finish()
    assert slow.latency_ms(SOAK_S) < 1.2 * slow.latency_ms(10.0)
    frames = slow.run.report()["frames"]
    assert 8 < frames["out"] / slow.ages_ms[-1][0] < 11
    assert frames["dropped_by_cause"]["late"] > frames["out"]
    assert frames["in"] - frames["out"] - frames["dropped"] in (0, 1)  # 1 where the stop came between


def test_a_viewer_that_stops_reading_changes_nothing(running: Pipeline, watching: Viewer) -> None:
    seen = []
    for _ in range(6):  # the machine may be busy with something else for a while, but not each time
        wait_for(lambda: running.ask("/report")["page"]["viewers"] == 1)  # who stopped has left
        alone, p99_alone_ms = watching.watch(4.0), recent_p99_ms(running, 6.0)
        with socket.create_connection(("127.0.0.1", running.port)) as bad:
            bad.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host = f"Host: 127.0.0.1:{running.port}\r\n"
            bad.sendall(f"GET /stream.mjpg HTTP/1.1\r\n{host}\r\n".encode())
            beside, p99_beside_ms = watching.watch(4.0), recent_p99_ms(running, 6.0)
            assert running.ask("/report")["page"]["viewers"] == 2
        assert beside.rate > 25
        if beside.rate > 0.95 * alone.rate and p99_beside_ms < 1.1 * p99_alone_ms:
            return
        seen.append(
            f"{alone.rate:.1f} -> {beside.rate:.1f}, p99 {p99_alone_ms:.1f} -> {p99_beside_ms:.1f} ms"
        )
    pytest.fail("each attempt changed the rate, or when frames came: " + "; ".join(seen))
