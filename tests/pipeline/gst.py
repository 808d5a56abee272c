"""What the tests of GStreamer need: the skip where it is missing, and pictures from an independent tool."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

needs_gstreamer = pytest.mark.skipif(
    importlib.util.find_spec("gi") is None,
    reason="needs GStreamer's Python bindings: pip install 'keywarp[gstreamer]', see docs/gstreamer.md",
)


def raw_video(pipeline: str, folder: Path) -> bytes:
    """What ``gst-launch-1.0`` writes of a pipeline that ends in raw video, in GStreamer's own layout."""
    tool = shutil.which("gst-launch-1.0")
    if tool is None:
        pytest.skip("needs gst-launch-1.0: sudo apt install gstreamer1.0-tools")
    path = folder / "reference.raw"
    command = [tool, "-q", *f"{pipeline} ! filesink location={path}".split()]
    subprocess.run(command, check=True, timeout=30, stdout=subprocess.DEVNULL)
    return path.read_bytes()


def plane(data: bytes, offset: int, stride: int, height: int, row_bytes: int) -> Pixels:
    """A plane in raw bytes."""
    return np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)[:, :row_bytes]
