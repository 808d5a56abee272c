"""``keywarp run`` and ``keywarp demo``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from keywarp.engines.errors import SinkError, unknown_name
from keywarp.pipeline.config import RunConfig, make_config
from keywarp.pipeline.gst.presets import GST
from keywarp.pipeline.logs import use_json_logs
from keywarp.pipeline.run import Run
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import check_not_read, check_places, place_of, shown
from keywarp.pipeline.sources.location import is_url, without_secrets

from .display import Display, stage_table
from .files import write_json
from .settings import cards_in
from .signals import signals_stop


def log_as(form: str) -> None:
    """Log as text, or as JSON lines."""
    if form == "json":
        use_json_logs()
    elif form != "text":
        raise unknown_name("log format", form, ("text", "json"))


def run_command(source: str, settings: dict[str, Any], report: Path | None, quiet: bool) -> int:
    """Run to the end of the stream or to a signal; the exit code."""
    if not settings.get("sinks") and not settings.get("serve"):
        settings["sinks"] = [default_sink(source)]
    config = make_config(settings)
    check_outputs([source], [config], report)
    run = Run(source, config)
    claim = None if report is None else Claim(report)
    console = Console(quiet=quiet, stderr=any(text.endswith(":-") for text in run.config.sinks))
    display = Display(run, console)
    with signals_stop(run) as caught:
        try:
            with display:
                for _ in run:
                    display.tick(run.page_url)
        except BaseException:
            with suppress(SinkError):  # what went wrong first is what to tell of
                _finish(run, claim, console)
            raise
        _finish(run, claim, console)
    return 128 + caught[0] if caught else 0


def check_outputs(sources: Sequence[str], configs: Iterable[RunConfig], report: Path | None) -> None:
    """Raise :class:`UsageError` where an output of these runs would overwrite another, or what they read."""
    outputs = [text for config in configs for text in config.sinks]
    if report is not None:
        outputs.append(str(report))
    check_places(outputs, *sources)
    check_not_read(outputs, [card for config in configs for card in cards_in(config.model_dump())])


def check_report(report: Path | None, config: str | None) -> None:
    """Raise :class:`UsageError` where the report would overwrite the configuration's file."""
    if report is not None and config is not None:
        check_not_read([report], [Path(config)])


def default_sink(source: str) -> str:
    """Where the result goes when no sink is given: a window for cameras, ``out/NAME.mp4`` for the rest."""
    if source.partition(",")[0].isdecimal() or source.startswith("/dev/"):
        return "window"
    if source.startswith(GST):
        return "out/gst.mp4"
    if is_url(source):
        source = without_secrets(source)
    name = "street" if source.startswith("street:") else Path(source).stem
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return f"out/{plain or 'keywarp'}.mp4"


def _finish(run: Run, report: Claim | None, console: Console) -> None:
    """Say what was done; also after an error, as far as it came."""
    for note in run.notes:
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
        shown(text)
        for text, sink in zip(run.config.sinks, run.sinks, strict=False)
        if sink.written and place_of(text) is not None
    ]
    written = ", ".join([*outputs, *([str(report.path)] if report else [])])
    if written:
        console.print(f"wrote {written}", highlight=False, markup=False)
