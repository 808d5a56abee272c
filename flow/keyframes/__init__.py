"""Key-frame policies: which frames a model runs on in full, decided from cheap signals."""

from .adaptive import AdaptiveQuality, AdaptiveShare, predicted_agreement
from .base import Cause, KeyframePolicy, Signals
from .build import make_policy, policy_names
from .codec import CodecKeyframes
from .delayed import Delayed
from .fixed import FixedInterval
from .watch import begins_scene, watch, watches

__all__ = [
    "AdaptiveQuality",
    "AdaptiveShare",
    "Cause",
    "CodecKeyframes",
    "Delayed",
    "FixedInterval",
    "KeyframePolicy",
    "Signals",
    "begins_scene",
    "make_policy",
    "policy_names",
    "predicted_agreement",
    "watch",
    "watches",
]
