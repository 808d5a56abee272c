"""Segmentation models: a full part that yields labels and features, and a light part that warps and decodes."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.base import NetworkSource, Plan, Session
from keywarp.engines.errors import EngineError, KeywarpError, ModelError, UsageError, unknown_name
from keywarp.engines.onnx_file import OnnxFile
from keywarp.flow.base import Field, KeyFlow, PairFlow, Size, resize_field
from keywarp.flow.warp import warp_labels

from .base import Array, Earlier, KeyOutput, Level, Model, Picture, Setup
from .card import AGGREGATED, EARLIER, Card, FeatureMap, InputCard, part_path, read_card
from .fused import FusedHead
from .labels import CLASS_SETS, ClassSet
from .results import SegmentationMap

Labels = NDArray[np.uint8]

_log = logging.getLogger(__name__)

_MOST_OF_EARLIER = 0.7
"""The weight of an earlier key frame's features where they match perfectly. Each key frame holds those before it:
with 0.7 the last three make two thirds. More gains at interval 1, and loses at 10 (docs/keyframes.md)."""


class SegmentationModel(Model[SegmentationMap]):
    """A network with the parts ``key`` (image to features and labels), ``warp_head`` (features and flow to labels),
    for FlowNets with a scale map ``warp_scale_head``, and ``aggregate`` (what two key frames carry to their
    mixture and labels), as :mod:`keywarp.models.export` writes them.

    The network runs at :attr:`input_size`; results have the size of the frames. The card may declare several
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
        self._setup: Setup | None = None
        self._frame_size: Size = (0, 0)
        self._input_size: Size = (0, 0)
        self._keys: dict[tuple[str, ...], Session] = {}
        self._warp_head: Session | None = None
        self._warp_scale_head: Session | None = None
        self._aggregate: Session | None = None
        self._head: FusedHead | None = None
        self._packed: tuple[KeyOutput[SegmentationMap], Array] | None = None
        self._grid: Size = (0, 0)
        self._runs_on = ""

    @property
    def input_size(self) -> Size:
        """Width and height of the network's input, once open."""
        return self._input_size

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
        carried = (earlier.output.carried[name] for name in _names(self.card.maps_of("warp_head")))
        return self._mixed(maps, earlier if all(np.isfinite(map_).all() for map_ in carried) else None)

    def _infer_key(self, image: Array) -> Mapping[str, Array]:
        assert self._keys, "open comes first"
        return self._keys[self._key_outputs].infer({"image": image})

    def _mixed(
        self, maps: Mapping[str, Array], earlier: Earlier[SegmentationMap] | None
    ) -> KeyOutput[SegmentationMap]:
        """The maps together with the earlier ones; by themselves where there are none."""
        assert self._aggregate is not None, "open comes first, with a setup that aggregates"
        taken = self.card.maps_of("warp_head")
        size = self._map_size(taken[0])
        if earlier is None:
            before = maps
            field: Field = np.zeros((size[1], size[0], 2), np.float32)
            weight = np.zeros((size[1], size[0]), np.float32)
        else:
            before = earlier.output.carried
            field = resize_field(earlier.flow.field, size)
            weight = cv2.resize(earlier.match, size, interpolation=cv2.INTER_LINEAR) * _MOST_OF_EARLIER
        inputs = {name: maps[name] for name in _names(taken)}
        inputs |= {f"{EARLIER}{name}": before[name] for name in _names(taken)}
        inputs |= {"flow": _batch(field), "weight": weight[np.newaxis, np.newaxis]}
        outputs = self._aggregate.infer(inputs)
        mixed = {name: outputs[f"{AGGREGATED}{name}"] for name in _names(taken)}
        labels, own = self._labels(mixed, outputs)
        return KeyOutput(self._decode(labels, own=own), {**maps, **mixed}, mixed=earlier is not None)

    def _labels(self, maps: Mapping[str, Array], outputs: Mapping[str, Array]) -> tuple[Labels, bool]:
        """The labels of ``maps``, and whether nobody else has them: of ``outputs``, or by the fused head."""
        if self._head is None:
            return outputs["labels"][0], False
        return self._head.plain(maps[self._head_map]), True

    def propagate(self, key: KeyOutput[SegmentationMap], flow: KeyFlow | PairFlow) -> SegmentationMap:
        """Warp features, multiply them by the scale map if there is one, and run the head; or warp the labels."""
        if "labels" in key.carried:
            return self._decode(warp_labels(key.carried["labels"], flow.field), own=True)
        if isinstance(flow, PairFlow) and flow.scale is not None:
            assert self._warp_scale_head is not None, "open_scale comes first"
            scaled = {"flow": _batch(flow.field), "scale": _batch(flow.scale)}
            maps = self._carried(key, "warp_scale_head")
            return self._decode(self._warp_scale_head.infer({**maps, **scaled})["labels"][0])
        field: Field = resize_field(flow.field, self._map_size(self.card.maps_of("warp_head")[0]))
        if self._head is not None:
            if self._packed is None or self._packed[0] is not key:
                self._packed = key, self._head.pack(key.carried[self._head_map])
            return self._decode(self._head.warped(self._packed[1], field), own=True)
        assert self._warp_head is not None, "open comes first"
        inputs = {**self._carried(key, "warp_head"), "flow": _batch(field)}
        return self._decode(self._warp_head.infer(inputs)["labels"][0])

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
        if self._warp_scale_head is not None and grid == self._grid:
            return
        assert self._setup is not None, "open comes first"
        self._check_part("warp_scale_head", "multiplies features by a scale map")
        flow = {"flow": (1, grid[1], grid[0], 2), "scale": (1, channels, grid[1], grid[0])}
        plan = self._compile(
            "warp_scale_head", {**self._feature_shapes("warp_scale_head"), **flow}, ("labels",)
        )
        session = plan.session(threads=self._setup.threads)
        session.infer({spec.name: np.zeros(spec.shape, spec.dtype) for spec in plan.inputs})
        if self._warp_scale_head is not None:
            self._warp_scale_head.close()
        self._warp_scale_head, self._grid = session, grid

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

    def _open_parts(self) -> None:
        """Compile what level and aggregation need, unless that was done before."""
        assert self._setup is not None
        threads = self._setup.threads
        outputs = self._key_outputs
        if outputs not in self._keys:
            plan = self._compile("key", {"image": self._image_shape()}, outputs)
            self._runs_on = f"{plan.engine} {plan.precision}"
            self._keys[outputs] = plan.session(threads=threads, buffers=2)
        maps = self._feature_shapes("warp_head")
        if self._carries_features and self._head is None and self._warp_head is None:
            plan = self._compile("warp_head", {**maps, "flow": self._flow_shape()}, ("labels",))
            self._warp_head = plan.session(threads=threads)
        if self._aggregates and self._aggregate is None:
            height, width = self._flow_shape()[1:3]
            shapes = {
                **maps,
                **{f"{EARLIER}{name}": shape for name, shape in maps.items()},
                "flow": self._flow_shape(),
                "weight": (1, 1, height, width),
            }
            mixed = tuple(f"{AGGREGATED}{name}" for name in maps)
            plan = self._compile("aggregate", shapes, mixed if self._head is not None else (*mixed, "labels"))
            self._aggregate = plan.session(threads=threads, buffers=2)

    def close(self) -> None:
        """Free the sessions."""
        for session in (*self._keys.values(), self._warp_head, self._warp_scale_head, self._aggregate):
            if session is not None:
                session.close()
        self._keys = {}
        self._warp_head = self._warp_scale_head = self._aggregate = None
        if self._head is not None:
            self._head.close()
        self._head = self._packed = None

    def _fused_head(self) -> FusedHead | None:
        """The head in a kernel of keywarp's own, where the engine would run it on the CPU."""
        assert self._setup is not None
        taken = self.card.maps_of("warp_head")
        if not (self._setup.fused and self._setup.engine.on_cpu and self.card.head and len(taken) == 1):
            return None
        grid, classes = self._map_size(taken[0]), len(self.card.classes)
        try:
            path = part_path(self.card, self._card_path, "warp_head")
            self._check_weights(path)
            return FusedHead.of_part(path, classes, taken[0].channels, grid, threads=self._setup.threads)
        except KeywarpError as error:  # said again where the engine needs the part, and cannot read it either
            _log.info("the engine runs the head of model '%s': %s", self.card.name, error)
            return None

    @property
    def _head_map(self) -> str:
        """The name of the map that the fused head takes."""
        return self.card.maps_of("warp_head")[0].name

    def _compile(self, part: str, shapes: dict[str, tuple[int, ...]], outputs: tuple[str, ...]) -> Plan:
        assert self._setup is not None
        path = part_path(self.card, self._card_path, part)
        self._check_weights(path)
        source = NetworkSource(f"{self.card.name}.{part}", path, partial(self._torch_module, part))
        return self._setup.engine.compile(source, shapes, outputs=outputs, precision=self._setup.precision)

    def _check_aggregation(self, setup: Setup) -> None:
        if setup.aggregates:
            self._check_part("aggregate", "mixes the features of key frames")

    def _check_part(self, part: str, what_it_does: str) -> None:
        """Raise ModelError where the card has no such part: it was exported by an older keywarp."""
        if part not in self.card.files:
            raise ModelError(
                f"model '{self.card.name}' lacks the part '{part}', which {what_it_does}; "
                "export it again with keywarp export"
            )

    def _check_weights(self, path: Path) -> None:
        try:
            OnnxFile.read(path).check_finite()
        except EngineError as error:
            raise ModelError(
                f"model '{self.card.name}' cannot run: {error}; "
                "reinstall keywarp or export it again from good weights"
            ) from error

    def _torch_module(self, part: str) -> Any:
        """The part in torch, for the engine that runs networks themselves."""
        from .networks.parts import part_of_weights

        weights = part_path(self.card, self._card_path, "weights")
        return part_of_weights(self.card.network, weights, part, len(self.card.classes))

    def _decode(self, labels: Labels, *, own: bool = False) -> SegmentationMap:
        """Labels at the frame's size, in memory of their own."""
        width, height = self._frame_size
        if labels.shape != (height, width):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        elif not own:
            labels = labels.copy()
        return SegmentationMap(labels, self.classes)

    def _warm_up(self) -> None:
        key = self.features(np.zeros(self._image_shape(), np.uint8))
        if self._carries_features:
            self.propagate(key, KeyFlow.start(self._map_size(self.card.maps_of("warp_head")[0])))
        self._packed = None

    def _image_shape(self) -> tuple[int, ...]:
        width, height = self._input_size
        return (1, height, width, 3)

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

    def _map_size(self, map_: FeatureMap) -> Size:
        return self._input_size[0] // map_.stride_px, self._input_size[1] // map_.stride_px

    def _feature_shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        maps = self.card.maps_of(part)
        sizes = {map_.name: (map_.channels, *self._map_size(map_)[::-1]) for map_ in maps}
        return {name: (1, *shape) for name, shape in sizes.items()}

    def _flow_shape(self) -> tuple[int, ...]:
        width, height = self._map_size(self.card.maps_of("warp_head")[0])
        return (1, height, width, 2)


