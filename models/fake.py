"""A model without a network, for tests of what stands above models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keywarp.flow.base import KeyFlow, PairFlow, Size
from keywarp.flow.warp import warp_labels

from .base import Array, Earlier, KeyOutput, Level, Model, Picture, Setup
from .card import Card, FeatureMap, InputCard, Provenance
from .labels import CAMVID
from .results import SegmentationMap

_PROVENANCE = Provenance(data=[], licence="none", recipe="none", command="none", seed=0, training_minutes=0)


class FakeModel(Model[SegmentationMap]):
    """Takes a pixel's class from its blue channel: value modulo the number of classes.

    Carries the labels, warps them by nearest neighbour, and records its calls: ``calls`` holds "open",
    "features", "propagate", "scale" and "close" in order; ``earlier`` holds the earlier key frames that it was
    given. ``fail_on`` makes that call (counted from 1) of ``features`` raise a RuntimeError.
    """

    def __init__(self, *, fail_on: int | None = None) -> None:
        self.card = Card(
            name="fake",
            network="fake",
            task="segmentation",
            class_set=CAMVID.name,
            classes=list(CAMVID.names),
            description="a model for tests",
            input=InputCard(stride_px=1, width=640, height=360),
            features=[FeatureMap(name="labels", channels=1, stride_px=1)],
            parameters=0,
            files={},
            provenance=_PROVENANCE,
        )
        self.calls: list[str] = []
        self.earlier: list[Earlier[SegmentationMap]] = []
        self._fail_on = fail_on
        self._size: Size = (0, 0)

    @property
    def runs_on(self) -> str:
        """Always ``fake``."""
        return "fake"

    @property
    def propagation_part(self) -> str:
        """Always ``warp``."""
        return "warp"

    def open(self, setup: Setup, frame_size: Size) -> None:
        """Remember the size."""
        self.calls.append("open")
        self._size = frame_size

    def prepare(self, picture: Picture) -> Array:
        """(1, H, W, 3) uint8 BGR."""
        return picture.bgr_at(self._size)[np.newaxis]

    def features(self, image: Array) -> KeyOutput[SegmentationMap]:
        """The classes of a picture."""
        self.calls.append("features")
        if self._fail_on is not None and self.calls.count("features") == self._fail_on:
            raise RuntimeError("the fake model was told to fail")
        labels = image[0, :, :, 0] % len(CAMVID)
        return KeyOutput(SegmentationMap(labels, CAMVID), {"labels": labels})

    def features_with(self, image: Array, earlier: Earlier[SegmentationMap]) -> KeyOutput[SegmentationMap]:
        """The classes of a picture, whatever was there before."""
        self.earlier.append(earlier)
        return replace(self.features(image), mixed=True)

    def propagate(self, key: KeyOutput[SegmentationMap], flow: KeyFlow | PairFlow) -> SegmentationMap:
        """The key frame's labels, warped."""
        self.calls.append("propagate")
        return SegmentationMap(warp_labels(key.carried["labels"], flow.field), CAMVID)

    def agreement(self, first: SegmentationMap, second: SegmentationMap) -> float:
        """The share of the pixels with the same class."""
        return first.agreement(second)

    def open_scale(self, grid: Size, channels: int) -> None:
        """Record the call."""
        self.calls.append("scale")

    def change(self, level: Level, *, aggregates: bool) -> None:
        """Record the call."""
        self.calls.append(f"level {level}{', aggregated' if aggregates else ''}")

    def nothing(self) -> SegmentationMap:
        """Void everywhere."""
        return SegmentationMap.void(self._size, CAMVID)

    def close(self) -> None:
        """Record the call."""
        self.calls.append("close")
