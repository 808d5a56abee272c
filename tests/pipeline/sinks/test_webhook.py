from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keywarp.engines.errors import SinkError, UsageError
from keywarp.pipeline.sinks import outbox as outbox_module
from keywarp.pipeline.sinks.outbox import DeliveryError, Outbox
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.webhook import WebhookSink

from .stream import make_info, make_packet, make_packets, run_sink

LIVE = make_info(live=True)


class Receiver:
    """A web server that keeps what is posted; ``answers`` are given first, then 200; ``delay_s`` before each."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.delay_s = 0.0
        self.connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(receiver.delay_s)
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.paths.append(self.path)
                receiver.headers.append(dict(self.headers))
                if status == 200:
                    receiver.bodies.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sink that hangs up is no error here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def use_tls(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def url(self, path: str = "/hook", user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_every_record_of_a_file_arrives_in_order_over_one_connection(receiver: Receiver) -> None:
    sink = make_sink(f"webhook:{receiver.url('/a/b?c=d')}")
    run_sink(sink, make_packets(600))  # more than wait at a time
    assert [body["index"] for body in receiver.bodies] == list(range(600))
    assert set(receiver.paths) == {"/a/b?c=d"}
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert receiver.connections == 1
    assert sink.written == 600
    assert sink.notes == []


def test_the_record_is_that_of_json_lines(receiver: Receiver) -> None:
    run_sink(WebhookSink(receiver.url()), [make_packet(3, 120)], LIVE)
    (body,) = receiver.bodies
    assert (body["index"], body["time_s"], body["key_age"], body["frozen"]) == (3, 0.12, 3, False)
    assert body["classes"]["road"] == pytest.approx(0.9, abs=0.001)
    assert body["capture_time"].endswith("Z")
    assert body["latency_ms"] == 0.0


def test_batches_are_arrays(receiver: Receiver) -> None:
    sink = make_sink(f"webhook:{receiver.url()},every=2,batch=8")
    run_sink(sink, make_packets(40))
    assert [[record["index"] for record in body] for body in receiver.bodies] == [
        list(range(0, 16, 2)),
        list(range(16, 32, 2)),
        list(range(32, 40, 2)),
    ]
    assert sink.written == 20


def test_a_live_batch_does_not_wait_for_the_stream(receiver: Receiver) -> None:
    sink = WebhookSink(receiver.url(), batch=100)
    sink.open(LIVE)
    sink.process(make_packet(0, 0))
    deadline_s = time.monotonic() + 10
    while not receiver.bodies and time.monotonic() < deadline_s:
        time.sleep(0.02)
    sink.close()
    assert len(receiver.bodies) == 1


def test_users_are_told_to_the_server_and_to_nobody_else(receiver: Receiver) -> None:
    receiver.answers = [403]
    sink = make_sink(f"webhook:{receiver.url('/secret?key=hidden', user='me:pass%40word@')}")
    run_sink(sink, make_packets(3), LIVE)
    expected = "Basic " + base64.b64encode(b"me:pass@word").decode()
    assert receiver.headers[0]["Authorization"] == expected
    (note,) = sink.notes
    assert note == f"webhook http://127.0.0.1:{receiver.port}: 1 of 3 records were not sent (1 HTTP 403)" or (
        "HTTP 403" in note
    )
    assert not any(secret in note for secret in ("pass", "secret", "hidden", "me:"))


def test_what_fails_for_now_is_tried_again(receiver: Receiver) -> None:
    receiver.answers = [500, 503, 429]
    sink = WebhookSink(receiver.url())
    run_sink(sink, make_packets(5))
    assert [body["index"] for body in receiver.bodies] == [0, 1, 2, 3, 4]
    assert sink.notes == []


def test_a_refusal_ends_the_run_of_a_file(receiver: Receiver) -> None:
    receiver.answers = [404]
    sink = WebhookSink(receiver.url())
    with pytest.raises(
        SinkError, match=r"does not take the records: HTTP 404; 0 were sent\. Check the address"
    ):
        run_sink(sink, make_packets(2000))
    assert receiver.bodies == []


def test_a_refusal_is_counted_for_a_live_stream(receiver: Receiver) -> None:
    receiver.answers = [404, 301]
    sink = WebhookSink(receiver.url())
    sink.open(LIVE)
    for packet in make_packets(12):
        sink.process(packet)
        time.sleep(0.05)
    sink.close()
    assert sink.lost == {"HTTP 404": 1, "HTTP 301": 1}
    assert sink.written == len(receiver.bodies) == 10


def test_a_slow_server_never_holds_a_live_stream_up(receiver: Receiver) -> None:
    receiver.delay_s = 0.05
    sink = WebhookSink(receiver.url())
    sink.open(LIVE)
    longest_s = 0.0
    for packet in make_packets(400):
        start_s = time.perf_counter()
        sink.process(packet)
        longest_s = max(longest_s, time.perf_counter() - start_s)
    start_s = time.perf_counter()
    sink.close()
    assert time.perf_counter() - start_s < 1.8
    assert longest_s < 0.2  # 1 ms on a machine at rest
    assert sink.lost["too slow"] > 100
    assert sink.written + sum(sink.lost.values()) == 400
    indices = [body["index"] for body in receiver.bodies]
    assert indices == sorted(indices)


def test_a_server_that_is_not_there_is_waited_for(closed_port: int) -> None:
    sink = WebhookSink(f"http://127.0.0.1:{closed_port}/")
    run_sink(sink, make_packets(300), LIVE)
    assert sink.written == 0
    assert sum(sink.lost.values()) == 300
    assert any("nobody listens there" in cause for cause in sink.lost)


def test_a_server_that_comes_back_gets_what_is_left(receiver: Receiver) -> None:
    port = receiver.port
    sink = WebhookSink(receiver.url())
    sink.open(LIVE)
    sink.process(make_packet(0, 0))
    deadline_s = time.monotonic() + 10
    while not receiver.bodies and time.monotonic() < deadline_s:
        time.sleep(0.01)
    receiver.answers = [503] * 4
    for packet in make_packets(5):
        sink.process(packet)
    while len(receiver.bodies) < 6 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    sink.close()
    assert receiver.port == port
    assert (sink.written, sink.lost) == (6, {})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return both


def test_tls_is_spoken_with_those_who_are_trusted_only(
    receiver: Receiver, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.use_tls(certificate)
    url = receiver.url().replace("http:", "https:")
    distrustful = WebhookSink(url)
    with pytest.raises(SinkError, match="the server's certificate is not trusted; 0 were sent"):
        run_sink(distrustful, make_packets(3))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = WebhookSink(url)
    run_sink(trusting, make_packets(3))
    assert trusting.written == len(receiver.bodies) == 3


@pytest.mark.parametrize("live", [True, False])
def test_a_server_that_never_answers_ends_nothing_late(silent_port: int, live: bool) -> None:
    sink = WebhookSink(f"http://127.0.0.1:{silent_port}/")
    sink.open(make_info(live=live))
    for packet in make_packets(5):
        sink.process(packet)
    sink.interrupt()
    start_s = time.perf_counter()
    sink.close()
    assert time.perf_counter() - start_s < 1.8
    assert sum(sink.lost.values()) == 5
    assert all(outbox_module.ENDED in cause for cause in sink.lost)


def test_a_file_gives_up_after_a_while() -> None:
    def deliver(records: list[bytes]) -> None:
        raise DeliveryError("nobody listens there")

    outbox = Outbox(deliver, place="there", patience_s=0.3, capacity=4)
    outbox.open(live=False)
    start_s = time.perf_counter()
    for _ in range(5):  # one is on its way, four wait
        outbox.put(b"{}")
    with pytest.raises(SinkError, match="there does not take the records: nobody listens there; 0 were sent"):
        outbox.put(b"{}")
    outbox.close()
    assert time.perf_counter() - start_s < 3


def test_an_attempt_without_end_is_broken_off() -> None:
    aborted = threading.Event()

    def deliver(records: list[bytes]) -> None:
        if not aborted.wait(30):
            raise AssertionError("never aborted")
        raise DeliveryError("aborted", is_final=True)

    outbox = Outbox(deliver, place="there", patience_s=0.2, abort=aborted.set)
    outbox.open(live=False)
    outbox.put(b"{}")
    with pytest.raises(SinkError, match="aborted"):
        outbox.close()


def test_what_cannot_be_broken_off_is_counted_all_the_same() -> None:
    over = threading.Event()

    def deliver(records: list[bytes]) -> None:
        over.wait(30)  # as a name server that does not answer

    outbox = Outbox(deliver, place="there", batch=2, batch_wait_s=0.01)
    outbox.open(live=True)
    for _ in range(5):
        outbox.put(b"{}")
    thread = outbox._thread
    assert thread is not None
    outbox.close()
    over.set()
    thread.join(10)
    assert (outbox.sent, dict(outbox.lost)) == (0, {outbox_module.ENDED: 5})
    assert outbox.note() == f"there: 5 of 5 records were not sent (5 {outbox_module.ENDED})"


def test_an_interrupted_wait_for_room_ends(silent_port: int) -> None:
    sink = WebhookSink(f"http://127.0.0.1:{silent_port}/")
    sink.open(make_info())
    timer = threading.Timer(0.3, sink.interrupt)
    timer.start()
    start_s = time.perf_counter()
    for packet in make_packets(300):
        sink.process(packet)
    sink.close()
    timer.join()
    assert 0.2 < time.perf_counter() - start_s < 2.5


@pytest.mark.parametrize(
    "place",
    [
        "ftp://a/b",
        "http://",
        "https:///path",
        "somewhere",
        "http://a:b@c:port/",
        "http://a/ b",
        "http://a\r\nb/",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(place: str) -> None:
    with pytest.raises(UsageError, match="a webhook is given as webhook:http://HOST") as caught:
        make_sink(f"webhook:{place}")
    assert "a:b@" not in str(caught.value)


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match=r"unknown option of a sink 'evry'; did you mean 'every'"):
        make_sink("webhook:http://me:secret@host/,evry=2")
    with pytest.raises(
        UsageError, match=r"option 'batch' of a sink is a whole number of 1 or more; given: '0'"
    ):
        make_sink("webhook:http://host/,batch=0")
