"""``keywarp models``."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from keywarp.models.card import ALIASES, bundled_models, read_card


def print_models() -> None:
    """Print the bundled models: what they are for, how good they are, under what licence."""
    table = Table(title="models that come with keywarp")
    for heading in ("name", "task", "classes", "parameters", "best at", "licence of the weights", "measured"):
        table.add_column(heading, overflow="fold")
    for path in bundled_models().values():
        card = read_card(path)
        aliases = [alias for alias, name in ALIASES.items() if name == card.name]
        measured = "; ".join(
            f"{test}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items())
            for test, figures in card.provenance.accuracy.items()
        )
        table.add_row(
            ", ".join([*aliases, card.name]),
            card.task,
            f"{len(card.classes)} ({card.class_set})",
            f"{card.parameters / 1e6:.2f} M",
            f"{card.input.width}x{card.input.height}",
            card.provenance.licence,
            measured,
        )
    Console().print(table)
