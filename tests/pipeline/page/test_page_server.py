"""The page's server as it is: a process of its own, real sockets, viewers good and bad."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import MissingPackageError, SinkError, UsageError
from keywarp.models.fake import FakeModel
from keywarp.pipeline.config import ServeConfig
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.keys import PROPAGATION
from keywarp.pipeline.page.sink import PageSink
from keywarp.pipeline.page.viewers import PICTURE_HEADER
from keywarp.pipeline.run import Parts, Run
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.stage import StreamInfo

from .feeder import SIZE, Feeder, ask, page, wait_for

pytest.importorskip("starlette", reason="needs starlette (pip install keywarp)")
pytest.importorskip("uvicorn", reason="needs uvicorn (pip install keywarp)")
sync_client = pytest.importorskip("websockets.sync.client", reason="needs websockets (pip install keywarp)")
exceptions = pytest.importorskip("websockets.exceptions")

TOKEN = "a token of these tests"
CHANGE = b'{"interval": 4}'


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[PageSink, Feeder]]:
    with page() as both:
        yield both


@pytest.fixture(scope="module")
def locked() -> Iterator[tuple[PageSink, Feeder]]:
    with page(token=TOKEN) as both:
        yield both


@contextmanager
def socket_to(sink: PageSink | str, **options: Any) -> Iterator[Any]:
    address = urlsplit(sink if isinstance(sink, str) else sink.url)
    with sync_client.connect(
        f"ws://{address.netloc}/ws", compression=None, max_size=None, proxy=None, **options
    ) as one:
        yield one


def texts(one: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Messages of a kind as they come; pictures are acknowledged meanwhile."""
    while True:
        message = one.recv(timeout=10)
        if isinstance(message, bytes):
            acknowledge(one, message)
        elif (found := json.loads(message))["type"] == kind:
            yield found


def acknowledge(one: Any, message: bytes) -> None:
    one.send(json.dumps({"ack": PICTURE_HEADER.unpack_from(message)[0]}))


def pictures_within(one: Any, seconds: float) -> list[tuple[int, bytes]]:
    """Frame index and JPEG of all pictures that come within a time, each acknowledged."""
    found = []
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        with suppress(TimeoutError):
            message = one.recv(timeout=left_s)
            if isinstance(message, bytes):
                acknowledge(one, message)
                found.append((PICTURE_HEADER.unpack_from(message)[2], message[PICTURE_HEADER.size :]))
    return found


def viewers(sink: PageSink) -> int:
    """How many seats are taken."""
    taken: int = json.loads(ask(sink.url, "/report")[2])["page"]["viewers"]
    return taken


