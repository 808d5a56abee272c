"""``keywarp run`` and ``keywarp demo``."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from keywarp.engines.errors import SinkError
from keywarp.pipeline.config import assign, make_config, read_config
from keywarp.pipeline.run import Run

from .display import Display, stage_table


def settings_from(config: str | None, flags: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Settings of a configuration, overridden by the flags that were given, then by ``--set``."""
    settings = read_config(config) if config else {}
    for dotted, value in flags.items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    assign(settings, assignments)
    return settings


def run_command(source: str, settings: dict[str, Any], report: Path | None, quiet: bool) -> int:
    """Run to the end of the stream or to a signal; the exit code."""
    if not settings.get("sinks"):
        settings["sinks"] = [default_sink(source)]
    if report is not None:
        _prepare_folder(report)
    run = Run(source, make_config(settings))
    console = Console(quiet=quiet, stderr=any(text.endswith(":-") for text in run.config.sinks))
    display = Display(run, console)
    with _signals_stop(run) as caught:
        try:
            with display:
                for _ in run:
                    display.tick()
        finally:
            _finish(run, report, console)
    return 128 + caught[0] if caught else 0


def default_sink(source: str) -> str:
    """Where the result goes when no sink is given: a window for cameras, ``out/NAME.mp4`` for the rest."""
    if source.isdecimal() or source.startswith("/dev/"):
        return "window"
    name = source.partition(":")[0] if source.startswith("street:") else Path(source.rstrip("/")).stem
    return f"out/{name or 'keywarp'}.mp4"


def _finish(run: Run, report: Path | None, console: Console) -> None:
    """Say what was done; also after an error, as far as it came."""
    for note in run.source.notes:
        console.print(f"[yellow]note:[/] {note}", highlight=False)
    if run.timing.frames_out == 0:
        return
    figures = run.report()
    console.print(stage_table(figures))
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")
    outputs = [text for text in run.config.sinks if text not in ("null", "window")]
    written = ", ".join([*outputs, *([str(report)] if report else [])])
    if written:
        console.print(f"wrote {written}", highlight=False)


def _prepare_folder(report: Path) -> None:
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.touch()
    except OSError as error:
        raise SinkError(f"the report '{report}' cannot be written: {error.strerror}") from error


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
