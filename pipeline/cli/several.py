"""Several sources at once: a run for each, side by side in one process."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from keywarp.engines.errors import KeywarpError, UsageError
from keywarp.pipeline.config import make_config
from keywarp.pipeline.run import Run
from keywarp.pipeline.sinks.output import Claim
from keywarp.pipeline.sinks.places import is_harmless, place_of
from keywarp.pipeline.threads import available_cores

from .files import write_json
from .run import check_outputs, default_sink
from .signals import signals_stop

NUMBER = "{n}"
_LINE_S = 5.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Member:
    """One of the runs. ``number`` counts from 1."""

    number: int
    run: Run


class Group:
    """Runs that begin together and end each for itself; one that fails leaves the others alone."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.errors: dict[int, BaseException] = {}

    def stop(self) -> None:
        """End them all. Safe in a signal handler."""
        for member in self.members:
            member.run.stop()

    def run(self, tell: Callable[[], None]) -> None:
        """Run them to their ends; ``tell`` is called a few times a second meanwhile."""
        threads = [
            threading.Thread(target=self._run_one, args=(member,), name=f"keywarp-source-{member.number}")
            for member in self.members
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(_LOOK_S)
                tell()
        except BaseException:  # such as a terminal that has gone
            self.stop()
            raise
        finally:
            for thread in threads:
                thread.join()

    def _run_one(self, member: Member) -> None:
        try:
            for _ in member.run:
                pass
        except BaseException as error:  # noqa: BLE001 - it is told of at the end, with the others'
            self.errors[member.number] = error


def run_several(sources: list[str], settings: dict[str, Any], report: Path | None, quiet: bool) -> int:
    """Run several sources side by side; the exit code is 2 where any of them failed."""
    count = len(sources)
    wanted = [settings_of(settings, number, count) for number in range(1, count + 1)]
    if not settings.get("sinks") and not settings.get("serve"):
        for own, text in zip(wanted, default_sinks(sources, default_sink), strict=True):
            own["sinks"] = [text]
    configs = [make_config(own) for own in wanted]
    check_outputs(sources, configs, report)
    runs = [Run(source, config) for source, config in zip(sources, configs, strict=True)]
    claim = None if report is None else Claim(report)
    group = Group([Member(number, run) for number, run in enumerate(runs, 1)])
    console = Console(quiet=quiet)
    with signals_stop(group) as caught:
        group.run(Lines(group, console).tell)
    if claim is not None:
        write_json(claim.path, report_of(group))
    code = finish(group, console)
    return 128 + caught[0] if caught else code


def settings_of(settings: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    """The settings for source ``number`` of ``count``: its share of the threads, outputs and port of its own.

    ``{n}`` in an output's text stands for the number. Raises :class:`UsageError` where outputs would collide.
    """
    own = dict(settings)
    own["threads"] = max(1, (settings.get("threads") or available_cores()) // count)
    sinks = [str(text) for text in settings.get("sinks") or ()]
    fixed = [text for text in sinks if NUMBER not in text and not is_harmless(text)]
    if fixed:
        raise UsageError(
            f"output '{fixed[0]}' would be written by {count} sources at once; put {NUMBER} into its name, which "
            f"stands for the source's number, such as out/camera{NUMBER}.mp4"
        )
    own["sinks"] = [text.replace(NUMBER, str(number)) for text in sinks]
    if settings.get("serve"):
        serve = dict(settings["serve"])
        port = serve.get("port", 8080)
        own["serve"] = {**serve, "port": port and port + number - 1}
    return own


class Lines:
    """Tells of a group in plain lines: where the pages are, then each run's figures now and then."""

    def __init__(self, group: Group, console: Console) -> None:
        self._group = group
        self._console = console
        self._told: set[int] = set()
        self._next_s = time.monotonic() + _LINE_S

    def tell(self) -> None:
        """Say what is new, where it is time to."""
        for member in self._group.members:
            url = member.run.page_url
            if url is not None and member.number not in self._told:
                self._told.add(member.number)
                self._say(f"source {member.number} page: {url}")
        if time.monotonic() >= self._next_s:
            self._next_s += _LINE_S
            for member in self._group.members:
                self._say(_line(member))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _line(member: Member) -> str:
    health = member.run.health()
    latency_ms = health["latency_p50_ms"]
    shown = "-" if latency_ms is None else f"{latency_ms:.1f} ms"
    return (
        f"source {member.number}: {health['state']}, {health['frames']['out']} frames, "
        f"{health['fps']:.1f} frames/s, latency p50 {shown}, dropped {member.run.dropped}"
    )


def report_of(group: Group) -> dict[str, Any]:
    """The reports of all runs, by number."""
    return {"sources": {str(member.number): member.run.report() for member in group.members}}


def finish(group: Group, console: Console) -> int:
    """Say what was done and what went wrong; 2 where anything did."""
    for member in group.members:
        for note in member.run.notes:
            console.print(f"note: source {member.number}: {note}", highlight=False, markup=False)
        console.print(_line(member), highlight=False, markup=False)
    for number, error in sorted(group.errors.items()):
        if not isinstance(error, KeywarpError):
            raise error
        print(f"error: source {number}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2 if group.errors else 0


def default_sinks(sources: list[str], default: Callable[[str], str]) -> list[str]:
    """An output for each source that has none: the usual one, numbered where two would write one file."""
    wanted = [default(source) for source in sources]
    twice = {text for text, count in Counter(wanted).items() if count > 1 and place_of(text) is not None}
    return [
        str(Path(text).with_stem(f"{Path(text).stem}-{number}")) if text in twice else text
        for number, text in enumerate(wanted, 1)
    ]
