"""How far the outputs of two plans for one network lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .base import Array, Plan, TensorSpec
from .errors import UsageError


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """One output over all samples.

    ``equal_share`` is the share of equal elements, 0 to 1; ``max_abs_diff`` the largest difference,
    NaN where only one of the two is NaN, None for outputs that are no floating-point numbers.
    """

    name: str
    equal_share: float
    max_abs_diff: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``other`` against ``reference`` (engine and precision of each), for each output."""

    reference: str
    other: str
    samples: int
    outputs: tuple[OutputComparison, ...]

    def __getitem__(self, name: str) -> OutputComparison:
        return next(output for output in self.outputs if output.name == name)


def compare(reference: Plan, other: Plan, samples: Iterable[Mapping[str, Array]]) -> Comparison:
    """Run both plans on each sample and compare all outputs.

    Raises :class:`UsageError` where the plans' outputs differ in name, dtype or shape, or where there
    is no sample.
    """
    _check_alike(reference, other)
    tallies = [_Tally(spec) for spec in reference.outputs]
    count = 0
    with reference.session() as one, other.session() as two:
        for sample in samples:
            expected, given = one.infer(sample), two.infer(sample)
            for tally in tallies:
                tally.add(expected[tally.spec.name], given[tally.spec.name])
            count += 1
    if count == 0:
        raise UsageError("no samples to compare on; give at least one")
    return Comparison(
        reference=f"{reference.engine} {reference.precision}",
        other=f"{other.engine} {other.precision}",
        samples=count,
        outputs=tuple(tally.result() for tally in tallies),
    )


def _check_alike(reference: Plan, other: Plan) -> None:
    ours, theirs = ({s.name: s for s in plan.outputs} for plan in (reference, other))
    if ours != theirs:
        raise UsageError(
            f"only plans with the same outputs compare; given: {list(ours.values())} "
            f"and {list(theirs.values())}"
        )


class _Tally:
    """Counts for one output."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self._is_float = np.issubdtype(spec.dtype, np.floating)
        self._equal = 0
        self._total = 0
        self._max = 0.0

    def add(self, expected: Array, given: Array) -> None:
        same = expected == given
        if self._is_float:
            same |= np.isnan(expected) & np.isnan(given)
            apart = np.abs(expected[~same].astype(np.float64) - given[~same])
            self._max = float(np.max(apart, initial=self._max))
        self._equal += int(np.count_nonzero(same))
        self._total += same.size

    def result(self) -> OutputComparison:
        share = self._equal / self._total if self._total else 1.0
        return OutputComparison(self.spec.name, share, self._max if self._is_float else None)
