"""Label maps as PNG pictures, one a frame."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

from keywarp.engines.errors import SinkError
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Sink, StreamInfo

from .output import Claim, is_same, make_folder, ran_out, remove_empty

# Level 1 takes a fifth of the time of OpenCV's default, and label maps stay small.
_ENCODING = (cv2.IMWRITE_PNG_COMPRESSION, 1)
NUMBERED = re.compile(r"\d{6,}\.png")
"""The names of the pictures."""


class PngSink(Sink):
    """Writes each frame's labels, (H, W) uint8, to ``folder`` as ``000123.png``: 123 is the frame's index.

    Pictures of the same name are replaced, but for the source's own: a folder with those is refused. None is
    ever half written: one that finds no room is removed.
    """

    name = "png"

    def __init__(self, folder: Path | str, *, segmentation: Key[SegmentationMap] = SEGMENTATION) -> None:
        self._folder = Path(folder)
        self._segmentation = segmentation
        self.reads = (segmentation,)
        self._made: list[Path] = []

    def open(self, info: StreamInfo) -> None:
        """Make the folder, and try whether files can be written there."""
        self._check_not_source(info)
        self._made = make_folder(self._folder)
        try:
            Claim(self._folder / ".keywarp-can-write").give_up()
        except SinkError:
            remove_empty(self._made)
            raise

    def _check_not_source(self, info: StreamInfo) -> None:
        for source in info.paths:
            is_replaced = NUMBERED.fullmatch(source.name) is not None and is_same(self._folder, source.parent)
            if is_replaced or is_same(self._folder, source):
                raise SinkError(
                    f"label maps in '{self._folder}' would replace pictures of the source '{info.name}'; "
                    "give another folder"
                )

    def process(self, packet: Packet) -> None:
        """Write the frame's label map."""
        path = self._folder / f"{packet.frame.index:06d}.png"
        done, data = cv2.imencode(".png", packet[self._segmentation].labels, _ENCODING)
        if not done:
            raise SinkError(f"OpenCV could not encode '{path}'")
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            path.unlink(missing_ok=True)
            kept = f"{self.written} label maps were kept in '{self._folder}'"
            raise ran_out(path, error, kept) from error
        self.written += 1

    def close(self) -> None:
        """Leave no empty folder behind."""
        if self.written == 0:
            remove_empty(self._made)
