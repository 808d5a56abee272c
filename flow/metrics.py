"""How far an estimated field is from the truth.

End-point error (Baker et al. 2011): the length of the difference of both vectors, in pixels. Fl (KITTI 2015,
Menze and Geiger): a pixel is wrong where that is more than 3 pixels AND more than 5 % of the true vector's length;
Fl-all is the share of wrong pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError

from .base import Field, Mask

_WRONG_PX = 3.0
_WRONG_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class FlowError:
    """Errors summed over ``pixels`` pixels, so that those of several pictures can be added.

    ``sum_px``: of the end-point errors, in pixels; ``wrong``: pixels that Fl counts as wrong.
    """

    pixels: int = 0
    sum_px: float = 0.0
    wrong: int = 0

    def __add__(self, other: FlowError) -> FlowError:
        return FlowError(self.pixels + other.pixels, self.sum_px + other.sum_px, self.wrong + other.wrong)

    @property
    def epe_px(self) -> float:
        """The mean end-point error in pixels; NaN where there is no pixel."""
        return self.sum_px / self.pixels if self.pixels else float("nan")

    @property
    def fl_all(self) -> float:
        """The share of wrong pixels, 0 to 1; NaN where there is no pixel."""
        return self.wrong / self.pixels if self.pixels else float("nan")


def flow_error(field: Field, truth: Field, valid: Mask | None = None) -> FlowError:
    """The errors of ``field``, (H, W, 2) in pixels of its own grid, which is the truth's.

    ``valid``, (H, W) bool: the pixels that count (None: all). A value that is no number is a wrong pixel with
    an infinite error. Raises :class:`UsageError` where the grids differ.
    """
    if field.shape != truth.shape:
        raise UsageError(
            f"a field of {_shown(field)} cannot be compared with a truth of {_shown(truth)}; resize it first"
        )
    errors = end_point_errors(field, truth)
    lengths = np.hypot(truth[..., 0], truth[..., 1])
    counted = np.ones(errors.shape, np.bool_) if valid is None else valid
    wrong = (errors > _WRONG_PX) & (errors > _WRONG_SHARE * lengths) & counted
    return FlowError(
        int(np.count_nonzero(counted)),
        float(errors[counted].sum(dtype=np.float64)),
        int(np.count_nonzero(wrong)),
    )


def end_point_errors(field: Field, truth: Field) -> NDArray[np.float32]:
    """(H, W) float32: how far each vector ends from the true one, in pixels; infinite where it is no number."""
    difference = np.subtract(field, truth, dtype=np.float32)
    errors = np.hypot(difference[..., 0], difference[..., 1])
    return np.where(np.isnan(errors), np.float32(np.inf), errors).astype(np.float32, copy=False)


def _shown(field: Field) -> str:
    return f"{field.shape[1]}x{field.shape[0]}" if field.ndim == 3 else str(field.shape)
