"""keywarp as a service: real processes, ended by signals, and what they leave behind."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import pytest
import typer

from keywarp.pipeline.cli.app import app
from keywarp.pipeline.logs import JsonFormatter, use_json_logs, without_secrets
from keywarp.pipeline.run import Run

from .forks import Forks, forks
from .page.feeder import Feeder, ask, page, wait_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOKEN = "a token of these tests"
RUNS = 50
SIDE_BY_SIDE = 2
ARGUMENTS = (
    "run", "street:live=1,length=endless,size=192x112", "--model", "enet", "--size", "192x112",
    "--interval", "10", "--threads", "1", "--quiet",
)  # fmt: skip

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process on Windows as it is")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that was told to end."""

    code: int
    stop_s: float
    error: str


def run_until(
    arguments: list[str], folder: Path, after_s: float, first: Path, number: int = signal.SIGTERM
) -> Ended:
    """Run keywarp in ``folder``; ``after_s`` after ``first`` was begun to be written, send a signal."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "keywarp", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline_s = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline_s and not _has_begun(first):
        time.sleep(0.02)
    time.sleep(after_s)
    start_s = time.monotonic()
    process.send_signal(number)
    try:
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
    return Ended(process.returncode, time.monotonic() - start_s, error)


def fork_until(
    runs: Forks, arguments: list[str], folder: Path, after_s: float, first: Path, number: int
) -> Ended:
    """As :func:`run_until`, without the seconds that imports take."""
    folder.mkdir(parents=True)
    runs.start(arguments, folder, folder / "error.txt")
    deadline_s = time.monotonic() + 60
    while runs.is_running() and time.monotonic() < deadline_s and not _has_begun(first):
        time.sleep(0.02)
    time.sleep(after_s)
    start_s = time.monotonic()
    runs.signal(number)
    code = runs.wait()
    return Ended(code, time.monotonic() - start_s, (folder / "error.txt").read_text())


def _has_begun(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def frames_in(path: Path) -> int:
    """How many frames a file plays."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@posix
@pytest.mark.slow
@pytest.mark.timeout(400)  # 70 s on two cores at rest
def test_a_signal_at_any_moment_leaves_every_frame_that_was_reported(tmp_path: Path) -> None:
    chance = random.Random(0)
    moments_s = [chance.uniform(0, 1) for _ in range(RUNS)]
    sinks = ("film.mp4", "lines.jsonl", "record:clips,minutes=0.005")  # a file every 0.3 s
    arguments = [
        *ARGUMENTS,
        *(word for sink in sinks for word in ("--sink", sink)),
        "--report",
        "report.json",
    ]

    def some(numbers: range) -> list[tuple[int, Ended, Path]]:
        found: list[tuple[int, Ended, Path]] = []
        with forks("keywarp.pipeline.cli.run", "openvino") as runs:
            for number in numbers:
                folder = tmp_path / str(number)
                kind = signal.SIGTERM if number % 2 else signal.SIGINT
                ended = fork_until(runs, arguments, folder, moments_s[number], folder / "lines.jsonl", kind)
                found.append((kind, ended, folder))
        return found

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        shares = pool.map(some, [range(first, RUNS, SIDE_BY_SIDE) for first in range(SIDE_BY_SIDE)])
        results = [each for share in shares for each in share]
    assert len(results) == RUNS
    played = 0
    for kind, ended, folder in results:
        assert ended.code == 128 + kind, ended.error
        figures = json.loads((folder / "report.json").read_text())["frames"]
        out, missed = figures["out"], figures.get("missed", {})
        assert out > 0
        assert figures["in"] == out + figures["dropped"]
        assert frames_in(folder / "film.mp4") == out - missed.get("mp4", 0)
        clips = sorted((folder / "clips").iterdir())
        assert sum(map(frames_in, clips)) == out - missed.get("record", 0)
        lines = (folder / "lines.jsonl").read_text().splitlines()
        assert len([json.loads(line) for line in lines]) == out - missed.get("jsonl", 0)
        played += out
    slowest_s = max(ended.stop_s for _, ended, _ in results)
    print(f"{played} frames, {SIDE_BY_SIDE} processes at a time: the slowest end took {slowest_s:.2f} s")
    assert slowest_s < 2.0


@posix
def test_an_end_does_not_wait_for_servers_that_never_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        place = f"webhook:http://me:hidden@127.0.0.1:{port}/secret?key=hidden"
        arguments = [*ARGUMENTS, "--sink", place, "--sink", "lines.jsonl", "--log", "json"]
        ended = run_until(arguments, tmp_path, 0.5, tmp_path / "lines.jsonl")
    assert ended.code == 143
    assert ended.stop_s < 4  # 1.5 s for the server, on a machine at rest
    assert "hidden" not in ended.error


