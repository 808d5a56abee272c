"""The entry point: what stands before the commands, and what becomes of errors."""

from __future__ import annotations

import os
import re
import sys
from typing import NoReturn

import typer

from keywarp.engines.errors import KeywarpError

from .app import app
from .log import use_terminal
from .usage import WrongUsage, usage_error

DEFAULT_PAGE = "127.0.0.1:8080"
# What may follow --serve and is no source, as csi:0 is.
_ADDRESS = re.compile(r"(?!csi:)[^/\s]*:\d+|\d{4,5}")


def with_default_serve(words: list[str]) -> list[str]:
    """The command line with an address after each ``--serve`` that has none."""
    filled = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        filled.append(word)
        if word == "--serve" and not _ADDRESS.fullmatch(following):
            filled.append(DEFAULT_PAGE)
    return filled


def main() -> None:
    """The entry point. Exit codes: 0 done, 2 wrong usage or input, 130 and 143 ended by SIGINT and SIGTERM."""
    # Wheels of OpenCV and PyAV both log decoder chatter to the terminal unless told otherwise.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    use_terminal()
    words = sys.argv[1:]
    try:
        code = app(with_default_serve(words) or ["--help"], prog_name="keywarp", standalone_mode=False)
    except WrongUsage as error:
        _fail(usage_error(error, words))
    except KeywarpError as error:
        _fail(error)
    except (KeyboardInterrupt, typer.Abort):  # which older typers make of it
        sys.exit(130)
    sys.exit(code if words else 2)


def _fail(error: KeywarpError) -> NoReturn:
    print("error:", " ".join(str(error).split()), file=sys.stderr)  # one line, whatever a library says
    sys.exit(2)
