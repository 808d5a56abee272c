"""Commands, run in the tests' own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from keywarp.pipeline.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


def caller(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *first: str) -> Call:
    """Calls the entry point with ``first`` and what it is given; the output is that of the file descriptors."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["keywarp", *first, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run
