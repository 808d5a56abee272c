"""What a curve's figures mean, in the words that all its outputs use."""

from __future__ import annotations

from pathlib import Path

from .measure import Curve

TITLE = {"miou": "mIoU against time", "agreement": "Agreement against time"}
MEANING = {
    "miou": "mIoU against the labels, the mean over the phases of the key frame.",
    "agreement": (
        "Agreement with the per-frame model, not accuracy: the share of the pixels that are given the class which "
        "the same network gives them when it runs on every frame."
    ),
}
TIME = (
    "Milliseconds of model work per frame: network, flow and warping, the mean over key and propagated frames; "
    "decoding, drawing and encoding are not in it."
)
_COLUMNS = (
    "N: the interval; keys: key frames; x: times as fast as the network on every frame; lowest: of all key ages, "
    "and at which; a star: on the Pareto front."
)
COLUMNS = {
    "miou": _COLUMNS,
    "agreement": f"As mIoU: the per-frame model's results taken for the truth. {_COLUMNS}",
}


def film_name(curve: Curve) -> str:
    """The film's name without its folder."""
    name = curve.film.name
    return name if name.startswith("street:") else Path(name).name


def film_words(curve: Curve) -> str:
    """Which frames were run."""
    film = curve.film
    width, height = film.info.size
    last = film.first + len(film) - 1
    rate = "" if film.info.rate is None else f" at {float(film.info.rate):.4g} frames a second"
    return f"Frames {film.first} to {last} of {film_name(curve)}, {width}x{height}{rate}."


def aggregation_words(curve: Curve) -> str:
    """Which points' key frames take in those before them."""
    if not curve.aggregated:
        return "No key frames are aggregated."
    those = "; ".join(map(", ".join, curve.aggregated))
    return f"Key frames of level features are aggregated by: {those}."


def time_words(curve: Curve) -> str:
    """How times were taken."""
    runs = sorted({point.timed_runs for point in (curve.per_frame, *curve.points)})
    many = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    return f"Times: medians of {many} runs a line, runs of different lines in turns."
