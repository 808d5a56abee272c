"""A motorway put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keywarp.flow.base import Size
from keywarp.flow.scenes.street.camera import Rig, focal_length_px
from keywarp.flow.scenes.street.haze import Haze
from keywarp.flow.scenes.street.labels import TREE
from keywarp.flow.scenes.street.palette import Color, Look, look_of
from keywarp.flow.scenes.street.site import Site

from .course import course_of
from .layout import FAR_M, MotorwayLayout
from .library import MotorwayLibrary
from .traffic import MotorwayTraffic


def motorway(seed: int, size: Size) -> Site:
    """Two to four lanes each way, barriers, banks and woods."""
    rng = np.random.default_rng((seed, 741))
    look, rig = _look(seed, rng), _rig(rng)
    course = course_of(seed)
    library = MotorwayLibrary(seed, look, focal_length_px(size, rig), course)
    layout = MotorwayLayout(seed, look, library, course)
    traffic = MotorwayTraffic(seed, look, library, course, rig)
    haze = Haze(look.haze_m, FAR_M)
    return Site(
        look, library, rig, course.section, haze, TREE, layout.block, traffic, bool(rng.random() < 0.35)
    )


def _rig(rng: np.random.Generator) -> Rig:
    """Another car, another mounting."""
    lane, height = float(rng.uniform(-0.35, 0.35)), float(rng.uniform(1.16, 1.42))
    speed, zoom = float(rng.uniform(19.0, 29.0)), float(rng.uniform(0.72, 1.05))
    return Rig(lane, height, speed, 1.6, zoom, float(rng.uniform(0.45, 0.62)))


def _look(seed: int, rng: np.random.Generator) -> Look:
    """A town's light (see ``look_of``), oftener noon; clear air, faces lit unevenly, half of the skies blue."""
    look = look_of(seed if seed % 6 in (1, 2) else 3 * seed)
    if look.overcast:
        return replace(look, haze_m=float(rng.uniform(130, 220)))
    front, bright = float(rng.uniform(0.5, 1.05)), float(rng.uniform(0.85, 1.15))
    left, right = (_dimmed(face, rng) for face in (look.left, look.right))
    clear = float(rng.choice([0.0, 0.25, 0.5, 1.5]))
    return replace(
        look, front=_times(look.front, front / 0.94), left=left, right=right, clear=clear,
        ground=_times(look.ground, bright), haze_m=float(rng.uniform(180, 400)),
    )  # fmt: skip


def _times(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _dimmed(face: Color, rng: np.random.Generator) -> Color:
    """A face in the shade gets darker than in a town, whose walls throw light at each other."""
    return _times(face, float(rng.uniform(0.5, 0.85))) if face[1] < 0.9 else face
