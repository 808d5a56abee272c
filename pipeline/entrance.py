"""The entrance of the graph: which frames of a stream get in, and which are dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .course import Course
from .frame import Frame, over_drop
from .link import Link, link_capacity
from .packet import Packet

Mode = Literal["newest", "every", "block"]

_PAUSE_LOOK_S = 0.02


class Admission(NamedTuple):
    """How frames are let in. ``waits``: the source waits for room; ``capacity``: of the link to the first stage."""

    mode: Mode
    waits: bool
    capacity: int
    max_age_ns: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which frames are let into the graph, see :class:`keywarp.pipeline.config.DeliveryConfig`.

    ``mode``: None is ``newest`` for a live stream and ``every`` for others. ``max_age_ns`` by the graph's clock.
    ``queue``: frames of a live stream that may wait at the entrance in the mode ``every``.
    """

    mode: Mode | None = None
    max_age_ns: int | None = None
    queue: int = 300

    def for_stream(self, live: bool) -> Admission:
        """How frames are let in from a stream that is ``live``, or is not."""
        mode = self.mode or ("newest" if live else "every")
        waits = mode == "block" or (mode == "every" and not live)
        capacity = self.queue if mode == "every" and live else link_capacity(live)
        return Admission(mode, waits, capacity, self.max_age_ns)


class Entrance:
    """The way into the graph: the source's thread puts packets in, the first stage's takes them out.

    What does not get through is counted in ``course`` by cause: ``late`` (a newer one came), ``full`` (the queue
    was), ``stale`` (older than allowed when its turn came), ``paused``. The packet after it leads over the gap.
    """

    def __init__(self, course: Course, admission: Admission) -> None:
        self._course = course
        self._admission = admission
        self._link: Link[Packet] = Link(admission.capacity)
        self._after_pause = False

    def is_open_to(self, frame: Frame) -> bool:
        """Whether ``frame`` may be put in: a frozen one takes no fresh one's place, and none in a pause."""
        return not frame.frozen or (not self._course.paused() and self._link.is_empty)

    def put(self, packet: Packet) -> bool:
        """Let the packet in, or drop it, or another for it. False where the first stage has gone."""
        if self._course.paused() and not self._outlasts_pause(packet):
            return not self._link.is_closed
        if self._after_pause:
            packet.frame = replace(packet.frame, after_gap=True)
            self._after_pause = False
        if self._admission.waits:
            return self._link.put(packet)
        dropped = self._link.put_newest(packet, _succeed)
        if dropped is not None:
            self._course.drop(dropped.frame, "late" if self._admission.mode == "newest" else "full")
        return not self._link.is_closed

    def _outlasts_pause(self, packet: Packet) -> bool:
        """Let what can wait do so; True where the packet is still to be let in."""
        if not self._admission.waits:
            self._after_pause = True
            self._course.drop(packet.frame, "paused")
            return False
        while self._course.paused() and not self._course.stopping and not self._link.is_closed:
            time.sleep(_PAUSE_LOOK_S)
        packet.ready_ns = self._course.clock.now_ns()
        return True

    def finish(self) -> None:
        """Say that nothing more will be put in."""
        self._link.finish()

    def __iter__(self) -> Iterator[Packet]:
        """The packets that were let in, but for those that are too old when their turn comes."""
        stale: Packet | None = None
        for packet in self._link:
            if not packet.frame.frozen:
                if stale is not None:
                    _succeed(stale, packet)
                stale = packet if self._is_stale(packet.frame) else None
                if stale is not None:
                    self._course.drop(packet.frame, "stale")
                    continue
            yield packet

    def _is_stale(self, frame: Frame) -> bool:
        max_age_ns = self._admission.max_age_ns
        return max_age_ns is not None and self._course.clock.now_ns() - frame.capture_ns > max_age_ns

    def close(self) -> None:
        """Say that nothing more will be taken out."""
        self._link.close()


def _succeed(dropped: Packet, following: Packet) -> Packet:
    """The packet after a dropped one: its step flow now leads over the gap."""
    if not dropped.frame.frozen:
        following.frame = over_drop(dropped.frame, following.frame)
    return following
