"""Made-up places seen from a camera that looks down steeply, with exact classes for every frame."""

from .scene import AboveFrame, AboveScene

__all__ = ["AboveFrame", "AboveScene"]
