"""Live streams on the network: an RTSP server, RTP and MPEG-TS over UDP, through GStreamer."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from keywarp.engines.errors import SinkError, UsageError
from keywarp.pipeline.clock import MonotonicClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.gst.bindings import load_gst
from keywarp.pipeline.gst.encoders import StreamEncoder
from keywarp.pipeline.gst.feed import APPSRC, NAME, Feed
from keywarp.pipeline.gst.launch import bus_problem, launch
from keywarp.pipeline.gst.rtsp import RtspServer
from keywarp.pipeline.gst.secrets import without_credentials
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.gst import stop_pipeline
from keywarp.pipeline.sources.pace import Pace
from keywarp.pipeline.stage import Sink, StreamInfo

RTSP_PORT = 8554
_CLOCK = MonotonicClock()
# A film that fell further behind goes on from where it is: to catch up would be a burst that nobody can take.
_MOST_BEHIND_NS = 200_000_000
_END_NS = 1_000_000_000
_SCHEMES = ("rtsp", "rtp", "udp")
_PAYLOAD = "rtph264pay name=pay0 pt=96 config-interval=1"
_MUXED = "mpegtsmux alignment=7"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a stream goes or is served. ``user`` and ``password`` are in no message."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    user: str | None = None
    password: str | None = None

    @staticmethod
    def parse(text: str) -> Address:
        """``rtsp://[USER:PASSWORD@]HOST[:PORT][/PATH]``, ``rtp://HOST:PORT`` or ``udp://HOST:PORT``.

        Raises :class:`UsageError`.
        """
        shown = without_credentials(text)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise UsageError(f"sink '{shown}' has no such port; ports are 0 to 65535") from None
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise UsageError(
                f"sink '{shown}' is not rtsp://HOST:PORT/PATH, rtp://HOST:PORT or udp://HOST:PORT"
            )
        if parts.scheme == "rtsp":
            return _rtsp_address(parts, RTSP_PORT if port is None else port)
        if not port or parts.path.strip("/") or parts.username:
            raise UsageError(
                f"sink '{shown}' goes to a host and port only, such as {parts.scheme}://127.0.0.1:5000"
            )
        return Address(parts.scheme, parts.hostname, port)

    @property
    def shown(self) -> str:
        """The address as it may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path if self.scheme == 'rtsp' else ''}"


def _rtsp_address(parts: SplitResult, port: int) -> Address:
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if (user is None) != (password is None) or user == "":
        raise UsageError(
            "an RTSP server's user and password come together: rtsp://USER:PASSWORD@HOST:PORT/PATH"
        )
    path = parts.path if len(parts.path) > 1 else "/live"
    return Address("rtsp", parts.hostname or "", port, path, user, password)


def make_stream_sink(
    text: str,
    *,
    encoder: str = "libx264:veryfast",
    crf: int = 23,
    threads: int | None = None,
    picture: Key[Picture] | None = OVERLAY,
) -> Sink:
    """The sink that an address names: ``rtsp://`` is served, ``rtp://`` and ``udp://`` are sent to."""
    address = Address.parse(text)
    kind = RtspServerSink if address.scheme == "rtsp" else UdpSink
    return kind(address, encoder=encoder, crf=crf, threads=threads, picture=picture)


def _check_host(place: Address) -> None:
    """Raise :class:`SinkError` where a name is no host's: udpsink itself would send nowhere and say nothing."""
    try:
        socket.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise SinkError(
            f"'{place.shown}' cannot be sent to: there is no host '{place.host}'; give its name or address"
        ) from None


