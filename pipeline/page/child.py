"""The server's process, seen from the pipeline: started, talked to, started again when it dies."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import keywarp
from keywarp.engines.errors import SinkError

_log = logging.getLogger(__name__)

Message = dict[str, Any]

_START_S = 20.0
_STOP_S = 3.0
_NEWS_S = 0.25
_SEND_S = 2.0  # a server that reads nothing for so long hangs
_RESTARTS = 5
_STEADY_S = 60.0  # who lived so long may die anew as often
_FIRST_WAIT_S = 0.1
_RECEIVE_BYTES = 65_536
_MOST_LINE_BYTES = 1 << 20
_ROOT = Path(keywarp.__file__).absolute().parents[1]


class ServerProcess:
    """Runs :mod:`keywarp.pipeline.page.server` on a listening socket and keeps it running.

    Lines of JSON go both ways over one socket pair: ``news`` to the server every 250 ms, what the server says to
    ``on_message``, whose answer goes back; both are called by one thread of this object. ``on_gone`` is called
    when the server has died, ``note`` with what a user should know. The listening socket stays open meanwhile, so
    that viewers who come then wait a moment. The server ends when its end of the pair is closed, also by a kill.
    """

    def __init__(
        self,
        listener: socket.socket,
        settings: Message,
        *,
        on_message: Callable[[Message], Message | None],
        news: Callable[[], Message],
        on_gone: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._on_message = on_message
        self._news = news
        self._on_gone = on_gone
        self._note = note
        self._closing = threading.Event()
        self._one: _Child | None = None
        self._thread = threading.Thread(target=self._run, name="page-link", daemon=True)
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The process, None where none runs."""
        return None if self._one is None else self._one.process.pid

    def start(self) -> None:
        """Start the server and wait until it serves. Raises :class:`SinkError` where it does not."""
        try:
            self._launch()
        except SinkError:
            self._listener.close()
            raise
        self._thread.start()

    def wake(self) -> None:
        """Tell the server of a new picture. Never waits."""
        one = self._one
        if one is not None:
            with suppress(OSError):  # full: it knows already; closed: it is gone
                one.wake.send(b"\0")

    def close(self) -> None:
        """End the server; what viewers still wait for is dropped."""
        self._closing.set()
        one = self._one
        if one is not None:
            one.hang_up()
        if self._thread.ident is not None:
            self._thread.join()
        if self._one is not None:
            self._one.end()
            self._one = None
        self._listener.close()

    def _launch(self) -> None:
        """Start a process and wait until it serves. Raises :class:`SinkError`, and leaves none behind then."""
        try:
            fresh = self._one = _Child(self._listener, self._settings)
        except OSError as error:  # no more processes, descriptors or memory
            raise SinkError(f"the page's server cannot be started: {error.strerror or error}") from error
        try:
            fresh.wait_ready()
        except SinkError:
            self._one = None
            fresh.end()
            raise

    def _run(self) -> None:
        while not self._closing.is_set():
            one = self._one
            assert one is not None
            started_s = time.monotonic()
            one.talk(self._on_message, self._news, self._closing)
            if self._closing.is_set():
                return
            self._on_gone()
            if time.monotonic() - started_s > _STEADY_S:
                self.restarts = 0
            if not self._start_again(one):
                return

    def _start_again(self, dead: _Child) -> bool:
        self._one = None
        reason = dead.end()
        while self.restarts < _RESTARTS:
            self.restarts += 1
            if self._closing.wait(_FIRST_WAIT_S * 2**self.restarts):
                return False
            _log.warning("the page's server ended (%s); starting it again", reason)
            try:
                self._launch()
            except SinkError as error:
                reason = str(error)
                continue
            if self.restarts == 1:
                self._note(f"the page's server ended ({reason}) and was started again")
            return True
        self._listener.close()
        self._note(f"the page's server ended {_RESTARTS + 1} times and was given up: {reason}")
        return False


class _Child:
    """One process and the sockets to it."""

    def __init__(self, listener: socket.socket, settings: Message) -> None:
        self.channel, far_channel = socket.socketpair()
        self.wake, far_wake = socket.socketpair()
        self.wake.setblocking(False)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end
        self._received = b""
        handed = [listener, far_channel, far_wake]
        try:
            self.process = self._start(handed)
        except OSError:
            for each in (self.channel, far_channel, self.wake, far_wake, self._errors):
                each.close()
            raise
        config = settings | {"sockets": [_handed(each, self.process.pid) for each in handed]}
        assert self.process.stdin is not None
        with suppress(OSError), self.process.stdin as pipe:  # gone already: wait_ready says why
            pipe.write(json.dumps(config).encode() + b"\n")
        far_channel.close()
        far_wake.close()

    def _start(self, handed: list[socket.socket]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "keywarp.pipeline.page.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            cwd=_ROOT,  # which -m puts first on the module path: nobody else's folder
            env=_environment(),
            **_handing_over(handed),
        )

    def wait_ready(self) -> None:
        """Wait for the server's first words."""
        deadline_s = time.monotonic() + _START_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            self.channel.settimeout(left_s)
            try:
                messages = self._receive()
            except TimeoutError:
                break
            if messages is None:
                raise SinkError(f"the page's server did not start: {self._last_words()}")
            if messages:
                return
        raise SinkError(f"the page's server did not start within {_START_S:.0f} s")

    def talk(
        self,
        on_message: Callable[[Message], Message | None],
        news: Callable[[], Message],
        closing: threading.Event,
    ) -> None:
        """Pass lines on until the server is gone or this end closes."""
        next_s = time.monotonic()
        while not closing.is_set():
            wait_s = next_s - time.monotonic()
            try:
                if wait_s <= 0:
                    next_s = time.monotonic() + _NEWS_S
                    self._send(news())
                    continue
                self.channel.settimeout(wait_s)
                messages = self._receive()
                if messages is None:
                    return
                for message in messages:
                    answer = on_message(message)
                    if answer is not None:
                        self._send(answer)
            except TimeoutError:
                if wait_s <= 0:
                    return  # it hangs
            except OSError:
                return

    def hang_up(self) -> None:
        """Let the server know that it is over, and :meth:`talk` return."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)

    def end(self) -> str:
        """End the process and say how it ended."""
        self.hang_up()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        words = self._last_words()
        self.channel.close()
        self.wake.close()
        self._errors.close()
        return words

    def _send(self, message: Message) -> None:
        self.channel.settimeout(_SEND_S)
        self.channel.sendall(json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n")

    def _receive(self) -> list[Message] | None:
        """Whole lines that have come, perhaps none; None where the server has gone."""
        data = self.channel.recv(_RECEIVE_BYTES)
        if not data or len(self._received) > _MOST_LINE_BYTES:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_S)
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        code = self.process.returncode
        return lines[-1] if lines else f"exit status {code}"


def _handing_over(sockets: list[socket.socket]) -> dict[str, Any]:
    """How the child gets the sockets, and that a Ctrl-C in the terminal is not for it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": [each.fileno() for each in sockets], "start_new_session": True}


def _handed(one: socket.socket, pid: int) -> int | str:
    if sys.platform == "win32":
        return base64.b64encode(one.share(pid)).decode()
    return one.fileno()


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
