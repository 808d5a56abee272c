"""An RTSP server for tests: numbered pictures as H.264, from GStreamer. Runs as a process of its own.

    python tests/pipeline/rtsp_server.py --port 8554 --size 640x360 --rate 30

Says ``port N`` on its standard output once it accepts connections. The stream is ``rtsp://HOST:PORT/cam``;
``/sound`` has only audio. Each picture bears two numbers of 32 bits as black and white squares, which
:func:`read_code` of ``numbered.py`` reads back: its own, and the machine's monotonic clock in milliseconds
when it was painted.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from typing import Any

import gi
from numbered import BITS, Painter  # type: ignore[import-not-found]  # the script's own folder is on the path

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstRtspServer, GstVideo  # noqa: E402

_ENCODERS = {
    "h264": "x264enc name=encoder tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={gop} "
    "bitrate={bitrate} ! video/x-h264,profile=baseline ! h264parse "
    "! rtph264pay name=pay0 pt=96 config-interval=1 mtu={mtu}",
    "jpeg": "jpegenc name=encoder ! rtpjpegpay name=pay0 pt=26",
}


class Factory(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]
    """One pipeline for all viewers, fed with numbered pictures."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self._options = options
        self._painter = Painter(options.size)
        self.media: Any = None
        self._numbers = itertools.count(options.first)
        width, height = options.size
        encoder = _ENCODERS[options.codec].format(gop=options.gop, bitrate=options.bitrate, mtu=options.mtu)
        self.set_launch(
            "( appsrc name=pictures is-live=true format=time block=true max-bytes=0 max-buffers=4 "
            f"caps=video/x-raw,format=I420,width={width},height={height},framerate={options.rate}/1 ! {encoder} )"
        )
        self.set_shared(True)

    def do_configure(self, media: Any) -> None:
        self.media = media
        entry = media.get_element().get_by_name_recurse_up("pictures")
        over = threading.Event()
        media.connect("unprepared", lambda _: over.set())
        threading.Thread(target=self._feed, args=(entry, over), daemon=True).start()

    def begin_anew(self) -> None:
        """Let the next picture be a key frame, as cameras do for each new viewer; and one when it surely looks."""
        self._force_key_frame()
        GLib.timeout_add(100, self._force_key_frame)

    def _force_key_frame(self) -> bool:
        if self.media is not None:
            encoder = self.media.get_element().get_by_name_recurse_up("encoder")
            event = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
            encoder.get_static_pad("src").send_event(event)
        return bool(GLib.SOURCE_REMOVE)

    def _feed(self, entry: Any, over: threading.Event) -> None:
        start_s = time.monotonic()
        for turn in itertools.count():
            if over.wait(max(0.0, start_s + turn / self._options.rate - time.monotonic())):
                return
            clock, base_ns = entry.get_clock(), entry.get_base_time()
            if (
                clock is None or not base_ns
            ):  # not playing yet: it would take the picture for one of another day
                continue
            clock_ms = time.perf_counter_ns() // 1_000_000 % 2**BITS
            picture = Gst.Buffer.new_wrapped(self._painter.paint(next(self._numbers) % 2**BITS, clock_ms))
            picture.pts = clock.get_time() - base_ns
            entry.emit("push-buffer", picture)


def _sound() -> Any:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( audiotestsrc is-live=true ! audio/x-raw,rate=8000 ! alawenc ! rtppcmapay name=pay0 pt=8 )"
    )
    return factory


def _protect(server: Any, factories: list[Any], user: str, password: str) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        for right in ("access", "construct"):
            permissions.add_permission_for_role("viewer", f"media.factory.{right}", True)
        factory.set_permissions(permissions)


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", type=_size, default=(640, 360))
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--bitrate", type=int, default=2000, help="kbit/s")
    parser.add_argument("--gop", type=int, default=30, help="pictures from one key frame to the next")
    parser.add_argument("--mtu", type=int, default=1400)
    parser.add_argument("--codec", choices=sorted(_ENCODERS), default="h264")
    parser.add_argument("--first", type=int, default=0, help="the first picture's number")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    factories = {"/cam": Factory(options), "/sound": _sound()}
    for place, factory in factories.items():
        server.get_mount_points().add_factory(place, factory)
    if options.user:
        _protect(server, list(factories.values()), options.user, options.password)
    cam = factories["/cam"]
    server.connect(
        "client-connected", lambda _, client: client.connect("play-request", lambda *_: cam.begin_anew())
    )
    if not server.attach(None):
        raise SystemExit(f"port {options.port} cannot be listened on")
    print("port", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
