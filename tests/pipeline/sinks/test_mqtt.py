from __future__ import annotations

import getpass
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keywarp.engines.errors import MissingPackageError, SinkError, UsageError
from keywarp.pipeline.sinks.mqtt import Broker, MqttSink
from keywarp.pipeline.sinks.parse import make_sink

from .stream import make_info, make_packet, make_packets, run_sink

paho = pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt: pip install 'keywarp[mqtt]'")
LIVE = make_info(live=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class RealBroker:
    """A mosquitto on a port of its own, with the user ``me``."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        program = shutil.which(
            "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
        )
        if program is None:
            pytest.skip("needs the broker mosquitto: apt-get install mosquitto")
        self.port = port or free_port()
        passwords = folder / "passwords"
        passwords.write_text("me:hidden\n")
        maker = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
        subprocess.run([maker, "-U", str(passwords)], check=True, capture_output=True)
        settings = folder / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npassword_file {passwords}\n"
            f"user {getpass.getuser()}\n"
        )
        self._process = subprocess.Popen(
            [program, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        wait_for(lambda: listens(self.port))

    def url(self, topic: str = "cars/front", user: str = "") -> str:
        return f"mqtt://{user}127.0.0.1:{self.port}/{topic}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Listener:
    """Keeps what is published."""

    def __init__(self, port: int, topic: str = "#") -> None:
        self.messages: list[tuple[str, Any]] = []
        self._subscribed = False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, json.loads(message.payload))
        )
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic)
        self._client.loop_start()
        wait_for(lambda: self._subscribed)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def wait_for(condition: Any, seconds: float = 15) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert condition()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RealBroker]:
    broker = RealBroker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def listener(broker: RealBroker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


def test_every_record_of_a_file_arrives_in_order(broker: RealBroker, listener: Listener) -> None:
    sink = make_sink(broker.url(user="me:hidden@"))
    run_sink(sink, make_packets(500))
    wait_for(lambda: len(listener.messages) >= 500)
    assert {topic for topic, _ in listener.messages} == {"cars/front"}
    assert [record["index"] for _, record in listener.messages] == list(range(500))
    assert sink.written == 500
    assert sink.notes == []


def test_live_records_say_when_and_some_can_be_left_out(broker: RealBroker, listener: Listener) -> None:
    sink = make_sink(broker.url() + ",every=5")
    sink.open(LIVE)
    for packet in make_packets(20):
        sink.process(packet)
        time.sleep(0.02)
    wait_for(lambda: len(listener.messages) >= 4)
    sink.close()
    assert [record["index"] for _, record in listener.messages] == [0, 5, 10, 15]
    assert {"capture_time", "latency_ms", "frozen"} <= set(listener.messages[0][1])


def test_a_broker_that_comes_back_is_found_again(tmp_path: Path) -> None:
    first = RealBroker(tmp_path)
    sink = MqttSink(first.url())
    sink.open(LIVE)
    sink.process(make_packet(0, 0))
    wait_for(lambda: sink._outbox.sent == 1)
    first.close()
    wait_for(lambda: not sink._is_connected.is_set())
    for packet in make_packets(10):
        sink.process(packet)
    second = RealBroker(tmp_path, first.port)
    try:
        wait_for(lambda: sink._outbox.sent == 11)
    finally:
        sink.close()
        second.close()
    assert (sink.written, sink.lost) == (11, {})


def test_a_wrong_password_ends_the_run_of_a_file_and_is_never_shown(broker: RealBroker) -> None:
    sink = MqttSink(broker.url(user="me:wrong-one@"))
    sink._outbox._patience_s = 1.5
    with pytest.raises(
        SinkError, match=r"mqtt://127\.0\.0\.1:\d+/cars/front does not take .* refused: .*"
    ) as caught:
        run_sink(sink, make_packets(5))
    assert "wrong-one" not in str(caught.value)
    assert "wrong-one" not in repr(sink._broker)


def test_without_a_broker_a_live_run_goes_on_and_ends_in_time() -> None:
    sink = MqttSink(f"mqtt://127.0.0.1:{free_port()}/topic")
    sink.open(LIVE)
    for packet in make_packets(300):
        sink.process(packet)
    start_s = time.perf_counter()
    sink.close()
    assert time.perf_counter() - start_s < 1.9
    assert sum(sink.lost.values()) == 300
    assert "not connected" in sink.notes[0]
    wait_for(lambda: "keywarp-mqtt-stop" not in {thread.name for thread in threading.enumerate()})


def test_addresses_are_understood() -> None:
    broker = Broker.parse("mqtts://a%40b:c%2Fd@host/x/y%20z")
    assert (broker.host, broker.port, broker.topic, broker.is_tls) == ("host", 8883, "x/y z", True)
    assert (broker.user, broker._password) == ("a@b", "c/d")


@pytest.mark.parametrize(
    "text", ["mqtt://host", "mqtt://host/", "mqtt:///topic", "mqtt://u:p@host:x/t", "mqtt://h/a/#"]
)
def test_other_addresses_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError, match=r"a broker is given as mqtt://\[USER:PASSWORD@\]HOST") as caught:
        make_sink(text)
    assert "u:p" not in str(caught.value)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'keywarp\[mqtt\]'"):
        make_sink("mqtt://host/topic")
