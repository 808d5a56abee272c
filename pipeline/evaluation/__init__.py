"""Evaluation: a model, as a run sets it up, scored on labelled data sets and labelled sequences."""

from .clip import Clip, read_clip
from .folder import evaluate_folder
from .policy import PolicyScores, evaluate_policy, policy_frames
from .sequence import IntervalScores, SequenceScores, evaluate_sequence
from .subject import Subject

__all__ = [
    "Clip",
    "IntervalScores",
    "PolicyScores",
    "SequenceScores",
    "Subject",
    "evaluate_folder",
    "evaluate_policy",
    "evaluate_sequence",
    "policy_frames",
    "read_clip",
]
