"""The commands and their options; each command's work is in a module of its own, imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keywarp import __version__

from .options import (
    Aggregate,
    Agreement,
    Assignments,
    Config,
    DeliveryMode,
    Encoder,
    Engine,
    Flow,
    Interval,
    Level,
    LogFormat,
    MaxAge,
    Model,
    Policy,
    Precision,
    Quiet,
    Rate,
    Report,
    Serve,
    SinkTexts,
    Size,
    Threads,
    Token,
)

app = typer.Typer(
    name="keywarp",
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    from .run import check_report, log_as, run_command
    from .settings import serve_flags, settings_from
    from .several import run_several

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
    check_report(report, config)
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
    from .run import run_command
    from .settings import serve_flags, settings_from

    if serve is not None:
        settings = settings_from(config, serve_flags(serve), [], token)
        raise typer.Exit(run_command(f"street:seed={seed},length=endless,live=1", settings, None, quiet))
    settings = settings_from(config, {"sinks": [str(out / "demo.mp4")]}, [])
    source = f"street:seed={seed},length={seconds * 30}"
    raise typer.Exit(run_command(source, settings, out / "report.json", quiet))


@app.command("eval")
def evaluate(
    model: Annotated[str | None, typer.Option(help="Model name or card; default: enet.")] = None,
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
    from .evaluate import Wanted
    from .flows import evaluate_either

    flags: dict[str, Any] = {
        "models": None if model is None else [model],
        "level": level,
        "aggregate": aggregate,
        "flow.method": flow,
        "size": size,
        "engine": engine,
        "precision": precision,
        "threads": threads,
    }
    wanted = Wanted(data, split, sequence, labels, intervals, policy, json, sheet)
    evaluate_either(wanted, flags, assignments or [], quiet)


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
    network: Annotated[
        str, typer.Argument(help="enet, flow (a FlowNet by itself) or dff (one with its scale map).")
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="For enet camvid:FOLDER (with train/ and train_labels/), pictures:FOLDER,labels=FOLDER, "
            "street:seed=0,length=400 or above:seed=0,length=400; for flow and dff pairs: shapes:FOLDER, "
            "street:seed=0,length=400, chairs:FOLDER, for dff video:FILE too (docs/training.md); repeat to mix."
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
