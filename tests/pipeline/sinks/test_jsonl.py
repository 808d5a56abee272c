from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from keywarp.engines.errors import SinkError
from keywarp.pipeline.sinks.jsonl import JsonLinesSink

from .stream import make_info, make_packet, make_packets, run_sink


def test_a_line_says_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    run_sink(JsonLinesSink(path), [make_packet(0, 7), make_packet(6, 240, size=(100, 50))])
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["index"], first["pts"], first["time_s"], first["key"]) == (0, 7, 0.007, True)
    classes = second.pop("classes")
    assert second == {
        "index": 6,
        "pts": 240,
        "time_s": 0.24,
        "key": False,
        "key_age": 2,
        "key_index": 4,
        "frozen": False,
    }
    assert (classes["road"], classes["car"], classes["sky"]) == (0.9, 0.1, 0.0)


def test_a_live_stream_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.open(make_info(live=True))
    sink.process(make_packet(0, 0))
    assert path.read_text().endswith("\n")
    sink.close()


def test_live_frames_have_their_time_of_day_and_their_latency(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    packet = make_packet(0, 0)
    packet.frame = replace(packet.frame, capture_ns=time.perf_counter_ns() - 2 * 10**9, frozen=True)
    packet.ready_ns = packet.frame.capture_ns + 12_340_000
    run_sink(JsonLinesSink(path), [packet], make_info(live=True))
    line = json.loads(path.read_text())
    captured = datetime.fromisoformat(line["capture_time"].replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - captured).total_seconds() - 2) < 1
    assert (line["latency_ms"], line["frozen"]) == (12.34, True)


def test_standard_output_gets_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run_sink(JsonLinesSink("-"), make_packets(3))
    assert [json.loads(line)["index"] for line in capfdbinary.readouterr().out.splitlines()] == [0, 1, 2]


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes (Linux, macOS)")
    os.mkfifo(path)
    with pytest.raises(SinkError, match="is a pipe, not a file; give a file"):
        run_sink(JsonLinesSink(path), make_packets(1))


_FILL = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from stream import make_packets, run_sink
from keywarp.pipeline.sinks.jsonl import JsonLinesSink
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
run_sink(JsonLinesSink(sys.argv[1]), make_packets(100))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a system with file size limits")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", _FILL, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(line)["index"] for line in lines] == list(range(len(lines)))
    assert lines[-1].endswith("\n")
    assert f"the disk is full; {len(lines)} lines were kept" in done.stderr
