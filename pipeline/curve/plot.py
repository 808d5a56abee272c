"""The curve as a drawing: accuracy against time, a line for each flow, level and policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keywarp.pipeline.stages.style import Rgb
from keywarp.pipeline.stages.text import BOLD, text_width

from .axes import Axis, log_ticks, tick_text
from .drawing import WHITE, Drawing, Line, Marker, Shape, Text
from .measure import Curve, Point
from .variants import Variant
from .words import MEANING, TITLE, aggregation_words, film_name, film_words, time_words

_SIZE = (1200, 760)
_MARGIN_PX = 24
_LEFT_PX, _TOP_PX, _BOTTOM_PX = 84, 162, 84
_LEGEND_PX = 364
# Between the entries of the legend, and what the notes below them need.
_ROW_PX, _NOTES_PX = 30, 200
_TITLE_PX, _TEXT_PX, _SMALL_PX = 22, 15, 13
_MARKER_PX = 10.5

_INK: Rgb = (24, 28, 34)
_QUIET: Rgb = (92, 100, 110)
_GRID: Rgb = (228, 231, 235)
_FRONT: Rgb = (255, 226, 140)
_WHISKER: Rgb = (176, 183, 192)
# Okabe and Ito's colours, which people with any kind of colour vision tell apart; black is the per-frame model's.
_COLORS: tuple[Rgb, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 140, 105),
    (190, 92, 150),
    (200, 134, 0),
    (60, 150, 205),
)
_SHAPES: tuple[Shape, ...] = ("diamond", "square", "triangle")
_DASH = (7.0, 5.0)
_NAME_PX = 132


@dataclass(frozen=True, slots=True)
class _Look:
    """How a series looks: the colour is the flow's, the shape the policy's; those by result are hollow."""

    color: Rgb
    shape: Shape
    hollow: bool

    def marker(self, x: float, y: float, radius_px: float = _MARKER_PX) -> Marker:
        fill = WHITE if self.hollow else self.color
        return Marker((x, y), self.shape, radius_px, fill, self.color if self.hollow else WHITE)

    def line(self, places: Sequence[tuple[float, float]]) -> Line:
        return Line(places, self.color, 2.2, _DASH if self.hollow else None)

    @property
    def ink(self) -> Rgb:
        return self.color if self.hollow else WHITE


def draw_curve(curve: Curve) -> Drawing:
    """The drawing; nothing in it that the curve has not."""
    drawing = Drawing(_SIZE)
    x, y = _axes(curve)
    looks = _looks(curve)
    _draw_title(drawing, curve)
    _draw_axes(drawing, curve, x, y)
    _draw_front(drawing, curve, x, y)
    _draw_reference(drawing, curve.per_frame, x, y)
    series = _by_series(curve)
    for points in series.values():
        _draw_whiskers(drawing, points, x, y)
    for name, points in series.items():
        places = [(x.place(p.time_ms), y.place(100 * p.accuracy)) for p in points]
        if len(places) > 1:
            drawing.add(looks[name].line(places))
    # Those of small intervals are slow and accurate, and lie alone: they come first and undermost.
    for name, points in series.items():
        for point in points:
            _draw_point(drawing, looks[name], point, x, y)
    _draw_legend(drawing, curve, looks)
    return drawing


def _axes(curve: Curve) -> tuple[Axis, Axis]:
    everything = (curve.per_frame, *curve.points)
    times = [point.time_ms for point in everything]
    width, height = _SIZE
    x = Axis(min(times) / 1.3, max(times) * 1.3, _LEFT_PX, width - _LEGEND_PX, log=True)
    low = 100 * min(point.min_accuracy for point in everything)
    high = 100 * max(point.accuracy for point in everything)
    room = max(0.06 * (high - low), 0.1)
    return x, Axis(low - room, high + 1.3 * room, height - _BOTTOM_PX, _TOP_PX)


def _looks(curve: Curve) -> dict[tuple[str, str, str], _Look]:
    flows = list(dict.fromkeys(v.flow for v in _variants(curve)))
    others = list(dict.fromkeys(v.policy for v in _variants(curve) if not v.is_fixed))
    shapes: dict[str, Shape] = {v.policy: "circle" for v in _variants(curve)}
    shapes |= {policy: _SHAPES[number % len(_SHAPES)] for number, policy in enumerate(others)}
    return {
        v.series: _Look(_COLORS[flows.index(v.flow) % len(_COLORS)], shapes[v.policy], v.level == "result")
        for v in _variants(curve)
    }


def _variants(curve: Curve) -> list[Variant]:
    return [point.variant for point in curve.points if point.variant is not None]


def _by_series(curve: Curve) -> dict[tuple[str, str, str], list[Point]]:
    found: dict[tuple[str, str, str], list[Point]] = {}
    for point in curve.points:
        assert point.variant is not None
        found.setdefault(point.variant.series, []).append(point)
    return found


def _draw_title(drawing: Drawing, curve: Curve) -> None:
    lines = [
        MEANING[curve.measure],
        film_words(curve),
        f"{time_words(curve)} {aggregation_words(curve)}",
    ]
    title = f"{TITLE[curve.measure]}: {film_name(curve)}, {curve.model} on {curve.runs_on}"
    drawing.add(Text((_MARGIN_PX, 40), title, _TITLE_PX, _INK, BOLD))
    for number, line in enumerate(lines):
        drawing.add(Text((_MARGIN_PX, 64 + 19 * number), line, _SMALL_PX, _QUIET))


def _draw_axes(drawing: Drawing, curve: Curve, x: Axis, y: Axis) -> None:
    bottom, top = y.start_px, y.end_px
    for value in y.ticks():
        at = y.place(value)
        drawing.add(Line([(x.start_px, at), (x.end_px, at)], _GRID))
        drawing.add(Text((x.start_px - 10, at + 5), tick_text(value), _SMALL_PX, _QUIET, anchor="end"))
    for value in x.ticks(12):
        at = x.place(value)
        drawing.add(Line([(at, bottom), (at, top)], _GRID))
        drawing.add(Text((at, bottom + 20), tick_text(value), _SMALL_PX, _QUIET, anchor="middle"))
    drawing.add(Line([(x.start_px, bottom), (x.end_px, bottom)], _QUIET))
    _draw_speed(drawing, curve.per_frame.time_ms, x, top)
    middle = (x.start_px + x.end_px) / 2
    drawing.add(
        Text((middle, bottom + 46), "model work per frame in ms (log scale)", _TEXT_PX, _INK, anchor="middle"),
        Text(
            (middle, bottom + 66), "mean over key and propagated frames: network, flow and warping; "
            "no decoding, drawing or encoding", _SMALL_PX, _QUIET, anchor="middle",
        ),
        Text((30, (bottom + top) / 2), _Y_NAMES[curve.measure], _TEXT_PX, _INK, anchor="middle", turned=True),
    )  # fmt: skip


_Y_NAMES = {
    "miou": "mIoU against the labels in %",
    "agreement": "agreement with the per-frame model in %",
}


def _draw_speed(drawing: Drawing, per_frame_ms: float, x: Axis, top: float) -> None:
    """The axis above: how many times as fast as the network on every frame."""
    for factor in log_ticks(per_frame_ms / x.high, per_frame_ms / x.low, 8):
        at = x.place(per_frame_ms / factor)
        drawing.add(Line([(at, top), (at, top - 5)], _QUIET))
        drawing.add(Text((at, top - 10), f"{tick_text(factor)}x", _SMALL_PX, _QUIET, anchor="middle"))
    middle = (x.start_px + x.end_px) / 2
    text = "times as fast as the network on every frame"
    drawing.add(Text((middle, top - 30), text, _SMALL_PX, _QUIET, anchor="middle"))


def _draw_front(drawing: Drawing, curve: Curve, x: Axis, y: Axis) -> None:
    places = [(x.place(p.time_ms), y.place(100 * p.accuracy)) for p in curve.front]
    if len(places) > 1:
        drawing.add(Line(places, _FRONT, 15))


def _draw_reference(drawing: Drawing, per_frame: Point, x: Axis, y: Axis) -> None:
    at = x.place(per_frame.time_ms), y.place(100 * per_frame.accuracy)
    drawing.add(Line([(x.start_px, at[1]), (x.end_px, at[1])], _INK, 1.2, (2, 5)))
    drawing.add(Marker(at, "square", _MARKER_PX, _INK, WHITE))
    drawing.label(at, "1", _SMALL_PX - 1, WHITE)


def _draw_whiskers(drawing: Drawing, points: Sequence[Point], x: Axis, y: Axis) -> None:
    for point in points:
        at, low = x.place(point.time_ms), y.place(100 * point.min_accuracy)
        drawing.add(Line([(at, y.place(100 * point.accuracy)), (at, low)], _WHISKER, 1.3))
        drawing.add(Line([(at - 4, low), (at + 4, low)], _WHISKER, 1.3))


def _draw_point(drawing: Drawing, look: _Look, point: Point, x: Axis, y: Axis) -> None:
    assert point.variant is not None
    at = x.place(point.time_ms), y.place(100 * point.accuracy)
    drawing.add(look.marker(*at))
    text = str(point.variant.interval)
    drawing.label(at, text, _SMALL_PX - 1 - 2 * (len(text) > 1), look.ink)


def _draw_legend(drawing: Drawing, curve: Curve, looks: dict[tuple[str, str, str], _Look]) -> None:
    left, at = _SIZE[0] - _LEGEND_PX + 28, _TOP_PX + 22.0
    mark = left + 26

    def entry(text: str, *, quiet: bool = False) -> None:
        drawing.add(Text((left + 64, at + 5), text, _TEXT_PX - 1, _QUIET if quiet else _INK))

    drawing.add(Marker((mark, at), "square", _MARKER_PX, _INK, WHITE))
    drawing.label((mark, at), "1", _SMALL_PX - 1, WHITE)
    entry("the network on every frame")
    row_px = min(_ROW_PX, (_SIZE[1] - _TOP_PX - _NOTES_PX) / max(1, len(looks)))
    for (flow, level, policy), look in looks.items():
        at += row_px
        drawing.add(look.line([(left, at), (left + 52, at)]), look.marker(mark, at))
        drawing.label((mark, at), "N", _SMALL_PX - 1, look.ink)
        entry(", ".join((_cut(flow, _NAME_PX), level, _cut(policy, _NAME_PX))))
    at += 34
    drawing.add(Line([(left + 6, at), (left + 46, at)], _FRONT, 15))
    entry("Pareto front", quiet=True)
    at += 30
    drawing.add(Line([(mark, at - 10), (mark, at + 10)], _WHISKER, 1.3))
    drawing.add(Line([(mark - 4, at + 10), (mark + 4, at + 10)], _WHISKER, 1.3))
    entry("down to the lowest key age", quiet=True)
    at += 30
    for line in _notes(curve):
        drawing.add(Text((left, at + 5), line, _SMALL_PX, _QUIET))
        at += 19


def _notes(curve: Curve) -> list[str]:
    lines = ["filled: features warped; hollow: results", "N: a key frame every N frames"]
    if not all(v.is_fixed for v in _variants(curve)):
        lines.append("(policies that are not fixed: on average)")
    lines += [f"left out: {flow}" for flow in curve.skipped]
    return lines


def _cut(text: str, width_px: int) -> str:
    """A name no wider than that: of a path the end."""
    while text_width(text, _TEXT_PX - 1) > width_px and len(text) > 4:
        text = "…" + text.lstrip("…")[1:]
    return text
