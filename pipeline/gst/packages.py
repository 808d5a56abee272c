"""Which package brings which element, on Debian, Ubuntu and JetPack."""

from __future__ import annotations

PACKAGES: dict[str, tuple[str, ...]] = {
    "gstreamer1.0-plugins-base": (
        "appsink", "appsrc", "audioconvert", "decodebin", "decodebin3", "oggdemux", "playbin", "rawvideoparse",
        "tcpclientsrc", "tcpserversink", "uridecodebin", "videoconvert", "videorate", "videoscale", "videotestsrc",
        "vorbisdec",
    ),
    "gstreamer1.0-plugins-good": (
        "avidemux", "flvdemux", "imagefreeze", "jpegdec", "jpegenc", "matroskademux", "matroskamux", "mp4mux",
        "multifilesrc", "pngdec", "qtdemux", "rtph264depay", "rtph264pay", "rtph265depay", "rtpjitterbuffer",
        "rtpjpegdepay", "rtpmp2tdepay", "rtspsrc", "souphttpsrc", "splitmuxsink", "udpsink", "udpsrc",
        "v4l2h264dec", "v4l2h264enc", "v4l2sink", "v4l2src", "videocrop", "videoflip",
        "vp8dec", "vp9dec", "ximagesrc",
    ),
    "gstreamer1.0-plugins-bad": (
        "h264parse", "h265parse", "hlsdemux", "mpegtsmux", "mpegvideoparse", "nvh264dec", "nvh264enc", "nvh265dec",
        "openh264dec", "openh264enc", "qsvh264dec", "qsvh264enc", "rtmp2sink", "rtmp2src", "rtmpsrc", "shmsink",
        "shmsrc", "srtsink", "srtsrc", "tsdemux", "v4l2codecs", "vah264dec", "vah264enc", "vah265dec", "vapostproc",
        "webrtcbin", "whipsink",
    ),
    "gstreamer1.0-plugins-ugly": ("x264enc", "asfdemux", "mpeg2dec"),
    "gstreamer1.0-libav": ("avdec_h264", "avdec_h265", "avdec_mjpeg", "avdec_mpeg4", "avdec_vp9", "avenc_mpeg4"),
    "gstreamer1.0-vaapi": ("vaapih264dec", "vaapih265dec", "vaapih264enc", "vaapih265enc", "vaapipostproc"),
    "gstreamer1.0-libcamera": ("libcamerasrc",),
    "gstreamer1.0-pipewire": ("pipewiresrc",),
    "gstreamer1.0-rtsp": ("rtspclientsink",),
    "nvidia-l4t-gstreamer": (
        "nvarguscamerasrc", "nvcompositor", "nvegltransform", "nvjpegdec", "nvjpegenc", "nvv4l2camerasrc",
        "nvv4l2decoder", "nvv4l2h264enc", "nvv4l2h265enc", "nvvidconv", "nvdrmvideosink",
    ),
}  # fmt: skip
"""Elements that camera and streaming pipelines are often made of, by package."""

_BY_ELEMENT = {element: package for package, elements in PACKAGES.items() for element in elements}
_BY_START = {"avdec_": "gstreamer1.0-libav", "avenc_": "gstreamer1.0-libav", "vaapi": "gstreamer1.0-vaapi"}


def known_elements() -> tuple[str, ...]:
    """The elements whose package is known, sorted."""
    return tuple(sorted(_BY_ELEMENT))


def package_of(element: str) -> str | None:
    """The package that brings ``element``, None where that is not known."""
    starts = (package for start, package in _BY_START.items() if element.startswith(start))
    return _BY_ELEMENT.get(element) or next(starts, None)


def how_to_get(element: str) -> str | None:
    """What to do to have ``element``, as the end of a sentence; None where its package is not known."""
    package = package_of(element)
    if package is None:
        return None
    if package == "nvidia-l4t-gstreamer":
        return f"it comes with JetPack on NVIDIA Jetson (package {package}) and nowhere else"
    return f"it is in the package {package}: sudo apt install {package}"
