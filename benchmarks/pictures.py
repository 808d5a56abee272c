"""A sheet of real clips: a key frame of each, and what is carried to the frames after it. Needs no labels.

python -m benchmarks.pictures CLIP... [--out out/clips.jpg] [--model enet] [--level features] [--ages 0,2,5,9]
    [--start 10]
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import numpy as np

from keywarp.models.labels import CAMVID
from keywarp.pipeline.evaluation.board import Board, draw_legend, legend_rows
from keywarp.pipeline.evaluation.panels import resized
from keywarp.pipeline.evaluation.sheet import write_sheet
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, SEGMENTATION
from keywarp.pipeline.picture import Pixels
from keywarp.pipeline.run import Run
from keywarp.pipeline.stages.style import KEY, QUIET

WIDTH_PX, HEIGHT_PX, GAP_PX, MARGIN_PX, TEXT_PX = 320, 180, 6, 24, 15


def overlays(
    clip: str, model: str, level: str, start: int, ages: list[int]
) -> tuple[list[Pixels], frozenset[int]]:
    """The overlay of the frames at ``ages`` after the key frame ``start``, and the classes in sight."""
    settings = {"legend": False, "hud": False, "opacity": 0.6}
    run = Run(
        clip, models=[model], level=level, interval=max(ages) + 1, overlay=settings, sinks=["null:overlay"]
    )
    # The first key frame from ``start`` on.
    first = -(-start // (max(ages) + 1)) * (max(ages) + 1)
    found, classes = list[Pixels](), set[int]()
    with closing(run.__iter__()) as packets:  # type: ignore[type-var]
        for number, packet in enumerate(packets):
            if number - first in ages:
                assert packet[PROPAGATION].age == number - first
                found.append(packet[OVERLAY].bgr)
                classes |= set(np.unique(packet[SEGMENTATION].labels).tolist())
            if number == first + max(ages):
                break
    return found, frozenset(classes)


def sheet(clips: list[str], model: str, level: str, start: int, ages: list[int]) -> Pixels:
    """(H, W, 3) uint8 BGR: a row a clip, a column an age."""
    width = 2 * MARGIN_PX + len(ages) * (WIDTH_PX + GAP_PX)
    legend = legend_rows(CAMVID, TEXT_PX, width - 2 * MARGIN_PX)
    row_px = HEIGHT_PX + GAP_PX + 2 * TEXT_PX
    top = MARGIN_PX + 2 * TEXT_PX
    bottom = top + len(clips) * row_px
    board = Board((width, bottom + 2 * TEXT_PX * len(legend) + MARGIN_PX))
    for column, age in enumerate(ages):
        name = f"+{age} frames" if age else "key frame"
        place = (MARGIN_PX + column * (WIDTH_PX + GAP_PX), MARGIN_PX)
        board.text(place, name, TEXT_PX, QUIET if age else KEY)
    present = frozenset[int]()
    for row, clip in enumerate(clips):
        found, classes = overlays(clip, model, level, start, ages)
        present |= classes
        for column, pixels in enumerate(found):
            place = (MARGIN_PX + column * (WIDTH_PX + GAP_PX), top + row * row_px)
            height, width_px = pixels.shape[:2]
            board.picture(
                place, resized(pixels, (min(WIDTH_PX, round(HEIGHT_PX * width_px / height)), HEIGHT_PX))
            )
        board.text((MARGIN_PX, top + row * row_px + HEIGHT_PX + 4), Path(clip).stem, TEXT_PX, QUIET)
    draw_legend(board, (MARGIN_PX, bottom + TEXT_PX), CAMVID, legend, present, TEXT_PX)
    return board.pixels


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("out/clips.jpg"))
    parser.add_argument("--level", default="features")
    parser.add_argument("--model", default="enet")
    parser.add_argument("--ages", default="0,2,5,9")
    parser.add_argument("--start", type=int, default=10)
    options = parser.parse_args()
    ages = [int(age) for age in options.ages.split(",")]
    write_sheet(options.out, sheet(options.clips, options.model, options.level, options.start, ages))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
