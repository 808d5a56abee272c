"""Settings as the command line has them: a configuration, flags and ``--set``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keywarp.engines.errors import UsageError
from keywarp.pipeline.config import assign, assign_one, carries_only_results, read_config


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
    said = dict[str, Any]()
    assign(said, assignments)
    is_asked_for = "aggregate" in said or flags.get("aggregate") is not None
    if is_asked_for and settings.get("aggregate") and carries_only_results(settings):
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


def refuse_settings(settings: Mapping[str, Any], instead: Mapping[str, str], what: str) -> None:
    """Raise :class:`UsageError` for a setting that the command has options for: ``instead`` says which, by the
    setting's dotted name. ``what``: such as "a curve".
    """
    for dotted, option in instead.items():
        first, _, name = dotted.rpartition(".")
        place = settings.get(first) if first else settings
        if isinstance(place, Mapping) and name in place:
            raise UsageError(f"'{dotted}' cannot be set for {what}; {option}")
        for entry in settings.get("models") or ():
            if isinstance(entry, Mapping) and dotted in entry:
                raise UsageError(f"a model's {dotted} cannot be set for {what}; {option}")


def cards_in(settings: Mapping[str, Any]) -> list[Path]:
    """The cards of models and of the flow that settings, validated or not, name by their files."""
    models, flow = settings.get("models") or (), settings.get("flow")
    named = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in models]
    named.append(flow.get("method") if isinstance(flow, Mapping) else None)
    return cards_among(named)


def cards_among(names: Iterable[object]) -> list[Path]:
    """Those of the names of models and flows that are files."""
    return [Path(name) for name in names if isinstance(name, str) and name.endswith(".json")]
