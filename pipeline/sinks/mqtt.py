"""Records of frames, published to an MQTT broker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from keywarp.engines.errors import UsageError, missing_package
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stage import Sink, StreamInfo

from .jsonl import FrameRecord
from .options import split_options, whole
from .outbox import DeliveryError, Outbox

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CONNECT_TIMEOUT_S = 2.0
_WRITE_TIMEOUT_S = 5.0
_STOP_S = 0.3
_ACCEPTED = "mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC or mqtts://..., with ,every=N where wanted"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who to be there; ``repr`` tells no password."""

    host: str
    port: int
    topic: str
    is_tls: bool = False
    user: str | None = None
    _password: str | None = None

    @staticmethod
    def parse(text: str) -> Broker:
        """A broker by its URL. Raises :class:`UsageError` that does not repeat it."""
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port or _PORTS[url.scheme]
        except (ValueError, KeyError):
            raise UsageError(f"a broker is given as {_ACCEPTED}") from None
        topic = unquote(url.path.removeprefix("/"))
        if not host or not topic or set("?#") & set(text) or set("+#\0") & set(topic):
            raise UsageError(f"a broker is given as {_ACCEPTED}; a topic to publish to has no + and no #")
        user = None if url.username is None else unquote(url.username)
        password = None if url.password is None else unquote(url.password)
        return Broker(host, port, topic, url.scheme == "mqtts", user, password)

    def __repr__(self) -> str:
        return f"Broker({self.shown})"

    @property
    def shown(self) -> str:
        """The broker as it may be shown."""
        return f"mqtt{'s' if self.is_tls else ''}://{self.host}:{self.port}/{self.topic}"


class MqttSink(Sink):
    """Publishes the :class:`FrameRecord` of every ``every``-th frame to a topic, with quality of service 0.

    It connects, and connects again, by itself; ``written`` counts records handed to a broker that was
    connected. What happens while there is none is as :class:`Outbox` says. Needs the extra ``mqtt``.
    """

    name = "mqtt"

    def __init__(self, place: str, *, every: int = 1) -> None:
        self._broker = Broker.parse(place)
        self._mqtt = _import_paho()
        self._record = FrameRecord()
        self.reads = self._record.reads
        self._every = every
        self._frames = 0
        self._client: Any = None
        self._is_connected = threading.Event()
        self._refusal: str | None = None
        self._outbox = Outbox(self._deliver, place=self._broker.shown)
        self.notes: list[str] = []

    @classmethod
    def parse(cls, text: str) -> MqttSink:
        """``mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC[,every=N]``."""
        place, options = split_options(text, {"every": whole})
        return cls(place, **options)

    @property
    def lost(self) -> Mapping[str, int]:
        """Records that were not sent, by cause, so far."""
        return dict(self._outbox.lost)

    def open(self, info: StreamInfo) -> None:
        """Begin to connect."""
        self._record = replace(self._record, live=info.live)
        self._client = client = self._make_client()
        client.connect_async(self._broker.host, self._broker.port)
        client.loop_start()
        self._outbox.open(info.live)

    def process(self, packet: Packet) -> None:
        """Hand the frame's record over."""
        if self._frames % self._every == 0:
            self._outbox.put(self._record.line(packet))
        self._frames += 1
        self.written = self._outbox.sent

    def interrupt(self) -> None:
        """Wait for the broker no longer."""
        self._outbox.interrupt()

    def close(self) -> None:
        """Send what is left, and take leave."""
        try:
            self._outbox.close()
        finally:
            self._disconnect()
            self.written = self._outbox.sent
            note = self._outbox.note()
            self.notes = [] if note is None else [note]

    def _make_client(self) -> Any:
        broker = self._broker
        client = self._mqtt.Client(self._mqtt.CallbackAPIVersion.VERSION2)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.reconnect_delay_set(1, 4)
        if broker.user is not None:
            client.username_pw_set(broker.user, broker._password)
        if broker.is_tls:
            client.tls_set()
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        return client

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._refusal = f"refused: {code}".lower() if code.is_failure else None
        if not code.is_failure:
            self._is_connected.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, _code: Any, _properties: Any) -> None:
        self._is_connected.clear()

    def _deliver(self, records: list[bytes]) -> None:
        if not self._is_connected.is_set():
            raise DeliveryError(self._refusal or "not connected")
        message = self._client.publish(self._broker.topic, records[0], qos=0)
        try:
            message.wait_for_publish(_WRITE_TIMEOUT_S)
            is_written = message.is_published()
        except (RuntimeError, ValueError) as error:
            raise DeliveryError("not connected") from error
        if not is_written:
            raise DeliveryError("the broker takes nothing")

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.disconnect()
        # It may be in the middle of connecting; then its thread ends by itself a little later.
        stopping = threading.Thread(target=client.loop_stop, name="keywarp-mqtt-stop", daemon=True)
        stopping.start()
        stopping.join(_STOP_S)


def _import_paho() -> Any:
    try:
        import paho.mqtt.client as mqtt
    except ImportError as error:
        raise missing_package("paho-mqtt", "mqtt", "an MQTT output") from error
    return mqtt