def decoded(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


# --- Pictures and figures ---------------------------------------------------------------------------------


def test_a_viewer_gets_the_moving_pictures(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    with socket_to(sink) as one:
        found = pictures_within(one, 1.0)
    assert len(found) >= 15
    indices = [index for index, _ in found]
    assert indices == sorted(set(indices))
    first, last = decoded(found[0][1]), decoded(found[-1][1])
    assert first.shape == (SIZE[1], SIZE[0], 3)
    assert cv2.absdiff(first, last).mean() > 1


def test_the_first_words_and_the_news(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    with socket_to(sink) as one:
        hello = next(texts(one, "hello"))
        assert hello["title"] == "street · fake"
        assert hello["size"] == list(SIZE)
        assert "features" in hello["choices"]["level"]
        news = list(islice(texts(one, "news"), 6))
    assert news[-1]["health"]["state"] == "live"
    assert news[-1]["knobs"] == feeder.controls.as_dict()
    assert news[-1]["point"][1] == pytest.approx(30, abs=12)
    assert 9 <= news[-1]["point"][2] < 100
    stages = {stage["name"]: stage for stage in news[-1]["stages"]}
    assert stages["perceive"]["key"] > stages["perceive"]["propagated"] > 0
    assert stages["perceive.features"]["propagated"] is None
    ticks = [tick for each in news for tick in each["ticks"]]
    assert [tick[0] for tick in ticks] == list(range(ticks[0][0], ticks[0][0] + len(ticks)))
    assert {tick[1] for tick in ticks} <= {1, 2}


def test_a_change_acts_on_the_next_frames(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    with socket_to(sink) as one:
        next(texts(one, "hello"))
        sent_s = time.perf_counter()
        one.send(json.dumps({"set": {"interval": 7}, "id": "mine"}))
        answer = next(texts(one, "answer"))
        assert answer["id"] == "mine"
        assert answer["ok"]
        assert answer["knobs"]["interval"] == 7
        taken = wait_for(lambda: [at for at, interval in feeder.intervals if interval == 7 and at > sent_s])
    assert taken[0] - sent_s < 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "give the controls"),
        (None, "give the controls"),
        ([1], "give the controls"),
        ({"interval": 0}, "whole number from 1"),
        ({"interval": "9"}, "whole number from 1"),
        ({"opacity": 2}, "from 0 to 1"),
        ({"flow": "magic"}, "unknown flow 'magic'"),
        ({"level": 3}, "unknown level '3'"),
        ({"paused": "yes"}, "true or false"),
        ({"nothing": 1}, "unknown control 'nothing'"),
        ({"interval": 3, "opacity": -1}, "from 0 to 1"),
    ],
)
def test_bad_values_are_answered_in_words(
    served: tuple[PageSink, Feeder], changes: object, words: str
) -> None:
    sink, feeder = served
    before = feeder.controls.knobs
    with socket_to(sink) as one:
        one.send(json.dumps({"set": changes, "id": 1}))
        answer = next(texts(one, "answer"))
    assert not answer["ok"]
    assert words in answer["error"]
    status, _, body = ask(sink.url, "/controls", method="POST", body=json.dumps(changes).encode())
    assert status == 400
    assert words in json.loads(body)["error"]
    assert feeder.controls.knobs == before


def test_controls_over_http(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    status, _, body = ask(sink.url, "/controls", method="POST", body=b'{"opacity": 0.25}')
    assert status == 200
    assert json.loads(body)["knobs"]["opacity"] == feeder.controls.knobs.opacity == 0.25
    assert json.loads(ask(sink.url, "/controls")[2])["opacity"] == 0.25
    for body, wanted in ((b"not json", 400), (b"[" * 60_000, 400), (b"x" * 70_000, 413)):
        assert ask(sink.url, "/controls", method="POST", body=body)[0] == wanted


def test_half_a_character_is_answered_in_words(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    for body in (b'{"flow": "\\ud800"}', b'{"\\ud800": 1}'):
        status, _, answer = ask(sink.url, "/controls", method="POST", body=body)
        assert status == 400
        assert "unknown" in json.loads(answer)["error"]


def test_snapshot(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    status, headers, body = ask(sink.url, "/snapshot.jpg")
    assert status == 200
    assert headers["content-type"] == "image/jpeg"
    assert decoded(body).shape == (SIZE[1], SIZE[0], 3)


def test_a_snapshot_while_paused_is_the_last_picture() -> None:
    with page() as (sink, feeder):
        wait_for(lambda: feeder.index > 3)
        feeder.controls.change({"paused": True})
        time.sleep(0.7)
        status, _, body = ask(sink.url, "/snapshot.jpg")
        assert status == 200
        assert decoded(body) is not None


def test_pictures_are_scaled_down_to_the_width() -> None:
    with page(width=160) as (sink, _), socket_to(sink) as one:
        assert decoded(pictures_within(one, 0.6)[0][1]).shape == (90, 160, 3)


def test_the_stream_without_a_websocket(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    with raw(sink) as one:
        one.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: {host_of(sink)}\r\n\r\n".encode())
        data = b""
        while data.count(b"Content-Type: image/jpeg") < 4:
            data += one.recv(65_536)
    assert b"multipart/x-mixed-replace; boundary=keywarp-picture" in data
    lengths = [int(found) for found in re.findall(rb"Content-Length: (\d+)", data)]
    start = data.index(b"\r\n\r\n", data.index(b"Content-Length")) + 4
    assert decoded(data[start : start + lengths[0]]).shape == (SIZE[1], SIZE[0], 3)


def test_health_report_and_metrics(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    assert ask(sink.url, "/healthz")[0] == 200
    feeder.health = {"state": "lost", "reason": "the camera is unplugged"}
    try:
        wait_for(lambda: ask(sink.url, "/healthz")[0] == 503)
        assert json.loads(ask(sink.url, "/healthz")[2])["reason"] == "the camera is unplugged"
        wait_for(lambda: b"keywarp_source_up 0" in ask(sink.url, "/metrics")[2])
    finally:
        feeder.health = {}
    wait_for(lambda: ask(sink.url, "/healthz")[0] == 200)
    report = json.loads(ask(sink.url, "/report")[2])
    assert report["report"]["stages"]
    assert report["page"]["most_viewers"] == 16
    text = ask(sink.url, "/metrics")[2].decode()
    line = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+')
    samples = [each for each in text.splitlines() if not each.startswith("#")]
    assert all(line.fullmatch(sample) for sample in samples)
    assert 'keywarp_frames_dropped_total{cause="late"} 3' in samples
    assert 'keywarp_latency_seconds{quantile="0.99"} 0.031' in samples
    assert "keywarp_source_up 1" in samples
    assert "keywarp_key_agreement_ratio 0.9425" in samples
    kinds = dict(re.findall(r"# TYPE (\S+) (\S+)", text))
    assert {re.split(r"[ {]", sample)[0] for sample in samples} == set(kinds)


def test_a_run_with_a_page_obeys_it() -> None:
    source = StreetSource(size=(160, 96), length=None, live=True, rate=20)
    parts = Parts(models=[FakeModel()])
    run = Run(source, models=["enet"], parts=parts, interval=50, flow={"method": "source"}, serve={"port": 0})
    keys: list[tuple[float, bool]] = []

    def iterate() -> None:
        keys.extend((time.perf_counter(), packet[PROPAGATION].is_key) for packet in run)

    thread = threading.Thread(target=iterate)
    thread.start()
    try:
        url = wait_for(lambda: run.page_url)
        with socket_to(url) as one:
            wait_for(lambda: len(keys) > 5)
            one.send(json.dumps({"set": {"interval": 1}, "id": 1}))
            assert next(texts(one, "answer"))["ok"]
            changed_s = time.perf_counter()
            wait_for(lambda: [at for at, is_key in keys if is_key and changed_s < at < changed_s + 0.5])
            assert decoded(pictures_within(one, 0.5)[-1][1]).shape == (96, 160, 3)
            news = next(texts(one, "news"))
            assert news["health"]["state"] == "live"
            assert news["health"]["frames"]["out"] > 5
            assert b"keywarp_latency_seconds{" in ask(url, "/metrics")[2]
    finally:
        run.stop()
        thread.join(20)
    assert not thread.is_alive()
    assert run.report()["stages"]["page"]["all"]["count"] > 5


def test_a_run_tells_its_page_what_it_measures_and_what_it_cannot_do() -> None:
    class Able(FakeModel):
        can_aggregate = True

    source = StreetSource(size=(160, 96), length=None, live=True, rate=20)
    settings: dict[str, Any] = {"interval": 2, "level": "result", "agreement": True, "serve": {"port": 0}}
    run = Run(source, models=["enet"], parts=Parts(models=[Able()]), flow={"method": "source"}, **settings)
    thread = threading.Thread(target=lambda: [None for _ in run])
    thread.start()
    try:
        with socket_to(wait_for(lambda: run.page_url)) as one:
            compared = next(n for n in texts(one, "news") if n["health"].get("key_agreement") is not None)
            assert 0 < compared["health"]["key_agreement"] < 1
            assert "level 'result' carries no features" in compared["abilities"]["aggregate"]
            one.send(json.dumps({"set": {"level": "features"}, "id": 1}))
            assert next(n for n in texts(one, "news") if n["abilities"]["aggregate"] == "")
    finally:
        run.stop()
        thread.join(20)
    assert not thread.is_alive()


# --- Who may look -----------------------------------------------------------------------------------------


def every_route() -> list[tuple[str, str]]:
    """Method and path of every route of the application, sockets as WEBSOCKET."""
    from starlette.routing import Route, WebSocketRoute

    from keywarp.pipeline.page.app import Site

    found = []
    for route in Site(None, None).routes():  # type: ignore[arg-type]
        assert isinstance(route, Route | WebSocketRoute)
        methods = sorted(route.methods or ()) if isinstance(route, Route) else ["WEBSOCKET"]
        found += [(method, route.path.replace("{name}", "main.js")) for method in methods]
    return found


@pytest.mark.parametrize(
    ("method", "path"), [*every_route(), ("GET", "/nothing"), ("PUT", "/"), ("GET", "/ws/x")]
)
def test_every_route_needs_the_token(locked: tuple[PageSink, Feeder], method: str, path: str) -> None:
    sink, feeder = locked
    before = feeder.controls.knobs
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    headers = upgrade if method == "WEBSOCKET" else {}
    content = None if method == "WEBSOCKET" else CHANGE
    method = "GET" if method == "WEBSOCKET" else method
    port = urlsplit(sink.url).port
    wrong = [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "}, {"Cookie": f"keywarp_{port}=wrong"}, {"Cookie": f"keywarp_{port}={TOKEN}"},
    ]  # fmt: skip
    bodies = set()
    for attempt in wrong:
        status, found, body = ask(sink.url, path, method=method, body=content, headers={**headers, **attempt})
        assert status == 401
        assert "set-cookie" not in found
        bodies.add(body)
    assert ask(sink.url, f"{path}?token=wrong", method=method, headers=headers)[0] == 401
    assert len(bodies) == 1
    assert feeder.controls.knobs == before


def test_the_token_opens_by_header_query_and_cookie(locked: tuple[PageSink, Feeder]) -> None:
    sink, _ = locked
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(sink.url, "/report", headers=bearer)[0] == 200
    with socket_to(sink, additional_headers=bearer) as one:
        assert next(texts(one, "hello"))
    parts = urlsplit(sink.url)
    assert "token=" in parts.query
    assert ask(sink.url, f"/snapshot.jpg?{parts.query}")[0] == 200
    status, headers, _ = ask(sink.url, f"/?{parts.query}")
    assert status == 303
    assert headers["location"] == "./"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert TOKEN not in cookie
    assert ask(sink.url, "/", headers={"Cookie": cookie.partition(";")[0]})[0] == 200


def test_a_token_of_letters_beyond_ascii() -> None:
    with page(token="naïve töken") as (sink, _):
        bearer = {"Authorization": "Bearer naïve töken".encode().decode("latin-1")}
        assert ask(sink.url, "/report", headers=bearer)[0] == 200
        assert ask(sink.url, f"/report?{urlsplit(sink.url).query}")[0] == 200
        assert ask(sink.url, "/report", headers={"Authorization": "Bearer \xff\xfe"})[0] == 401


def test_a_page_for_others_always_has_a_token() -> None:
    first, second = (PageSink(ServeConfig(host="0.0.0.0"), Controls(), dict)._token for _ in range(2))
    assert first
    assert second
    assert first != second
    assert len(first) >= 32
    assert PageSink(ServeConfig(), Controls(), dict)._token is None
    with pytest.raises(UsageError, match="at least 8"):
        PageSink(ServeConfig(token="short"), Controls(), dict)


def test_a_page_for_others_answers_to_addresses_and_names_of_its_own() -> None:
    with page(host="0.0.0.0", token=TOKEN, hosts=("camera.local",)) as (sink, _):
        port = urlsplit(sink.url).port
        url = f"http://127.0.0.1:{port}/"
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert f":{port}/?token=" in sink.url
        assert "0.0.0.0" not in sink.url
        for host, wanted in {
            f"192.168.7.7:{port}": 200, "camera.local": 200, f"localhost:{port}": 200, "evil.example": 421,
        }.items():  # fmt: skip
            assert ask(url, "/healthz", headers={**bearer, "Host": host})[0] == wanted, host


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "192.168.1.4",
        "user@localhost",
        "",
        "[::1",
        "a b",
    ],
)
def test_other_hosts_are_refused(served: tuple[PageSink, Feeder], host: str) -> None:
    assert ask(served[0].url, "/", headers={"Host": host})[0] in (400, 421)


def test_other_origins_are_refused(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    before = feeder.controls.knobs
    own = f"http://{host_of(sink)}"
    for origin in ("https://evil.example", "null", f"{own}.evil.example", "http://localhost:1"):
        assert ask(sink.url, "/controls", method="POST", body=CHANGE, headers={"Origin": origin})[0] == 403
        with pytest.raises(exceptions.InvalidStatus, match="403"), socket_to(sink, origin=origin):
            pass
    assert feeder.controls.knobs == before
    assert ask(sink.url, "/controls", method="POST", body=CHANGE, headers={"Origin": own})[0] == 200
    with socket_to(sink, origin=own) as one:
        assert next(texts(one, "hello"))


def test_headers_that_protect(served: tuple[PageSink, Feeder], locked: tuple[PageSink, Feeder]) -> None:
    for sink, path in ((served[0], "/"), (served[0], "/assets/main.js"), (locked[0], "/"), (served[0], "/x")):
        headers = ask(sink.url, path)[1]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    ["/assets/../app.py", "/assets/%2e%2e/app.py", "/assets/..%2fapp.py", "/assets/", "/assets/page.html",
     "/assets//etc/passwd", "/../../etc/passwd", "/assets/main.js%00"],
)  # fmt: skip
def test_only_the_pages_own_files_are_served(served: tuple[PageSink, Feeder], path: str) -> None:
    assert ask(served[0].url, path)[0] == 404


# --- Limits -----------------------------------------------------------------------------------------------


def test_no_more_viewers_than_allowed() -> None:
    with page(viewers=2) as (sink, _):
        with socket_to(sink) as first, socket_to(sink):
            next(texts(first, "news"))
            with pytest.raises(exceptions.InvalidStatus, match="503"), socket_to(sink):
                pass
            assert ask(sink.url, "/stream.mjpg")[0] == 503
            assert ask(sink.url, "/ws")[0] == 503
            assert ask(sink.url, "/healthz")[0] == 200
        wait_for(lambda: viewers(sink) == 0)
        with socket_to(sink) as one:
            assert pictures_within(one, 0.5)


def test_a_viewer_who_stops_reading_changes_nobodys_rate() -> None:
    with page() as (sink, feeder):
        with socket_to(sink) as good:
            alone = len(pictures_within(good, 2.0))
            with raw(sink) as bad, raw(sink) as worse:
                bad.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                bad.sendall(handshake(sink))
                worse.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: {host_of(sink)}\r\n\r\n".encode())
                time.sleep(0.3)
                beside = len(pictures_within(good, 2.0))
                assert viewers(sink) == 3
        wait_for(lambda: viewers(sink) == 0)
        assert alone > 40
        assert beside > 0.85 * alone
        assert np.percentile(feeder.costs_ms, 90) < 20


def test_a_viewer_gets_no_more_than_two_pictures_ahead(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    with socket_to(sink) as one:
        found = []
        end_s = time.monotonic() + 1.0
        while time.monotonic() < end_s:
            message = one.recv(timeout=2)
            if isinstance(message, bytes):
                found.append(message)
        assert len(found) == 2
        acknowledge(one, found[0])
        fresh = next(message for message in iter(one.recv, None) if isinstance(message, bytes))
        assert PICTURE_HEADER.unpack_from(fresh)[2] > PICTURE_HEADER.unpack_from(found[1])[2] + 10


def test_a_viewer_who_wants_no_pictures_gets_news_only(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    with socket_to(sink) as one:
        one.send('{"want": false}')
        pictures_within(one, 0.3)
        assert pictures_within(one, 0.5) == []
        assert next(texts(one, "news"))
        one.send('{"want": true}')
        assert pictures_within(one, 0.5)


def test_nothing_is_encoded_while_nobody_looks(served: tuple[PageSink, Feeder]) -> None:
    sink, feeder = served
    wait_for(lambda: json.loads(ask(sink.url, "/report")[2])["page"]["looking"] == 0)
    assert sink._ring is not None
    before, frames = sink._ring.pictures, feeder.index
    time.sleep(0.5)
    assert feeder.index > frames
    assert sink._ring.pictures == before


def test_too_many_commands_are_not_done(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    with socket_to(sink) as one:
        for number in range(60):
            one.send(json.dumps({"set": {"interval": 5}, "id": number}))
        answers = list(islice(texts(one, "answer"), 60))
    refused = [answer for answer in answers if not answer["ok"]]
    assert 15 <= len(refused) < 60
    assert "a second" in refused[0]["error"]


@pytest.mark.parametrize("message", ["not json", "[]", "1", "[" * 3000, b"\0\1", "x" * 5000])
def test_messages_of_no_page_of_ours_end_the_socket(
    served: tuple[PageSink, Feeder], message: str | bytes
) -> None:
    sink, _ = served
    with socket_to(sink) as one:
        one.send(message)
        with pytest.raises(exceptions.ConnectionClosed):
            drain(one)
    assert ask(sink.url, "/healthz")[0] == 200


def test_a_flood_of_messages_ends_the_socket(served: tuple[PageSink, Feeder]) -> None:
    with socket_to(served[0]) as one, pytest.raises((exceptions.ConnectionClosed, OSError)):
        flood(one)


def flood(one: Any) -> None:
    for _ in range(5000):
        one.send('{"ack": 1}')
    drain(one)


def drain(one: Any) -> None:
    while True:
        one.recv(timeout=5)


# --- Strangers --------------------------------------------------------------------------------------------


def host_of(sink: PageSink) -> str:
    return urlsplit(sink.url).netloc


def raw(sink: PageSink) -> socket.socket:
    address = urlsplit(sink.url)
    return socket.create_connection((address.hostname, address.port), timeout=5)


def handshake(sink: PageSink) -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host_of(sink)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def stranger(random_: random.Random, host: str) -> bytes:
    """A request, or what someone takes for one."""
    junk = random_.randbytes(random_.randrange(1, 200))
    paths = ["/", "/ws", "/report", "/controls", "/assets/%2e", "/\xff", "*", "//", "/%00",
             "/?token=" + "x" * random_.randrange(3000), "http://evil.example/", "/healthz", "/a" * 99]  # fmt: skip
    method = random_.choice(["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "\0", "G" * 300])
    headers = [
        f"Host: {random_.choice([host, 'evil', '', host + chr(9), '['])}",
        f"Content-Length: {random_.choice(['5', '-1', '99999999999999999999', 'x', '0', '70000'])}",
        "Transfer-Encoding: chunked", "Cookie: a=b; keywarp_1=;;;=\"", "Authorization: Bearer \xff\xfe",
        "Origin: http://[::", "Expect: 100-continue", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: A",
        "X: " + "y" * 20_000, ":", "",
    ]  # fmt: skip
    chosen = [headers[0], *random_.sample(headers, random_.randrange(6))]
    head = f"{method} {random_.choice(paths)} HTTP/1.{random_.choice('0129')}\r\n" + "\r\n".join(chosen)
    request = (
        head.encode("latin-1") + b"\r\n\r\n" + random_.choice([b"", b"{}", junk, b"5\r\nhello\r\n0\r\n\r\n"])
    )
    broken = random_.random()
    if broken < 0.1:
        return junk
    return request[: random_.randrange(1, len(request))] if broken < 0.2 else request


UNFINISHED = (
    b"",
    b"GET / HT",
    b"POST /controls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
)


@pytest.fixture(scope="module")
def idle(served: tuple[PageSink, Feeder]) -> Iterator[list[Future[None]]]:
    """Connections that do nothing, each read by a thread until the server ends it, which takes ten seconds."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        connections = [stack.enter_context(raw(served[0])) for _ in range(8)]
        for number, one in enumerate(connections):
            one.sendall(UNFINISHED[number % 3])
        yield [pool.submit(read_to_the_end, one) for one in connections]


def read_to_the_end(one: socket.socket) -> None:
    one.settimeout(20)
    with suppress(ConnectionResetError):
        while one.recv(4096):
            pass


@pytest.mark.slow
@pytest.mark.usefixtures("idle")  # whose seconds pass meanwhile
def test_ten_thousand_strange_requests_leave_it_serving(served: tuple[PageSink, Feeder]) -> None:
    sink, _ = served
    random_ = random.Random(7)
    assert sink._server is not None
    before = sink._server.pid
    with socket_to(sink) as one:
        for number in range(10_000):
            with suppress(OSError), raw(sink) as stranger_:
                stranger_.sendall(stranger(random_, host_of(sink)))
                if number % 4 == 0:
                    stranger_.shutdown(socket.SHUT_WR)
                    stranger_.recv(512)
                elif number % 4 == 1:  # gone without a word
                    stranger_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 500 == 0:
                assert pictures_within(one, 0.1)
                assert ask(sink.url, "/healthz")[0] == 200
        assert pictures_within(one, 0.5)
    assert sink._server.pid == before
    assert ask(sink.url, "/")[0] == 200


@pytest.mark.slow
def test_connections_that_do_nothing_are_ended(idle: list[Future[None]]) -> None:
    for one in idle:
        one.result()


def test_more_connections_than_allowed_are_refused_at_once() -> None:
    with page(viewers=1) as (sink, _):
        held = [raw(sink) for _ in range(70)]
        try:
            ended = 0
            for one in held:
                one.settimeout(0.05)
                with suppress(TimeoutError):
                    try:
                        ended += one.recv(1) == b""
                    except ConnectionResetError:
                        ended += 1
            assert ended >= 4
        finally:
            for one in held:
                one.close()
        wait_for(lambda: reachable(sink))


def reachable(sink: PageSink) -> bool:
    with suppress(OSError):
        return ask(sink.url, "/healthz")[0] == 200
    return False


# --- Life and death ---------------------------------------------------------------------------------------


def test_a_dead_server_is_started_again_and_the_run_goes_on() -> None:
    with page() as (sink, feeder):
        assert sink._server is not None
        first = sink._server.pid
        assert first is not None
        with socket_to(sink) as one:
            assert pictures_within(one, 0.4)
            os.kill(first, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            before = feeder.index
            wait_for(lambda: feeder.index > before + 10)
        wait_for(lambda: sink._server.pid not in (None, first))
        wait_for(lambda: reachable(sink))
        with socket_to(sink) as one:
            assert pictures_within(one, 0.6)
        assert "started again" in sink.notes[0]


def test_signals_to_all_processes_of_a_service_are_for_the_run() -> None:
    with page() as (sink, _):
        assert sink._server is not None
        pid = sink._server.pid
        assert pid is not None
        if hasattr(signal, "SIGKILL"):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        time.sleep(1)
        assert ask(sink.url, "/healthz")[0] == 200
        assert (sink._server.pid, sink.notes) == (pid, [])
    assert not alive(pid)


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = PageSink(ServeConfig(port=0), Controls(), dict)
    settings = sink._settings
    monkeypatch.setattr(sink, "_settings", lambda *given: settings(*given) | {"ring": "keywarp-no-such"})
    info = StreamInfo("street", SIZE, Fraction(30), Fraction(1, 30))
    with pytest.raises(SinkError, match=r"did not start: FileNotFoundError: .*no-such"):
        sink.open(info)
    sink.close()  # as the graph does


def test_without_a_process_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SinkError, match="server cannot be started: No such file"), page():
        pass


def test_a_server_that_hangs_holds_nothing_up() -> None:
    if not hasattr(signal, "SIGSTOP"):
        pytest.skip("needs SIGSTOP (Linux, macOS)")
    with page() as (sink, feeder):
        assert sink._server is not None
        pid = sink._server.pid
        assert pid is not None
        with socket_to(sink) as one:
            assert pictures_within(one, 0.3)
            os.kill(pid, signal.SIGSTOP)
            try:
                feeder.costs_ms.clear()
                time.sleep(1.5)
                assert len(feeder.costs_ms) > 30
                assert np.percentile(feeder.costs_ms, 90) < 20
            finally:
                os.kill(pid, signal.SIGCONT)


ORPHAN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.pipeline.page.feeder import page
with page() as (sink, feeder):
    print(sink._server.pid, flush=True)
    time.sleep(60)
"""


def test_the_server_ends_with_a_killed_run() -> None:
    root = Path(__file__).absolute().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(root)], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        try:
            pid = int(run.stdout.readline())
            os.kill(pid, 0)
        finally:
            run.kill()
        wait_for(lambda: not alive(pid), 8)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def test_the_end_of_the_run_ends_the_server() -> None:
    with page() as (sink, _):
        assert sink._server is not None
        pid = sink._server.pid
        url = sink.url
        with socket_to(sink) as one:
            next(texts(one, "hello"))
    assert pid is not None
    assert not alive(pid)
    with pytest.raises(OSError, match=r"."):
        ask(url, "/")


def test_a_taken_port_and_a_host_that_is_not_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: the port is taken.*--serve"),
            page(port=port),
        ):
            pass
    with pytest.raises(SinkError, match="no such host"), page(host="nowhere.invalid", token=TOKEN):
        pass
    with pytest.raises(SinkError, match="no such address"), page(host="192.0.2.1", token=TOKEN):
        pass


def test_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keywarp.pipeline.page.sink.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install starlette"), page():
        pass


def test_the_server_imports_nothing_heavy() -> None:
    code = (
        "import sys, keywarp.pipeline.page.server, keywarp.pipeline.page.app\n"
        "print(sorted({'cv2', 'numpy', 'av', 'openvino', 'torch', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
