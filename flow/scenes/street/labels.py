"""Label ids of the street scene: those of CamVid's eleven classes, in ``keywarp.models.labels`` order.

Written out again because ``flow`` may not import from ``models``; a test holds the two together.
"""

from __future__ import annotations

NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree",
    "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)

OBJECT_LABELS = (CAR, PEDESTRIAN, BICYCLIST)
"""Classes whose instances get boxes."""
