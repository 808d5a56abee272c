"""What a kind of street is made of, and the town."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from keywarp.flow.base import Size

from .camera import TOWN_RIG, Rig, focal_length_px
from .ground import TOWN, Section
from .haze import Haze
from .labels import BUILDING
from .layout import Block, Layout, Placed
from .library import Library
from .palette import Look, look_of
from .traffic import Traffic


class Movers(Protocol):
    """Everybody on the move."""

    def at(self, time_s: float, eye_m: float) -> tuple[list[Placed], ...]:
        """Those near the camera, for each layer of a block."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """All that a world draws. ``block``: by number, any whole number, from the same ones every time."""

    look: Look
    library: Library
    rig: Rig
    section: Section
    haze: Haze
    skyline_label: int
    block: Callable[[int], Block]
    traffic: Movers
    bonnet: bool = False


def town(seed: int, size: Size) -> Site:
    """Houses, pavements and people."""
    look = look_of(seed)
    library = Library(seed, look, focal_length_px(size))
    layout, traffic = Layout(seed, look, library), Traffic(seed, look, library)
    return Site(look, library, TOWN_RIG, TOWN, Haze(look.haze_m), BUILDING, layout.block, traffic)
