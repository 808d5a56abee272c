"""Commands as real processes without the seconds that imports take: forks of one that has imported everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CODE = """
import importlib, json, os, sys
from keywarp.pipeline.cli import main
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    folder, error, arguments = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.argv = ["keywarp", *arguments]
        main()
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Forks:
    """Starts commands one at a time: each :meth:`start` is followed by a :meth:`wait`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._answers = process.stdin, process.stdout
        self._pid: int | None = None

    def start(self, arguments: list[str], folder: Path, error: Path) -> None:
        """``keywarp`` with ``arguments`` in a folder; what it says on standard error goes to a file."""
        self._commands.write(json.dumps([str(folder), str(error), arguments]) + "\n")
        self._commands.flush()
        self._pid = int(self._answers.readline())

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._send(0)

    def signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended."""
        self._send(number)

    def wait(self) -> int:
        """Its exit code once it has ended, below 0 where a signal killed it."""
        code, self._pid = int(self._answers.readline()), None
        return code

    def _send(self, number: int) -> bool:
        if self._pid is None:
            return False
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            return False
        return True


@contextmanager
def forks(*modules: str) -> Iterator[Forks]:
    """Of a process that has imported ``modules``."""
    with subprocess.Popen(
        [sys.executable, "-c", _CODE, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        runs = Forks(process)
        try:
            yield runs
        except BaseException:
            process.kill()
            runs.signal(signal.SIGKILL)
            raise
    assert process.returncode == 0
