"""Segmentation models: a full part that yields labels and features, and a light part that warps and decodes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.base import Session
from keywarp.engines.card import sound_part_path
from keywarp.engines.errors import KeywarpError, ModelError, unknown_name
from keywarp.flow.base import Field, KeyFlow, PairFlow, Size, resize_field
from keywarp.flow.warp import warp_labels

from .base import Array, Earlier, KeyOutput, Level, Model, Picture, Setup
from .card import AGGREGATED, EARLIER, Card, FeatureMap, read_card
from .fused import FusedHead
from .input_size import choose_input_size
from .labels import CLASS_SETS, ClassSet
from .results import SegmentationMap
from .sessions import PartSessions, check_part

Labels = NDArray[np.uint8]

_log = logging.getLogger(__name__)

_MOST_OF_EARLIER = 0.7
"""The weight of an earlier key frame's features where they match perfectly. Each key frame holds those before it:
with 0.7 the last three make two thirds. More gains at interval 1, and loses at 10 (docs/keyframes.md)."""


class SegmentationModel(Model[SegmentationMap]):
    """A network with the parts ``key`` (image to features and labels), ``warp_head`` (features and flow to labels),
    for FlowNets with a scale map ``warp_scale_head``, and ``aggregate`` (what two key frames carry to their
    mixture and labels), as :mod:`keywarp.models.export` writes them.

    The network runs at a size of its own; results have the size of the frames. The card may declare several
    feature maps, of different strides, and which part takes which: the parts take and yield them by name.
    ``warp_head`` takes the flow in cells of its first map's grid; ``warp_scale_head`` in cells of its own, and a
    scale map with the channels of all its maps in order. ``aggregate`` takes and yields the maps of ``warp_head``.

    On a CPU :class:`~keywarp.models.fused.FusedHead` does the work of ``warp_head`` where it can, and finds the
    labels of key frames too: then no part yields labels but ``warp_scale_head``.
    """

    def __init__(self, card_path: Path) -> None:
        self.card: Card = read_card(card_path)
        self.classes = _class_set(self.card)
        self.can_aggregate = "aggregate" in self.card.files
        self.can_aggregate_scaled = self.can_aggregate and (
            self.card.maps_of("warp_scale_head") == self.card.maps_of("warp_head")
        )
        self._card_path = card_path
        self._warped = self.card.maps_of("warp_head")  # and mixed with those of an earlier key frame
        self._setup: Setup | None = None
        self._frame_size: Size = (0, 0)
        self._input_size: Size = (0, 0)
        self._compiled: PartSessions | None = None
        self._sessions: dict[str, Session] = {}  # those in use, by part
        self._head: FusedHead | None = None
        self._packed: tuple[KeyOutput[SegmentationMap], Array] | None = None
        self._runs_on = ""

    @property
    def runs_on(self) -> str:
        """Engine and precision that really run, once open."""
        return self._runs_on

    @property
    def propagation_part(self) -> str:
        """``warp_head`` or ``warp``."""
        return "warp_head" if self._carries_features else "warp"

    def open(self, setup: Setup, frame_size: Size) -> None:
        """Compile for one frame size and run once, so that the first frame is as fast as the others."""
        self.close()
        self._check_aggregation(setup)
        self._setup = setup
        self._frame_size = frame_size
        self._input_size = choose_input_size(self.card.input, frame_size, setup.size)
        self._compiled = PartSessions(self.card, self._card_path, setup, self._input_size)
        self._head = self._fused_head()
        self.fused = None if self._head is None else self._head.kernel
        self._open_parts()
        self._warm_up()

    def prepare(self, picture: Picture) -> Array:
        """(1, H, W, 3) uint8 BGR at the network's size; normalisation is inside the network."""
        return picture.bgr_at(self._input_size)[np.newaxis]

    def features(self, image: Array) -> KeyOutput[SegmentationMap]:
        """Run the full network."""
        outputs = self._infer_key(image)
        if self._aggregates:
            return self._mixed(outputs, None)
        maps = {name: outputs[name] for name in self._maps}
        labels, own = self._labels(maps, outputs)
        result = self._decode(labels, own=own)
        if self._carries_features:
            return KeyOutput(result, maps)
        # At the frame's own size the result has a copy of the labels: later frames can share it.
        same = result.labels.shape == labels.shape
        return KeyOutput(result, {"labels": result.labels if same else labels if own else labels.copy()})

    def features_with(self, image: Array, earlier: Earlier[SegmentationMap]) -> KeyOutput[SegmentationMap]:
        """Run the full network and mix its features with the earlier ones, as far as these match; not at all where
        any of the earlier ones is infinite or not a number, which no weight would ever be rid of.
        """
        maps = self._infer_key(image)
        carried = (earlier.output.carried[map_.name] for map_ in self._warped)
        return self._mixed(maps, earlier if all(np.isfinite(map_).all() for map_ in carried) else None)

    def _infer_key(self, image: Array) -> Mapping[str, Array]:
        return self._sessions["key"].infer({"image": image})

    def _mixed(
        self, maps: Mapping[str, Array], earlier: Earlier[SegmentationMap] | None
    ) -> KeyOutput[SegmentationMap]:
        """The maps together with the earlier ones; by themselves where there are none."""
        names, size = _names(self._warped), self._cells
        if earlier is None:
            before = maps
            field: Field = np.zeros((size[1], size[0], 2), np.float32)
            weight = np.zeros((size[1], size[0]), np.float32)
        else:
            before = earlier.output.carried
            field = resize_field(earlier.flow.field, size)
            weight = cv2.resize(earlier.match, size, interpolation=cv2.INTER_LINEAR) * _MOST_OF_EARLIER
        inputs = {name: maps[name] for name in names}
        inputs |= {f"{EARLIER}{name}": before[name] for name in names}
        inputs |= {"flow": _batch(field), "weight": weight[np.newaxis, np.newaxis]}
        outputs = self._sessions["aggregate"].infer(inputs)
        mixed = {name: outputs[f"{AGGREGATED}{name}"] for name in names}
        labels, own = self._labels(mixed, outputs)
        return KeyOutput(self._decode(labels, own=own), {**maps, **mixed}, mixed=earlier is not None)

    def _labels(self, maps: Mapping[str, Array], outputs: Mapping[str, Array]) -> tuple[Labels, bool]:
        """The labels of ``maps``, and whether nobody else has them: of ``outputs``, or by the fused head."""
        if self._head is None:
            return outputs["labels"][0], False
        return self._head.plain(maps[self._warped[0].name]), True

    def propagate(self, key: KeyOutput[SegmentationMap], flow: KeyFlow | PairFlow) -> SegmentationMap:
        """Warp features, multiply them by the scale map if there is one, and run the head; or warp the labels."""
        if "labels" in key.carried:
            return self._decode(warp_labels(key.carried["labels"], flow.field), own=True)
        if isinstance(flow, PairFlow) and flow.scale is not None:
            scaled = {"flow": _batch(flow.field), "scale": _batch(flow.scale)}
            maps = self._carried(key, "warp_scale_head")
            return self._decode(self._sessions["warp_scale_head"].infer({**maps, **scaled})["labels"][0])
        field: Field = resize_field(flow.field, self._cells)
        if self._head is not None:
            if self._packed is None or self._packed[0] is not key:
                self._packed = key, self._head.pack(key.carried[self._warped[0].name])
            return self._decode(self._head.warped(self._packed[1], field), own=True)
        inputs = {**self._carried(key, "warp_head"), "flow": _batch(field)}
        return self._decode(self._sessions["warp_head"].infer(inputs)["labels"][0])

    def _carried(self, key: KeyOutput[SegmentationMap], part: str) -> dict[str, Array]:
        """Those of the maps that a part takes."""
        return {map_.name: key.carried[map_.name] for map_ in self.card.maps_of(part)}

    def agreement(self, first: SegmentationMap, second: SegmentationMap) -> float:
        """The share of the pixels with the same class."""
        return first.agreement(second)

    def open_scale(self, grid: Size, channels: int) -> None:
        """Compile what multiplies by a scale map of this size, unless that was done before."""
        own = sum(map_.channels for map_ in self.card.maps_of("warp_scale_head"))
        if channels != own:
            raise ModelError(
                f"model '{self.card.name}' has features of {own} channels, and the flow a scale map of {channels}; "
                "use a flow that was trained for this model, or --flow lk"
            )
        if self._aggregates and not self.can_aggregate_scaled:
            raise ModelError(
                f"model '{self.card.name}' cannot aggregate key frames beside a flow with a scale map, which "
                "multiplies other features than those that it mixes; use --no-aggregate, or --flow lk"
            )
        check_part(self.card, "warp_scale_head", "multiplies features by a scale map")
        self._sessions["warp_scale_head"] = self._parts.session(
            "warp_scale_head", ("labels",), grid=grid, warm=True
        )

    def change(self, level: Level, *, aggregates: bool) -> None:
        """Takes a moment where that was not so before: parts are compiled."""
        before = self._setup
        assert before is not None, "open comes first"
        setup = replace(before, level=level, aggregates=aggregates)
        self._check_aggregation(setup)
        self._setup, self._packed = setup, None
        try:
            self._open_parts()
        except BaseException:
            self._setup = before
            raise

    def nothing(self) -> SegmentationMap:
        """Void everywhere."""
        return SegmentationMap.void(self._frame_size, self.classes)

    @property
    def _carries_features(self) -> bool:
        return self._setup is not None and self._setup.level == "features"

    @property
    def _aggregates(self) -> bool:
        return self._setup is not None and self._setup.aggregates and self._carries_features

    @property
    def _parts(self) -> PartSessions:
        assert self._compiled is not None, "open comes first"
        return self._compiled

    def _open_parts(self) -> None:
        """Compile what level and aggregation need, unless that was done before."""
        parts = self._parts
        used = {"key": parts.session("key", self._key_outputs, buffers=2)}
        if self._carries_features and self._head is None:
            used["warp_head"] = parts.session("warp_head", ("labels",))
        if self._aggregates:
            mixed = tuple(f"{AGGREGATED}{map_.name}" for map_ in self._warped)
            outputs = mixed if self._head is not None else (*mixed, "labels")
            used["aggregate"] = parts.session("aggregate", outputs, buffers=2)
        self._sessions |= used
        self._runs_on = parts.runs_on

    def close(self) -> None:
        """Free the sessions."""
        if self._compiled is not None:
            self._compiled.close()
        self._compiled, self._sessions = None, {}
        if self._head is not None:
            self._head.close()
        self._head = self._packed = None

    def _fused_head(self) -> FusedHead | None:
        """The head in a kernel of keywarp's own, where the engine would run it on the CPU."""
        assert self._setup is not None
        setup, classes = self._setup, len(self.card.classes)
        if not (setup.fused and setup.engine.on_cpu and self.card.head and len(self._warped) == 1):
            return None
        try:
            path = sound_part_path(self.card, self._card_path, "warp_head")
            channels = self._warped[0].channels
            return FusedHead.of_part(path, classes, channels, self._cells, threads=setup.threads)
        except KeywarpError as error:  # said again where the engine needs the part, and cannot read it either
            _log.info("the engine runs the head of model '%s': %s", self.card.name, error)
            return None

    def _check_aggregation(self, setup: Setup) -> None:
        if setup.aggregates:
            check_part(self.card, "aggregate", "mixes the features of key frames")

    def _decode(self, labels: Labels, *, own: bool = False) -> SegmentationMap:
        """Labels at the frame's size, in memory of their own."""
        width, height = self._frame_size
        if labels.shape != (height, width):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        elif not own:
            labels = labels.copy()
        return SegmentationMap(labels, self.classes)

    def _warm_up(self) -> None:
        width, height = self._input_size
        key = self.features(np.zeros((1, height, width, 3), np.uint8))
        if self._carries_features:
            self.propagate(key, KeyFlow.start(self._cells))
        self._packed = None

    @property
    def _key_outputs(self) -> tuple[str, ...]:
        """What the part ``key`` is to yield: no labels where those of a mixture are wanted, or the fused head finds
        them, which saves a tenth.
        """
        return self._maps if self._aggregates or self._head is not None else (*self._maps, "labels")

    @property
    def _maps(self) -> tuple[str, ...]:
        """The names of the feature maps."""
        return _names(self.card.features)

    @property
    def _cells(self) -> Size:
        """Width and height of the first map that ``warp_head`` takes: its flow is in cells of that."""
        return self._warped[0].size(self._input_size)


def _names(maps: Sequence[FeatureMap]) -> tuple[str, ...]:
    return tuple(map_.name for map_ in maps)


def _batch(array: Array) -> Array:
    """One array as a batch, C-contiguous."""
    return np.ascontiguousarray(array)[np.newaxis]


def _class_set(card: Card) -> ClassSet:
    if card.class_set not in CLASS_SETS:
        raise unknown_name("class set of the card: ", card.class_set, CLASS_SETS)
    classes = CLASS_SETS[card.class_set]
    if tuple(card.classes) != classes.names:
        raise ModelError(f"model '{card.name}' names other classes than its class set '{classes.name}'")
    return classes
