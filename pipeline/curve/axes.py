"""Axes: from figures to places on a drawing, and where their ticks are."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from ``low`` to ``high`` between ``start_px`` and ``end_px``; by their logarithm if ``log``."""

    low: float
    high: float
    start_px: float
    end_px: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value is, in pixels."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start_px + (value - low) / (high - low) * (self.end_px - self.start_px)

    def ticks(self, most: int = 8) -> list[float]:
        """Round values within the axis, rising: 1, 2, 5, 10, ... where it is logarithmic, else evenly apart."""
        return log_ticks(self.low, self.high, most) if self.log else even_ticks(self.low, self.high, most)


def log_ticks(low: float, high: float, most: int = 12) -> list[float]:
    """1, 2, 5 times powers of ten between two values above 0; the powers alone where that is too many, and finer
    ones where it is less than three.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (tuple(range(1, 10)), (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), _STEPS, (1,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [value for value in found if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        if len(found) <= most:
            break
    return found


def even_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, as many as are wanted at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (*_STEPS, 10, 20) if (high - low) / (s * power) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A tick's value, with no more digits than it needs."""
    return f"{value:.6g}"
