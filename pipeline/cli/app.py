"""The commands and their options; each command's work is in a module of its own, imported when it is called."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from keywarp import __version__
from keywarp.engines.errors import KeywarpError

from .usage import WrongUsage, usage_error

app = typer.Typer(
    name="keywarp",
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_PAGE = "127.0.0.1:8080"
# What may follow --serve and is no source, as csi:0 is.
_ADDRESS = re.compile(r"(?!csi:)[^/\s]*:\d+|\d{4,5}")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"keywarp {__version__}")
        raise typer.Exit


@app.callback()
def keywarp(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """Real-time video perception: full models on key frames, Deep Feature Flow between them."""


# Options that `run` and `demo` share.
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
LogFormat = Annotated[str, typer.Option("--log", help="text, or json: one object a line on standard error.")]
Report = Annotated[Path | None, typer.Option(help="Write the timing as JSON.")]
Config = Annotated[str | None, typer.Option(help="A bundled configuration's name, or a YAML file.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Any setting: key=value, key dotted.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


@app.command()
def run(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Video file, URL, camera (0, /dev/video0), 'gst: PIPELINE', pictures or street:; several "
            "run side by side.",
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    precision: Precision = None,
    interval: Interval = None,
    policy: Policy = None,
    level: Level = None,
    aggregate: Aggregate = None,
    agreement: Agreement = None,
    flow: Flow = None,
    size: Size = None,
    rate: Rate = None,
    threads: Threads = None,
    sink: SinkTexts = None,
    encoder: Encoder = None,
    serve: Serve = None,
    token: Token = None,
    delivery: DeliveryMode = None,
    max_age: MaxAge = None,
    report: Report = None,
    config: Config = None,
    assignments: Assignments = None,
    log: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Run a video, camera, stream or folder of pictures through the pipeline."""
    from .run import log_as, run_command, run_several, serve_flags, settings_from

    log_as(log)
    flags: dict[str, Any] = {
        "models": model,
        "engine": engine,
        "precision": precision,
        "interval": interval,
        "policy": policy,
        "level": level,
        "aggregate": aggregate,
        "agreement": agreement,
        "flow.method": flow,
        "size": size,
        "rate": rate,
        "threads": threads,
        "sinks": sink,
        "encoder.name": encoder,
        "delivery.mode": delivery,
        "delivery.max_age_ms": max_age,
        **serve_flags(serve),
    }
    settings = settings_from(config, flags, assignments or [], token)
    if len(sources) > 1:
        raise typer.Exit(run_several(sources, settings, report, quiet))
    raise typer.Exit(run_command(sources[0], settings, report, quiet))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for demo.mp4 and report.json.")] = Path("out"),
    seconds: Annotated[int, typer.Option(min=1, help="Length of the film.")] = 20,
    seed: Annotated[int, typer.Option(help="Which street.")] = 0,
    serve: Serve = None,
    token: Token = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Drive through a generated street: needs no video, no camera and no network.

    With --serve it goes on for ever, live, on the page.
    """
    from .run import run_command, serve_flags, settings_from

    if serve is not None:
        settings = settings_from(config, serve_flags(serve), [], token)
        raise typer.Exit(run_command(f"street:seed={seed},length=endless,live=1", settings, None, quiet))
    settings = settings_from(config, {"sinks": [str(out / "demo.mp4")]}, [])
    source = f"street:seed={seed},length={seconds * 30}"
    raise typer.Exit(run_command(source, settings, out / "report.json", quiet))


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Option(help="Model name or card.")] = "enet",
    data: Annotated[
        str | None,
        typer.Option(
            help="camvid:DIR: labelled pictures. For --flow alone: chairs:DIR or street:OPTIONS (the default)."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which pictures of DIR: DIR/NAME, labels in DIR/NAME_labels.")
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(help="A labelled sequence: a folder of pictures, a video file, or street:OPTIONS."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The sequence's labels, PNGs; default: SEQUENCE_labels.")
    ] = None,
    intervals: Annotated[str | None, typer.Option(help="Of the sequence; default: 1,2,3,5,10.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="A policy, as for run, to compare with fixed intervals on the sequence."),
    ] = None,
    level: Level = None,
    aggregate: Aggregate = None,
    flow: Flow = None,
    size: Size = None,
    engine: Engine = None,
    precision: Precision = None,
    threads: Threads = None,
    assignments: Assignments = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw the sequence at the largest interval: FILE.jpg or FILE.png.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Score a model on labelled pictures, and what propagation costs it on a labelled sequence.

    With --flow alone, or --data chairs:DIR or street:OPTIONS: score one or several flows (--flow lk,dis:fast).
    """
    from .evaluate import Wanted, evaluate_command
    from .flows import WantedFlows, evaluate_flows_command, is_about_flows

    flags: dict[str, Any] = {
        "models": [model],
        "level": level,
        "aggregate": aggregate,
        "flow.method": flow,
        "size": size,
        "engine": engine,
        "precision": precision,
        "threads": threads,
    }
    if is_about_flows(data, flow, sequence):
        others: dict[str, object] = {
            "--sequence": sequence,
            "--split": split,
            "--labels": labels,
            "--intervals": intervals,
            "--policy": policy,
            "--level": level,
            "--aggregate": aggregate,
            "--size": size,
            "--sheet": sheet,
        }
        flags = {key: flags[key] for key in ("flow.method", "engine", "precision", "threads")}
        evaluate_flows_command(WantedFlows(data, json), flags, others, assignments or [], quiet)
        return
    wanted = Wanted(data, split, sequence, labels, intervals, policy, json, sheet)
    evaluate_command(wanted, flags, assignments or [], quiet)


