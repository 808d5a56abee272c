"""What the terminal shows of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_TERMINAL = "keywarp-terminal"


def use_terminal() -> None:
    """Show warnings and errors as text on standard error, unless there is a handler already."""
    handler = logging.StreamHandler()
    handler.set_name(_TERMINAL)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, handlers=[handler])


def show_errors_only() -> None:
    """Show no warnings in the terminal. Handlers of other kinds, such as that of JSON logs, get what they did."""
    for handler in logging.getLogger().handlers:
        if handler.name == _TERMINAL:
            handler.setLevel(logging.ERROR)


@contextmanager
def warnings_once() -> Iterator[None]:
    """Within, handlers get each warning once, however many runs it comes from. Whole numbers, such as those of
    frames, make no other warning of it.
    """
    filters = [(handler, _Once()) for handler in logging.getLogger().handlers]
    for handler, once in filters:
        handler.addFilter(once)
    try:
        yield
    finally:
        for handler, once in filters:
            handler.removeFilter(once)


class _Once(logging.Filter):
    """For one handler."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, ...]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is an error, or is shown for the first time."""
        if record.levelno > logging.WARNING:
            return True
        given = record.args if isinstance(record.args, tuple) else (record.args,)
        said = (record.name, str(record.msg), *(str(one) for one in given if not isinstance(one, int)))
        is_new = said not in self._seen
        self._seen.add(said)
        return is_new
