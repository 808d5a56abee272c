"""The pictures on a sheet: one frame's result, the truth, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size
from keywarp.flow.keyframes import FixedInterval
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.keys import OVERLAY, SEGMENTATION
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.stages.overlay import Overlay

from .clip import Clip
from .subject import Subject, fit

_OPACITY = 0.75
_WRONG_BGR = (60, 50, 235)
_VOID_BGR = (30, 26, 22)


@dataclass(frozen=True, slots=True)
class Panels:
    """One frame: its ``number`` in the clip, its key age, and its pictures, (H, W, 3) uint8 BGR.

    ``right`` is the share of the pixels with a true class that were given it; ``classes`` those in sight.
    """

    number: int
    age: int
    result: Pixels
    truth: Pixels
    errors: Pixels
    right: float
    classes: frozenset[int]


def make_panels(subject: Subject, clip: Clip, interval: int, ages: Mapping[int, int]) -> Iterator[Panels]:
    """The panels of the frames in ``ages`` (frame number to key age), run at ``interval`` to the last of them."""
    overlay = Overlay(ManualClock(), opacity=_OPACITY, legend=False, hud=False)
    policy = FixedInterval(interval, cuts=False)
    with closing(subject.packets(clip.source(), policy, len(clip))) as packets:
        for packet in packets:
            number = packet.frame.index
            if number in ages:
                yield _panels(overlay, packet, clip.truth(number), number, ages[number])
            if number == max(ages):
                return


def _panels(overlay: Overlay, packet: Packet, full_truth: Pixels, number: int, age: int) -> Panels:
    frame, found = packet.frame, packet[SEGMENTATION]
    truth = fit(full_truth, found.labels)
    true = truth < len(found.classes)
    right = found.labels == truth
    return Panels(
        number,
        age,
        result=_laid_over(overlay, frame, found),
        truth=_laid_over(overlay, frame, SegmentationMap(truth, found.classes)),
        errors=_errors(frame, true & ~right, ~true),
        right=float(right[true].mean()) if true.any() else float("nan"),
        classes=frozenset(np.union1d(found.labels, truth[true]).tolist()),
    )


def _laid_over(overlay: Overlay, frame: Frame, found: SegmentationMap) -> Pixels:
    """The frame as a run's own overlay shows it."""
    packet = Packet(frame, ManualClock())
    packet[SEGMENTATION] = found
    overlay.process(packet)
    return packet[OVERLAY].bgr


def _errors(frame: Frame, wrong: NDArray[np.bool_], void: NDArray[np.bool_]) -> Pixels:
    """Wrong pixels in red on a grey picture, those without a true class dark."""
    gray = cv2.cvtColor(np.ascontiguousarray(frame.gray()), cv2.COLOR_GRAY2BGR)
    shown: Pixels = cv2.addWeighted(gray, 0.55, gray, 0, 40)
    shown[wrong] = np.rint(0.15 * shown[wrong] + 0.85 * np.array(_WRONG_BGR)).astype(np.uint8)
    shown[void] = _VOID_BGR
    return shown


def resized(pixels: Pixels, size: Size) -> Pixels:
    """A picture at another size."""
    shrinks = size[0] < pixels.shape[1]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
