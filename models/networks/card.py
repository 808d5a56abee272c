"""Cards of segmentation networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keywarp.models.card import Card, FeatureMap, FileEntry, InputCard, Provenance, file_sha256
from keywarp.models.labels import ClassSet

from .base import SegmentationNetwork
from .definition import FEATURES, Definition
from .fast_head import FastLabels


def segmentation_card(
    definition: Definition[Any],
    network: SegmentationNetwork,
    name: str,
    files: Mapping[str, Path],
    provenance: Provenance,
    classes: ClassSet,
    size: tuple[int, int],
) -> Card:
    """The card of a network; ``files`` by part lie beside it, ``size`` is the input it is best at."""
    return Card(
        name=name,
        network=definition.name,
        task="segmentation",
        class_set=classes.name,
        classes=list(classes.names),
        description=f"{definition.title}, {len(classes)} classes of streets",
        input=InputCard(stride_px=network.input_stride_px, width=size[0], height=size[1]),
        features=feature_maps(definition, network),
        head="transposed_conv" if isinstance(definition.decoding(network).labels, FastLabels) else None,
        parameters=sum(p.numel() for p in network.parameters()),
        files={part: FileEntry(path=path.name, sha256=file_sha256(path)) for part, path in files.items()},
        provenance=provenance,
    )


def feature_maps(definition: Definition[Any], network: SegmentationNetwork) -> list[FeatureMap]:
    """What the part ``key`` yields beside labels, in order, and which part takes it."""
    decoding = definition.decoding(network)
    stride_px = network.feature_stride_px
    if decoding.name == FEATURES:
        return [FeatureMap(name=FEATURES, channels=network.feature_channels, stride_px=stride_px)]
    carried = FeatureMap(
        name=decoding.name, channels=decoding.channels, stride_px=stride_px, parts=["warp_head"]
    )
    scaled = FeatureMap(
        name=FEATURES, channels=network.feature_channels, stride_px=stride_px, parts=["warp_scale_head"]
    )
    return [carried, scaled]
