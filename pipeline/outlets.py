"""Where packets go from the last stage: to all sinks, and then to the caller."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from .link import Link, link_capacity
from .packet import Packet
from .stage import Sink


class Completed:
    """The outlet of every sink: hands packets to the caller through ``link``, in the stream's order, each once.

    A packet is handed out when all ``sinks`` are done with it: they have accepted or missed it. Where more than
    ``most_waiting`` (None: any number) wait for that, the oldest is handed out with a sink still at work on it:
    its ``awaited`` is not 0 then, until that sink is done too. The link ends when the last sink has.
    """

    def __init__(self, sinks: int, most_waiting: int | None = None) -> None:
        self.link: Link[Packet] = Link(link_capacity(live=False))  # the caller may lag
        self._sinks = sinks
        self._open = max(1, sinks)
        self._most_waiting = most_waiting
        self._waiting: deque[Packet] = deque()
        self._lock = threading.Lock()

    def expect(self, packet: Packet) -> None:
        """The packet is about to be given to the sinks."""
        with self._lock:
            packet.awaited = self._sinks
            self._waiting.append(packet)
            self._hand_out()

    def put(self, packet: Packet) -> None:
        """One sink is done with the packet."""
        with self._lock:
            packet.awaited -= 1
            self._hand_out()

    def finish(self) -> None:
        """One sink has ended."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.link.finish()

    def _hand_out(self) -> None:
        while self._waiting and (self._waiting[0].awaited == 0 or self._are_too_many()):
            self.link.put(self._waiting.popleft())

    def _are_too_many(self) -> bool:
        return self._most_waiting is not None and len(self._waiting) > self._most_waiting


class FanOut:
    """The last stage's outlet: gives each packet to all sinks, and ``completed`` knows when they are done with it.

    ``capacity``: of the link to each sink, whose room is waited for. None waits for no sink: its link holds its
    backlog, and then it misses its oldest packet. While none of them misses any, the caller gets each packet
    after all sinks have accepted it: a sink has at most its backlog and the packet it works on. Where more packets
    wait than the largest backlog and one, a sink misses some, and the caller waits for it no longer.
    """

    def __init__(self, sinks: Sequence[Sink], capacity: int | None) -> None:
        self._waits = capacity is not None
        rooms = [max(1, sink.backlog) if capacity is None else capacity for sink in sinks]
        self.links = [(sink, Link[Packet](room)) for sink, room in zip(sinks, rooms, strict=True)]
        self.completed = Completed(len(sinks), None if self._waits else max(rooms, default=1) + 1)

    def put(self, packet: Packet) -> None:
        """Give a packet to all sinks."""
        self.completed.expect(packet)
        for sink, link in self.links:
            if self._waits:
                link.put(packet)
                continue
            missed = link.put_newest(packet, lambda _, following: following)
            if missed is not None:
                sink.missed += not missed.frame.frozen
                self.completed.put(missed)

    def finish(self) -> None:
        """Say that nothing more will come."""
        for _, link in self.links:
            link.finish()
        if not self.links:
            self.completed.finish()
