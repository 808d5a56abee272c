"""What is evaluated: one model, as the settings of a run set it up."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import cv2
import numpy as np

from keywarp.engines.build import get_engine
from keywarp.engines.errors import KeywarpError, UsageError
from keywarp.engines.reuse import ReusingEngine
from keywarp.flow.build import make_estimator
from keywarp.flow.keyframes import KeyframePolicy
from keywarp.models.base import Model
from keywarp.models.build import load_model
from keywarp.models.labels import CLASS_SETS, ClassSet
from keywarp.models.metrics import Counts, confusion
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.aggregation import wants_aggregation
from keywarp.pipeline.config import RunConfig, make_config
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.run import Parts, Run
from keywarp.pipeline.sources.base import Source

# What only a run has that shows its frames to somebody, and why nothing that is scored does.
_OF_RUNS_ALONE = {
    "sinks": "no frame is shown or written",
    "serve": "there is no page",
    "delivery": "every frame is run, however long it takes",
}


class Subject:
    """A model and the settings that it is run with: the fields of :class:`RunConfig`, but for ``sinks``, ``serve``
    and ``delivery``: every frame is run, and none is shown. Those of ``config``, which others may share, count for
    nothing; among ``settings`` they raise :class:`UsageError`.

    Every result comes from a :class:`Run`; its networks are compiled once for all runs of one size. ``model``
    takes the place of the one that the settings name.
    """

    def __init__(
        self,
        config: RunConfig | None = None,
        *,
        model: Model[SegmentationMap] | None = None,
        **settings: Any,
    ) -> None:
        for name, why in _OF_RUNS_ALONE.items():
            if name in settings:
                raise UsageError(f"'{name}' cannot be set where results are scored: {why}; leave it out")
        shared = config.model_dump(exclude={*_OF_RUNS_ALONE}) if config else {}
        self.config = make_config({**shared, **settings})
        if len(self.config.models) != 1:
            names = ", ".join(entry.name for entry in self.config.models)
            raise UsageError(f"one model is evaluated at a time; given: {names}")
        self.model = model or load_model(self.config.models[0].name)
        self.classes: ClassSet = CLASS_SETS[self.model.card.class_set]
        self._engine = ReusingEngine(get_engine(self.config.engine))

    def varied(self, **settings: Any) -> Subject:
        """The same model with other settings; what is compiled for one of them is compiled for both."""
        other = Subject(self.config, model=self.model, **settings)
        other._engine = self._engine
        return other

    def check_classes(self, classes: ClassSet) -> None:
        """Raise :class:`UsageError` unless the model tells ``classes`` apart."""
        if self.classes.names != classes.names:
            raise UsageError(
                f"model '{self.model.card.name}' has the classes of '{self.classes.name}', the data those of "
                f"'{classes.name}'; give a model or data with the other's classes"
            )

    def aggregates(self, policy: KeyframePolicy) -> bool:
        """Whether key frames that ``policy`` chooses take in those before them."""
        config = self.config
        if (config.models[0].level or config.level) != "features":
            return False
        flow = make_estimator(config.flow.method, config.flow.size, fused=config.fused)
        return wants_aggregation(config.aggregate, self.model, policy, flow)

    def packets(self, source: Source, policy: KeyframePolicy, frames: int) -> Generator[Packet, None, None]:
        """Run over the ``frames`` of ``source`` with the key frames that ``policy`` chooses: a packet for each.

        Raises :class:`KeywarpError` at the end where that is not how many there were.
        """
        run = Run(source, self.config, parts=Parts(models=[self.model], engine=self._engine, policy=policy))
        yield from run
        if run.timing.frames_out != frames:
            raise KeywarpError(
                f"a run over {frames} frames brought {run.timing.frames_out}, so that results and labels are not "
                "in step; files must not change while they are evaluated (if they did not, this is keywarp's fault)"
            )

    def compare(self, truth: Pixels, packet: Packet) -> Counts:
        """The confusion of a packet's result, see :meth:`compare_labels`."""
        return self.compare_labels(truth, packet[SEGMENTATION].labels)

    def compare_labels(self, truth: Pixels, labels: Pixels) -> Counts:
        """The confusion of labels with the truth, at the truth's size."""
        return confusion(truth, fit(labels, truth), len(self.classes))

    def no_counts(self) -> Counts:
        """The confusion of no pixels."""
        return np.zeros((len(self.classes), len(self.classes)), np.int64)


def fit(labels: Pixels, truth: Pixels) -> Pixels:
    """Labels at the truth's size, by nearest neighbour: frames that were scaled have results of another."""
    if labels.shape == truth.shape:
        return labels
    height, width = truth.shape
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
