"""``keywarp models``."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from keywarp.engines.card import Provenance
from keywarp.flow.card import FlowCard, bundled_flows, read_flow_card
from keywarp.models.card import ALIASES, Card, bundled_models, read_card


def print_models() -> None:
    """Print the bundled models and flow networks: what they are for, how good they are, under what licence."""
    console = Console(highlight=False)
    for path in bundled_models().values():
        _print(console, read_card(path))
    for path in bundled_flows().values():
        _print_flow(console, read_flow_card(path))


def _print(console: Console, card: Card) -> None:
    aliases = [alias for alias, name in ALIASES.items() if name == card.name]
    console.print(f"[bold]{', '.join([card.name, *aliases])}[/]: {escape(card.description)}")
    console.print(f"  {card.task}, {len(card.classes)} classes: {escape(', '.join(card.classes))}")
    console.print(
        f"  {card.parameters / 1e6:.2f} M parameters, best at {card.input.width}x{card.input.height}"
    )
    _print_weights(console, card.provenance)


def _print_flow(console: Console, card: FlowCard) -> None:
    console.print(f"[bold]{card.name}[/]: {escape(card.description)}")
    scale = f"with a scale map for {card.scale_for}" if card.scale_for else "without a scale map"
    console.print(f"  flow (--flow {card.name}), {scale}")
    console.print(
        f"  {card.parameters / 1e6:.2f} M parameters, best at {card.input.width}x{card.input.height}"
    )
    _print_weights(console, card.provenance)


def _print_weights(console: Console, provenance: Provenance) -> None:
    console.print(f"  weights: {escape(provenance.licence)}")
    for test, figures in provenance.accuracy.items():
        console.print(f"  {test}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
