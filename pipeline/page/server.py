"""The server's process: ``python -m keywarp.pipeline.page.server``, started by the page's sink, not by people.

It reads its configuration as one line of JSON from standard input, and ends when the pipeline's end of the channel
is closed, be it by a kill. It imports nothing that is heavy: no OpenCV, no engine.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
import socket
import sys
import traceback
from contextlib import nullcontext, suppress
from typing import Any

from .feed import Feed
from .guard import Guard, Rules
from .limits import MOST_HEADER_BYTES, MOST_MESSAGE_BYTES, SPARE_CONNECTIONS
from .ring import Ring
from .viewers import Viewers

_PARENT_POLL_S = 1.0
_LAST_S = 2.0
_MOST_LOG_LINES = 100


def main() -> None:
    """Serve until the pipeline is gone."""
    # Those that come to all processes of a service are for the pipeline, which ends this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    config = json.loads(sys.stdin.buffer.readline())
    _keep_log_short()
    code = 1
    try:
        asyncio.run(_serve(config))
        code = 0
    except Exception:  # noqa: BLE001 - the pipeline reads the last line
        traceback.print_exc()
    finally:
        os._exit(code)  # connections that hang, the interpreter's shutdown: nothing here is worth waiting for


async def _serve(config: dict[str, Any]) -> None:
    import uvicorn

    from .app import Deadline, make_app
    from .connections import Connections

    listener, channel, wake = (_received(each) for each in config["sockets"])
    ring = Ring.attach(config["ring"])
    feed = Feed(ring, wake, channel)
    hello = {key: config[key] for key in ("title", "size", "choices", "most_interval")}
    viewers = Viewers(feed, config["viewers"], hello)
    rules = Rules(config["host"], config["port"], config["token"], tuple(config["hosts"]))
    connections = Connections(most=config["viewers"] + SPARE_CONNECTIONS)
    server = uvicorn.Server(
        uvicorn.Config(
            Guard(Deadline(make_app(feed, viewers)), rules),
            loop="asyncio",
            http=connections.protocol(),
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=MOST_MESSAGE_BYTES,
            ws_ping_interval=15,
            ws_ping_timeout=15,
            ws_per_message_deflate=False,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
    )
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reaping = asyncio.create_task(connections.reap())
    works = [serving, *map(asyncio.create_task, (_run_once_started(server, feed), _until_orphaned()))]
    done, _ = await asyncio.wait([*works, reaping], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(serving, _LAST_S)
    for task in done:
        task.result()  # raises what went wrong


async def _run_once_started(server: Any, feed: Feed) -> None:
    while not server.started:
        await asyncio.sleep(0.005)
    await feed.run()


async def _until_orphaned() -> None:
    """Return when the parent has gone, should something else hold its end of the channel open."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_POLL_S)


def _received(handed: int | str) -> socket.socket:
    """A socket as the parent hands it over: a descriptor, or what Windows shares."""
    if isinstance(handed, int):
        return socket.socket(fileno=handed)
    from_share = socket.fromshare  # type: ignore[attr-defined,unused-ignore]
    return from_share(base64.b64decode(handed))  # type: ignore[no-any-return,unused-ignore]


class _FewLines(logging.StreamHandler):  # type: ignore[type-arg]  # which Python 3.10 knows none of
    """Errors on standard error, but not without end: strangers can cause them."""

    left = _MOST_LOG_LINES

    def emit(self, record: logging.LogRecord) -> None:
        """Write one, while they may be written."""
        if self.left > 0:
            self.left -= 1
            super().emit(record)


def _keep_log_short() -> None:
    logging.basicConfig(level=logging.ERROR, handlers=[_FewLines()])


if __name__ == "__main__":
    main()
