"""The page's parts alone: shared memory, limits, trends, who may look, metrics."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from keywarp.pipeline.page.address import is_loopback, is_wildcard, joined, url_of
from keywarp.pipeline.page.app import first_of
from keywarp.pipeline.page.connections import Connections
from keywarp.pipeline.page.guard import Rules
from keywarp.pipeline.page.jpeg import encode_jpeg, fitted, most_bytes
from keywarp.pipeline.page.limits import Allowance
from keywarp.pipeline.page.metrics import prometheus_text
from keywarp.pipeline.page.ring import KEY, MOST_STAGES, PROPAGATED, RECORDS, FrameRecord, Ring
from keywarp.pipeline.page.trend import Trend
from keywarp.pipeline.picture import Picture


@pytest.fixture
def ring() -> Iterator[Ring]:
    found = Ring.create(10_000)
    yield found
    found.close(remove=True)


def record(index: int, flags: int = PROPAGATED, *stages_ms: float, at_ns: int = 0) -> FrameRecord:
    return FrameRecord(index, at_ns, flags, index % 10, 6.0, 12.0, stages_ms)


def test_an_empty_ring_has_nothing(ring: Ring) -> None:
    assert ring.picture() is None
    assert ring.records_since(0) == ([], 0)
    assert not ring.watching


def test_the_newest_picture_comes_out_as_it_went_in(ring: Ring) -> None:
    for index, jpeg in enumerate((b"", b"first", b"x" * 10_000, b"last")):
        assert ring.put_picture(jpeg, index, KEY, (5, 7 + index))
        found = ring.picture()
        assert found is not None
        assert (found.number, found.index, found.jpeg) == (index + 1, index, jpeg)
        assert (found.capture_ns, found.published_ns, found.flags) == (5, 7 + index, KEY)
    assert not ring.put_picture(b"x" * 10_001, 9, KEY, (0, 0))
    assert ring.pictures == 4


def read_in_another_process(
    name: str, seconds: float, answers: multiprocessing.Queue[tuple[int, int]]
) -> None:
    ring = Ring.attach(name)
    damaged = seen = last = 0
    ring.watching = True
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        found = ring.picture()
        if found is not None and found.number != last:
            seen, last = seen + 1, found.number
            damaged += found.jpeg != bytes([found.index % 251]) * len(found.jpeg)
    ring.close()
    answers.put((seen, damaged))


def test_another_process_never_sees_half_a_picture(ring: Ring) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    reader = context.Process(target=read_in_another_process, args=(ring.name, 1.0, answers))
    reader.start()
    try:
        while not ring.watching:
            time.sleep(0.01)
        index = 0
        while reader.is_alive() and answers.empty():
            index += 1
            ring.put_picture(bytes([index % 251]) * (1000 + index % 9000), index, 0, (0, 0))
        seen, damaged = answers.get(timeout=10)
    finally:
        reader.join(10)
        answers.close()
        answers.join_thread()
    assert seen > 50
    assert damaged == 0
    assert ring.put_picture(b"still there", 1, 0, (0, 0))  # the reader's end took nothing away


def test_records_come_once_and_in_order(ring: Ring) -> None:
    ring.put_record(record(0, KEY, 1.0, math.nan, 3.0))
    (first,), count = ring.records_since(0)
    assert first.stages_ms[0] == 1.0
    assert math.isnan(first.stages_ms[1])
    assert (first.index, first.flags, first.key_age, first.latency_ms) == (0, KEY, 0, 12.0)
    for index in range(1, 1000):
        ring.put_record(record(index, PROPAGATED, *range(MOST_STAGES + 5)))
    late, count = ring.records_since(count)
    indices = [found.index for found in late]
    assert count == 1000
    assert indices[-1] == 999
    assert all(later - earlier == 1 for earlier, later in pairwise(indices))
    assert RECORDS - 16 <= len(indices) <= RECORDS
    assert len(late[0].stages_ms) == MOST_STAGES
    assert ring.records_since(count) == ([], 1000)


def test_records_while_they_are_written(ring: Ring) -> None:
    ending = threading.Event()

    def write() -> None:
        index = 0
        while not ending.is_set():
            ring.put_record(record(index, PROPAGATED, float(index)))
            index += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        count, seen = 0, []
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            found, count = ring.records_since(count)
            seen += found
    finally:
        ending.set()
        writer.join()
    assert all(each.stages_ms == (float(np.float32(each.index)),) for each in seen)
    assert all(later.index > earlier.index for earlier, later in pairwise(seen))


def test_trend() -> None:
    trend = Trend()
    trend.add([], 10**9)
    assert trend.points[-1][1:] == (0.0, None, None)
    step_ns = 10**9 // 25
    frames = [record(i, KEY if i % 10 == 0 else PROPAGATED, *((20.0, math.nan) if i % 10 == 0 else (4.0, 2.0)),
                     at_ns=i * step_ns) for i in range(50)]  # fmt: skip
    trend.add(frames, 50 * step_ns)
    assert trend.points[-1][1] == pytest.approx(25, rel=0.01)
    assert trend.points[-1][2:] == (12.0, 12.0)
    assert trend.stages(["model", "flow", "later"]) == [
        {"name": "model", "key": 20.0, "propagated": 4.0},
        {"name": "flow", "key": None, "propagated": 2.0},
        {"name": "later", "key": None, "propagated": None},
    ]
    trend.add([], 60 * 10**9)
    assert trend.points[-1][1:] == (0.0, None, None)


def test_allowance() -> None:
    now_s = 0.0
    allowance = Allowance(10, lambda: now_s)
    assert [allowance.take() for _ in range(12)] == [True] * 10 + [False] * 2
    now_s = 0.5
    assert [allowance.take() for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("size", "width", "wanted"),
    [((640, 360), 1280, (640, 360)), ((1920, 1080), 1280, (1280, 720)), ((1000, 3), 16, (16, 1))],
)
def test_jpeg_size(size: tuple[int, int], width: int, wanted: tuple[int, int]) -> None:
    assert fitted(size, width) == wanted
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    jpeg = encode_jpeg(Picture.from_bgr(noise), width=width, quality=80)
    assert jpeg[:2] == b"\xff\xd8"
    assert len(jpeg) < most_bytes(size, width)


def test_addresses() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "192.168.1.2", "camera", "", "localhost.evil"))
    assert [is_wildcard(host) for host in ("0.0.0.0", "::", "127.0.0.1")] == [True, True, False]
    assert joined("::1", 80) == "[::1]:80"
    assert url_of("127.0.0.1", 80, None) == "http://127.0.0.1:80/"
    assert url_of("camera", 80, "a b&c") == "http://camera:80/?token=a%20b%26c"


def test_rules() -> None:
    local, open_ = Rules("127.0.0.1", 8080), Rules("0.0.0.0", 8080, "a secret token", ("Cam.example",))
    assert local.accepts_host("localhost:8080")
    assert local.accepts_host("[::1]:8080")
    assert not local.accepts_host("10.0.0.1")
    assert open_.accepts_host("10.0.0.1:99")
    assert open_.accepts_host("cam.EXAMPLE")
    for bad in (
        "",
        "evil",
        "cam.example.evil",
        "cam.example@evil",
        "a/b",
        "x:y",
        "localhost#",
        "127.0.0.1%evil",
    ):
        assert not open_.accepts_host(bad), bad
    assert open_.accepts_token("a secret token")
    assert not open_.accepts_token("a secret tokeN")
    assert not local.accepts_token("")
    assert open_.accepts_cookie(f"x=1; keywarp_8080={open_.cookie}")
    for others in ('a={"x":1}', "a=b c", "flag", "é=1", "a=1;", "keywarp_8080=old"):  # cookies know no ports
        assert open_.accepts_cookie(f"{others}; keywarp_8080={open_.cookie}"), others
    for bad in (
        "",
        "keywarp_8080=",
        f"keywarp_8081={open_.cookie}",
        "\x00;;;=",
        f"keywarp_8080={local.cookie}",
    ):
        assert not open_.accepts_cookie(bad), bad
    assert local.accepts_origin("http://localhost:8080", "localhost:8080")
    assert local.accepts_origin("https://cam.example", "cam.example")
    for origin in (
        "null",
        "",
        "http://localhost",
        "file://localhost:8080",
        "http://u@localhost:8080",
        "http://[::",
    ):
        assert not local.accepts_origin(origin, "localhost:8080"), origin


def test_a_ring_has_its_memory_from_the_start(ring: Ring) -> None:
    file = Path("/dev/shm") / ring.name
    if not file.exists():
        pytest.skip("needs /dev/shm (Linux)")
    assert file.stat().st_blocks * 512 >= 3 * 10_000


def test_a_ring_that_gets_no_memory_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = Path("/dev/shm")
    before = set(folder.glob("*")) if folder.exists() else set()
    monkeypatch.setattr("keywarp.pipeline.page.ring._reserve", full)
    with pytest.raises(OSError, match="No space"):
        Ring.create(10_000)
    assert (set(folder.glob("psm_*")) if folder.exists() else set()) <= before


class Answered:
    """A request that has its answer."""

    response_complete = True


class Connection:
    """A connection whose protocol has just finished a request."""

    def __init__(self) -> None:
        self.cycle: Any = None
        self.aborted = False

    def get_extra_info(self, _name: str) -> Any:
        return SimpleNamespace(fileno=lambda: 5)

    def get_protocol(self) -> Connection:
        return self

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted = True


def test_a_connection_that_goes_on_asking_is_left_alone() -> None:
    connections, one = Connections(most=1), Connection()
    assert connections._watch(cast("Any", one))
    for second in range(0, 60, 2):
        one.cycle = None  # whose memory the next request may get
        one.cycle = Answered()
        connections.look(time.monotonic() + second)
    assert not one.aborted
    connections.look(time.monotonic() + 100)
    assert one.aborted


def test_what_misses_a_cancellation_is_cancelled_again() -> None:
    ended = []

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("deaf")

    async def brief() -> None:
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(first_of(deaf(), brief()), 5))
    assert ended == ["deaf"]


def test_what_a_viewer_breaks_by_leaving_is_told_to_nobody() -> None:
    told = []

    async def breaks() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise OSError("gone")

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        await first_of(breaks(), asyncio.sleep(0))
        gc.collect()

    asyncio.run(leave())
    assert told == []


def test_metrics_of_nothing() -> None:
    lines = prometheus_text({}, {}).splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["keywarp_source_up 0"]