def test_outputs_of_a_live_run_leave_one_another_alone(tmp_path: Path) -> None:
    """A server that never answers, and a recording that goes on and off, beside a film."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = Run(
            "street:live=1,length=endless,size=192x112",
            sinks=(
                str(tmp_path / "film.mp4"),
                f"record:{tmp_path / 'clips'},off",
                f"webhook:http://127.0.0.1:{silent.getsockname()[1]}/",
                f"snapshot:{tmp_path / 'shots'},every=500ms",
            ),
        )
        start_s = 0.0
        for number, _ in enumerate(run):
            if number in (20, 40):
                run.controls.change({"recording": number == 20})
            if number == 60:
                start_s = time.monotonic()
                run.stop()
    assert time.monotonic() - start_s < 4  # 1 s for the server
    frames = run.report()["frames"]
    film, record, webhook, snapshot = run.sinks
    assert frames["in"] == frames["out"] + frames["dropped"]
    assert frames_in(tmp_path / "film.mp4") == film.written == frames["out"] - film.missed > 30
    (clip,) = (tmp_path / "clips").iterdir()
    assert 10 <= frames_in(clip) == record.written <= 30
    assert (webhook.written, webhook.missed) == (0, 0)
    assert f"{frames['out']} of {frames['out']} records were not sent" in webhook.notes[0]
    assert len(list((tmp_path / "shots").iterdir())) >= 3
    assert snapshot.notes == []


@posix
def test_logs_are_lines_of_json_without_secrets(tmp_path: Path) -> None:
    place = "webhook:http://me:hidden@127.0.0.1:9/secret?key=hidden"
    arguments = [*ARGUMENTS, "--sink", place, "--sink", "lines.jsonl", "--log", "json"]
    ended = run_until(arguments, tmp_path, 0.5, tmp_path / "lines.jsonl")
    entries = [json.loads(line) for line in ended.error.splitlines() if line]
    (warning,) = [entry for entry in entries if "webhook" in entry["message"]]
    assert warning["message"].startswith("webhook http://127.0.0.1:9 does not take records: ")
    assert warning["level"] == "warning"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", warning["time"])
    assert "hidden" not in ended.error


def test_json_logs_replace_what_was_there() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        stream = StringIO()
        use_json_logs(stream=stream)
        logging.getLogger("keywarp.x").info("opened %s", "rtsp://a:b@host/path?token=1")
        try:
            raise ValueError("password=hunter2 was wrong")
        except ValueError:
            logging.getLogger("keywarp").exception("that failed\nover two lines")
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "opened rtsp://***@host/path?***"
    assert (first["level"], first["logger"]) == ("info", "keywarp.x")
    assert "ValueError" in second["error"]
    assert "hunter2" not in second["error"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain text, no URL: 3/4", "plain text, no URL: 3/4"),
        ("mqtt://me:pw@host:1883/topic", "mqtt://***@host:1883/topic"),
        ("'http://host/a?key=1&b=2' failed", "'http://host/a?***' failed"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("token=abc, next", "token=***, next"),
        ("KEYWARP_TOKEN=abc", "KEYWARP_TOKEN=***"),
        ("{'token': 'a b', 'port': 1}", "{'token': ***, 'port': 1}"),
        ('"password":"x"', '"password":***'),
        ("rtsp://me:p@ss@host/x", "rtsp://***@host/x"),
        ("rtsp://me:p/w@host/x", "rtsp://***@host/x"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_what_may_be_a_secret_is_taken_out(text: str, seen: str) -> None:
    assert without_secrets(text) == seen


def test_a_record_that_is_no_text_is_written_all_the_same() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s\x00\ud800", ("ä",), None)
    assert json.loads(JsonFormatter().format(record))["level"] == "error"


def commands_in(text: str) -> list[list[str]]:
    """The command lines of keywarp in a unit or a container's file."""
    joined = text.replace("\\\n", " ")
    found = [
        shlex.split(match[1]) for match in re.finditer(r"^ExecStart=\S*keywarp (.*)$", joined, re.MULTILINE)
    ]
    for match in re.finditer(r"^(?:CMD|ENTRYPOINT) (\[.*\])$", joined, re.MULTILINE):
        words: list[Any] = json.loads(match[1])
        found.append(words[1:] if words[0] == "keywarp" else words)
    return [words for words in found if words]


@pytest.mark.parametrize("file", ["keywarp.service", "Containerfile"])
def test_commands_of_the_service_files_are_understood(file: str) -> None:
    commands = commands_in((DEPLOY / file).read_text())
    assert commands
    commands_by_name = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, *rest in commands:
        with commands_by_name[name].make_context(name, rest) as context:
            assert context.params["serve"]


@pytest.mark.parametrize(
    ("state", "token", "is_healthy"),
    [("live", TOKEN, True), ("lost", TOKEN, False), ("lost", None, True), ("live", "not the token", True)],
)
def test_the_health_check_of_the_container(state: str, token: str | None, is_healthy: bool) -> None:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name != "KEYWARP_TOKEN"}
    with page(Feeder(health={"state": state}), token=TOKEN) as (sink, _):
        port = str(urlsplit(sink.url).port)
        _, *words = json.loads(command.replace("8080", port))
        wait_for(
            lambda: (
                ask(sink.url, "/report", headers={"Authorization": f"Bearer {TOKEN}"})[2].find(b'"health"')
                > 0
            )
        )
        done = subprocess.run(
            [sys.executable, *words],
            env=environment | ({} if token is None else {"KEYWARP_TOKEN": token}),
            timeout=30,
            check=False,
        )
    assert (done.returncode == 0) == is_healthy


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd"
)
def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / "keywarp.service"
    text = (DEPLOY / "keywarp.service").read_text()
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "keywarp" in line]
    assert ours == [], done.stderr
