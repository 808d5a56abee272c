"""An engine that compiles each network once: for many runs of one network at one size."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Engine, NetworkSource, Plan

_Request = tuple[object, ...]
_MOST_PLANS = 8


class ReusingEngine(Engine):
    """Another engine, whose latest plans are kept.

    The same network (by its file), shapes, outputs and precision get the same plan again. One thread at a time
    may compile.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.precisions = engine.precisions
        self._engine = engine
        self._plans: dict[_Request, Plan] = {}

    @property
    def on_cpu(self) -> bool:
        """As the other engine has it."""
        return self._engine.on_cpu

    def missing(self) -> str | None:
        """What the other engine says."""
        return self._engine.missing()

    def _compile(
        self,
        source: NetworkSource,
        shapes: Mapping[str, tuple[int, ...]],
        outputs: tuple[str, ...] | None,
        precision: str,
    ) -> Plan:
        request = (source.name, source.onnx_path, tuple(sorted(shapes.items())), outputs, precision)
        plan = self._plans.pop(request, None)
        if plan is None:
            plan = self._engine.compile(source, shapes, outputs=outputs, precision=precision)
        self._plans[request] = plan  # the latest used comes last
        if len(self._plans) > _MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        return plan
