"""H.264 encoders of FFmpeg: their names and presets, and how each is told about quality and haste."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext

from keywarp.engines.errors import SinkError, UsageError, unknown_name
from keywarp.flow.base import Size

HARDWARE_ENCODERS = (
    "h264_nvenc",
    "h264_qsv",
    "h264_amf",
    "h264_v4l2m2m",
    "h264_videotoolbox",
    "h264_mf",
)
"""Encoders that need a device and its driver; FFmpeg may list them on machines that have neither."""

_H264 = "h264"
_X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_PRESETS = {
    "libx264": _X264_PRESETS,
    "h264_nvenc": (
        "p1",
        "p2",
        "p3",
        "p4",
        "p5",
        "p6",
        "p7",
        "fast",
        "medium",
        "slow",
        "hp",
        "hq",
        "ll",
        "llhq",
    ),
    "h264_qsv": ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
    "h264_amf": ("speed", "balanced", "quality", "high_quality"),
}
# The option that stands for constant quality, 0 (best) to 51; encoders without one get a bit rate.
_QUALITY = {"libx264": "crf", "h264_nvenc": "cq", "h264_qsv": "global_quality"}
_BITS_PER_PIXEL = 0.12
_LIVE = {
    "libx264": {"tune": "zerolatency"},
    "h264_nvenc": {"tune": "ull", "zerolatency": "1", "delay": "0", "rc-lookahead": "0"},
    "h264_qsv": {"async_depth": "1", "look_ahead": "0", "low_delay_brc": "1"},
    "h264_amf": {"usage": "ultralowlatency"},
}
_PIXEL_FORMATS = ("yuv420p", "nv12")
_ASSUMED_RATE = Fraction(30)


@lru_cache(maxsize=1)
def h264_encoders() -> tuple[str, ...]:
    """The H.264 encoders in this FFmpeg that take 4:2:0 pictures, sorted."""
    return tuple(sorted(name for name in av.codecs_available if _takes_yuv420(name)))


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder by FFmpeg's name, a preset of its own, a quality of 0 (best) to 51, and threads (None: auto)."""

    name: str
    preset: str | None
    crf: int
    threads: int | None = None

    @staticmethod
    def parse(text: str, crf: int = 23, threads: int | None = None) -> EncoderChoice:
        """``NAME`` or ``NAME:PRESET``. Raises :class:`UsageError` with what is accepted."""
        name, colon, preset = text.partition(":")
        if name not in h264_encoders():
            raise unknown_name("H.264 encoder", name, h264_encoders())
        if colon and name not in _PRESETS:
            raise UsageError(f"encoder '{name}' has no presets; give it as '{name}'")
        if colon and preset not in _PRESETS[name]:
            raise unknown_name(f"preset of {name}", preset, _PRESETS[name])
        if not 0 <= crf <= 51:
            raise UsageError(f"the quality (crf) is between 0, the best, and 51; given: {crf}")
        return EncoderChoice(name, preset if colon else None, crf, threads)

    @property
    def pixel_format(self) -> str:
        """The form of 4:2:0 that the encoder takes: ``yuv420p`` where it can."""
        known = _formats(self.name)
        return next((name for name in _PIXEL_FORMATS if name in known), _PIXEL_FORMATS[0])

    def options(self, live: bool) -> dict[str, str]:
        """FFmpeg's private options."""
        options = {} if self.preset is None else {_preset_option(self.name): self.preset}
        if self.name in _QUALITY:
            options[_QUALITY[self.name]] = str(self.crf)
        return options | (_LIVE.get(self.name, {}) if live else {})

    def set_up(self, context: VideoCodecContext, size: Size, rate: Fraction | None, live: bool) -> None:
        """Tell an encoder that is not open yet about the stream."""
        context.width, context.height = size
        context.pix_fmt = self.pixel_format
        context.framerate = rate or _ASSUMED_RATE
        context.thread_count = self.threads or 0
        if self.name not in _QUALITY:
            context.bit_rate = int(_BITS_PER_PIXEL * size[0] * size[1] * context.framerate)
        if live:
            context.max_b_frames = 0

    def try_out(self, size: Size, rate: Fraction | None, live: bool) -> None:
        """Open and drop an encoder. Raises one :class:`SinkError` where that fails, as without its hardware."""
        context = VideoCodecContext.create(self.name, "w")
        assert isinstance(context, VideoCodecContext)
        self.set_up(context, size, rate, live)
        context.options = self.options(live)
        context.time_base = 1 / (rate or _ASSUMED_RATE)
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise SinkError(self.refusal(size)) from error

    def refusal(self, size: Size) -> str:
        """What to say when the encoder does not open for pictures of ``size``."""
        if self.name in HARDWARE_ENCODERS:
            return (
                f"encoder '{self.name}' cannot be opened: its hardware or driver is missing, or does not take "
                f"{size[0]}x{size[1]}; 'libx264:veryfast' runs everywhere"
            )
        return f"encoder '{self.name}' cannot be opened for pictures of {size[0]}x{size[1]}"


def _preset_option(name: str) -> str:
    return "quality" if name == "h264_amf" else "preset"


@lru_cache(maxsize=64)
def _formats(name: str) -> tuple[str, ...]:
    return tuple(known.name for known in av.Codec(name, "w").video_formats or ())


def _takes_yuv420(name: str) -> bool:
    if "264" not in name:
        return False
    try:
        codec = av.Codec(name, "w")
    except UnknownCodecError:
        return False
    is_h264 = codec.type == "video" and codec.canonical_name == _H264
    return is_h264 and (name in HARDWARE_ENCODERS or bool(set(_PIXEL_FORMATS) & set(_formats(name))))
