"""Files that the command line itself writes."""

from __future__ import annotations

import json
from pathlib import Path

from keywarp.pipeline.sinks.output import cannot_write, make_folder


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as a JSON file. Raises :class:`SinkError` where there is no way to."""
    make_folder(path.parent)
    try:
        path.write_text(json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error
