"""A run in small for the page's tests: drawn frames, at a rate, into a real sink with its real server."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from keywarp.pipeline.clock import MonotonicClock
from keywarp.pipeline.config import ServeConfig
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, Propagation
from keywarp.pipeline.packet import Packet, Span
from keywarp.pipeline.page.sink import PageSink
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.stage import StreamInfo

SIZE = (320, 180)
DROPPED = {"late": 3, "undecodable": 2}


@lru_cache(maxsize=2)
def drawn(size: tuple[int, int] = SIZE, count: int = 24) -> tuple[Picture, ...]:
    """Pictures of the street, as the overlay stage gives them."""
    source = StreetSource(size=size, length=count)
    source.open()
    return tuple(Picture.from_av(frame.picture.av_frame()) for frame in source.frames())


@dataclass
class Feeder:
    """Feeds a sink from a thread of its own, as the graph does, and obeys the controls."""

    controls: Controls = field(default_factory=Controls)
    rate: float = 30.0
    size: tuple[int, int] = SIZE
    health: dict[str, Any] = field(default_factory=dict)
    costs_ms: list[float] = field(default_factory=list)
    intervals: list[tuple[float, int]] = field(default_factory=list)
    abilities: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    index: int = 0

    def __post_init__(self) -> None:
        self._clock = MonotonicClock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None

    def status(self) -> dict[str, Any]:
        health = {
            "state": "live", "reason": "", "since_s": 1.0, "reconnects": 2, "fps": 29.9,
            "latency_p50_ms": 12.5, "latency_p99_ms": 31.0, "key_age": 3, "key_agreement": 0.9425,
            "frames": {"in": self.index + 5, "out": self.index, "frozen": 0, "dropped": DROPPED},
        }  # fmt: skip
        figures = {"count": 10, "mean_ms": 4.0, "p50_ms": 3.9, "p90_ms": 5.0, "p95_ms": 5.5, "p99_ms": 6.0}
        report = {
            "frames": {"in": self.index, "key": self.index // 10}, "cpu_s": 1.5,
            "stages": {"perceive": {"key": figures, "propagated": figures}, 'odd"\\name': {"key": figures}},
        }  # fmt: skip
        return {
            "report": report,
            "health": {**health, **self.health},
            "abilities": self.abilities,
        }

    def start(self, sink: PageSink) -> None:
        drawn(self.size)
        info = StreamInfo("street", self.size, Fraction(30), Fraction(1, 30), None, live=True)
        sink.open(info)
        self._thread = threading.Thread(target=self._run, args=(sink,))
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self, sink: PageSink) -> None:
        try:
            self._feed(sink)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def _feed(self, sink: PageSink) -> None:
        pictures = drawn(self.size)
        next_s = time.perf_counter()
        age = -1
        while not self._ending.is_set():
            next_s += 1 / self.rate
            self._ending.wait(max(0.0, next_s - time.perf_counter()))
            knobs = self.controls.knobs
            if knobs.paused:
                continue
            age = (age + 1) % knobs.interval
            packet = self._packet(Picture.from_av(pictures[self.index % len(pictures)].av_frame()), age)
            start_ns = time.perf_counter_ns()
            sink.process(packet)
            self.costs_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
            self.intervals.append((time.perf_counter(), knobs.interval))
            self.index += 1

    def _packet(self, picture: Picture, age: int) -> Packet:
        now_ns = time.perf_counter_ns()
        frame = Frame(
            self.index, self.index, Fraction(1, 30), now_ns - 9_000_000, picture, frozen=self.frozen
        )
        packet = Packet(frame, self._clock)
        packet[OVERLAY] = picture
        packet[PROPAGATION] = Propagation(is_key=age == 0, age=age, key_index=self.index - age)
        inside = (
            [("perceive.features", 22.0)]
            if age == 0
            else [("perceive.flow", 3.1), ("perceive.warp_head", 2.2)]
        )
        work = [("read", 1.4), *inside, ("perceive", 25.0 if age == 0 else 6.0), ("overlay", 1.1)]
        packet.spans += [
            Span(name, now_ns, round(ms * (0.9 + 0.02 * (self.index % 10)) * 1e6)) for name, ms in work
        ]
        return packet


@contextmanager
def page(feeder: Feeder | None = None, **settings: Any) -> Iterator[tuple[PageSink, Feeder]]:
    """A page that is being fed."""
    feeder = feeder or Feeder()
    sink = PageSink(
        ServeConfig(**{"port": 0, **settings}), feeder.controls, feeder.status, title="street · fake"
    )
    try:
        feeder.start(sink)
        yield sink, feeder
    finally:
        feeder.stop()
        sink.close()
    if feeder.error is not None:
        raise feeder.error


def ask(
    url: str,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers by lower-case name, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def wait_for(condition: Any, seconds: float = 10.0) -> Any:
    """What ``condition`` gives once it is true."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not come true within {seconds:.0f} s")
