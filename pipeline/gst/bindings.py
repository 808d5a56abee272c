"""The way to GStreamer: its Python bindings, imported when first needed, and set up once."""

from __future__ import annotations

import ctypes
import importlib
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

from keywarp.engines.errors import MissingPackageError

EXTRA = "pip install 'keywarp[gstreamer]'"
APT_BASE = (
    "sudo apt install gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0 "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly "
    "gstreamer1.0-libav"
)
"""What Debian, Ubuntu and JetPack call everything that is used here."""

APT_BUILD = "sudo apt install libgirepository1.0-dev libcairo2-dev pkg-config gcc python3-dev"
"""What pip needs to build PyGObject."""

_TYPELIB_PACKAGES = {
    "GstApp": "gir1.2-gst-plugins-base-1.0",
    "GstRtsp": "gir1.2-gst-plugins-base-1.0",
    "GstRtspServer": "gir1.2-gst-rtsp-server-1.0",
}


@lru_cache(maxsize=1)
def load_gst() -> Any:
    """The ``Gst`` namespace, initialized. Raises :class:`MissingPackageError` with the commands that install it."""
    gst = load_namespace("Gst")
    gst.init(None)
    load_namespace("GstApp")  # so that an appsink has its methods
    return gst


@lru_cache(maxsize=8)
def load_glib() -> Any:
    """The ``GLib`` namespace."""
    load_gst()
    return importlib.import_module("gi.repository.GLib")


@lru_cache(maxsize=8)
def load_namespace(name: str) -> Any:
    """A namespace of GStreamer 1.0, such as ``GstRtspServer``. Raises :class:`MissingPackageError`."""
    _keep_exceptions()
    try:
        gi = importlib.import_module("gi")
    except ImportError as error:
        raise MissingPackageError(
            "GStreamer needs the Python package 'PyGObject' (older than 3.52), which is not installed or does not "
            f"load; install it with: {EXTRA} (to build it: {APT_BUILD}), and GStreamer itself with: {APT_BASE}"
        ) from error
    try:
        gi.require_version(name, "1.0")
        return importlib.import_module(f"gi.repository.{name}")
    except (ValueError, ImportError) as error:
        package = _TYPELIB_PACKAGES.get(name, "gir1.2-gstreamer-1.0")
        raise MissingPackageError(
            f"GStreamer's description '{name}-1.0.typelib' is not installed; install it with: sudo apt install "
            f"{package}, or all of GStreamer with: {APT_BASE}"
        ) from error


@lru_cache(maxsize=1)
def _keep_exceptions() -> None:
    """Put the compiler's unwinder before libunwind, which comes with libgstreamer and has the same functions.

    C++ libraries that are loaded later, OpenVINO among them, would take its, and abort where they raise.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)


def has_element(name: str) -> bool:
    """Whether this GStreamer has an element of that name."""
    return load_gst().ElementFactory.find(name) is not None


def element_names() -> tuple[str, ...]:
    """All elements of this GStreamer, sorted."""
    gst = load_gst()
    features = gst.Registry.get().get_feature_list(gst.ElementFactory)
    return tuple(sorted(feature.get_name() for feature in features))