def _names(maps: Sequence[FeatureMap]) -> tuple[str, ...]:
    return tuple(map_.name for map_ in maps)


def _batch(array: Array) -> Array:
    """One array as a batch, C-contiguous."""
    return np.ascontiguousarray(array)[np.newaxis]


def choose_input_size(card: InputCard, frame_size: Size, wanted: Size | None) -> Size:
    """The network's input for frames of ``frame_size``: as ``wanted``, else the frame's size, or its shape
    at about the card's area where it is larger, to the nearest multiples of the network's stride.
    """
    stride_px = card.stride_px
    if wanted is not None:
        if any(side < stride_px or side % stride_px for side in wanted):
            near = tuple(_round_up_to(side, stride_px) for side in wanted)
            raise UsageError(
                f"the model cannot take the size {wanted[0]}x{wanted[1]}: width and height are multiples of "
                f"{stride_px}; the next one is {near[0]}x{near[1]}"
            )
        return wanted
    shrink = min(1.0, math.sqrt(card.width * card.height / (frame_size[0] * frame_size[1])))
    return nearest((frame_size[0] * shrink, frame_size[1] * shrink), stride_px)


def nearest(size: tuple[float, float], stride_px: int) -> Size:
    """The nearest size whose width and height are multiples of a stride."""
    width, height = (max(stride_px, round(side / stride_px) * stride_px) for side in size)
    return width, height


def _round_up_to(side: int, stride_px: int) -> int:
    return max(stride_px, math.ceil(side / stride_px) * stride_px)


def _class_set(card: Card) -> ClassSet:
    if card.class_set not in CLASS_SETS:
        raise unknown_name("class set of the card: ", card.class_set, CLASS_SETS)
    classes = CLASS_SETS[card.class_set]
    if tuple(card.classes) != classes.names:
        raise ModelError(f"model '{card.name}' names other classes than its class set '{classes.name}'")
    return classes
