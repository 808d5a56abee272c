"""The keys that keywarp's own stages read and write."""

from __future__ import annotations

from dataclasses import dataclass

from keywarp.flow.base import StepFlow
from keywarp.flow.keyframes import Cause
from keywarp.models.results import SegmentationMap

from .packet import Key
from .picture import Picture


@dataclass(frozen=True, slots=True)
class Propagation:
    """How a model came to its result: ``is_key`` for a full run on this frame; ``age`` is the number of
    delivered frames since the key frame that the result comes from, ``key_index`` that frame's index. ``cause``:
    why that frame was made a key frame; None where no model ran. ``agreement``: how far what had been carried to
    that key frame agreed with its full run, 0 to 1; None where the two were not compared. ``aggregated``: of a key
    frame, whether the one before it is in it.
    """

    is_key: bool
    age: int
    key_index: int
    cause: Cause | None = None
    agreement: float | None = None
    aggregated: bool = False


PROPAGATION: Key[Propagation] = Key("propagation")
SEGMENTATION: Key[SegmentationMap] = Key("segmentation")
STEP_FLOW: Key[StepFlow] = Key("step_flow")
"""Written by the first model that needs it on a frame; absent where no model did."""
OVERLAY: Key[Picture] = Key("overlay")
