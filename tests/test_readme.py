"""The README and the docs: every command and every Python block in them is run, or at least parsed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

from keywarp.models.card import BUNDLED
from keywarp.models.datasets import labels_beside, parse_data
from keywarp.pipeline.cli import main
from keywarp.pipeline.cli.app import app
from keywarp.pipeline.cli.main import with_default_serve

from .pipeline.labelled import mixed, write_chairs, write_labels, write_pairs
from .pipeline.sources.films import pictures, write_film

ROOT = Path(__file__).parents[1]
TEXTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = ("bash", "sh", "shell", "console")
# What needs a device, a network or many minutes is parsed only.
_RUNS = ("run", "demo", "models", "doctor", "complexity", "eval", "curve")


@dataclass(frozen=True, slots=True)
class Piece:
    """A command line or a block of Python, and where it stands."""

    text: str
    place: str


def _blocks(*kinds: str) -> list[Piece]:
    found = []
    for path in TEXTS:
        content = path.read_text()
        for match in _BLOCK.finditer(content):
            line = content.count("\n", 0, match.start()) + 2
            if match[1] in kinds:
                found.append(Piece(match[2], f"{path.name}:{line}"))
    return found


def _commands(program: str) -> list[Piece]:
    """The command lines of ``program`` in all shell blocks: no prompt, continued lines joined."""
    found = []
    for block in _blocks(*_SHELL):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and Path(words[0]).name == program:
                found.append(Piece(shlex.join(words[1:]), block.place))
    return found


def _mentions() -> list[Piece]:
    """Commands named in running text, which may leave out what is required, and those on model cards."""
    inline = re.compile(r"`keywarp ([a-z][^`]*)`")
    found = [
        Piece(" ".join(text.split()), path.name)
        for path in TEXTS
        for text in inline.findall(_BLOCK.sub("", path.read_text()))
    ]
    for card in sorted(BUNDLED.glob("*.json")):
        command = json.loads(card.read_text())["provenance"]["command"]
        found += [Piece(part, card.name) for part in re.findall(r"keywarp ([a-z][^;&|]*)", command)]
    return found


def _params(pieces: list[Piece]) -> list[Any]:
    return [pytest.param(piece.text, id=f"{piece.place} {piece.text[:40]}") for piece in pieces]


def _parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command and its arguments as typer understands them; raises what it would tell the user."""
    group: Any = typer.main.get_command(app)
    words = with_default_serve(words)
    with group.make_context("keywarp", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        with command.make_context(name, rest, parent=context) as inner:
            return str(name), dict(inner.params)


def test_there_is_something_to_check() -> None:
    assert {"README.md"} <= {piece.place.partition(":")[0] for piece in _commands("keywarp")}
    assert {"demo", "test"} <= {piece.text for piece in _commands("make")}
    assert _blocks("python")


@pytest.mark.parametrize("line", _params(_commands("keywarp")))
def test_every_command_is_understood(line: str) -> None:
    _parse(shlex.split(line))


@pytest.mark.parametrize("line", _params(_mentions()))
def test_every_command_that_is_mentioned_exists_with_its_options(line: str) -> None:
    name, *words = line.split()
    group: Any = typer.main.get_command(app)
    assert name in group.commands
    accepted = {option for parameter in group.commands[name].params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= accepted


@pytest.mark.parametrize("line", _params(_commands("make")))
def test_every_make_target_exists(line: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("needs make (apt install make)")
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a small ``clip.mp4`` in it, its labels, and a labelled split ``camvid/test``."""
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "clip.mp4", pictures(4, (160, 96)))
    write_labels(tmp_path / "clip_labels", [mixed(index, (160, 96)) for index in range(4)])
    write_pairs(tmp_path / "camvid" / "test", [mixed(index) for index in range(2)])
    return tmp_path


def _is_cheap(name: str, arguments: dict[str, Any]) -> bool:
    needs_a_device = any(map(_is_device, arguments.get("sources") or ()))
    needs_more = any(text == "window" or "://" in text for text in arguments.get("sink") or ())
    goes_on = arguments.get("serve") is not None
    return name in _RUNS and not needs_a_device and not needs_more and not goes_on


def _is_device(source: str) -> bool:
    return source.isdecimal() or source.startswith(("/dev/", "gst:", "csi:")) or "://" in source


def _provide(source: str) -> None:
    """The film or the pictures that a command asks for."""
    if source.startswith("street:") or Path(source).exists():
        return
    place = Path(source)
    if place.suffix in (".mp4", ".mov", ".mkv"):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_film(place, pictures(4, (160, 96)))
        return
    pattern = place if place.suffix else place / "*.png"
    pattern.parent.mkdir(parents=True, exist_ok=True)
    for index in range(2):
        picture = np.full((48, 64, 3), 100 * index, np.uint8)
        cv2.imwrite(str(pattern).replace("*", f"{index}"), picture)


def _provide_labelled(data: str | None, split: str | None, sequence: str | None, labels: Path | None) -> None:
    """The pictures, frames, label maps and flows that an evaluation asks for."""
    kind, _, place_of_data = (data or "").partition(":")
    if kind == "chairs":
        write_chairs(Path(place_of_data), [(3, 4)])
    elif data is not None and kind != "street":
        write_pairs(parse_data(data)[1] / (split or ""), [mixed(index) for index in range(2)])
    if sequence is not None:
        place, frames = Path(sequence), 10
        folder = labels or labels_beside(place.with_suffix(""))
        write_labels(folder, [mixed(index, (160, 96)) for index in range(frames)])
        if place.suffix:
            write_film(place, pictures(frames, (160, 96)))
        else:
            write_labels(place, pictures(frames, (160, 96)))


@pytest.mark.parametrize("line", _params(_commands("keywarp")))
def test_every_command_that_needs_no_device_works(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line)
    name, arguments = _parse(words)
    if not _is_cheap(name, arguments):
        pytest.skip("needs a camera, a network, a screen or hours: it was parsed only")
    if name == "demo":
        words += ["--seconds", "1"]
    if name == "run":
        for source in arguments["sources"]:
            _provide(source)
        words = ["street:length=4,size=160x96" if word == "street:" else word for word in words]
    if name == "eval":
        _provide_labelled(*(arguments[key] for key in ("data", "split", "sequence", "labels")))
    if name == "curve":
        _provide(arguments["video"])
    if arguments.get("config") and arguments["config"].endswith((".yaml", ".yml")):
        Path(arguments["config"]).write_text("interval: 5\n")
    monkeypatch.setattr(sys, "argv", ["keywarp", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capfd.readouterr()
    assert (ended.value.code or 0) == 0, captured.err
    for text in arguments.get("sink") or ():
        if text != "null" and not text.endswith(":-"):
            assert Path(text.removeprefix("png:").removeprefix("jsonl:")).exists()
    if arguments.get("report") is not None:
        assert json.loads(Path(arguments["report"]).read_text())["frames"]["out"] > 0
    if name == "eval" and arguments["json"] is not None:
        found = json.loads(Path(arguments["json"]).read_text())
        assert found["sets"] if "sets" in found else 0 <= found["miou"] <= 1
    if name == "curve":
        assert json.loads((arguments["out"] / "curve.json").read_text())["points"]


@pytest.mark.parametrize("code", _params(_blocks("python")))
def test_every_python_block_runs(code: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README", "exec"), {"__name__": "__main__"})


_LINKS = [
    pytest.param(path.parent / target, id=f"{path.name} {target}")
    for path in TEXTS
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
]


@pytest.mark.parametrize("target", _LINKS)
def test_every_link_to_a_file_leads_to_one(target: Path) -> None:
    assert target.exists()
