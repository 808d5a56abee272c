"""A motorway instead of a town: its road, its barriers, its shadows and its traffic."""

from .site import motorway

__all__ = ["motorway"]
