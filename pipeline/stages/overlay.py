"""The overlay: class colours, legend and heads-up display on the picture, without leaving YUV 4:2:0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import cv2

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size
from keywarp.models.results import SegmentationMap
from keywarp.pipeline.clock import Clock
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.keys import OVERLAY, PROPAGATION, SEGMENTATION
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture, YuvPlanes, yuv_planes
from keywarp.pipeline.stage import Stage

from .colors import ColorScheme, copy_tags
from .hud import Hud
from .legend import LegendStrip
from .readings import Readings
from .style import font_px
from .tint import Tint

# How often the panels are drawn anew, by the clock or by the film's own time, whichever comes first.
_REFRESH_NS = 250_000_000
_REFRESH_FILM_S = 0.5


_PALE, _GREY = 0.3, 128


class Overlay(Stage):
    """Writes :data:`OVERLAY`: a new yuv420p picture with the colour tags of the frame's own, which stays as it is.

    Of several models the first is shown, the one under the plain keys: two maps over one another would hide the
    picture, and mix their colours to such as no class has. ``opacity``, 0 to 1, is that of the colours; large
    calm classes get a little less. ``hud`` shows the model's key frames, ``legend`` its classes. ``title`` is
    the line at the foot of the display, such as the model and the engine, or a function that is asked for it
    when it is drawn. ``clock`` is the graph's.
    ``controls`` may change the opacity while the stream runs. A frozen frame is shown pale, with a badge that
    says for how long the stream has been interrupted. Panels shrink with the picture, and vanish where there
    is no room for them. Any size from 1x1 works.
    """

    name = "overlay"
    writes = (OVERLAY,)

    def __init__(
        self,
        clock: Clock,
        *,
        opacity: float = 0.5,
        legend: bool = True,
        hud: bool = True,
        title: str | Callable[[], str] = "",
        controls: Controls | None = None,
    ) -> None:
        if not 0 <= opacity <= 1:
            raise UsageError(f"the opacity of an overlay is between 0 and 1; given: {opacity}")
        self.reads: tuple[Key[Any], ...] = (SEGMENTATION, PROPAGATION) if hud else (SEGMENTATION,)
        self._clock = clock
        self._opacity, self._with_legend, self._with_hud = opacity, legend, hud
        self._title = title
        self._controls = controls
        self._readings = Readings()
        self._painter: _Painter | None = None
        self._refresh_due: tuple[float, float] = (0.0, 0.0)

    def process(self, packet: Packet) -> None:
        """Make the packet's overlay."""
        source = packet.frame.picture.av_frame()
        target = av.VideoFrame(source.width, source.height, "yuv420p")
        copy_tags(source, target)
        painter = self._painter_for(source)
        planes = yuv_planes(target)
        painter.tint(packet.frame.picture.yuv(), packet[SEGMENTATION], planes)
        if packet.frame.frozen:
            _pale(planes)
        self._panels(painter, packet, planes)
        packet[OVERLAY] = Picture.from_av(target)

    def close(self) -> None:
        """Free what was drawn."""
        self._painter = None

    def _panels(self, painter: _Painter, packet: Packet, planes: YuvPlanes) -> None:
        now_ns = self._clock.now_ns()
        due = self._is_due(now_ns, packet.frame.time_s)
        if painter.hud is not None:
            self._readings.observe(packet, packet[PROPAGATION], now_ns)
            if due:
                self._readings.refresh_stages()
                title = self._title if isinstance(self._title, str) else self._title()
                painter.hud.refresh(self._readings, title)
            painter.hud.draw(planes, self._readings)
        if self._with_legend:
            painter.legend(packet[SEGMENTATION], due).draw(planes)

    def _is_due(self, now_ns: int, film_s: float) -> bool:
        if now_ns < self._refresh_due[0] and film_s < self._refresh_due[1]:
            return False
        self._refresh_due = now_ns + _REFRESH_NS, film_s + _REFRESH_FILM_S
        return True

    def _painter_for(self, source: av.VideoFrame) -> _Painter:
        size, scheme = (source.width, source.height), ColorScheme.of(source)
        if self._painter is None or self._painter.size != size or self._painter.scheme != scheme:
            self._painter = _Painter(size, scheme, self._opacity, self._with_hud)
            self._refresh_due = (0.0, 0.0)
        if self._controls is not None:
            self._painter.set_opacity(self._controls.knobs.opacity)
        return self._painter


class _Painter:
    """Everything that depends on the size and colours of the pictures, made once."""

    def __init__(self, size: Size, scheme: ColorScheme, opacity: float, hud: bool) -> None:
        self.size, self.scheme = size, scheme
        self._px = font_px(size)
        self._opacity = opacity
        self._tint: Tint | None = None
        self._legend: LegendStrip | None = None
        self.hud = Hud(size, self._px, scheme) if hud else None

    def set_opacity(self, opacity: float) -> None:
        """Draw with another opacity from now on."""
        if opacity != self._opacity:
            self._opacity = opacity
            self._tint = None

    def tint(self, source: YuvPlanes, found: SegmentationMap, target: YuvPlanes) -> None:
        if self._tint is None or self._tint.classes is not found.classes:
            self._tint = Tint(found.classes, self._opacity, self.scheme)
        self._tint.apply(source, found.labels, target)

    def legend(self, found: SegmentationMap, due: bool) -> LegendStrip:
        if self._legend is None or self._legend.classes is not found.classes:
            self._legend = LegendStrip(found.classes, self.size, self._px, self.scheme)
            due = True
        if due:
            self._legend.refresh(found)
        return self._legend


def _pale(planes: YuvPlanes) -> None:
    """Take most of the colour away."""
    for chroma in (planes.u, planes.v):
        cv2.addWeighted(chroma, _PALE, chroma, 0, _GREY * (1 - _PALE), dst=chroma)
