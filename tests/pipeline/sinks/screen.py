"""A screen in memory: Xvfb, and a look at what it shows."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


class Screen:
    def __init__(self, display: str, folder: Path) -> None:
        self.display = display
        self._file = folder / "Xvfb_screen0"

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR. The file is in X's XWD format: a header of 32-bit words, a palette, rows."""
        data = self._file.read_bytes()
        words = struct.unpack(">25I", data[:100])
        header, width, height, row_bytes, palette = words[0], words[4], words[5], words[12], words[19]
        rows = np.frombuffer(data, np.uint8, row_bytes * height, header + 12 * palette)
        return rows.reshape(height, row_bytes)[:, : 4 * width].reshape(height, width, 4)[..., :3]


@contextmanager
def virtual_screen(folder: Path, size: str = "800x600") -> Iterator[Screen]:
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb; install it with: apt-get install xvfb")
    read_end, write_end = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write_end),
        "-screen",
        "0",
        f"{size}x24",
        "-fbdir",
        str(folder),
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(
        command, pass_fds=[write_end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield Screen(f":{number}", folder)
    finally:
        server.terminate()
        server.wait(10)
