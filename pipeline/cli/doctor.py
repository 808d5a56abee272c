"""``keywarp doctor``: what this machine has, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from av.codec import codecs_available
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keywarp import __version__
from keywarp.engines.build import engine_names, get_engine
from keywarp.engines.errors import KeywarpError
from keywarp.flow import gradients
from keywarp.models import fused
from keywarp.pipeline.gst.report import gst_report
from keywarp.pipeline.sinks.encoder import HARDWARE_ENCODERS
from keywarp.pipeline.threads import available_cores


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the list. ``cure`` is what to do where ``found`` is False."""

    topic: str
    found: bool
    detail: str
    cure: str = ""


_PACKAGES = (
    ("numpy", "numpy", "pip install keywarp"),
    ("opencv", "opencv-python-headless", "pip install keywarp"),
    ("video files", "av", "pip install keywarp"),
    ("training, export", "torch", "pip install 'keywarp[torch]'"),
    ("complexity", "ptflops", "pip install 'keywarp[torch]'"),
    ("window", "pygame-ce", "pip install 'keywarp[window]'"),
    ("page", "uvicorn", "pip install keywarp"),
    ("MQTT", "paho-mqtt", "pip install 'keywarp[mqtt]'"),
)


def print_doctor() -> None:
    """Print all findings as one table."""
    table = Table(title=f"keywarp {__version__} on Python {platform.python_version()}, {platform.platform()}")
    for heading in ("what", "", "found", "to get it"):
        table.add_column(heading, overflow="fold")
    for finding in findings():
        mark = "[green]yes[/]" if finding.found else "[yellow]no[/]"
        cure = "" if finding.found else finding.cure
        table.add_row(finding.topic, mark, escape(finding.detail), escape(cure))
    Console().print(table)


def findings() -> list[Finding]:
    """Everything that was looked at, in the order of the list."""
    return [
        _cpu(),
        *map(_package, _PACKAGES),
        *map(_engine, engine_names()),
        _kernels("kernels for heads", fused.kernels(), fused.missing(), "engines run heads"),
        _kernels("kernels for flow", gradients.kernels(), gradients.missing(), "OpenCV finds flow"),
        *_encoders(),
        *(Finding(part.name, part.ok, part.detail, part.cure) for part in gst_report()),
        _cameras(),
        _display(),
    ]


def _cpu() -> Finding:
    return Finding("CPU", True, f"{available_cores()} cores, {platform.machine()}")


def _package(entry: tuple[str, str, str]) -> Finding:
    topic, package, cure = entry
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding(topic, False, package, cure)
    return Finding(topic, True, f"{package} {version}")


def _engine(name: str) -> Finding:
    try:
        reason = get_engine(name).missing()
    except KeywarpError as error:
        reason = str(error)
    cure = {"openvino": "pip install keywarp"}.get(name, f"pip install 'keywarp[{name}]'")
    return Finding(f"engine {name}", reason is None, reason or "ready", cure)


def _kernels(topic: str, found: Sequence[str], why: str | None, instead: str) -> Finding:
    cure = "a C++ compiler (apt install g++ python3-dev), then install keywarp again"
    return Finding(topic, bool(found), ", ".join(found) or f"{instead}: {why}", cure)


def _encoders() -> list[Finding]:
    software = Finding("H.264 encoder", "libx264" in codecs_available, "libx264", "pip install --upgrade av")
    hardware = [name for name in HARDWARE_ENCODERS if name in codecs_available]
    detail = (
        f"{', '.join(hardware)} (each needs its hardware and driver)" if hardware else "none in this FFmpeg"
    )
    return [software, Finding("hardware encoders", bool(hardware), detail, "a PyAV built with them")]


def _cameras() -> Finding:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    cure = "plug one in; inside a container, pass the device: --device /dev/video0"
    return Finding("cameras", bool(devices), ", ".join(devices) or "no /dev/video*", cure)


def _display() -> Finding:
    found = (
        bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or platform.system() != "Linux"
    )
    xvfb = shutil.which("Xvfb")
    detail = "a screen" if found else f"no DISPLAY{' (Xvfb is there)' if xvfb else ''}"
    return Finding(
        "screen for --sink window", found, detail, "run in a desktop session, or write a file instead"
    )
