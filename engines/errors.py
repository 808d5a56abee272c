"""The tree of exceptions. Every error of keywarp is a :class:`KeywarpError`.

A message says what was given, what is accepted and what to do about it, in one sentence for people.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KeywarpError(Exception):
    """Root of all errors that keywarp raises on purpose."""


class UsageError(KeywarpError):
    """The caller asked for something that cannot be: an unknown name, a value out of range."""


class MissingPackageError(UsageError):
    """An optional package is needed and absent; the message has the command that installs it."""


class EngineError(KeywarpError):
    """A plan could not be compiled, or a session could not be run."""


class ModelError(KeywarpError):
    """A model's files are missing, damaged or unfit for what is asked of them."""


class SourceError(KeywarpError):
    """A source cannot be opened or read."""


class SinkError(KeywarpError):
    """A sink cannot be opened or written."""


class GraphError(KeywarpError):
    """A graph that cannot work; the message lists every problem found before the first frame."""


class StageError(KeywarpError):
    """A stage failed on a frame. ``__cause__`` is what the stage raised."""

    def __init__(self, stage: str, frame_index: int | None, cause: BaseException) -> None:
        where = "while opening or closing" if frame_index is None else f"on frame {frame_index}"
        super().__init__(f"stage '{stage}' failed {where}: {cause}")
        self.stage = stage
        self.frame_index = frame_index


def unknown_name(kind: str, given: str, accepted: Iterable[str]) -> UsageError:
    """An error for a name that is not among ``accepted``, with the nearest one suggested."""
    names = sorted(accepted)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return UsageError(f"unknown {kind} '{given}'{hint} (accepted: {', '.join(names)})")


def missing_package(package: str, extra: str, purpose: str) -> MissingPackageError:
    """An error for an optional package that ``purpose`` needs and that an extra installs."""
    return MissingPackageError(
        f"{purpose} needs the package '{package}', which is not installed; "
        f"install it with: pip install 'keywarp[{extra}]'"
    )
