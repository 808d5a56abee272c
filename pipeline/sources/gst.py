"""Whatever GStreamer can read: cameras of a Jetson, capture cards, hardware decoders, pipelines of one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from typing import Any

from keywarp.engines.errors import SourceError, UsageError
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.gst.bindings import load_gst
from keywarp.pipeline.gst.intake import find_appsink, pulled, with_appsink
from keywarp.pipeline.gst.launch import bus_problem, launch
from keywarp.pipeline.gst.memory import FORMATS, Lending, Sample, pool_limit, read_sample, video_frame_info
from keywarp.pipeline.gst.presets import expand
from keywarp.pipeline.gst.secrets import without_credentials
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .timeline import Timeline

OPEN_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 5.0

_TIME_BASE = Fraction(1, 90_000)
_WAIT_NS = 100_000_000
# Older than this, a picture's time is taken for wrong.
_OLDEST_NS = 10 * 10**9
_MOST_NAME = 200


class GstSource(Source):
    """The pictures that a GStreamer pipeline delivers into its ``appsink``.

    ``text``: ``gst: PIPELINE`` as ``gst-launch-1.0`` takes it (an ``appsink`` is added where there is none),
    or a preset of :mod:`keywarp.pipeline.gst.presets`. NV12, I420, YUY2, GRAY8 and BGR are taken as they are;
    whatever else comes is converted by ``videoconvert``. All but YUY2 stay in GStreamer's buffers, without a
    copy, for as long as a frame or a view of it lives; of a pool that cannot grow, half at most, and the rest
    is copied. Raises :class:`MissingPackageError` without GStreamer, and :class:`UsageError` for a preset
    that cannot be.

    Live is what the pipeline says is live. ``pts`` is the buffer's time in 1/90000 s. ``capture_ns`` of a
    live pipeline is when the picture was taken, by the pipeline's clock, not when it arrived. Pictures whose
    size changes on the way are scaled to that of the first. Errors name the element and show no password.
    What interrupts or closes takes effect within a tenth of a second; a device that hangs when it is closed
    is left behind after ``CLOSE_TIMEOUT_S``, which ``notes`` says.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        load_gst()
        self.name = without_credentials(text.strip())[:_MOST_NAME]
        self._text = expand(text.strip())
        self._pipeline: Any = None
        self._appsink: Any = None
        self._interrupted = False
        self._live = False
        self._first: Sample | None = None
        self._size = (0, 0)
        self._rate: Fraction | None = None
        self._caps_text = ""
        self.lending = Lending()
        """How many buffers are held by frames now."""

    def open(self) -> StreamInfo:
        """Start the pipeline and take its first picture. Raises :class:`SourceError`."""
        self._interrupted = False
        self._pipeline = launch(with_appsink(self._text), f"source '{self.name}'", SourceError)
        try:
            self._appsink = find_appsink(self._pipeline, self._text)
            self._live = self._start()
            self._first = self._wait_for_first()
        except UsageError as error:
            self.close()
            raise SourceError(f"source '{self.name}': {error}") from None
        except BaseException:
            self.close()
            raise
        self._size = self._first.picture.size
        return StreamInfo(
            name=self.name, size=self._size, rate=self._rate, time_base=_TIME_BASE, live=self._live
        )

    def frames(self) -> Iterator[Frame]:
        """The pictures, until the pipeline's end; an error in it raises :class:`SourceError`."""
        if self._appsink is None:
            raise SourceError(f"source '{self.name}' is not open; call open() first")
        timeline = Timeline(_TIME_BASE, self._rate)
        sample, self._first = self._first, None
        for index in count():
            while sample is None:
                if self._interrupted:
                    return
                sample = self._pull()
                if sample is None and self._is_over():
                    return
            yield self._frame(index, sample, timeline)
            sample = None

    def interrupt(self) -> None:
        """End the stream within a tenth of a second."""
        self._interrupted = True

    def close(self) -> None:
        """Stop the pipeline; pictures that were delivered stay good."""
        self._interrupted = True
        pipeline, self._pipeline = self._pipeline, None
        self._appsink = self._first = None
        if pipeline is None:
            return
        if not stop_pipeline(pipeline):
            self.notes.append(
                f"source '{self.name}' did not stop within {CLOSE_TIMEOUT_S:.0f} s and was left as it is; "
                "is its device or server still there?"
            )
        if self.lending.copied:
            self.notes.append(
                f"source '{self.name}': {self.lending.copied} frames were copied, since the pipeline has only a "
                "few buffers; give it more of them to save that"
            )
            self.lending.copied = 0

    def _start(self) -> bool:
        """Set the pipeline going; whether it is live."""
        gst = load_gst()
        result = self._pipeline.set_state(gst.State.PAUSED)
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        while (
            result == gst.StateChangeReturn.ASYNC and time.monotonic() < deadline_s and not self._interrupted
        ):
            self._raise_error()
            result = self._pipeline.get_state(_WAIT_NS)[0]
        if result == gst.StateChangeReturn.FAILURE:
            self._raise_error(wait_ns=10 * _WAIT_NS)
            raise SourceError(f"source '{self.name}' cannot be started, and GStreamer does not say why")
        live = result == gst.StateChangeReturn.NO_PREROLL
        self._pipeline.set_state(gst.State.PLAYING)
        return live

    def _wait_for_first(self) -> Sample:
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        while time.monotonic() < deadline_s and not self._interrupted:
            sample = self._pull()
            if sample is not None:
                return sample
            if self._is_over() and not self._interrupted:
                raise SourceError(f"source '{self.name}' ended before its first frame")
        waited = "was interrupted" if self._interrupted else f"gave no frame within {OPEN_TIMEOUT_S:.0f} s"
        raise SourceError(f"source '{self.name}' {waited}; try the pipeline with: gst-launch-1.0 -v")

    def _pull(self) -> Sample | None:
        appsink = self._appsink
        if appsink is None:  # closed by another thread
            self._interrupted = True
            return None
        with pulled(appsink, _WAIT_NS) as pointer:
            if pointer is None:
                return None
            if self._learn_caps(appsink):
                self.lending.most = pool_limit(pointer)
            try:
                return read_sample(pointer, self.lending)
            except BufferError as error:
                raise SourceError(
                    f"source '{self.name}': {error}; end the pipeline in pictures in the main memory"
                ) from None

    def _learn_caps(self, appsink: Any) -> bool:
        """Look at what comes now; whether it is something else than before."""
        caps = appsink.get_static_pad("sink").get_current_caps()
        text = "" if caps is None else caps.to_string()
        if text == self._caps_text or caps is None:
            return False
        name, _, (numerator, denominator) = video_frame_info(caps)
        if name not in FORMATS:
            raise SourceError(
                f"source '{self.name}' gives '{name or text}' pictures (accepted: {', '.join(FORMATS)}); "
                "leave the caps of its appsink away, and they are converted"
            )
        self._caps_text = text
        self._rate = Fraction(numerator, denominator) if numerator > 0 else None
        return True

    def _frame(self, index: int, sample: Sample, timeline: Timeline) -> Frame:
        ticks = None if sample.pts_ns is None else round(sample.pts_ns * 9 / 100_000)
        picture = sample.picture.scaled(self._size)
        return Frame(
            index, timeline.place(ticks), _TIME_BASE, self.clock.now_ns() - self._age_ns(sample), picture
        )

    def _age_ns(self, sample: Sample) -> int:
        """How long ago the picture was taken, by the clock of a live pipeline."""
        pipeline = self._pipeline
        clock = None if pipeline is None else pipeline.get_clock()
        if not self._live or clock is None or sample.running_ns is None:
            return 0
        age_ns = clock.get_time() - pipeline.get_base_time() - sample.running_ns
        return age_ns if 0 <= age_ns <= _OLDEST_NS else 0

    def _is_over(self) -> bool:
        """Whether the stream has ended; raises what the pipeline complains of."""
        appsink = self._appsink
        if appsink is None or self._interrupted:
            return True
        self._raise_error()
        return bool(appsink.is_eos())

    def _raise_error(self, wait_ns: int = 0) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            return
        message = pipeline.get_bus().timed_pop_filtered(wait_ns, load_gst().MessageType.ERROR)
        if message is not None and not self._interrupted:
            raise SourceError(f"source '{self.name}' failed: {bus_problem(pipeline, message)}")


def stop_pipeline(pipeline: Any, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
    """Bring a pipeline to its end; False where it hung for ``timeout_s`` and is left behind."""
    stopping = threading.Thread(
        target=pipeline.set_state, args=(load_gst().State.NULL,), name="keywarp-gst-stop", daemon=True
    )
    stopping.start()
    stopping.join(timeout_s)
    return not stopping.is_alive()
