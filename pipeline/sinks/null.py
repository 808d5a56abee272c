"""The sink that keeps nothing: for timings of everything before it."""

from __future__ import annotations

from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import Sink


class NullSink(Sink):
    """Accepts every packet and forgets it. ``picture`` is what it would show: the graph has to make it."""

    name = "null"

    def __init__(self, picture: Key[Picture] | None = None) -> None:
        self.reads = () if picture is None else (picture,)

    def process(self, packet: Packet) -> None:
        """Count the packet."""
        self.written += 1
