"""A drive down an endless, made-up street, with exact classes, boxes and flow for every frame."""

from .scene import SceneBox, SceneFrame, StreetScene

__all__ = ["SceneBox", "SceneFrame", "StreetScene"]
