"""What a run looks like in a terminal: a table refreshed in place, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from keywarp.pipeline.clock import MonotonicClock
from keywarp.pipeline.run import Run

_REFRESH_NS = 500_000_000
_LINE_NS = 5_000_000_000


class Display:
    """Shows a run while it goes on. ``tick`` after each packet costs a look at the clock."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run = run
        self._console = console
        self._live: Live | None = None
        self._clock = MonotonicClock()
        self._next_ns = 0
        self._told = False

    def __enter__(self) -> Display:
        self._next_ns = self._clock.now_ns() + _LINE_NS
        if self._console.is_terminal and not self._console.quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
            self._next_ns = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tick(self, page_url: str | None = None) -> None:
        """Refresh when it is time to; tell once where the page is."""
        if page_url is not None and not self._told:
            self._told = True
            self._console.print(f"page: {page_url}", highlight=False, markup=False, soft_wrap=True)
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns:
            return
        if self._live is not None:
            self._next_ns = now_ns + _REFRESH_NS
            self._live.update(self._view(), refresh=True)
        else:
            self._next_ns = now_ns + _LINE_NS
            self._console.print(self._line(), highlight=False)

    def _view(self) -> RenderableType:
        info = self._run.graph.info
        table = stage_table(self._run.report())
        if info is None or info.frame_count is None:
            return table
        done = self._run.timing.frames_out
        bar = ProgressBar(total=max(info.frame_count, done), completed=done, width=60)
        return Group(table, bar, f"{done} of about {info.frame_count} frames")

    def _line(self) -> str:
        timing, info = self._run.timing, self._run.graph.info
        total = f" of about {info.frame_count}" if info is not None and info.frame_count else ""
        return (
            f"{timing.frames_out}{total} frames, {timing.fps:.1f} frames/s, "
            f"latency p50 {timing.latency.all.work.percentile_ms(50):.1f} ms, "
            f"dropped {self._run.dropped}"
        )


def stage_table(report: dict[str, Any]) -> Table:
    """The timing of every stage, from a report. ``key``, ``propagated`` and ``wait`` are medians."""
    frames = report["frames"]
    notes = ["key, propagated, wait: medians; latency: from capture to the last sink's acceptance"]
    if (found := frames["key_agreement"]) is not None:
        keys = f"{found['count']} key frame{'s' * (found['count'] > 1)}"
        notes.append(
            f"of the pixels carried to {keys} {100 * found['mean']:.1f} % were as in the full run "
            f"(at least {100 * found['least']:.1f} %)"
        )
    table = Table(
        title=f"{frames['out']} frames ({frames['key']} key, {frames['dropped']} dropped), "
        f"{report['fps']:.1f} frames/s, CPU {report['cpu_s']:.1f} s, peak {report['peak_rss_mb']:.0f} MB",
        title_justify="left",
        title_style="bold",
        caption="\n".join(notes),
        caption_justify="left",
    )
    table.add_column("ms a frame", no_wrap=True)
    for heading in ("key", "propagated", "mean", "p95", "p99", "max", "wait"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, kinds in _in_order(report["stages"]):
        _, dot, part = name.partition(".")
        table.add_row(f"  {part}" if dot else name, *_figures(kinds), style="dim" if dot else None)
    table.add_section()
    table.add_row("latency", *_figures(report["latency"])[:-1], "", style="bold")
    return table


def _in_order(stages: dict[str, Any]) -> list[tuple[str, Any]]:
    """Stages in the order of the work, each followed by its parts."""
    tops = [name for name in stages if "." not in name]
    return [
        (name, stages[name])
        for top in tops
        for name in [top, *(part for part in stages if part.startswith(f"{top}."))]
    ]


def _figures(kinds: dict[str, Any]) -> list[str]:
    everything = kinds["all"]
    return [
        _ms(kinds["key"]["p50_ms"], kinds["key"]["count"]),
        _ms(kinds["propagated"]["p50_ms"], kinds["propagated"]["count"]),
        *(_ms(everything[f"{figure}_ms"], everything["count"]) for figure in ("mean", "p95", "p99", "max")),
        _ms(everything["wait_p50_ms"], everything["count"]),
    ]


def _ms(value: float, count: int) -> str:
    if not count:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
