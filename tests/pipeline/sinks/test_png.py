from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.sinks.png import PngSink

from .stream import make_packet, run_sink


def test_pictures_are_the_labels_under_the_frame_s_index(tmp_path: Path) -> None:
    packets = [make_packet(0, 0), make_packet(41, 100, size=(33, 17))]
    run_sink(PngSink(tmp_path / "labels"), packets)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000000.png", "000041.png"]
    with av.open(str(tmp_path / "labels" / "000041.png")) as container:  # not by OpenCV, which wrote it
        frame = next(container.decode(video=0))
    assert frame.format.name == "gray"
    assert np.array_equal(frame.to_ndarray(), packets[1][SEGMENTATION].labels)
