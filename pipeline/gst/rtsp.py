"""An RTSP server for one stream, in threads of its own."""

from __future__ import annotations

import threading
from typing import Any

from keywarp.engines.errors import SinkError

from .bindings import load_glib, load_gst, load_namespace
from .feed import NAME, Feed

_ROLE = "viewer"
_CLEAN_UP_S = 2
_JOIN_S = 5.0


class RtspServer:
    """Serves what a feed brings at one path, encoded once for all clients and not at all without any.

    ``user`` and ``password``: what clients must know (digest authentication); None: anybody may look.
    ``port`` 0 takes a free one.
    """

    def __init__(
        self, *, host: str, port: int, path: str, user: str | None = None, password: str | None = None
    ) -> None:
        self._host, self._port, self._path = host, port, path
        self._user, self._password = user, password
        self._glib: Any = None
        self._server: Any = None
        self._context: Any = None
        self._stopping = False
        self._sources: list[Any] = []
        self._thread: threading.Thread | None = None
        self._waiting: Any = None
        self.port = port
        """The port listened at, once started."""

    def start(self, pipeline: str, feed: Feed) -> None:
        """Listen. ``pipeline`` begins with the feed's appsrc and ends with a payloader called ``pay0``.

        Raises :class:`SinkError` where the port is taken or the address is not this machine's.
        """
        load_gst()
        rtsp = load_namespace("GstRtspServer")
        self._glib = load_glib()
        self._server = server = rtsp.RTSPServer()
        server.set_address(self._host)
        server.set_service(str(self._port))
        # All clients in this server's own thread: only there can they be turned away without a race in GStreamer
        pool = rtsp.RTSPThreadPool.new()
        pool.set_max_threads(0)
        server.set_thread_pool(pool)
        factory = self._factory(rtsp, pipeline, feed)
        if self._user is not None:
            self._protect(rtsp, factory)
        server.get_mount_points().add_factory(self._path, factory)
        self._context = context = self._glib.MainContext.new()
        self._listen(context)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, args=(context,), name="keywarp-rtsp", daemon=True)
        self._thread.start()

    def _factory(self, rtsp: Any, pipeline: str, feed: Feed) -> Any:
        factory = rtsp.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        factory.set_latency(0)
        factory.connect("media-configure", self._on_media, feed)
        return factory

    def _on_media(self, _factory: Any, media: Any, feed: Feed) -> None:
        appsrc = media.get_element().get_by_name_recurse_up(NAME) or media.get_element().get_by_name(NAME)
        if hasattr(media, "set_rate_control"):  # since GStreamer 1.18
            media.set_rate_control(False)  # what is live goes out when it is there, not when a clock says so
        self._waiting = appsrc
        media.connect("prepared", self._on_prepared)
        feed.attach(appsrc)
        media.connect("unprepared", lambda _media: feed.detach(appsrc))

    def _on_prepared(self, _media: Any) -> None:
        self._waiting = None

    def _protect(self, rtsp: Any, factory: Any) -> None:
        permissions = rtsp.RTSPPermissions.new()
        permissions.add_role(_ROLE)
        for right in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role(_ROLE, right, True)
        factory.set_permissions(permissions)
        token = rtsp.RTSPToken.new()
        token.set_string("media.factory.role", _ROLE)
        auth = rtsp.RTSPAuth.new()
        # Not the basic method, which sends the password as it is
        auth.set_supported_methods(load_namespace("GstRtsp").RTSPAuthMethod.DIGEST)
        auth.add_digest(self._user, self._password or "", token)
        self._server.set_auth(auth)

    def _listen(self, context: Any) -> None:
        try:
            source = self._server.create_source(None)
        except self._glib.Error as error:
            raise SinkError(
                f"'rtsp://{self._host}:{self._port}' cannot be served: {error.message}; give another port, or end "
                "the program that has this one"
            ) from None
        self.port = self._server.get_bound_port()
        sweep = self._glib.timeout_source_new_seconds(_CLEAN_UP_S)
        sweep.set_callback(self._sweep)
        self._sources = [source, sweep]
        for each in self._sources:
            each.attach(context)

    def _sweep(self, *_: Any) -> bool:
        """Forget the sessions of clients that vanished."""
        self._server.get_session_pool().cleanup()
        return True

    def _serve(self, context: Any) -> None:
        context.push_thread_default()
        try:
            while not self._stopping:
                context.iteration(True)
            self._turn_away()
            for source in self._sources:
                source.destroy()
            while context.iteration(False):  # closes the sockets
                pass
        finally:
            context.pop_thread_default()

    def _turn_away(self) -> None:
        """Close all connections."""
        rtsp = load_namespace("GstRtspServer")
        self._server.client_filter(lambda *_: rtsp.RTSPFilterResult.REMOVE)
        self._server.get_session_pool().filter(lambda *_: rtsp.RTSPFilterResult.REMOVE)
        self._server.get_mount_points().remove_factory(self._path)

    def _end_waiting(self) -> None:
        """Let no client go on waiting for a stream that has not begun: it would hold this server's thread."""
        appsrc, self._waiting = self._waiting, None
        if appsrc is None:
            return
        gst = load_gst()
        error = self._glib.Error.new_literal(
            gst.StreamError.quark(), "the stream ends", gst.StreamError.FAILED
        )
        appsrc.post_message(gst.Message.new_error(appsrc, error, ""))

    def clients(self) -> int:
        """How many are connected now."""
        return 0 if self._server is None else len(self._server.client_filter(None) or ())

    def stop(self) -> bool:
        """End all connections and give the port back; False where that took too long."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._stopping = True
        self._end_waiting()
        self._context.wakeup()
        thread.join(_JOIN_S)
        self._server = self._context = None
        self._sources = []
        return not thread.is_alive()
