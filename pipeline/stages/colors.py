"""Colours as a video stream has them: YCbCr by the stream's own matrix and range."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

# FFmpeg's AVColorSpace: (Kr, Kb) of each matrix. Untagged streams count as BT.601, as FFmpeg converts them.
_MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
_BT601 = (0.299, 0.114)
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True, slots=True)
class ColorScheme:
    """How a stream writes colours: the matrix's ``kr`` and ``kb``, and whether bytes use the full range."""

    kr: float = _BT601[0]
    kb: float = _BT601[1]
    full_range: bool = False

    @staticmethod
    def of(frame: av.VideoFrame) -> ColorScheme:
        """The scheme that a frame's tags name."""
        kr, kb = _MATRICES.get(frame.colorspace, _BT601)
        full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        return ColorScheme(kr, kb, full)

    def rgb_to_yuv(self, rgb: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) RGB of 0..255 as (N, 3) Y, U, V in byte units, not rounded."""
        red, green, blue = rgb.T / 255.0
        luma = self.kr * red + (1.0 - self.kr - self.kb) * green + self.kb * blue
        cb = (blue - luma) / (2.0 * (1.0 - self.kb))
        cr = (red - luma) / (2.0 * (1.0 - self.kr))
        offset, luma_span, chroma_span = (0.0, 255.0, 255.0) if self.full_range else (16.0, 219.0, 224.0)
        return np.stack(
            [offset + luma_span * luma, 128.0 + chroma_span * cb, 128.0 + chroma_span * cr], axis=1
        )

    @lru_cache(maxsize=64)  # noqa: B019 - schemes are few, small values
    def one(self, rgb: tuple[int, int, int]) -> tuple[float, float, float]:
        """One RGB colour as Y, U, V."""
        y, u, v = self.rgb_to_yuv(np.array([rgb], np.float64))[0]
        return float(y), float(u), float(v)


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Give ``target`` the colour tags of ``source``; full range is said by tag, not by pixel format."""
    full = ColorScheme.of(source).full_range
    target.color_range = _FULL_RANGE if full else source.color_range
    target.colorspace = source.colorspace
    target.color_primaries = source.color_primaries
    target.color_trc = source.color_trc