class _StreamSink(Sink):
    """What sinks that stream have in common: pictures into a feed, H.264 out of it.

    ``process`` never waits for the encoder or the network: what these cannot take is left out and counted in
    ``skipped``. Viewers see frames when they are delivered: those of a live stream at once, those of a film
    at its own pace, for which ``process`` waits. ``encoder`` is ``NAME`` or ``NAME:PRESET`` as for files, or
    an element of GStreamer; ``crf`` the quality where it has one. Odd sizes grow to even ones. ``picture``
    names what is sent, None for the frame's own picture.
    """

    def __init__(
        self,
        address: Address | str,
        *,
        encoder: str = "libx264:veryfast",
        crf: int = 23,
        threads: int | None = None,
        picture: Key[Picture] | None = OVERLAY,
    ) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self.name = self.address.scheme
        self.notes: list[str] = []
        self._choice = StreamEncoder.parse(encoder, crf, threads)
        self._picture = picture
        self.reads: tuple[Key[Any], ...] = () if picture is None else (picture,)
        self._feed: Feed | None = None
        self._live = True
        self._pace = Pace()
        self._start_ns: int | None = None

    @property
    def skipped(self) -> int:
        """Frames left out since the encoder or the network could not keep up."""
        return 0 if self._feed is None else self._feed.skipped

    def open(self, info: StreamInfo) -> None:
        """Try the encoder out and start. Raises :class:`SinkError`."""
        load_gst()
        self._feed = feed = Feed(info.size, info.rate)
        self._live, self._pace, self._start_ns = info.live, Pace(), None
        self._choice.try_out(feed.size, info.rate)
        self._start(feed, info.rate)

    def process(self, packet: Packet) -> None:
        """Push one frame."""
        assert self._feed is not None
        if not self._live:
            self._wait_for_turn(packet.frame)
        picture = packet.frame.picture if self._picture is None else packet[self._picture]
        if self._feed.push(picture.av_frame()):
            self.written += 1

    def interrupt(self) -> None:
        """Let no frame wait for its time any more."""
        self._pace.stop()

    def _wait_for_turn(self, frame: Frame) -> None:
        """Let a film pass as fast as it is meant to be seen; viewers see frames when they are delivered."""
        time_ns = round(frame.pts * frame.time_base * 10**9)
        now_ns = _CLOCK.now_ns()
        if self._start_ns is None or now_ns > self._start_ns + time_ns + _MOST_BEHIND_NS:
            self._start_ns = now_ns - time_ns
        self._pace.wait_until(_CLOCK, self._start_ns + time_ns)

    def close(self) -> None:
        """End the stream, and give the port back."""
        feed = self._feed
        if feed is None:
            return
        feed.detach()
        if not self._stop():
            self.notes.append(f"'{self.address.shown}' did not end in time and was left as it is")
        if feed.skipped:
            self.notes.append(
                f"'{self.address.shown}': {feed.skipped} frames were left out; the encoder was too slow"
            )
        self._feed = None

    def _start(self, feed: Feed, rate: Fraction | None) -> None:
        raise NotImplementedError

    def _stop(self) -> bool:
        raise NotImplementedError


class RtspServerSink(_StreamSink):
    """Serves the stream at ``rtsp://[USER:PASSWORD@]HOST[:PORT][/PATH]``; any number of clients may look.

    Encodes once for all of them, and only while there is one. With a user and password, clients must give both
    (digest authentication). ``port`` 0 takes a free port, which ``port`` then says. A client that stops
    reading misses frames and slows nobody.
    """

    _server: RtspServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened at."""
        return self.address.port if self._server is None else self._server.port

    def _start(self, feed: Feed, rate: Fraction | None) -> None:
        place = self.address
        self._server = RtspServer(
            host=place.host, port=place.port, path=place.path, user=place.user, password=place.password
        )
        self._server.start(f"{APPSRC} ! {self._choice.chain(feed.size, rate)} ! {_PAYLOAD}", feed)

    def _stop(self) -> bool:
        server, self._server = self._server, None
        return server is None or server.stop()


class UdpSink(_StreamSink):
    """Sends the stream to ``rtp://HOST:PORT`` (RTP, H.264, payload type 96) or ``udp://HOST:PORT`` (MPEG-TS).

    Whether anybody receives it cannot be known. :meth:`sdp` is what a receiver of RTP must be given.
    """

    _pipeline: Any = None

    def sdp(self) -> str:
        """The description of the RTP stream, for a file such as ``stream.sdp`` that players open."""
        family = "IP6" if ":" in self.address.host else "IP4"
        return (
            f"v=0\no=- 0 0 IN {family} {self.address.host}\ns=keywarp\nc=IN {family} {self.address.host}\nt=0 0\n"
            f"m=video {self.address.port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        )

    def process(self, packet: Packet) -> None:
        """Push one frame; raises :class:`SinkError` where the pipeline failed."""
        message = self._pipeline.get_bus().timed_pop_filtered(0, load_gst().MessageType.ERROR)
        if message is not None:
            raise SinkError(
                f"'{self.address.shown}' cannot be sent to: {bus_problem(self._pipeline, message)}"
            )
        super().process(packet)

    def _start(self, feed: Feed, rate: Fraction | None) -> None:
        gst, place = load_gst(), self.address
        _check_host(place)
        end = f"udpsink host={place.host} port={place.port} sync=false async=false"
        form = _PAYLOAD if place.scheme == "rtp" else _MUXED
        text = f"{APPSRC} ! {self._choice.chain(feed.size, rate)} ! {form} ! {end}"
        self._pipeline = launch(text, f"sink '{place.shown}'", SinkError)
        feed.attach(self._pipeline.get_by_name(NAME))
        if self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            message = self._pipeline.get_bus().timed_pop_filtered(gst.SECOND, gst.MessageType.ERROR)
            why = "GStreamer does not say why" if message is None else bus_problem(self._pipeline, message)
            self._stop()
            raise SinkError(f"'{place.shown}' cannot be sent to: {why}")

    def _stop(self) -> bool:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return True
        gst = load_gst()
        pipeline.get_by_name(NAME).end_of_stream()  # what is encoded still goes out
        pipeline.get_bus().timed_pop_filtered(_END_NS, gst.MessageType.EOS | gst.MessageType.ERROR)
        return stop_pipeline(pipeline)
