"""Controls: what may be changed while a run goes on, by a page or by a program."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.build import flow_names
from keywarp.models.base import LEVELS, Level

MOST_INTERVAL = 1000


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the controls are set to.

    ``interval``: delivered frames from one key frame to the next. ``level``: what is propagated between them.
    ``flow``: the estimator. ``aggregate``: whether the features of each key frame are mixed with those of the one
    before it, where features are carried. ``enabled``: whether the models run; without them the picture is shown
    as it is. ``opacity`` of the overlay's colours, 0 to 1. ``paused``: nothing new is let in. ``recording``:
    whether sinks of the kind ``record:`` write.
    """

    interval: int = 10
    level: Level = "features"
    flow: str = "lk"
    aggregate: bool = False
    enabled: bool = True
    opacity: float = 0.55
    paused: bool = False
    recording: bool = False


class Controls:
    """The knobs of one run. Any thread may read them, and change them; a change acts on the next frame.

    ``flows``: what the flow may be set to: every name, and what it was at first, which may be the path of a card.
    ``no_aggregation``: why no model can ever aggregate; empty where one can.
    """

    def __init__(self, knobs: Knobs | None = None, *, no_aggregation: str = "") -> None:
        self._knobs = knobs or Knobs()
        self._no_aggregation = no_aggregation
        self.flows = tuple(dict.fromkeys((*flow_names(), self._knobs.flow)))
        self._lock = threading.Lock()

    @property
    def knobs(self) -> Knobs:
        """What is set now; a new object after each change."""
        return self._knobs

    def change(self, changes: Mapping[str, Any]) -> Knobs:
        """Set the named knobs, all or none. Raises :class:`UsageError` with what is accepted."""
        checked: dict[str, Any] = {name: _checked(name, value, self.flows) for name, value in changes.items()}
        if checked.get("aggregate") and self._no_aggregation:
            raise UsageError(f"key frames cannot be aggregated: {self._no_aggregation}")
        with self._lock:
            self._knobs = replace(self._knobs, **checked)
            return self._knobs

    def as_dict(self) -> dict[str, Any]:
        """The knobs as plain data."""
        return asdict(self._knobs)


def _checked(name: str, value: object, flows: tuple[str, ...]) -> object:
    known = [field.name for field in fields(Knobs)]
    if name not in known:
        raise unknown_name("control", name, known)
    if name in ("aggregate", "enabled", "paused", "recording"):
        if not isinstance(value, bool):
            raise UsageError(f"control '{name}' is true or false; given: {value!r}")
        return value
    if name == "interval":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_INTERVAL:
            raise UsageError(
                f"control 'interval' is a whole number from 1 to {MOST_INTERVAL}; given: {value!r}"
            )
        return value
    if name == "opacity":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(f"control 'opacity' is a number from 0 to 1; given: {value!r}")
        return float(value)
    accepted = LEVELS if name == "level" else flows
    if not isinstance(value, str) or value not in accepted:
        raise unknown_name(name, str(value), accepted)
    return value
