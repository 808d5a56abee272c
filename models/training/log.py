"""The log of a training run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def write_log(rows: Sequence[dict[str, float]], path: Path) -> None:
    """One line an epoch, as comma separated values; figures not taken that epoch are empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
