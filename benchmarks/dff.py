"""Deep Feature Flow with its own feature network: ResNet-50 on key frames only, against ResNet-50 on every frame.

The whole program: decoding, network, propagation, overlay, x264 veryfast. The networks have random weights, which
run as fast as trained ones; the flow network's scale map is for the 1024 features of the ResNet.

    python -m benchmarks.dff [SOURCE] [--repeats 3] [--interval 10] [--flows lk,codec,flownet-inception]
        [--network resnet-50] [--frames 100] [--threads N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from keywarp.pipeline.config import parse_size
from keywarp.pipeline.run import Run

from .common import OUT, alternate, default_clip, heading, median

FOLDER = OUT / "dff"
PER_FRAME = "every frame"
PARTS = ("features", "flow", "warp_head")


def measure(
    source: str,
    size: tuple[int, int],
    model: str,
    interval: int,
    flow: str,
    frames: int,
    threads: int | None = None,
) -> dict[str, Any]:
    """Mean cost of a frame after the first, wall and CPU, in ms, and the medians of its parts."""
    run = Run(
        source,
        models=[model],
        interval=interval,
        flow={"method": flow},
        size=size,
        threads=threads,
        engine="openvino",
        sinks=[str(FOLDER / "dff.mp4")],
        encoder={"name": "libx264:veryfast"},
    )
    wall_s = cpu_s = 0.0
    shown = 0
    for _ in islice(run, frames):
        shown += 1
        if shown == 1:  # by then everything is compiled
            wall_s, cpu_s = time.perf_counter(), time.process_time()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    stages = run.report()["stages"]
    parts = {
        part: stages[f"perceive.{part}"]["all"]["p50_ms"] for part in PARTS if f"perceive.{part}" in stages
    }
    return {"ms": 1e3 * wall_s / (shown - 1), "cpu_ms": 1e3 * cpu_s / (shown - 1), **parts}


def export_model(network: str) -> str:
    """The card of the feature network with random weights."""
    path = FOLDER / f"{network}.json"
    if not path.exists():
        from keywarp.models.export_network import export_network
        from keywarp.models.networks.registry import get_network

        export_network(get_network(network), None, FOLDER)
    return str(path)


def export_flow(network: str, model: str) -> str:
    """The card of a flow network with random weights and a scale map for ``model``'s features."""
    path = FOLDER / f"{network}-for-{Path(model).stem}.json"
    if not path.exists():
        _export_flow(network, model, path)
    return str(path)


def _export_flow(network: str, model: str, path: Path) -> None:
    from keywarp.engines.card import Provenance, file_entries
    from keywarp.engines.weights import write_weights
    from keywarp.flow.card import FlowCard, PairInput
    from keywarp.flow.flownet import FLOWNETS
    from keywarp.models.card import read_card
    from keywarp.models.export_flow import flow_part

    features = read_card(Path(model)).maps_of("warp_scale_head")[0]
    made = FLOWNETS[network](scale_channels=features.channels, stride_px=features.stride_px).eval()
    paths = {"flow": path.with_suffix(".flow.onnx"), "weights": path.with_suffix(".safetensors")}
    paths["flow"].write_bytes(flow_part(made))
    write_weights(made, paths["weights"])
    nothing = Provenance(
        data=[], licence="none", recipe="UNTRAINED", command="none", seed=0, training_minutes=0
    )
    card = FlowCard(
        name=network,
        network=network,
        description="untrained",
        input=PairInput(width=640, height=360),
        stride_px=features.stride_px,
        scale_for=read_card(Path(model)).name,
        scale_channels=features.channels,
        parameters=sum(p.numel() for p in made.parameters()),
        files=file_entries(paths),
        provenance=nothing,
    )
    path.write_text(card.to_json())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=default_clip())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--flows", default="lk,codec,flownet-inception")
    parser.add_argument("--network", default="resnet-50")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--frames", type=int, default=101)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = export_model(options.network)
    shared = {
        "source": options.source,
        "size": parse_size(options.size),
        "model": model,
        "frames": options.frames,
        "threads": options.threads,
    }
    runs = {PER_FRAME: ("benchmarks.dff", {"interval": 1, "flow": "lk", **shared})}
    for flow in options.flows.split(","):
        method = export_flow(flow, model) if flow.startswith("flownet") else flow
        runs[flow] = ("benchmarks.dff", {"interval": options.interval, "flow": method, **shared})
    heading(
        f"{options.network}, interval {options.interval} against 1, whole program, OpenVINO, x264 veryfast: "
        f"{options.source} at {options.size}, {options.frames} frames"
    )
    results = alternate(runs, options.repeats)
    base = results[PER_FRAME]
    for name, each in results.items():
        parts = ", ".join(f"{part} {median(each, part):.2f}" for part in PARTS if part in each[0])
        print(f"{name:>18}: {_faster(base, each, 'ms')}; CPU {_faster(base, each, 'cpu_ms')}; ms: {parts}")


def _faster(base: Sequence[Mapping[str, Any]], each: Sequence[Mapping[str, Any]], figure: str) -> str:
    """How many times less than ``base``, by the median of repeats, and the least and most."""
    ratios = sorted(one[figure] / own[figure] for one, own in zip(base, each, strict=True))
    middle = statistics.median(ratios)
    return f"{median(each, figure):.2f} ms a frame = 1/{middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
