"""H.264 encoders of GStreamer: their elements, and how each is told about quality and haste."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from keywarp.engines.errors import SinkError, UsageError, unknown_name
from keywarp.flow.base import Size

from .bindings import has_element, load_gst
from .launch import bus_problem, launch, no_element

Settings = dict[str, object]

_X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_BITS_PER_PIXEL = 0.12
_PEAK = 4  # how far above its mean the rate of x264 at constant quality may go
_ASSUMED_RATE = Fraction(30)
_TRY_NS = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Wish:
    """What an encoder is asked for: preset, quality 0 (best) to 51, kbit/s, frames between key frames, threads."""

    preset: str | None
    crf: int
    kbit_s: int
    key_frames: int
    threads: int | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One encoder: its settings, what must stand before it, its presets, and FFmpeg's name for its like."""

    settings: Callable[[Wish], Settings]
    before: str = "videoconvert"
    presets: tuple[str, ...] = ()
    like: str | None = None


def _x264(wish: Wish) -> Settings:
    return {
        "tune": "zerolatency",
        "speed-preset": wish.preset or "veryfast",
        "pass": "qual",
        "quantizer": wish.crf,
        "bitrate": _PEAK * wish.kbit_s,
        "key-int-max": wish.key_frames,
        "bframes": 0,
        "threads": wish.threads or 0,
    }


def _openh264(wish: Wish) -> Settings:
    return {"bitrate": 1000 * wish.kbit_s, "gop-size": wish.key_frames, "complexity": "low"}


def _nvenc(wish: Wish) -> Settings:
    presets = {"preset": wish.preset or "low-latency-hq"}
    return {**presets, "zerolatency": True, "bitrate": wish.kbit_s, "gop-size": wish.key_frames, "bframes": 0}


def _jetson(wish: Wish) -> Settings:
    return {
        "bitrate": 1000 * wish.kbit_s,
        "iframeinterval": wish.key_frames,
        "idrinterval": wish.key_frames,
        "insert-sps-pps": True,
        "maxperf-enable": True,
    }


def _va(wish: Wish) -> Settings:
    return {"bitrate": wish.kbit_s, "key-int-max": wish.key_frames, "b-frames": 0}


def _vaapi(wish: Wish) -> Settings:
    return {"bitrate": wish.kbit_s, "keyframe-period": wish.key_frames, "max-bframes": 0}


def _qsv(wish: Wish) -> Settings:
    return {"bitrate": wish.kbit_s, "gop-size": wish.key_frames, "b-frames": 0, "low-latency": True}


def _v4l2(wish: Wish) -> Settings:
    controls = f"controls,video_bitrate={1000 * wish.kbit_s},h264_i_frame_period={wish.key_frames}"
    return {"extra-controls": controls}


_NVENC_PRESETS = ("default", "hp", "hq", "low-latency", "low-latency-hq", "low-latency-hp")
_KINDS: dict[str, _Kind] = {
    "x264enc": _Kind(_x264, presets=_X264_PRESETS, like="libx264"),
    "openh264enc": _Kind(_openh264, like="libopenh264"),
    "nvh264enc": _Kind(_nvenc, presets=_NVENC_PRESETS, like="h264_nvenc"),
    "nvv4l2h264enc": _Kind(_jetson, before="nvvidconv ! video/x-raw(memory:NVMM),format=NV12"),
    "vah264enc": _Kind(_va, like="h264_vaapi"),
    "vaapih264enc": _Kind(_vaapi),
    "qsvh264enc": _Kind(_qsv, like="h264_qsv"),
    "v4l2h264enc": _Kind(_v4l2, like="h264_v4l2m2m"),
}
_LIKE = {kind.like: name for name, kind in _KINDS.items() if kind.like}
ENCODERS = (*_KINDS, *_LIKE)
"""What is accepted as the name of an encoder: elements, and FFmpeg's names for the same."""


@dataclass(frozen=True, slots=True)
class StreamEncoder:
    """An encoder for a live stream. ``element``: GStreamer's name; ``crf``: 0 (best) to 51, where it has one."""

    element: str
    preset: str | None
    crf: int
    threads: int | None = None

    @staticmethod
    def parse(text: str, crf: int = 23, threads: int | None = None) -> StreamEncoder:
        """``NAME`` or ``NAME:PRESET``, an element's name or FFmpeg's. Raises :class:`UsageError`."""
        name, colon, preset = text.partition(":")
        element = _LIKE.get(name, name)
        if element not in _KINDS:
            raise unknown_name("H.264 encoder for streams", name, ENCODERS)
        presets = _KINDS[element].presets
        if name.startswith("h264_"):  # what FFmpeg calls the presets of hardware means nothing here
            preset = ""
        elif colon and preset not in presets:
            if not presets:
                raise UsageError(f"encoder '{name}' of streams has no presets; give it as '{name}'")
            raise unknown_name(f"preset of {name}", preset, presets)
        if not 0 <= crf <= 51:
            raise UsageError(f"the quality (crf) is between 0, the best, and 51; given: {crf}")
        return StreamEncoder(element, preset or None, crf, threads)

    def chain(self, size: Size, rate: Fraction | None) -> str:
        """The part of a pipeline from raw I420 pictures to H.264, with a key frame each second.

        Raises :class:`SinkError` where the element is not there.
        """
        if not has_element(self.element):
            raise SinkError(f"a stream cannot be encoded: {no_element(self.element)}")
        rate = rate or _ASSUMED_RATE
        kbit_s = max(200, int(_BITS_PER_PIXEL * size[0] * size[1] * rate / 1000))
        wish = Wish(self.preset, self.crf, kbit_s, max(1, round(rate)), self.threads)
        kind = _KINDS[self.element]
        made = load_gst().ElementFactory.make(self.element, None)
        # Names of properties differ from version to version: what one does not have is left at its default.
        settings = {n: v for n, v in kind.settings(wish).items() if made is None or made.find_property(n)}
        words = " ".join(f"{name}={_word(value)}" for name, value in settings.items())
        return f"{kind.before} ! {self.element} name=encoder {words} ! h264parse"

    def try_out(self, size: Size, rate: Fraction | None) -> None:
        """Encode two pictures. Raises :class:`SinkError` where that fails, as without its hardware."""
        gst = load_gst()
        caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate=30/1"
        text = f"videotestsrc num-buffers=2 ! {caps} ! {self.chain(size, rate)} ! fakesink sync=false"
        pipeline = launch(text, f"encoder '{self.element}'", SinkError)
        try:
            pipeline.set_state(gst.State.PLAYING)
            wanted = gst.MessageType.EOS | gst.MessageType.ERROR
            message = pipeline.get_bus().timed_pop_filtered(_TRY_NS, wanted)
            if message is None or message.type == gst.MessageType.ERROR:
                raise SinkError(self._refusal(size, pipeline, message))
        finally:
            pipeline.set_state(gst.State.NULL)

    def _refusal(self, size: Size, pipeline: Any, message: Any) -> str:
        why = (
            f"it gave nothing within {_TRY_NS // 10**9} s"
            if message is None
            else bus_problem(pipeline, message)
        )
        return (
            f"encoder '{self.element}' does not take pictures of {size[0]}x{size[1]}: {why}; is its hardware there "
            "and free? 'x264enc' runs everywhere"
        )


def _word(value: object) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else f'"{value}"' if "," in str(value) else str(value)
    )
