from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from keywarp.engines.errors import SinkError
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.sinks.png import PngSink
from keywarp.pipeline.sources.parse import open_source

from .stream import make_info, make_packet, make_packets, run_sink


def test_pictures_are_the_labels_under_the_frame_s_index(tmp_path: Path) -> None:
    packets = [make_packet(0, 0), make_packet(41, 100, size=(33, 17))]
    run_sink(PngSink(tmp_path / "labels"), packets)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000000.png", "000041.png"]
    with av.open(str(tmp_path / "labels" / "000041.png")) as container:  # not by OpenCV, which wrote it
        frame = next(container.decode(video=0))
    assert frame.format.name == "gray"
    assert np.array_equal(frame.to_ndarray(), packets[1][SEGMENTATION].labels)


@pytest.mark.parametrize("size", [None, (32, 24)])
@pytest.mark.parametrize("place", ["shots", "shots/*.png", "*/0*.png", "shots/000000.png"])
def test_the_source_s_pictures_are_never_replaced(
    tmp_path: Path, place: str, size: tuple[int, int] | None
) -> None:
    for folder in (tmp_path / "other", tmp_path / "shots"):
        run_sink(PngSink(folder), make_packets(2))
    (tmp_path / "link").symlink_to(tmp_path / "shots")
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*.png")}
    source = open_source(str(tmp_path / place), size=size)
    info = source.open()
    source.close()
    for folder in (tmp_path / "shots", tmp_path / "link"):
        with pytest.raises(SinkError, match=r"would replace pictures of the source .*; give another folder"):
            run_sink(PngSink(folder), [make_packet(1, 0)], info)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*.png")} == before


def test_a_folder_in_the_source_s_or_around_a_film_is_fine(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    for folder, source in ((tmp_path / "labels", tmp_path), (tmp_path, tmp_path / "film.mp4")):
        sink = PngSink(folder)
        run_sink(sink, make_packets(1), make_info(paths=(source,)))
        assert sink.written == 1
