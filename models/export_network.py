"""From a network's weights to the files of a model: ONNX parts, weights and a card.

A network becomes four parts. ``key`` runs on key frames: ``image`` uint8 BGR (1, H, W, 3) to ``features`` float32
(1, F, h, w) and ``labels`` uint8 (1, H, W); where something else is carried without a scale map, such as ``scores``
(1, C, h, w), it yields that too. An engine asked for some of them alone drops the others. ``warp_head`` runs
between key frames: what is carried, and ``flow`` float32 (1, h, w, 2) in its cells, to ``labels``.
``warp_scale_head`` takes the ``features``, a FlowNet's ``flow`` (1, y, x, 2), in cells of its own grid, and its
``scale`` (1, F, y, x) instead. ``aggregate`` runs on key frames where they take in earlier ones: what is carried
of both (the other's name begins with ``earlier_``), ``flow`` and ``weight`` (1, 1, h, w), to the mixture (its name
begins with ``aggregated_``) and ``labels``. H and W are symbols, multiples of the network's stride: engines fix
them when they compile. Normalisation and argmax are inside.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from keywarp.engines.errors import ModelError, UsageError

from .card import AGGREGATED, EARLIER, Card, FeatureMap, Provenance, file_sha256
from .export import TRACED_SIZE, to_onnx
from .labels import CAMVID, ClassSet
from .networks.base import SegmentationNetwork
from .networks.card import feature_maps, segmentation_card
from .networks.definition import Definition, Loaded
from .networks.parts import inference_parts
from .networks.published import write_whole

SEED = 0
"""Of the weights that no file has."""


def export_network(
    definition: Definition[Any],
    weights: Path | None,
    out: Path,
    *,
    name: str | None = None,
    provenance: Provenance | None = None,
    classes: ClassSet = CAMVID,
    size: tuple[int, int] = (640, 360),
) -> Path:
    """Write ``NAME.PART.onnx`` for each part, ``NAME.safetensors`` and the card; the card's path.

    ``weights`` None: random ones, which the card says. ``name`` None: that of the weights' file where they are the
    whole network's, else the network's. ``provenance`` is that of whole weights, and needed for them. ``size`` is
    the input that the card names as the best. Raises ModelError for weights that are not the network's, are for
    another number of classes, or hold NaN or infinity.
    """
    loaded = _loaded(definition, weights, len(classes))
    network = loaded.network
    if network.classes != len(classes):
        raise ModelError(
            f"weights '{weights}' are for {network.classes} classes; "
            f"class set '{classes.name}' has {len(classes)}"
        )
    if weights is None or loaded.untrained:
        provenance = _untrained(definition, weights, loaded.untrained)
    elif provenance is None:
        raise ModelError(
            f"there is no card of {definition.name} beside '{weights}' ({weights.stem}.json or card.json); "
            "train writes one"
        )
    whole = None if loaded.untrained else weights
    name = name or (definition.name if whole is None else whole.stem)
    out.mkdir(parents=True, exist_ok=True)
    given = None if weights is None else weights.resolve()
    if whole is None and given == (out / f"{name}.safetensors").resolve():
        raise UsageError(f"'{weights}' would be overwritten; give --name, or another folder with --out")
    paths = {}
    for part, data in network_parts(definition, network).items():
        paths[part] = out / f"{name}.{part}.onnx"
        paths[part].write_bytes(data)
    paths["weights"] = out / f"{name}.safetensors"
    if whole is None:
        write_whole(network, paths["weights"])
    elif paths["weights"].resolve() != whole.resolve():
        shutil.copyfile(whole, paths["weights"])
    card = segmentation_card(definition, network, name, paths, provenance, classes, size)
    return _written(card, out / f"{name}.json")


def network_parts(definition: Definition[Any], network: SegmentationNetwork) -> dict[str, bytes]:
    """ONNX files of a network's parts, by name. The network is left as it was."""
    parts = inference_parts(definition, network)
    maps = feature_maps(definition, network)
    width, height = TRACED_SIZE
    image = {"image": torch.zeros(1, height, width, 3, dtype=torch.uint8)}
    outputs = {map_.name: "1Chw" for map_ in maps}
    carried, features = (
        [map_ for map_ in maps if part in map_.parts] for part in ("warp_head", "warp_scale_head")
    )
    flow = torch.zeros(1, height // maps[0].stride_px, width // maps[0].stride_px, 2)
    own_flow = torch.zeros(1, height // 8, width // 8, 2)
    scale = torch.ones(1, network.feature_channels, height // 8, width // 8)
    own = carried[0].name
    both = {f"{EARLIER}{own}": "1Chw", own: "1Chw"}
    return {
        "key": to_onnx(parts["key"], image, {"image": "1HW3", **outputs, "labels": "1HW"}),
        "warp_head": to_onnx(
            parts["warp_head"],
            {**_zeros(carried), "flow": flow},
            {**_shapes(carried), "flow": "1hw2", "labels": "1HW"},
        ),
        "warp_scale_head": to_onnx(
            parts["warp_scale_head"],
            {**_zeros(features), "flow": own_flow, "scale": scale},
            {**_shapes(features), "flow": "1yx2", "scale": "1Cyx", "labels": "1HW"},
        ),
        "aggregate": to_onnx(
            parts["aggregate"],
            {**_zeros(carried), **_zeros(carried, EARLIER), "flow": flow, "weight": flow[..., 0][:, None]},
            {**both, "flow": "1hw2", "weight": "11hw", f"{AGGREGATED}{own}": "1Chw", "labels": "1HW"},
        ),
    }


def _zeros(maps: Sequence[FeatureMap], prefix: str = "") -> dict[str, torch.Tensor]:
    width, height = TRACED_SIZE
    sizes = {f"{prefix}{m.name}": (m.channels, height // m.stride_px, width // m.stride_px) for m in maps}
    return {name: torch.zeros(1, *size) for name, size in sizes.items()}


def _shapes(maps: Sequence[FeatureMap]) -> dict[str, str]:
    return {map_.name: "1Chw" for map_ in maps}


def _loaded(definition: Definition[Any], weights: Path | None, classes: int) -> Loaded[Any]:
    """The network with weights from a file; layers that it has nothing for are random, the same ones each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        if weights is not None:
            return definition.load(weights, classes)
        return Loaded(definition.make(classes).eval())


def _untrained(definition: Definition[Any], weights: Path | None, layers: Sequence[str]) -> Provenance:
    """Of a network some or all of whose weights are random."""
    command = f"keywarp export {definition.name}"
    if weights is None:
        recipe = "UNTRAINED: random weights. What it finds means nothing; its speed is that of a trained one."
        return _nothing_learned([], "Apache-2.0", recipe, command)
    given = f"{weights.name}, SHA-256 {file_sha256(weights)}: the backbone's weights, as given"
    recipe = (
        f"The backbone as given; UNTRAINED, with random weights: {', '.join(layers)}. What it finds means nothing; "
        "its speed is that of a trained one."
    )
    return _nothing_learned(
        [given], "that of the weights given", recipe, f"{command} --weights {weights.name}"
    )


def _nothing_learned(data: list[str], licence: str, recipe: str, command: str) -> Provenance:
    return Provenance(
        data=data, licence=licence, recipe=recipe, command=command, seed=SEED, training_minutes=0
    )


def _written(card: Card, path: Path) -> Path:
    path.write_text(card.to_json())
    return path
