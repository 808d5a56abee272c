"""A run: source, graph and timing made from a configuration. What ``keywarp run`` does, for Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keywarp.engines.base import Engine
from keywarp.engines.build import get_engine
from keywarp.flow.base import PairEstimator, StepEstimator
from keywarp.flow.build import flow_kernel, make_estimator, wants_vectors
from keywarp.flow.keyframes import KeyframePolicy, make_policy
from keywarp.models.base import Model, Setup
from keywarp.models.build import load_model
from keywarp.models.results import SegmentationMap

from .aggregation import lacks_aggregation, tell_unaggregated, wants_aggregation
from .clock import Clock, MonotonicClock
from .config import DeliveryConfig, ModelConfig, RunConfig, make_config
from .controls import Controls, Knobs
from .entrance import Delivery
from .graph import Graph
from .gst.presets import is_gst
from .gst.secrets import without_credentials
from .keys import OVERLAY, PROPAGATION, SEGMENTATION
from .packet import Packet
from .sinks.parse import make_sink
from .sinks.places import check_places
from .sources.base import Source
from .sources.location import is_url, without_secrets
from .sources.parse import open_source
from .sources.scaled import ScaledSource
from .stage import Sink, Stage
from .stages.overlay import Overlay
from .stages.propagate import Propagate
from .threads import ThreadBudget
from .timing import RunTiming

if TYPE_CHECKING:
    from .page.sink import PageSink


@dataclass(frozen=True, slots=True)
class Parts:
    """Ready parts that a run takes in the place of those that its configuration names; None: as configured.

    ``models``: as many as are configured; the run opens and closes them. ``engine``: of all models. ``policy``
    chooses the key frames of all models, in the place of their intervals.
    """

    models: Sequence[Model[SegmentationMap]] | None = None
    engine: Engine | None = None
    policy: KeyframePolicy | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a model is to run."""

    model: Model[SegmentationMap]
    setup: Setup
    policy: KeyframePolicy
    flow: StepEstimator | PairEstimator


