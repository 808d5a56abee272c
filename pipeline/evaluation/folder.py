"""Scores on labelled pictures that have nothing to do with each other: the network runs on every one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.flow.keyframes import FixedInterval
from keywarp.models.datasets import Pair
from keywarp.models.metrics import Scores

from .pictures import PairSource
from .sequence import aggregates_at_intervals
from .subject import Subject


def evaluate_folder(
    subject: Subject, pairs: Sequence[Pair], tick: Callable[[], None] = lambda: None
) -> Scores:
    """The scores over all pixels of ``pairs``, which :func:`keywarp.models.datasets.find_pairs` finds.

    Each picture is run at its own size (or the one that the subject's settings name), and scored at its own.
    ``tick`` is called after each. Raises :class:`UsageError` for files that are not as they should be, or hold
    no pixel with a class.
    """
    if aggregates_at_intervals(subject):  # none of these pictures has anything to do with the one before it
        subject = subject.varied(aggregate=False)
    counts = subject.no_counts()
    for size, group in _by_size(pairs).items():
        source = PairSource(str(group[0].picture.parent), group, size)
        with closing(subject.packets(source, FixedInterval(1), len(group))) as packets:
            for packet in packets:
                labels = group[packet.frame.index].labels
                counts += subject.compare(labels.read(subject.classes), packet)
                tick()
    if not counts.any():
        raise UsageError(
            f"none of the {len(pairs)} label maps has a pixel with a class; there is nothing to score"
        )
    return Scores(counts)


def _by_size(pairs: Sequence[Pair]) -> dict[Size, list[Pair]]:
    """The pairs in runs of one size each; sizes are those of the labels, which say theirs at once."""
    groups: dict[Size, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.labels.size, []).append(pair)
    return groups
