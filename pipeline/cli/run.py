"""``keywarp run`` and ``keywarp demo``."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from keywarp.engines.errors import SinkError, UsageError, unknown_name
from keywarp.pipeline.config import (
    assign,
    assign_one,
    carries_only_results,
    make_config,
    read_config,
)
from keywarp.pipeline.gst.presets import GST
from keywarp.pipeline.logs import use_json_logs
from keywarp.pipeline.run import Run
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import check_places, place_of, shown
from keywarp.pipeline.sources.location import is_url, without_secrets

from .display import Display, stage_table
from .files import write_json
from .several import Group, Lines, Member, default_sinks, finish, notes_of, report_of, settings_of

_ONE_SIGNAL_S = 0.5


def settings_from(
    config: str | None, flags: dict[str, Any], assignments: list[str], token: str | None = None
) -> dict[str, Any]:
    """Settings of a configuration, overridden by the flags that were given, then by ``--set``.

    ``token`` is that of the page, wherever the page is asked for; alone it asks for none.
    """
    settings = read_config(config) if config else {}
    for dotted, value in flags.items():
        if value is not None:
            assign_one(settings, dotted, value)
    assign(settings, assignments)
    if flags.get("aggregate") and carries_only_results(settings):
        raise UsageError(
            "key frames are aggregated by their features, and at level 'result' none are carried; "
            "use --level features, or leave --aggregate out"
        )
    if token and isinstance(settings.get("serve"), dict):
        settings["serve"]["token"] = token
    return settings


def serve_flags(serve: str | None) -> dict[str, Any]:
    """The settings of ``--serve HOST:PORT``; a host in brackets is IPv6, an empty one (``:8080``) all addresses,
    none (``8080``) this machine alone.
    """
    if serve is None:
        return {}
    host, colon, port = serve.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--serve takes HOST:PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080; given: '{serve}'")
    return {
        "serve.host": host.strip("[]") or ("0.0.0.0" if colon else "127.0.0.1"),
        "serve.port": int(port),
    }


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
    check_places([*config.sinks, *([str(report)] if report is not None else [])], source)
    run = Run(source, config)
    claim = None if report is None else Claim(report)
    console = Console(quiet=quiet, stderr=any(text.endswith(":-") for text in run.config.sinks))
    display = Display(run, console)
    with _signals_stop(run) as caught:
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


def run_several(sources: list[str], settings: dict[str, Any], report: Path | None, quiet: bool) -> int:
    """Run several sources side by side; the exit code is 2 where any of them failed."""
    count = len(sources)
    wanted = [settings_of(settings, number, count) for number in range(1, count + 1)]
    if not settings.get("sinks") and not settings.get("serve"):
        for own, text in zip(wanted, default_sinks(sources, default_sink), strict=True):
            own["sinks"] = [text]
    configs = [make_config(own) for own in wanted]
    check_places([text for config in configs for text in config.sinks])
    runs = [Run(source, config) for source, config in zip(sources, configs, strict=True)]
    claim = None if report is None else Claim(report)
    group = Group([Member(number, run) for number, run in enumerate(runs, 1)])
    console = Console(quiet=quiet)
    with _signals_stop(group) as caught:
        group.run(Lines(group, console).tell)
    if claim is not None:
        write_json(claim.path, report_of(group))
    code = finish(group, console)
    return 128 + caught[0] if caught else code


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
    for note in notes_of(run):
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


@contextmanager
def _signals_stop(run: Run | Group) -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the stream in good order; a second one, later, ends the process at once.

    Not one that comes with the first: `timeout`, and terminals, send one to the process and one to its group.
    """
    caught: list[int] = []
    first_s = 0.0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first_s
        if caught and time.monotonic() < first_s + _ONE_SIGNAL_S:
            return
        first_s = time.monotonic()
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
