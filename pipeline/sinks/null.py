"""The sink that keeps nothing: for timings, and for code that only wants the packets."""

from __future__ import annotations

from keywarp.pipeline.packet import Packet
from keywarp.pipeline.stage import Sink


class NullSink(Sink):
    """Accepts every packet and forgets it."""

    name = "null"

    def process(self, packet: Packet) -> None:
        """Count the packet."""
        self.written += 1
