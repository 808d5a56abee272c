from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.errors import SinkError, UsageError
from keywarp.pipeline.sinks.loopback import LoopbackSink, _packed, format_for
from keywarp.pipeline.sinks.parse import make_sink

from .stream import make_info, make_packet

linux = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


@linux
def test_a_device_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    sink = make_sink(f"v4l2:{tmp_path / 'video10'}")
    with pytest.raises(SinkError, match=r"there is no device .*modprobe v4l2loopback"):
        sink.open(make_info())
    sink.close()
    sink.close()


@linux
def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "video10").touch()
    sink = LoopbackSink(tmp_path / "video10")
    with pytest.raises(SinkError, match=r"is no video output, or is in use as one \(inappropriate ioctl"):
        sink.open(make_info())
    sink.close()


def test_other_systems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="works on Linux only, not on darwin"):
        make_sink("v4l2:/dev/video10")


def test_the_format_is_as_the_kernel_has_it() -> None:
    content = bytes(format_for((640, 360)))
    assert len(content) == {8: 208, 4: 204}[struct.calcsize("P")]
    assert int.from_bytes(content[:4], sys.byteorder) == 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
    picture = content[struct.calcsize("P") :]
    assert struct.unpack("=II4sIII", picture[:24]) == (640, 360, b"YU12", 1, 640, 640 * 360 * 3 // 2)


def test_planes_follow_one_another_without_padding() -> None:
    packet = make_packet(4, 0, size=(33, 17))
    data = np.frombuffer(_packed(packet.frame.picture, (32, 16)), np.uint8)
    assert data.size == 32 * 16 * 3 // 2
    assert set(data[: 32 * 16]) == {60}
    assert set(data[32 * 16 :]) == {128}
