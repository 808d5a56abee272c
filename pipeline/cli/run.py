"""``keywarp run`` and ``keywarp demo``."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from keywarp.engines.errors import SinkError
from keywarp.pipeline.config import assign, assign_one, make_config, read_config
from keywarp.pipeline.run import Run
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import check_places, place_of
from keywarp.pipeline.sources.location import is_url, without_secrets

from .display import Display, stage_table
from .files import write_json


def settings_from(config: str | None, flags: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Settings of a configuration, overridden by the flags that were given, then by ``--set``."""
    settings = read_config(config) if config else {}
    for dotted, value in flags.items():
        if value is not None:
            assign_one(settings, dotted, value)
    assign(settings, assignments)
    return settings


def run_command(source: str, settings: dict[str, Any], report: Path | None, quiet: bool) -> int:
    """Run to the end of the stream or to a signal; the exit code."""
    if not settings.get("sinks"):
        settings["sinks"] = [default_sink(source)]
    config = make_config(settings)
    check_places([*config.sinks, *([str(report)] if report is not None else [])], source)
    run = Run(source, config)
    claim = None if report is None else Claim(report)
    console = Console(quiet=quiet, stderr=any(text.endswith(":-") for text in run.config.sinks))
    display = Display(run, console)
    with _signals_stop(run) as caught:
        try:
            with display:
                for _ in run:
                    display.tick()
        except BaseException:
            with suppress(SinkError):  # what went wrong first is what to tell of
                _finish(run, claim, console)
            raise
        _finish(run, claim, console)
    return 128 + caught[0] if caught else 0


def default_sink(source: str) -> str:
    """Where the result goes when no sink is given: a window for cameras, ``out/NAME.mp4`` for the rest."""
    if source.isdecimal() or source.startswith("/dev/"):
        return "window"
    if is_url(source):
        source = without_secrets(source)
    name = "street" if source.startswith("street:") else Path(source).stem
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return f"out/{plain or 'keywarp'}.mp4"


def _finish(run: Run, report: Claim | None, console: Console) -> None:
    """Say what was done; also after an error, as far as it came."""
    for note in (*run.source.notes, *(note for sink in run.sinks for note in sink.notes)):
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    if run.timing.frames_out == 0:
        if report is not None:
            report.give_up()
        return
    figures = run.report()
    console.print(stage_table(figures))
    if report is not None:
        write_json(report.path, figures)
    outputs = [
        text
        for text, sink in zip(run.config.sinks, run.sinks, strict=True)
        if sink.written and place_of(text) is not None
    ]
    written = ", ".join([*outputs, *([str(report.path)] if report else [])])
    if written:
        console.print(f"wrote {written}", highlight=False, markup=False)


@contextmanager
def _signals_stop(run: Run) -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the stream in good order; a second one ends the process at once."""
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if caught:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        caught.append(number)
        run.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
