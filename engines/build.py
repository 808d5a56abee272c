"""The engines by name. Naming them imports no runtime; an engine imports its own when it compiles."""

from __future__ import annotations

import importlib

from .base import Engine
from .errors import MissingPackageError, unknown_name

AUTO = "auto"

# In the order in which "auto" tries them.
_ENGINES = {
    "openvino": ("openvino_", "OpenVinoEngine"),
    "onnxruntime": ("onnxruntime_", "OnnxRuntimeEngine"),
    "torch": ("torch_", "TorchEngine"),
}


def engine_names() -> tuple[str, ...]:
    """The names that :func:`get_engine` accepts, besides ``auto``; in the order that ``auto`` tries."""
    return tuple(_ENGINES)


def get_engine(name: str = AUTO) -> Engine:
    """The engine of this name, installed or not; for ``auto`` the first that is installed.

    Raises :class:`UsageError` for an unknown name, and :class:`MissingPackageError` where ``auto`` finds
    nothing.
    """
    if name == AUTO:
        return _first_available()
    if name not in _ENGINES:
        raise unknown_name("engine", name, (AUTO, *_ENGINES))
    module, class_name = _ENGINES[name]
    engine: Engine = getattr(importlib.import_module(f".{module}", __package__), class_name)()
    return engine


def _first_available() -> Engine:
    reasons = []
    for name in _ENGINES:
        engine = get_engine(name)
        reason = engine.missing()
        if reason is None:
            return engine
        reasons.append(reason)
    raise MissingPackageError("no engine can run here: " + "; or: ".join(reasons))
