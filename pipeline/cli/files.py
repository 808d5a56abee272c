"""Files that the command line itself writes."""

from __future__ import annotations

import json
from pathlib import Path

from keywarp.pipeline.sinks.output import write_bytes


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as a JSON file. Raises :class:`SinkError` where there is no way to."""
    write_bytes(path, f"{json.dumps(value, indent=2)}\n".encode())
