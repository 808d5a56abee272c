"""The look of the panels: one dark surface, quiet ink, two accents; sizes that follow the picture."""

from __future__ import annotations

from keywarp.flow.base import Size

Rgb = tuple[int, int, int]

PANEL: Rgb = (14, 17, 22)
PANEL_ALPHA = 0.66
INK: Rgb = (240, 242, 245)
QUIET: Rgb = (170, 178, 188)
ABSENT: Rgb = (112, 118, 126)
TRACK: Rgb = (70, 77, 88)
KEY: Rgb = (255, 190, 70)
PROPAGATED: Rgb = (72, 200, 190)
FROZEN: Rgb = (235, 96, 84)

_SMALLEST_PX = 9


def font_px(picture: Size) -> int:
    """The size of text for a picture: 11 at 360 rows, growing slower than the picture does."""
    return max(_SMALLEST_PX, round(11 * (min(picture[1], picture[0] * 0.75) / 360) ** 0.75))
