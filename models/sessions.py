"""The compiled parts of a segmentation model: a session for each, made when it is first asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keywarp.engines.base import Plan, Session
from keywarp.engines.card import network_source, part_path
from keywarp.engines.errors import ModelError
from keywarp.flow.base import Size

from .base import Setup
from .card import EARLIER, Card

Shapes = dict[str, tuple[int, ...]]


class PartSessions:
    """Sessions for the parts of a card at one input size, by the engine, precision and threads of ``setup``.

    Belongs to one thread. All sessions live until :meth:`close`, but for those of a grid that was left.
    """

    def __init__(self, card: Card, card_path: Path, setup: Setup, input_size: Size) -> None:
        self.runs_on = ""
        """Engine and precision of the part ``key`` that was compiled last."""
        self._card, self._card_path = card, card_path
        self._setup, self._input_size = setup, input_size
        self._made: dict[tuple[str, tuple[str, ...]], tuple[Shapes, Session]] = {}

    def session(
        self,
        part: str,
        outputs: tuple[str, ...],
        *,
        buffers: int = 1,
        grid: Size | None = None,
        warm: bool = False,
    ) -> Session:
        """The session of a part that yields just these outputs; compiled unless that was done before.

        ``grid`` is the flow's (None: that of the part's first map); the session of another one is closed. ``warm``:
        run it once when it is made.
        """
        shapes = self._shapes(part, grid)
        known, session = self._made.get((part, outputs), (None, None))
        if session is not None and known == shapes:
            return session
        plan = self._compile(part, shapes, outputs)
        made = plan.session(threads=self._setup.threads, buffers=buffers)
        if warm:
            made.infer({spec.name: np.zeros(spec.shape, spec.dtype) for spec in plan.inputs})
        if session is not None:
            session.close()
        self._made[part, outputs] = shapes, made
        return made

    def close(self) -> None:
        """Free the sessions."""
        for _, session in self._made.values():
            session.close()
        self._made = {}

    def _compile(self, part: str, shapes: Shapes, outputs: tuple[str, ...]) -> Plan:
        source = network_source(self._card, self._card_path, part, partial(self._torch_module, part))
        plan = self._setup.engine.compile(source, shapes, outputs=outputs, precision=self._setup.precision)
        if part == "key":
            self.runs_on = f"{plan.engine} {plan.precision}"
        return plan

    def _torch_module(self, part: str) -> Any:
        """The part in torch, for the engine that runs networks themselves."""
        from .networks.parts import part_of_weights

        weights = part_path(self._card, self._card_path, "weights")
        return part_of_weights(self._card.network, weights, part, len(self._card.classes))

    def _shapes(self, part: str, grid: Size | None) -> Shapes:
        """What a part takes, by name."""
        if part == "key":
            width, height = self._input_size
            return {"image": (1, height, width, 3)}
        taken = self._card.maps_of("warp_head" if part == "aggregate" else part)
        width, height = grid or taken[0].size(self._input_size)
        maps = {map_.name: (1, map_.channels, *map_.size(self._input_size)[::-1]) for map_ in taken}
        flow = {"flow": (1, height, width, 2)}
        if part == "aggregate":
            earlier = {f"{EARLIER}{name}": shape for name, shape in maps.items()}
            return {**maps, **earlier, **flow, "weight": (1, 1, height, width)}
        if part == "warp_scale_head":
            return {**maps, **flow, "scale": (1, sum(map_.channels for map_ in taken), height, width)}
        return {**maps, **flow}


def check_part(card: Card, part: str, what_it_does: str) -> None:
    """Raise ModelError where a card has no such part: it was exported by an older keywarp."""
    if part not in card.files:
        raise ModelError(
            f"model '{card.name}' lacks the part '{part}', which {what_it_does}; "
            "export it again with keywarp export"
        )