@app.command()
def curve(
    video: Annotated[
        str, typer.Argument(help="Video file, folder of pictures or street:, as run takes them.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="A label map for each frame, PNGs; without them: agreement, not accuracy."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model name or card.")] = "enet",
    intervals: Annotated[str | None, typer.Option(help="Default: 1,2,3,5,10.")] = None,
    policies: Annotated[str | None, typer.Option(help="Default: fixed,adaptive.")] = None,
    flows: Annotated[
        str | None,
        typer.Option(help="Flows with commas between; default: lk, and codec where there is any."),
    ] = None,
    levels: Annotated[str | None, typer.Option(help="Default: features,result.")] = None,
    aggregate: Aggregate = None,
    frames: Annotated[
        int | None, typer.Option(min=2, help="How many frames; default: 50, with --labels all of them.")
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for curve.json, .md, .png and .svg.")] = Path("out"),
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures there instead.")] = None,
    size: Size = None,
    rate: Rate = None,
    engine: Engine = None,
    precision: Precision = None,
    threads: Threads = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Plot accuracy against time, over intervals, key-frame policies, flows and levels.

    Without labels it is the agreement with the model on every frame, which is not accuracy.
    """
    from .curve import WantedCurve, curve_command

    flags: dict[str, Any] = {
        "models": [model],
        "aggregate": aggregate,
        "size": size,
        "rate": rate,
        "engine": engine,
        "precision": precision,
        "threads": threads,
    }
    wanted = WantedCurve(video, out, labels, intervals, policies, flows, levels, frames, start, json)
    curve_command(wanted, flags, assignments or [], quiet)


@app.command()
def models() -> None:
    """List the models and the flow networks that come with keywarp."""
    from .listing import print_models

    print_models()


@app.command()
def cameras(
    json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List the cameras of this machine with their formats, sizes and rates."""
    from .cameras import print_cameras

    print_cameras(json=json)


@app.command()
def doctor() -> None:
    """Show what this machine has, what is missing, and the command that installs it."""
    from .doctor import print_doctor

    print_doctor()


@app.command()
def complexity(
    network: Annotated[
        str | None, typer.Argument(help="Network name, such as enet, resnet-50 or flownet-inception.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 11,
    size: Annotated[str | None, typer.Option(help="Input as WIDTHxHEIGHT; default: about 640x360.")] = None,
    table: Annotated[
        str | None,
        typer.Option(help="dff: feature networks over flow networks, beside the published figures."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
) -> None:
    """Count a network's parameters and operations with ptflops, per part; or print a table of several."""
    from .complexity import complexity_command, table_command

    if table is not None:
        table_command(table, network, size, json)
        return
    complexity_command(network, classes, size, json)


@app.command()
def export(
    network: Annotated[str, typer.Argument(help="Network name, such as enet or resnet-50.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights as safetensors, with their card beside them; for a ResNet a published state dict too. "
            "Without: random ones, to see how fast the network is."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the ONNX files and the card.")] = Path("out"),
    name: Annotated[
        str | None, typer.Option(help="The model's name; default: the weights' file name.")
    ] = None,
) -> None:
    """Write a trained network's parts as ONNX files with a card, ready for `run --model CARD.json`."""
    from .networks import export_command

    export_command(network, weights, out, name)


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="Network name, such as enet.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="camvid:FOLDER (with train/ and train_labels/), pictures:FOLDER,labels=FOLDER or "
            "street:seed=0,length=400; repeat to mix."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for weights, card, log and checkpoints; runs/NETWORK.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Size of the parts trained on, as WIDTHxHEIGHT.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    config: Annotated[str | None, typer.Option(help="A bundled recipe's name, or a YAML file.")] = None,
    assignments: Assignments = None,
) -> None:
    """Train a network. Started again with the same folder, it goes on where it was."""
    from .networks import train_command

    flags = {"data": data, "out": out, "size": size, "epochs": epochs, "seed": seed}
    train_command(network, config, flags, assignments or [])


def with_default_serve(words: list[str]) -> list[str]:
    """The command line with an address after each ``--serve`` that has none."""
    filled = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        filled.append(word)
        if word == "--serve" and not _ADDRESS.fullmatch(following):
            filled.append(DEFAULT_PAGE)
    return filled


def main() -> None:
    """The entry point. Exit codes: 0 done, 2 wrong usage or input, 130 and 143 ended by SIGINT and SIGTERM."""
    # Wheels of OpenCV and PyAV both log decoder chatter to the terminal unless told otherwise.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    words = sys.argv[1:]
    try:
        code = app(with_default_serve(words) or ["--help"], prog_name="keywarp", standalone_mode=False)
    except WrongUsage as error:
        _fail(usage_error(error, words))
    except KeywarpError as error:
        _fail(error)
    except (KeyboardInterrupt, typer.Abort):  # which older typers make of it
        sys.exit(130)
    sys.exit(code if words else 2)


def _fail(error: KeywarpError) -> NoReturn:
    print("error:", " ".join(str(error).split()), file=sys.stderr)  # one line, whatever a library says
    sys.exit(2)
