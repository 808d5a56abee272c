"""``keywarp models``."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from keywarp.models.card import ALIASES, Card, bundled_models, read_card


def print_models() -> None:
    """Print the bundled models: what they are for, how good they are, under what licence."""
    console = Console(highlight=False)
    for path in bundled_models().values():
        _print(console, read_card(path))


def _print(console: Console, card: Card) -> None:
    aliases = [alias for alias, name in ALIASES.items() if name == card.name]
    console.print(f"[bold]{', '.join([card.name, *aliases])}[/]: {escape(card.description)}")
    console.print(f"  {card.task}, {len(card.classes)} classes: {escape(', '.join(card.classes))}")
    console.print(
        f"  {card.parameters / 1e6:.2f} M parameters, best at {card.input.width}x{card.input.height}"
    )
    console.print(f"  weights: {escape(card.provenance.licence)}")
    for test, figures in card.provenance.accuracy.items():
        console.print(f"  {test}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
