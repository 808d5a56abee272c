"""Real networks for tests: an RTSP server as a process, numbers in pictures, and a relay that does damage."""

from __future__ import annotations

import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SERVER = Path(__file__).with_name("rtsp_server.py")
_CHUNK = 65_536
_RTP_HEADER = 12


def need_gstreamer() -> None:
    """Skip the module that calls this where GStreamer's RTSP server cannot be had."""
    gi = pytest.importorskip("gi", reason="needs GStreamer's Python bindings: pip install 'PyGObject<3.52'")
    try:
        gi.require_version("GstRtspServer", "1.0")
    except ValueError:
        pytest.skip(
            "needs GStreamer's RTSP server: apt install gir1.2-gst-rtsp-server-1.0", allow_module_level=True
        )


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class RtspServer:
    """An RTSP server in a process of its own, which may be killed, stopped and started again on the same port."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self.options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> float:
        """Start it, with further ``options``. Returns when it takes connections, by ``time.perf_counter``."""
        command = [sys.executable, str(_SERVER), "--port", str(self.port), *self.options, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("port"), f"the server did not start: {line}"
        return time.perf_counter()

    def kill(self) -> None:
        """End it as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def rtsp_server(*options: str) -> Iterator[RtspServer]:
    """A running server, killed at the end."""
    server = RtspServer(*options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Relay:
    """Passes connections on to a server of this machine, and does what real networks do.

    ``damage`` is the share of the media's bytes that are changed (RTSP's own text is not touched, nor are the
    RTP headers), ``damaged_packets`` the share of its packets that have one changed, and ``lost_packets`` the
    share of those that never arrive. ``stalled``: nothing is passed on. ``target`` may be changed: :meth:`cut`
    then sends everybody there.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.damage = 0.0
        self.damaged_packets = 0.0
        self.lost_packets = 0.0
        self.stalled = False
        self.packets = 0
        self.hit = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._ended = False
        self._epoch = 0
        self._random = random.Random(0)
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        """What to read in place of the server."""
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def cut(self) -> None:
        """Break all connections."""
        self._epoch += 1

    def close(self) -> None:
        """End everything."""
        self._ended = True
        for thread in self._threads:
            thread.join()
        self._server.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended:
            if select.select([self._server], [], [], 0.02)[0]:
                client, _ = self._server.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        epoch = self._epoch
        media = _Media(self)
        with client, socket.socket() as server:
            try:
                server.connect(("127.0.0.1", self.target))
                while not self._ended and epoch == self._epoch:
                    if self.stalled:
                        time.sleep(0.02)
                        continue
                    for end in select.select([client, server], [], [], 0.02)[0]:
                        data = end.recv(_CHUNK)
                        if not data:
                            return
                        if end is server:
                            client.sendall(media.passed(data))
                        else:
                            server.sendall(data)
            except OSError:
                return

    def loses(self) -> bool:
        """Whether the next packet is lost."""
        lost = self._random.random() < self.lost_packets
        self.hit += lost
        return lost

    def damaged(self, payload: bytes) -> bytes:
        """One packet's payload as it leaves the relay."""
        self.packets += 1
        share = self.damage
        spoiled = bytearray(payload)
        places = [i for i in range(len(payload)) if self._random.random() < share] if share else []
        if payload and self._random.random() < self.damaged_packets:
            places.append(self._random.randrange(len(payload)))
        for place in places:
            spoiled[place] ^= self._random.randrange(1, 256)
        self.hit += bool(places)
        return bytes(spoiled)


class _Media:
    """Finds the media in one connection's bytes: ``$``, a channel, a length in two bytes, an RTP packet."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._rest = b""

    def passed(self, data: bytes) -> bytes:
        self._rest += data
        out = b""
        while (length := self._next_length()) is not None:
            unit, self._rest = self._rest[:length], self._rest[length:]
            out += self._media(unit) if unit[:1] == b"$" else unit
        return out

    def _next_length(self) -> int | None:
        rest = self._rest
        if rest[:1] == b"$":
            length = 4 + int.from_bytes(rest[2:4], "big") if len(rest) >= 4 else len(rest) + 1
        else:
            head, end, _ = rest.partition(b"\r\n\r\n")
            body = re.search(rb"(?i)content-length: *(\d+)", head)
            length = len(head) + 4 + (int(body[1]) if body else 0) if end else len(rest) + 1
        return length if len(rest) >= length else None

    def _media(self, unit: bytes) -> bytes:
        if unit[1] % 2:  # RTCP
            return unit
        if self._relay.loses():
            return b""
        start = 4 + _RTP_HEADER
        return unit[:start] + self._relay.damaged(unit[start:])
