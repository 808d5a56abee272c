"""Frames of films to train on; no labels are needed where another network teaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError


def film_frames(path: Path, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video file, (H, W, 3) uint8 BGR, scaled to ``size`` (width, height).

    Raises UsageError for a file that cannot be read as a film to its end.
    """
    if not path.is_file():
        raise UsageError(
            f"film '{path}' {'is no file' if path.exists() else 'does not exist'}; give a video file"
        )
    width, height = size
    wrong = "is no video, or damaged from the start; give a video file that FFmpeg can read, such as .mp4"
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UsageError(f"'{path}' has no pictures in it; give a video file")
            wrong = "is damaged, or was cut off: it cannot be decoded to its end; get another copy"
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                pixels = frame.reformat(width, height, "bgr24", interpolation="AREA").to_ndarray()
                yield np.asarray(pixels, np.uint8)
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            wrong = "may not be read by this user; change its permissions (chmod +r)"
        raise UsageError(f"film '{path}' {wrong}") from error
