"""keywarp: real-time video perception with full models on key frames and Deep Feature Flow between them.

>>> import keywarp
>>> run = keywarp.Run("clip.mp4", models=["enet"], interval=10, sinks=["out.mp4"])  # doctest: +SKIP
>>> for packet in run:                                                             # doctest: +SKIP
...     print(packet.frame.index, packet[keywarp.SEGMENTATION].shares())
>>> run.report()["fps"]                                                            # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .engines.errors import KeywarpError
    from .pipeline.keys import OVERLAY, PROPAGATION, SEGMENTATION, STEP_FLOW
    from .pipeline.run import Run

_HOMES = {
    "KeywarpError": "keywarp.engines.errors",
    "OVERLAY": "keywarp.pipeline.keys",
    "PROPAGATION": "keywarp.pipeline.keys",
    "SEGMENTATION": "keywarp.pipeline.keys",
    "STEP_FLOW": "keywarp.pipeline.keys",
    "Run": "keywarp.pipeline.run",
}

__all__ = [  # noqa: RUF022 - the main thing first
    "Run",
    "SEGMENTATION",
    "PROPAGATION",
    "STEP_FLOW",
    "OVERLAY",
    "KeywarpError",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``import keywarp`` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'keywarp' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
