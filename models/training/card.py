"""What the cards of trained networks say of their training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keywarp.engines.card import Provenance

from .config import TrainConfig

_SHOWN = ("miou", "accuracy", "agreement", "agreement_s1", "epe_px", "fl_all", "still_epe_px")


def provenance_of(config: TrainConfig, rows: Sequence[Mapping[str, float]], loss: str) -> Provenance:
    """Where the weights of a run come from: its settings, its rows of figures, and its loss in words."""
    return Provenance(
        data=list(config.data),
        licence=config.licence,
        recipe=recipe(config, loss),
        command=config.command(),
        seed=config.seed,
        training_minutes=round(sum(row["seconds"] for row in rows) / 60, 1),
        accuracy=_latest_scores(config, rows),
    )


def recipe(config: TrainConfig, loss: str) -> str:
    """How a run teaches, in words."""
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
        scored = [row for row in rows if any(key.startswith(f"{name} ") for key in row)]
        if scored:
            figures = {
                key.removeprefix(f"{name} "): value for key, value in scored[-1].items() if name in key
            }
            found[name] = {key: round(value, 4) for key, value in figures.items() if key in _SHOWN}
    return found
