"""keywarp against what a user would write: decode, network on every frame, overlay, encode, in one loop.

Both get the same decoder, encoder (x264, same preset and crf), frame size, network, engine and threads.

    python -m benchmarks.plain_loop [SOURCE] [--repeats 5] [--size 640x360] [--presets veryfast]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import av
import cv2
import numpy as np

from keywarp.engines.base import NetworkSource
from keywarp.engines.openvino_ import OpenVinoEngine
from keywarp.models.card import find_card, part_path, read_card
from keywarp.models.input_size import choose_input_size
from keywarp.models.labels import CAMVID
from keywarp.pipeline.config import parse_size
from keywarp.pipeline.run import Run
from keywarp.pipeline.threads import ThreadBudget

from .common import OUT, alternate, default_clip, heading, median

CRF = 23


def measure(
    kind: str, source: str, size: tuple[int, int] | None, preset: str | None, threads: int | None = None
) -> dict[str, Any]:
    """Frames per second of one whole pass; ``kind`` is plain, features or result, ``preset`` None: no encoder."""
    if kind == "plain":
        return _plain(source, size, preset, ThreadBudget.divide(threads))
    return _pipeline(kind, source, size, preset, threads)


def _pipeline(
    level: str, source: str, size: tuple[int, int] | None, preset: str | None, threads: int | None
) -> dict[str, Any]:
    sink = "null:overlay" if preset is None else str(OUT / f"{level}.mp4")
    run = Run(
        source,
        level=level,
        interval=10,
        size=size,
        threads=threads,
        engine="openvino",
        sinks=[sink],
        encoder={"name": f"libx264:{preset or 'veryfast'}", "crf": CRF},
    )
    start_ns = 0
    for packet in run:
        start_ns = start_ns or packet.spans[0].start_ns
    wall_s = (time.perf_counter_ns() - start_ns) / 1e9
    return {"fps": run.timing.frames_out / wall_s, "frames": run.timing.frames_out}


def _plain(
    source: str, size: tuple[int, int] | None, preset: str | None, threads: ThreadBudget
) -> dict[str, Any]:
    cv2.setNumThreads(threads.opencv)
    video = av.open(source)
    stream = video.streams.video[0]
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = threads.decoder
    width, height = size or (stream.codec_context.width, stream.codec_context.height)
    card_path = find_card("enet")
    card = read_card(card_path)
    network_size = choose_input_size(card.input, (width, height), None)
    shape = {"image": (1, network_size[1], network_size[0], 3)}
    network = NetworkSource("enet", part_path(card, card_path, "key"))
    plan = OpenVinoEngine().compile(network, shape, outputs=("labels",))
    session = plan.session(threads=threads.engine)
    session.infer({"image": np.zeros(shape["image"], np.uint8)})
    colors = CAMVID.palette_bgr()[:, np.newaxis]
    output = None
    if preset is not None:
        OUT.mkdir(parents=True, exist_ok=True)
        output = av.open(str(OUT / "plain.mp4"), "w")
        encoder = output.add_stream(
            "libx264", rate=stream.average_rate, options={"preset": preset, "crf": str(CRF)}
        )
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        assert stream.time_base is not None
        encoder.codec_context.time_base = stream.time_base
        encoder.codec_context.thread_count = threads.encoder
    frames = 0
    start_s = time.perf_counter()
    for frame in video.decode(stream):
        picture = frame.to_ndarray(format="bgr24", width=width, height=height)
        image = picture if network_size == (width, height) else cv2.resize(picture, network_size)
        labels = session.infer({"image": image[np.newaxis]})["labels"][0]
        if labels.shape != (height, width):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        overlay = cv2.addWeighted(picture, 0.5, cv2.applyColorMap(labels, colors), 0.5, 0)
        if output is not None:
            encoded = av.VideoFrame.from_ndarray(overlay, format="bgr24")
            encoded.pts, encoded.time_base = frame.pts, frame.time_base
            output.mux(encoder.encode(encoded))
        frames += 1
    if output is not None:
        output.mux(encoder.encode(None))
        output.close()
    wall_s = time.perf_counter() - start_s
    video.close()
    return {"fps": frames / wall_s, "frames": frames}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=default_clip())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--presets", default="veryfast,none")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    size = None if options.size == "source" else parse_size(options.size)
    heading(f"plain loop against keywarp, interval 10: {options.source} at {options.size}")
    for preset in options.presets.split(","):
        shared = {
            "source": options.source,
            "size": size,
            "preset": None if preset == "none" else preset,
            "threads": options.threads,
        }
        runs = {
            kind: ("benchmarks.plain_loop", {"kind": kind, **shared})
            for kind in ("plain", "features", "result")
        }
        results = alternate(runs, options.repeats)
        base = median(results["plain"], "fps")
        for kind, each in results.items():
            fps = median(each, "fps")
            print(f"{preset:>10} {kind:>9}: {fps:7.1f} frames/s = {fps / base:.2f} x plain")


if __name__ == "__main__":
    main()
