"""``keywarp complexity``: how much work networks are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.card import network_names as flow_network_names
from keywarp.flow.sizes import nearest
from keywarp.models.networks.registry import network_names

from .files import write_json
from .networks import check_network_name, network_size

if TYPE_CHECKING:
    from keywarp.models.complexity_table import Ratio, RatioTable

TABLES = ("dff",)
USUAL_SIZE = (640, 360)


def complexity_command(network: str | None, classes: int, size: str | None, file: Path | None) -> None:
    """Print parameters and operations of one network, and write them as JSON.

    ``size`` None: 640x360, or what the network takes in its place.
    """
    accepted = (*network_names(), *flow_network_names())
    if network is None:
        raise UsageError(f"name a network ({', '.join(accepted)}), or --table dff")
    check_network_name(network, "keywarp complexity", accepted)
    from keywarp.models.complexity import complexity, flow_complexity, hollow

    wanted = None if size is None else network_size(size)
    if network in flow_network_names():
        found, kind = flow_complexity(network, wanted or USUAL_SIZE), "a pair of pictures"
    else:
        from keywarp.models.networks.registry import get_network

        made = hollow(lambda: get_network(network).make(classes))
        found, kind = (
            complexity(made, wanted or nearest(USUAL_SIZE, made.input_stride_px)),
            f"{classes} classes",
        )
    console = Console(highlight=False, markup=False)
    console.print(f"{network}, {kind}, {found.width}x{found.height}")
    console.print(f"  parameters {found.parameters / 1e6:.3f} M, {found.fp16_bytes / 1e6:.2f} MB in fp16")
    console.print(
        f"  {found.macs / 1e9:.3f} GMACs = {found.flops / 1e9:.3f} GFLOPs, 2 to a multiply-accumulate"
    )
    for part, figures in found.parts.items():
        console.print(f"    {part}: {figures / 1e9:.3f} GMACs")
    if file is not None:
        write_json(file, found.to_dict())


def table_command(table: str, network: str | None, size: str | None, file: Path | None) -> None:
    """Print a table of several networks, and write it as JSON."""
    if table not in TABLES:
        raise unknown_name("table", table, TABLES)
    if network is not None:
        raise UsageError(f"--table {table} is of networks of its own; leave '{network}' out")
    check_network_name("resnet-50", "keywarp complexity", network_names())
    from keywarp.models.complexity_table import SIZE, ratio_table

    found = ratio_table(SIZE if size is None else network_size(size))
    _print_ratios(found, Console(highlight=False, markup=False))
    if file is not None:
        write_json(file, _as_json(found))


def _print_ratios(found: RatioTable, console: Console) -> None:
    width, height = found.size
    console.print(f"feature network over flow network, pictures of {width}x{height}, flow at half of it")
    for features in found.feature_macs:
        console.print(f"{features + ' over':<20}{'published':>11}{'with S':>19}{'without S':>19}")
        for flow in found.flow_macs:
            ratio = found.ratio(features, flow)
            values = (ratio.with_scale, ratio.without_scale)
            if found.is_comparable:
                cells = [_with_error(value, ratio) for value in values]
            else:
                cells = [f"{value:>19.2f}" for value in values]
            console.print(f"  {flow:<18}{ratio.published:>11.2f}{''.join(cells)}")
    for line in found.notes:
        console.print(line, soft_wrap=True)


def _with_error(value: float, ratio: Ratio) -> str:
    mark = "*" if value == ratio.compared else " "
    return f"{value:>8.2f}{mark} ({100 * (value / ratio.published - 1):+5.1f} %)"


def _as_json(found: RatioTable) -> dict[str, Any]:
    return {"ratios": [ratio.to_dict() for ratio in found.ratios()], **found.to_dict()}