class Run:
    """One pass over one source. Iterate it: each packet comes once all sinks have accepted it; a live stream's does
    not wait for a slow one (:meth:`Graph.run`).

    ``source`` is a source or its text (``clip.mp4``, ``0``, ``street:``, a folder of pictures); ``settings`` are
    the fields of :class:`RunConfig`, ``parts`` what is used instead of making it from them. Everything that can
    be checked without opening the source is checked here. ``packet[SEGMENTATION].labels`` and
    ``packet[PROPAGATION]`` hold the first model's results; those of further models are under
    ``SEGMENTATION.of(name)``.
    """

    def __init__(
        self,
        source: Source | str,
        config: RunConfig | None = None,
        *,
        clock: Clock | None = None,
        parts: Parts | None = None,
        **settings: Any,
    ) -> None:
        self.config = make_config({**(config.model_dump() if config else {}), **settings})
        check_places(self.config.sinks, source if isinstance(source, str) else None)
        self._clock = clock or MonotonicClock()
        self._parts = parts or Parts()
        self._ended = False
        self.threads = ThreadBudget.divide(self.config.threads, len(self.config.models))
        self.source = self._make_source(source)
        if (
            wants_vectors(self.config.flow.method) or self.config.serve is not None
        ):  # a page may change the flow
            self.source.want_vectors()
        self.source_name = _name_of(source)
        self.models = list(self._parts.models or (load_model(entry.name) for entry in self.config.models))
        self._plans = [self._plan(*pair) for pair in zip(self.models, self.config.models, strict=True)]
        self.controls = self._make_controls()
        self._page = self._make_page()
        self.sinks = self._make_sinks()
        self._perceiving = self._make_perceiving()
        self.graph = Graph(
            self._stages(),
            self.sinks,
            clock=self._clock,
            delivery=_delivery(self.config.delivery),
            paused=lambda: self.controls.knobs.paused,
        )
        keys = tuple(PROPAGATION.of(name) if name else PROPAGATION for name in self._names())
        self.timing = RunTiming(self._clock, keys)

    def __iter__(self) -> Iterator[Packet]:
        """Run; see :meth:`Graph.run`."""
        try:
            with self.threads.applied_to_opencv():
                for packet in self.graph.run(self.source):
                    self.timing.add(packet)
                    yield packet
        finally:
            self.timing.settle()
            self._ended = True

    def stop(self) -> None:
        """End the stream after the current frame; all outputs are finished. Safe in a signal handler."""
        self.graph.stop()

    @property
    def dropped(self) -> int:
        """Frames dropped at the entrance, and frames that the source could not deliver."""
        return sum(self.dropped_by_cause.values())

    @property
    def dropped_by_cause(self) -> dict[str, int]:
        """:attr:`dropped` by cause, such as ``late`` and ``undecodable``."""
        return dict(self.graph.dropped + Counter(self.source.losses.by_cause))

    def report(self) -> dict[str, Any]:
        """The timing so far, as docs/report.md describes it. ``frames.in`` is ``out`` + ``dropped`` at the end."""
        timing = self.timing.report(
            frames_in=self.graph.frames_in + self.source.losses.total,
            policy=(self._parts.policy.name if self._parts.policy is not None else self.config.policy),
            aggregates=any(stage.aggregates for stage in self._perceiving),
            fused=self.models[0].fused,
            flow_kernel=flow_kernel(self.config.flow.method, self.config.fused),
            dropped=self.dropped_by_cause,
            frozen=self.graph.frozen,
            missed={sink.name: sink.missed for sink in self.sinks if sink.missed},
            written={sink.name: sink.written for sink in self.sinks},
        )
        return {**timing, "notes": self.notes}

    @property
    def notes(self) -> list[str]:
        """What a user should know of the source and of what was written, complete at the end."""
        return [*self.source.notes, *(note for sink in self.sinks for note in sink.notes)]

    def health(self) -> dict[str, Any]:
        """How the stream is doing now: ``state`` (opening, live, lost, ended), why and for how long, the rate and
        the latency of the last two seconds, how well results were carried to the last ten key frames that were
        compared, and the frames counted so far.
        """
        now_ns, status = self._clock.now_ns(), self.source.status
        known = self.graph.info is not None
        state = status.state if status.state != "opening" or not known else "live"
        return {
            "state": "ended" if self._ended else state,
            "reason": status.reason,
            "since_s": round((now_ns - status.since_ns) / 1e9, 1) if status.since_ns else None,
            "reconnects": status.reconnects,
            **self.timing.recent.figures(now_ns),
            "key_age": self.timing.key_age,
            "key_agreement": self.timing.agreements.recent,
            "frames": {
                "in": self.graph.frames_in + self.source.losses.total,
                "out": self.timing.frames_out,
                "frozen": self.graph.frozen,
                "dropped": self.dropped_by_cause,
            },
        }

    def _make_source(self, source: Source | str) -> Source:
        config = self.config
        if isinstance(source, str):
            return open_source(
                source,
                size=config.size,
                rate=config.rate,
                threads=self.threads.decoder,
                reconnect=config.reconnect,
            )
        return source if config.size is None else ScaledSource(source, config.size)

    def _names(self) -> list[str | None]:
        """What each model's keys are told apart by: None for the first model."""
        return [None, *(f"{i}-{model.card.name}" for i, model in enumerate(self.models[1:], 2))]

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = [*self._perceiving]
        if any(OVERLAY in sink.reads for sink in self.sinks):
            overlay = self.config.overlay
            stages.append(
                Overlay(
                    self._clock,
                    opacity=overlay.opacity,
                    legend=overlay.legend,
                    hud=overlay.hud,
                    title=self._title,
                    controls=self.controls,
                )
            )
        return stages

    def _plan(self, model: Model[SegmentationMap], entry: ModelConfig) -> _Plan:
        config, policy = self.config, self._policy(entry)
        # One for each model: they run side by side, and an estimator takes one call at a time.
        flow = make_estimator(config.flow.method, config.flow.size, fused=config.fused)
        level = entry.level or config.level
        if config.aggregate is None and policy.aggregates:
            tell_unaggregated(policy, model, level, flow)
        setup = Setup(
            engine=self._parts.engine or get_engine(config.engine),
            level=level,
            aggregates=wants_aggregation(config.aggregate, model, policy, flow),
            precision=entry.precision or config.precision,
            size=entry.size,
            threads=self.threads.engine,
            fused=config.fused,
        )
        return _Plan(model, setup, policy, flow)

    def _make_controls(self) -> Controls:
        """Controls that begin with what is configured, of the first model where they differ."""
        config, first = self.config, self.config.models[0]
        knobs = Knobs(
            interval=first.interval or config.interval,
            level=first.level or config.level,
            flow=config.flow.method,
            aggregate=any(plan.setup.aggregates for plan in self._plans),
            opacity=config.overlay.opacity,
        )
        unable = all(not model.can_aggregate for model in self.models)
        return Controls(knobs, no_aggregation=lacks_aggregation(self.models[0]) if unable else "")

    def _make_perceiving(self) -> list[Propagate[SegmentationMap]]:
        return [
            Propagate(
                plan.model,
                plan.setup,
                policy=plan.policy,
                controls=self.controls,
                flow_size=self.config.flow.size,
                compares=self.config.agreement,
                steps=plan.flow,
                result=SEGMENTATION.of(name) if name else SEGMENTATION,
                propagation=PROPAGATION.of(name) if name else PROPAGATION,
                name=f"perceive-{name}" if name else "perceive",
            )
            for plan, name in zip(self._plans, self._names(), strict=True)
        ]

    def _policy(self, entry: ModelConfig) -> KeyframePolicy:
        """A model's own: policies may remember its stream."""
        if self._parts.policy is not None:
            return deepcopy(self._parts.policy)
        return make_policy(self.config.policy, entry.interval or self.config.interval)

    def _title(self) -> str:
        model = self.models[0]
        return f"{model.card.name}  {model.runs_on}"

    def _make_sinks(self) -> list[Sink]:
        """The sinks, with names of their own: the second mp4 is called ``mp4-2`` in timings."""
        seen: Counter[str] = Counter()
        sinks = list[Sink]()
        for text in self.config.sinks:
            sink = make_sink(
                text,
                encoder=self.config.encoder.name,
                crf=self.config.encoder.crf,
                threads=self.threads.encoder,
                on_quit=self.stop,
                controls=self.controls,
            )
            seen[sink.name] += 1
            if seen[sink.name] > 1:
                sink.name = f"{sink.name}-{seen[sink.name]}"
            sinks.append(sink)
        if self._page is not None:
            sinks.append(self._page)
        return sinks

    def _make_page(self) -> PageSink | None:
        """The page, where one is asked for."""
        if self.config.serve is None:
            return None
        from .page.sink import PageSink

        records = any(text.startswith("record:") for text in self.config.sinks)

        def status() -> dict[str, Any]:
            return {
                "report": self.report(),
                "health": self.health(),
                "abilities": {"record": records, "aggregate": self._unaggregated},
            }

        return PageSink(self.config.serve, self.controls, status, title=self.source_name)

    @property
    def _unaggregated(self) -> str:
        """What keeps all models from aggregating key frames, as the first has it; empty where one can."""
        reasons = [stage.unaggregated for stage in self._perceiving]
        return reasons[0] if all(reasons) else ""

    @property
    def page_url(self) -> str | None:
        """Where the page is, with the token that it takes; None without a page, and before it is open."""
        return None if self._page is None else self._page.url


def _name_of(source: Source | str) -> str:
    """What a source may be called on a page: without user and password."""
    if not isinstance(source, str):
        return type(source).__name__
    if is_gst(source):
        return without_credentials(source)
    return without_secrets(source) if is_url(source) else source


def _delivery(config: DeliveryConfig) -> Delivery:
    max_age_ns = None if config.max_age_ms is None else round(1e6 * config.max_age_ms)
    return Delivery(config.mode, max_age_ns, config.queue)
