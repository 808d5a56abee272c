"""The run's figures in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LIVE = ("live",)
_QUANTILES = {"p50_ms": "0.5", "p90_ms": "0.9", "p95_ms": "0.95", "p99_ms": "0.99"}

Sample = tuple[dict[str, str], float]


def prometheus_text(status: Mapping[str, Any], page: Mapping[str, Any]) -> str:
    """The metrics of a run's ``status`` (``report`` and ``health``) and of the page itself.

    What is not known is left out.
    """
    health, report = _part(status, "health"), _part(status, "report")
    frames = _part(report, "frames") | _part(health, "frames")
    dropped = frames.get("dropped")
    text = _Text()
    text.add(
        "keywarp_frames_in_total", "counter", "Frames that the source delivered.", _one(frames.get("in"))
    )
    text.add(
        "keywarp_frames_out_total", "counter", "Frames that every output accepted.", _one(frames.get("out"))
    )
    text.add(
        "keywarp_frames_key_total", "counter", "Frames on which a model ran in full.", _one(frames.get("key"))
    )
    text.add(
        "keywarp_frames_frozen_total", "counter", "Frames that repeat the last picture of a lost stream.",
        _one(frames.get("frozen")),
    )  # fmt: skip
    text.add(
        "keywarp_frames_dropped_total", "counter", "Frames that were lost, by cause.",
        [({"cause": str(cause)}, count) for cause, count in dropped.items()]
        if isinstance(dropped, dict) else _one(dropped),
    )  # fmt: skip
    text.add("keywarp_fps", "gauge", "Frames a second.", _one(health.get("fps", report.get("fps"))))
    text.add(
        "keywarp_latency_seconds", "gauge", "From capture to acceptance by the last output.", _latency(health)
    )
    text.add(
        "keywarp_key_age_frames", "gauge", "Frames since the last key frame.", _one(health.get("key_age"))
    )
    text.add(
        "keywarp_key_agreement_ratio", "gauge", "Pixels carried to the latest key frames as in their full runs.",
        _one(health.get("key_agreement")),
    )  # fmt: skip
    state = health.get("state")
    text.add("keywarp_source_up", "gauge", "1 while frames come, else 0.", _one(float(state in _LIVE)))
    text.add(
        "keywarp_source_reconnects_total", "counter", "How often the stream came back.",
        _one(health.get("reconnects")),
    )  # fmt: skip
    _add_stages(text, _part(report, "stages"))
    text.add(
        "keywarp_cpu_seconds_total", "counter", "CPU time of the run's process.", _one(report.get("cpu_s"))
    )
    text.add("keywarp_page_viewers", "gauge", "Browsers and streams that look.", _one(page.get("viewers")))
    text.add(
        "keywarp_page_pictures_sent_total",
        "counter",
        "Pictures sent to viewers.",
        _one(page.get("pictures_sent")),
    )
    return text.finished()


def _add_stages(text: _Text, stages: Mapping[str, Any]) -> None:
    totals: list[Sample] = []
    counts: list[Sample] = []
    quantiles: list[Sample] = []
    for name, kinds in stages.items():
        for kind in ("key", "propagated"):
            figures = _part(kinds, kind)
            if not figures.get("count"):
                continue
            labels = {"stage": str(name), "kind": kind}
            totals.append((labels, figures["count"] * figures["mean_ms"] / 1000))
            counts.append((labels, figures["count"]))
            quantiles += [
                ({**labels, "quantile": share}, figures[key] / 1000)
                for key, share in _QUANTILES.items()
                if key in figures
            ]
    text.add("keywarp_stage_seconds_total", "counter", "Work of each stage, by kind of frame.", totals)
    text.add("keywarp_stage_frames_total", "counter", "Frames that each stage worked on.", counts)
    text.add("keywarp_stage_seconds", "gauge", "Quantiles of a stage's work on a frame.", quantiles)


def _latency(health: Mapping[str, Any]) -> list[Sample]:
    known = {f"latency_{key}": share for key, share in _QUANTILES.items()}
    return [
        ({"quantile": share}, health[key] / 1000)
        for key, share in known.items()
        if isinstance(health.get(key), int | float)
    ]


def _one(value: object) -> list[Sample]:
    return [({}, float(value))] if isinstance(value, int | float) else []


def _part(whole: object, name: str) -> dict[str, Any]:
    found = whole.get(name) if isinstance(whole, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


class _Text:
    """Lines of metrics."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> None:
        known = list(samples)
        if not known:
            return
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        self._lines += [f"{name}{_labels(labels)} {value:.9g}" for labels, value in known]

    def finished(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
