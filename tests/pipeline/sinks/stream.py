"""Streams of made-up packets for the tests of sinks and overlays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from keywarp.flow.base import Size
from keywarp.models.labels import CAMVID
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, SEGMENTATION, Propagation
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.stage import Sink, StreamInfo

MS = Fraction(1, 1000)


def make_info(
    size: Size = (64, 48),
    time_base: Fraction = MS,
    *,
    live: bool = False,
    audio: Path | None = None,
    paths: tuple[Path, ...] = (),
) -> StreamInfo:
    return StreamInfo("made up", size, Fraction(25), time_base, live=live, audio=audio, paths=paths)


def make_yuv(size: Size, level: int = 128, u: int = 128, v: int = 128) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "yuv420p")
    planes = yuv_planes(frame)
    planes.y[:], planes.u[:], planes.v[:] = level, u, v
    return frame


def make_packet(
    index: int, pts: int, time_base: Fraction = MS, size: Size = (64, 48), overlay: Picture | None = None
) -> Packet:
    """A packet of a grey level that tells ``index``, labels that are class 3 but for a tenth of class 8."""
    picture = Picture.from_av(make_yuv(size, 40 + index * 5 % 160))
    packet = Packet(Frame(index, pts, time_base, 0, picture), ManualClock())
    labels = np.full((size[1], size[0]), 3, np.uint8)
    labels.reshape(-1)[: labels.size // 10] = 8
    packet[SEGMENTATION] = SegmentationMap(labels, CAMVID)
    packet[PROPAGATION] = Propagation(index % 4 == 0, index % 4, index - index % 4)
    packet[OVERLAY] = overlay or picture
    return packet


def make_packets(count: int, step: int = 40, size: Size = (64, 48)) -> Iterator[Packet]:
    return (make_packet(index, index * step, size=size) for index in range(count))


def run_sink(
    sink: Sink, packets: Sequence[Packet] | Iterator[Packet], info: StreamInfo | None = None
) -> None:
    """What the graph does with a sink."""
    try:
        sink.open(info or make_info())
        for packet in packets:
            sink.process(packet)
    finally:
        sink.close()


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def seconds(ticks: int | None, time_base: Fraction | None) -> Fraction:
    assert ticks is not None
    assert time_base is not None
    return ticks * time_base


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [seconds(frame.pts, frame.time_base) for frame in container.decode(video=0)]
