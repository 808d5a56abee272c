"""Small videos made for the tests, and where the real ones lie."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.stage import StreamInfo

Pixels = NDArray[np.uint8]

DATA = Path(__file__).parents[4] / "shared" / "data"

# x264 at its best quality leaves the colours of flat areas within rounding of each conversion.
COLOR_ATOL = 4


def real(name: str) -> Path:
    """A file of the shared data; the test is skipped where there is none."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs real data: {path} (the project's shared folder beside the repository)")
    return path


def pictures(count: int, size: tuple[int, int] = (64, 48)) -> list[Pixels]:
    """Frames that grow brighter by 8 each, dark at the top left corner, so that order and turn can be told."""
    made = []
    for index in range(count):
        pixels = np.full((size[1], size[0], 3), 40 + 8 * index % 200, np.uint8)
        pixels[: (size[1] + 1) // 2, : (size[0] + 1) // 2] //= 4
        made.append(pixels)
    return made


def write_film(
    path: Path,
    frames: Iterable[Pixels],
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    matrix: Sequence[int] | None = None,
    colorspace: str | None = None,
    flags: int = 0,
    format: str | None = None,  # noqa: A002 - as PyAV calls it
) -> Path:
    """Encode BGR pictures; ``pts`` in units of ``time_base``; ``colorspace``: bt601 or bt709, as a tag too."""
    frames = list(frames)
    code = {None: 2, "bt601": 6, "bt709": 1}[colorspace]
    converter = VideoReformatter()
    with av.open(str(path), "w", format=format, options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=round(1 / time_base))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        stream.codec_context.flags |= flags
        stream.codec_context.colorspace = code
        stream.options = {"crf": "1", "preset": "ultrafast", **(options or {})} if codec == "libx264" else {}
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index, pixels in enumerate(frames):
            rgb = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame = converter.reformat(
                rgb,
                format=pix_fmt,
                dst_colorspace=None if code == 2 else code,
                dst_color_range=ColorRange.MPEG,
            )
            frame.colorspace = code
            frame.time_base = time_base
            frame.pts = index if pts is None else pts[index]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, **options: str) -> Path:
    """The same packets in another file."""
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as output:
        old = given.streams.video[0]
        new: VideoStream = output.add_stream_from_template(old)
        for packet in given.demux(old):
            if packet.size:
                packet.stream = new
                output.mux(packet)
    return target


def ffmpeg(*arguments: object) -> None:
    """Run the ffmpeg program; the test is skipped where it is not installed."""
    _run("ffmpeg", "-v", "error", "-y", *arguments)


def probe_pts(path: Path) -> list[int]:
    """The times of all frames by the ffprobe program; the test is skipped where it is not installed."""
    text = _run(
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=pts",
        "-of",
        "csv=p=0",
        path,
    )
    return [int(line.split(",")[0]) for line in text.split()]


def _run(*arguments: object) -> str:
    try:
        done = subprocess.run(
            [str(a) for a in arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip(f"needs the program '{arguments[0]}' (apt install ffmpeg)")
    return done.stdout


class JumpingClock(ManualClock):
    """Moves on by itself each time it is read."""

    def __init__(self, step_ms: float) -> None:
        super().__init__()
        self._step_ms = step_ms

    def now_ns(self) -> int:
        self.advance_ms(self._step_ms)
        return super().now_ns()


def read_all(source: Source) -> tuple[StreamInfo, list[Frame]]:
    """Open, read to the end, close."""
    try:
        info = source.open()
        return info, list(source.frames())
    finally:
        source.close()
