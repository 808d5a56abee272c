"""Pictures as an estimator sees them, without a source."""

from __future__ import annotations

import numpy as np

from keywarp.flow.base import Size, StepFlow
from keywarp.flow.motion_vectors import VectorChain
from keywarp.pipeline.picture import Picture


class Shot:
    """A picture with what is known of its motion."""

    def __init__(
        self,
        pixels: np.ndarray | Picture,
        step: StepFlow | None = None,
        vectors: VectorChain = (),
        picture_type: str | None = None,
    ) -> None:
        self._picture = pixels if isinstance(pixels, Picture) else Picture.from_bgr(pixels)
        self.known_step = step
        self.vectors = vectors
        self.picture_type = picture_type

    @property
    def size(self) -> Size:
        return self._picture.size

    def gray(self, size: Size | None = None) -> np.ndarray:
        return self._picture.gray(size)

    def bgr_at(self, size: Size) -> np.ndarray:
        return self._picture.bgr_at(size)
