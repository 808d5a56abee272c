"""Keywarp's own kernels against the engine and OpenCV: the network's parts, whole frames of a model, steps of flow.

    python -m benchmarks.fused [--size 640x360] [--repeats 40]

Calls alternate, so that a core that is taken away is taken from all. `warp_head`: features warped along a smooth
flow, and labels. `key`: a full run with its labels. `kernel`: each instruction set that this processor has.
`lk`, `dis`: a step between two drawn frames whose brightness is at hand, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from statistics import median

import cv2
import numpy as np

from keywarp.engines.build import get_engine
from keywarp.flow.base import KeyFlow
from keywarp.flow.build import make_step_estimator
from keywarp.flow.scenes.street import StreetScene
from keywarp.models.base import Setup
from keywarp.models.build import load_model
from keywarp.models.card import find_card, part_path, read_card
from keywarp.models.fused import FusedHead, kernels
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture

from .common import heading

Calls = dict[str, Callable[[], object]]


def model_calls(size: tuple[int, int], threads: int) -> Calls:
    """Key and propagated frames of ENet, by the engine and by the kernels."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8), size)[np.newaxis]
    field = cv2.resize(rng.normal(scale=3, size=(9, 16, 2)).astype(np.float32), (96, 64))
    flow = KeyFlow(field, np.ones(field.shape[:2], np.bool_), 1)
    calls: Calls = {}
    for name, fused in (("engine", False), ("fused", True)):
        model = load_model("enet")
        model.open(Setup(get_engine("openvino"), threads=threads, fused=fused), size)
        key = model.features(image)
        calls[f"warp_head, {name}"] = lambda model=model, key=key: model.propagate(key, flow)  # type: ignore[misc]
        calls[f"key, {name}"] = lambda model=model: model.features(image)  # type: ignore[misc]
    return calls


def kernel_calls(size: tuple[int, int], threads: int) -> Calls:
    """The kernels alone, by instruction set."""
    path = find_card("enet")
    card = read_card(path)
    grid = size[0] // 2, size[1] // 2
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 16, *grid[::-1])).astype(np.float32)
    flow = cv2.resize(rng.normal(scale=3, size=(9, 16, 2)).astype(np.float32), grid)
    calls: Calls = {}
    for kernel in kernels():
        head = FusedHead.of_part(part_path(card, path, "warp_head"), 11, 16, grid, threads=threads)
        assert head is not None
        head.kernel = kernel
        packed = head.pack(features)
        calls[f"kernel {kernel}"] = lambda head=head, packed=packed: head.warped(packed, flow)  # type: ignore[misc]
    return calls


def flow_calls(size: tuple[int, int]) -> Calls:
    """Steps of flow by gradients, by OpenCV and by the kernels."""
    scene = StreetScene(size=size, rate=15, length=2, seed=1)
    frames = [Frame(n, n, Fraction(1, 15), 0, Picture.from_bgr(scene.frame(n).bgr)) for n in (0, 1)]
    calls: Calls = {}
    for name in ("lk:quick", "lk", "lk:fine"):
        for by, fused in (("OpenCV", False), ("kernels", True)):
            flow = make_step_estimator(name, fused=fused)
            calls[f"{name}, {by}"] = lambda flow=flow: flow.step(*frames)  # type: ignore[misc]
    dis = make_step_estimator("dis")
    return {**calls, "dis": lambda: dis.step(*frames)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    size = width, height
    cv2.setNumThreads(1)
    heading(f"OpenVINO f32 and OpenCV, and keywarp's kernels, ENet and flow at {options.size}; medians, ms")
    for threads in (1, 2):
        calls = {**model_calls(size, threads), **kernel_calls(size, threads), **flow_calls(size)}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.repeats):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name].append(1e3 * (time.perf_counter() - start))
        print(f"{threads} thread{'s' if threads > 1 else ''}:")
        for name, found in times.items():
            print(f"    {name:20} {median(found):7.2f}")


if __name__ == "__main__":
    main()
