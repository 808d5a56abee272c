"""What the terminal shows of the log: each warning of an evaluation once, and none with ``--quiet``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keywarp.pipeline.cli.log import warnings_once

from .commands import Call, Ended, caller
from .labelled import flat, write_labels
from .sources.films import pictures, write_film

SIZE = (64, 48)
FRAMES = 6
OF_B_FRAMES = "WARNING: the stream has B-frames"
COMMANDS = {
    "run": "b.mp4 --sink null --interval 3",
    "eval": "--sequence b.mp4 --intervals 2,3 --policy adaptive",
    "curve": "b.mp4 --intervals 2,3 --policies fixed",
}


@contextmanager
def log_of_a_process() -> Iterator[None]:
    """The log as a process of its own finds it, without the handlers of the tests."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs one of the commands in this process, in a folder with a film that makes flow ``codec`` warn."""
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "b.mp4", pictures(FRAMES, SIZE), options={"bf": "2", "preset": "medium"})
    write_labels(tmp_path / "b_labels", [flat(3, SIZE)] * FRAMES)
    run = caller(monkeypatch, capfd)

    def in_a_process(*arguments: object) -> Ended:
        name, *others = map(str, arguments)
        flow = "--flows" if name == "curve" else "--flow"
        with log_of_a_process():
            return run(name, *COMMANDS[name].split(), flow, "codec", *others)

    return in_a_process


@pytest.mark.parametrize("command", COMMANDS)
def test_a_warning_is_shown_once_and_not_with_quiet(call: Call, command: str) -> None:
    loud, quiet = call(command), call(command, "--quiet")
    assert (loud.code, loud.err.count(OF_B_FRAMES), loud.err.count("\n")) == (0, 1, 1)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_quiet_leaves_errors(call: Call) -> None:
    ended = call("run", "--quiet", "--interval", "0")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("error: ")


def test_json_logs_are_whole_with_quiet_too(call: Call) -> None:
    ended = call("run", "--quiet", "--log", "json")
    (entry,) = [json.loads(line) for line in ended.err.splitlines() if "B-frames" in line]
    assert (ended.code, ended.out, entry["level"]) == (0, "", "warning")


def test_warnings_are_the_same_whatever_frame_they_are_of(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("keywarp.x")
    with warnings_once():
        for _ in range(2):
            for flow, frame in (("a2", 1), ("a3", 1), ("a2", 7)):
                log.warning("flow '%s' is broken on frame %d", flow, frame)
            log.warning("%s", ValueError("one"))
            log.warning("%s", ValueError("two"))
            log.warning("100 %")
            log.error("flow '%s' is wrong", "a2")
    assert caplog.messages == [
        "flow 'a2' is broken on frame 1",
        "flow 'a3' is broken on frame 1",
        "one",
        "two",
        "100 %",
        "flow 'a2' is wrong",
        "flow 'a2' is wrong",
    ]
    log.warning("100 %")
    assert caplog.messages[-1] == "100 %"
