"""A sink in memory, for tests and notebooks."""

from __future__ import annotations

from typing import Any

from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.stage import Sink, StreamInfo


class CollectSink(Sink):
    """Keeps every packet in ``packets``, and what the graph called: ``info`` and ``is_closed``."""

    name = "collect"

    def __init__(self, *reads: Key[Any], name: str = "collect") -> None:
        self.name = name
        self.reads: tuple[Key[Any], ...] = reads
        self.packets: list[Packet] = []
        self.info: StreamInfo | None = None
        self.is_closed = False

    def open(self, info: StreamInfo) -> None:
        """Keep what the source says."""
        self.info = info

    def process(self, packet: Packet) -> None:
        """Keep the packet."""
        self.packets.append(packet)
        self.written += 1

    def close(self) -> None:
        """Note it."""
        self.is_closed = True
