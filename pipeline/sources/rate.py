"""Frame rates as exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from keywarp.engines.errors import UsageError

Rate = int | float | Fraction


def exact_rate(rate: Rate) -> Fraction:
    """``rate`` frames a second as a fraction with small terms, so that its inverse is a time base."""
    if not math.isfinite(rate) or rate <= 0:
        raise UsageError(f"a frame rate is a number above 0, such as 25 or 29.97; given: {rate}")
    exact = Fraction(rate).limit_denominator(1001)
    return exact if exact > 0 else Fraction(rate).limit_denominator(1_000_000)
