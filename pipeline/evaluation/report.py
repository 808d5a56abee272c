"""What an evaluation found, as ``keywarp eval --json`` writes it; docs/evaluation.md describes the keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keywarp.flow.build import flow_kernel
from keywarp.models.metrics import CLASS_FIGURES, Scores

from .plain import number, size_text
from .policy import PolicyScores
from .sequence import IntervalScores, SequenceScores, aggregates_at_intervals
from .subject import Subject


def report(
    subject: Subject,
    data: Mapping[str, str | None],
    pictures: tuple[int, Scores] | None,
    sequence: SequenceScores | None,
    policy: PolicyScores | None = None,
) -> dict[str, Any]:
    """The scores of the data set (how many pictures, and their scores), else those of the sequence; its intervals,
    and a policy beside them.

    ``data`` says what was evaluated. A figure that does not exist is None.
    """
    found: dict[str, Any] = {
        "model": subject.model.card.name,
        "data": dict(data),
        "settings": settings_of(subject),
    }
    if pictures is not None:
        found |= {"frames": pictures[0], **figures(pictures[1], subject.classes.names)}
    elif sequence is not None:
        found |= {"frames": sequence.frames, **figures(sequence.per_frame, subject.classes.names)}
    if sequence is not None:
        best = sequence.per_frame.miou
        found["sequence_frames"] = sequence.frames
        found["intervals"] = {
            str(interval): interval_figures(scores, best) for interval, scores in sequence.intervals.items()
        }
        if policy is not None:
            found["policy"] = policy_figures(policy, sequence)
    return found


def settings_of(subject: Subject) -> dict[str, Any]:
    """What really ran: known once the model has."""
    config = subject.config
    engine, _, precision = subject.model.runs_on.partition(" ")
    return {
        "engine": engine,
        "precision": precision or None,
        "fused": subject.model.fused,
        "flow_kernel": flow_kernel(config.flow.method, config.fused),
        "level": config.models[0].level or config.level,
        "aggregate": None if config.aggregate is None else aggregates_at_intervals(subject),
        "flow": {"method": config.flow.method, "size": size_text(config.flow.size)},
        "size": size_text(config.size),
        "input_size": size_text(config.models[0].size),
        "threads": config.threads,
    }


def figures(scores: Scores, names: tuple[str, ...]) -> dict[str, Any]:
    """All figures of one confusion matrix, and those of each class by its name."""
    by_class = {name: figure(scores) for name, figure in CLASS_FIGURES.items()}
    return {
        "miou": number(scores.miou),
        "pixel_accuracy": number(scores.pixel_accuracy),
        "mean_accuracy": number(scores.mean_accuracy),
        "fw_iou": number(scores.fw_iou),
        "dice": number(scores.dice),
        "classes": {
            name: {figure: number(values[label]) for figure, values in by_class.items()}
            for label, name in enumerate(names)
        },
    }


def interval_figures(scores: IntervalScores, per_frame_miou: float) -> dict[str, Any]:
    """The figures of one interval; costs are what is lost against the network on every frame."""
    return {
        "miou": number(scores.miou),
        "spread": number(scores.spread),
        "pixel_accuracy": number(scores.pixel_accuracy),
        "cost": number(per_frame_miou - scores.miou),
        "min_miou": number(scores.min_miou),
        "min_key_age": scores.min_key_age,
        "ages": [number(age.miou) for age in scores.ages],
        "phases": [number(run.miou) for run in scores.phases],
        "key_by_cause": dict(scores.by_cause),
        "repeat_miou": number(scores.repeat_miou),
        "repeat_cost": number(per_frame_miou - scores.repeat_miou),
    }


def policy_figures(policy: PolicyScores, sequence: SequenceScores) -> dict[str, Any]:
    """The figures of a policy, means over its phases. ``gain`` compares like with like: what its choice of key
    frames scores above fixed intervals at the same share. ``aggregation_gain``: what is added by aggregating them,
    where they alone are.
    """
    fixed, alike = policy.fixed_miou(sequence), policy.alike_miou
    return {
        "name": policy.policy,
        "key_share": policy.share,
        "key_by_cause": dict(policy.by_cause),
        "miou": number(policy.miou),
        "phases": [number(run.scores.miou) for run in policy.runs],
        "spread": number(policy.spread),
        "pixel_accuracy": number(policy.pixel_accuracy),
        "cost": number(sequence.per_frame.miou - policy.miou),
        "fixed_miou": number(fixed),
        "gain": number(alike - fixed),
        "aggregation_gain": number(policy.miou - alike) if policy.aggregates_alone else None,
    }
