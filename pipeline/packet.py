"""Packets: what travels through the graph: a frame, and what the stages found out about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .clock import Clock
from .frame import Frame

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Key(Generic[Value]):
    """A typed name in a packet: ``packet[key]`` has the type that the key was made for."""

    name: str

    def of(self, model: str) -> Key[Value]:
        """The same kind of value from another model on the same stream."""
        return Key(f"{self.name}.{model}")


@dataclass(frozen=True, slots=True)
class Span:
    """Work done on a packet. ``wait_ns`` is the time it lay ready before the work began, 0 inside a stage."""

    name: str
    start_ns: int
    work_ns: int
    wait_ns: int = 0


class Packet:
    """A frame and typed values, each written once by one stage and then only read.

    A packet belongs to one thread at a time until it is fanned out to the sinks, which only read it.
    ``spans`` is the record of all work on it; ``ready_ns`` is when the last stage was done with it; ``awaited``
    is how many sinks are still to be done with it, and to write their spans.
    """

    __slots__ = ("_clock", "_values", "awaited", "frame", "ready_ns", "spans")

    def __init__(self, frame: Frame, clock: Clock) -> None:
        self.frame = frame
        self.spans: list[Span] = []
        self.ready_ns = frame.capture_ns
        self.awaited = 0
        self._values: dict[str, Any] = {}
        self._clock = clock

    def __getitem__(self, key: Key[Value]) -> Value:
        try:
            return self._values[key.name]
        except KeyError:
            raise KeyError(f"packet has no '{key.name}' (it has: {', '.join(self._values)})") from None

    def __setitem__(self, key: Key[Value], value: Value) -> None:
        if key.name in self._values:
            raise KeyError(f"'{key.name}' is already in the packet; every value is written once")
        self._values[key.name] = value

    def __contains__(self, key: Key[Any]) -> bool:
        return key.name in self._values

    def get(self, key: Key[Value]) -> Value | None:
        """The value of ``key``, or None where no stage wrote it."""
        return self._values.get(key.name)

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record the block as work called ``name`` (``stage.part``)."""
        start_ns = self._clock.now_ns()
        try:
            yield
        finally:
            self.spans.append(Span(name, start_ns, self._clock.now_ns() - start_ns))
