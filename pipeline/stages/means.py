"""Means: the model, flow and key-frame policy of a stream, and how controls change them while it runs."""

from __future__ import annotations

import logging
from dataclasses import replace
from enum import IntEnum
from typing import Generic, TypeVar

from keywarp.engines.errors import KeywarpError
from keywarp.flow.base import PairEstimator, Size, StepEstimator
from keywarp.flow.build import check_suits, make_estimator
from keywarp.flow.keyframes import KeyframePolicy
from keywarp.models.base import Level, Model, Setup
from keywarp.pipeline.aggregation import what_bars_aggregation
from keywarp.pipeline.controls import Knobs
from keywarp.pipeline.stage import StreamInfo

from .ways import Chained, Paired, make_way

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Lost(IntEnum):
    """What is lost by a change of the means: nothing, what is carried, or that and what the policy remembers."""

    NOTHING = 0
    CARRIED = 1
    ALL = 2


class Means(Generic[Result]):
    """A model as it is set up, the way its flow is had, and the policy of its key frames.

    :meth:`change` makes of them what the knobs say. What cannot be stays as it was, with a line in the log.
    ``stage`` is whose times they are, ``flow_size`` the size of the pictures that a flow chosen by the knobs
    compares.
    """

    def __init__(
        self,
        model: Model[Result],
        setup: Setup,
        policy: KeyframePolicy,
        flow: StepEstimator | PairEstimator,
        *,
        stage: str,
        flow_size: Size | None = None,
    ) -> None:
        self.model = model
        self.setup = setup
        self.policy = policy
        self._span = f"{stage}.flow"
        self.way = make_way(flow, self._span)
        self._flow_size = flow_size
        self._info: StreamInfo | None = None

    def open(self, info: StreamInfo) -> None:
        """Compile the model, and a FlowNet. Raises :class:`UsageError` where the flow does not suit the stream."""
        self._info = info
        self._check(self.way)
        self.model.open(self.setup, info.size)
        self.way.open(self.model, self.setup, info.size)

    def close(self) -> None:
        """Free both."""
        self.way.close()
        self.model.close()

    @property
    def aggregates(self) -> bool:
        """Whether key frames are aggregated as things stand now."""
        return self.setup.aggregates and self.setup.level == "features"

    @property
    def unaggregated(self) -> str:
        """What keeps key frames from being aggregated now, and what to do about it; empty where nothing does."""
        return what_bars_aggregation(self.model, self.setup.level, self.way.estimator)

    def touches(self, before: Knobs, now: Knobs) -> bool:
        """Whether a change of the knobs changes what a full run uses."""
        return (before.flow, before.level, before.aggregate) != (now.flow, now.level, now.aggregate)

    def change(self, before: Knobs, now: Knobs) -> Lost:
        """Go over to other knobs, between two frames; while no full run is under way, if it :meth:`touches`."""
        lost = Lost.NOTHING
        if now.interval != before.interval:
            self.policy = self.policy.with_interval(now.interval)
        if before.aggregate and not now.aggregate:
            self._aggregate(False)  # first: it may stand in the flow's way
        if now.flow != before.flow:
            lost = max(lost, self._change_flow(now.flow))
        if now.level != before.level:
            lost = max(lost, self._change_level(now.level))
        if now.aggregate and (not before.aggregate or now.flow != before.flow):
            self._aggregate(True)
            if not before.aggregate and (reason := self.unaggregated):
                _log.warning("key frames are not aggregated: %s", reason)
        return lost

    def _aggregate(self, wanted: bool) -> None:
        """Aggregate key frames from now on, or no more; where they cannot be, nothing changes."""
        if wanted == self.setup.aggregates or (
            wanted and what_bars_aggregation(self.model, "features", self.way.estimator)
        ):
            return
        try:
            self.model.change(self.setup.level, aggregates=wanted)
        except KeywarpError as error:
            _log.warning("key frames are not aggregated: %s", error)
            return
        self.setup = replace(self.setup, aggregates=wanted)

    def _change_flow(self, name: str) -> Lost:
        """Go over to another flow."""
        assert self._info is not None
        try:
            way = make_way(make_estimator(name, self._flow_size, fused=self.setup.fused), self._span)
            self._check(way)
            way.open(self.model, self.setup, self._info.size)
        except KeywarpError as error:
            _log.warning("flow stays '%s': %s", self.way.estimator.name, error)
            return Lost.NOTHING
        before, self.way = self.way, way
        before.close()
        begins = isinstance(way, Chained) and isinstance(before, Paired)
        return Lost.CARRIED if begins else Lost.NOTHING  # a chain of steps cannot begin in its middle

    def _change_level(self, level: Level) -> Lost:
        """Carry something else from the next frame on, which is a key frame."""
        assert self._info is not None
        try:
            self.model.change(level, aggregates=self.setup.aggregates)
        except KeywarpError as error:
            _log.warning("level stays '%s': %s", self.setup.level, error)
            return Lost.NOTHING
        self.setup = replace(self.setup, level=level)
        try:  # a FlowNet's scale map goes with features
            self.way.open(self.model, self.setup, self._info.size)
        except KeywarpError as error:
            _log.warning("flow '%s' goes on without its scale map: %s", self.way.estimator.name, error)
            self.way.open(self.model, self.setup, self._info.size, scaled=False)
        return Lost.ALL

    def _check(self, way: Chained | Paired) -> None:
        """Raise :class:`UsageError` where the stream has not what the flow is made of."""
        info = self._info
        assert info is not None
        check_suits(
            way.estimator,
            info.name,
            knows_step=info.knows_step,
            has_vectors=info.has_vectors,
            codec=info.codec,
        )
