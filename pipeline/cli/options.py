"""Options that several commands share, and those of ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .log import show_errors_only


def _quieten(wanted: bool) -> bool:
    if wanted:
        show_errors_only()
    return wanted


Model = Annotated[list[str] | None, typer.Option("--model", help="Model name or card; repeat for several.")]
Engine = Annotated[str | None, typer.Option(help="auto, openvino, onnxruntime or torch.")]
Precision = Annotated[str | None, typer.Option(help="f32 (default), or what the engine offers.")]
Interval = Annotated[int | None, typer.Option(help="A key frame every so many frames; 1: every frame.")]
Policy = Annotated[
    str | None,
    typer.Option(help="Which frames are key frames: fixed, adaptive[:share=0.1|:quality=92] or codec."),
]
Level = Annotated[str | None, typer.Option(help="features (warp features, run the head) or result.")]
Aggregate = Annotated[
    bool | None,
    typer.Option(
        "--aggregate/--no-aggregate",
        help="Mix the features of each key frame with those of the one before it; default: for adaptive.",
    ),
]
Agreement = Annotated[
    bool | None,
    typer.Option(
        "--agreement/--no-agreement",
        help="On each key frame compare what was carried there with its full run; report how far they agree.",
    ),
]
Flow = Annotated[
    str | None,
    typer.Option(
        help="lk, lk:quick, lk:fine, dis, dis:fast, dis:medium, codec, auto, source, flownet-inception, or a card."
    ),
]
Size = Annotated[str | None, typer.Option(help="Scale the frames to WIDTHxHEIGHT.")]
Rate = Annotated[float | None, typer.Option(help="Frames per second of a camera or a folder of pictures.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads in all; default: every core.")]
SinkTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        help="FILE.mp4|mkv|mov, FILE.jsonl, png:FOLDER, record:FOLDER, rtsp://HOST:PORT/PATH, webhook:URL, "
        "mqtt://HOST/TOPIC, window, null and more (docs/outputs.md); repeat for several.",
    ),
]
Encoder = Annotated[str | None, typer.Option(help="FFmpeg encoder as NAME:PRESET, such as libx264:veryfast.")]
Serve = Annotated[
    str | None,
    typer.Option(metavar="[HOST:PORT]", help="Show the live page; without a value at 127.0.0.1:8080."),
]
Token = Annotated[
    str | None,
    typer.Option(envvar="KEYWARP_TOKEN", help="What viewers of the page must know; made up beyond loopback."),
]
DeliveryMode = Annotated[
    str | None,
    typer.Option("--delivery", help="newest (live sources), every (files) or block: which frames go in."),
]
MaxAge = Annotated[
    float | None, typer.Option("--max-age", help="Drop frames older than this when their turn comes, in ms.")
]
LogFormat = Annotated[
    str,
    typer.Option("--log", help="text, or json: one object a line on standard error, with --quiet too."),
]
Report = Annotated[Path | None, typer.Option(help="Write the timing as JSON.")]
Config = Annotated[str | None, typer.Option(help="A bundled configuration's name, or a YAML file.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Any setting: key=value, key dotted.")]
Quiet = Annotated[bool, typer.Option("--quiet", callback=_quieten, help="Print errors only.")]
