"""Wrong usage of the command line, in one sentence as all other errors are."""

from __future__ import annotations

import difflib
from typing import Any, cast

import typer

from keywarp.engines.errors import UsageError, unknown_name

WrongUsage = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What typer raises for it, whose module differs between its versions."""


def usage_error(error: Any, words: list[str]) -> UsageError:
    """What is wrong with the command line ``words``, and where to look; ``error`` is a :data:`WrongUsage`."""
    context = error.ctx
    commands = list(getattr(context.command, "commands", ())) if context is not None else []
    path = context.command_path if context is not None else "keywarp"
    if hasattr(error, "possibilities"):
        said = f"{path} has no option '{error.option_name}'"
        said += _nearest(error) or (": options follow a command" if commands else "")
    elif commands and (given := next((word for word in words if not word.startswith("-")), None)) is not None:
        return unknown_name("command", given, commands)
    elif hasattr(error, "param_type"):
        said = f"{path} needs {_name(error.param)}: {_lower(getattr(error.param, 'help', None) or 'a value')}"
    elif getattr(error, "param", None) is not None:
        said = f"{_name(error.param)} {_refused(error)}"
    else:
        said = f"{path}: {_lower(error.format_message())}"
    return UsageError(f"{said}{' See' if said.endswith('?') else '; see'} {path} --help")


def _nearest(error: Any) -> str:
    known = [name for param in error.ctx.command.params for name in (*param.opts, *param.secondary_opts)]
    near = difflib.get_close_matches(error.option_name, [name for name in known if name.startswith("-")], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _refused(error: Any) -> str:
    """What a value is refused for. Newer typers do not name it in their message, but in its cause."""
    wrong = error.__cause__.errors() if hasattr(error.__cause__, "errors") else []
    given = f"cannot be '{wrong[0]['input']}': " if wrong else "cannot be so: "
    return f"{given}{_lower(error.message)}"


def _name(param: Any) -> str:
    """As it is written: the longest of an option's names, or what an argument is called in the help."""
    if param.param_type_name == "option":
        return f"'{max(param.opts, key=len)}'"
    return str(getattr(param, "metavar", None) or param.name.upper()).removesuffix("...")


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}".removesuffix(".")
