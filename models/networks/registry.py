"""Segmentation networks by name. Naming them imports nothing heavy; getting one imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from keywarp.engines.errors import unknown_name

if TYPE_CHECKING:
    from .definition import Definition

_NETWORKS = {
    "enet": ("enet_definition", "ENET"),
    "resnet-50": ("deeplab_definition", "RESNET_50"),
    "resnet-101": ("deeplab_definition", "RESNET_101"),
}


def network_names() -> tuple[str, ...]:
    """What ``keywarp export`` and ``keywarp complexity`` accept, and a card's ``network``."""
    return tuple(_NETWORKS)


def get_network(name: str) -> Definition[Any]:
    """The network of this name. Raises UsageError for an unknown one."""
    if name not in _NETWORKS:
        raise unknown_name("network", name, _NETWORKS)
    module, constant = _NETWORKS[name]
    definition: Definition[Any] = getattr(importlib.import_module(f".{module}", __package__), constant)
    return definition
