"""Cards of trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from keywarp.models.card import Card, FeatureMap, FileEntry, InputCard, Provenance, file_sha256
from keywarp.models.labels import ClassSet
from keywarp.models.networks.enet import ENet

from .config import TrainConfig


def enet_card(
    network: ENet,
    name: str,
    files: Mapping[str, Path],
    provenance: Provenance,
    classes: ClassSet,
    size: tuple[int, int],
) -> Card:
    """The card of an ENet; ``files`` by part lie beside it, ``size`` is the input it is best at."""
    features = FeatureMap(
        name="features", channels=network.feature_channels, stride_px=network.feature_stride_px
    )
    return Card(
        name=name,
        network="enet",
        task="segmentation",
        class_set=classes.name,
        classes=list(classes.names),
        description=f"ENet (Paszke et al. 2016), {len(classes)} classes of streets",
        input=InputCard(stride_px=network.input_stride_px, width=size[0], height=size[1]),
        features=[features],
        parameters=sum(p.numel() for p in network.parameters()),
        files={part: FileEntry(path=path.name, sha256=file_sha256(path)) for part, path in files.items()},
        provenance=provenance,
    )


def provenance_of(config: TrainConfig, rows: Sequence[Mapping[str, float]]) -> Provenance:
    """Where the weights of a run come from, from its settings and its rows of figures."""
    return Provenance(
        data=list(config.data),
        licence=config.licence,
        recipe=recipe(config),
        command=config.command(),
        seed=config.seed,
        training_minutes=round(sum(row["seconds"] for row in rows) / 60, 1),
        accuracy=_latest_scores(config, rows),
    )


def recipe(config: TrainConfig) -> str:
    """How a run teaches, in words."""
    loss = f"Cross entropy, classes weighted by 1/ln({config.weight_offset} + share)"
    if config.lovasz:
        loss += f", plus {config.lovasz:g} times the Lovász-Softmax loss"
    rates = f"AdamW at {config.rate:g}"
    if config.optimiser == "muon":
        rates = f"Muon at {config.matrix_rate:g} for matrices and {rates} for the rest"
    sizes = ", then ".join(
        f"{p.width}x{p.height} pixels of pictures scaled by {p.low:g} to {p.high:g}" for p in config.parts
    )
    spoilt = [name for name in ("shade", "blur", "noise", "jpeg", "night", "rain") if getattr(config, name)]
    changes = "flipped, their light and colour changed"
    if spoilt:
        changes += "; some with " + ", ".join(spoilt)
    return (
        f"{loss}; {rates}, after a warm-up and then half a cosine; {config.epochs} epochs in batches of "
        f"{config.batch}: parts of {sizes}; {changes}; running mean of the weights."
    )


def _latest_scores(config: TrainConfig, rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Figures of the last epoch that was scored on each data set of ``check``."""
    found = {}
    for name in config.check:
        scored = [row for row in rows if f"{name} miou" in row]
        if scored:
            found[name] = {key: round(scored[-1][f"{name} {key}"], 4) for key in ("miou", "accuracy")}
    return found
