"""Whether what a frame is predicted from is there."""

from __future__ import annotations

from functools import cached_property

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# Of av.video.frame.PictureType: NONE, the type of a made-up picture that comes out itself.
_MADE_UP = 0

# Codecs, by their canonical names, whose decoders make up a grey picture in the place of one that never came, and
# predict from it without a word. Others begin at a sound frame by themselves, or refuse those before it.
# Not H.261: its intra frames need not tell that they are.
MAKE_UP = frozenset(
    [
        *("mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1"),
        *("h263", "h263i", "flv1", "rv10", "rv20", "rv30", "rv40", "svq3", "theora", "vp3", "vp4"),
    ]
)


class Footing:
    """Tells, of frames in order of presentation, those that can be trusted: once it is ``lost`` none can before the
    next key frame.
    """

    def __init__(self, *, lost: bool = False) -> None:
        self.lost = lost

    def bears(self, frame: VideoFrame) -> bool:
        """Whether what ``frame`` is predicted from is sound."""
        self.lost = self.lost and not frame.key_frame
        return not self.lost


class Beginning:
    """Cuts off what a decoder makes of a stream that begins between two key frames.

    ``skipped``: how many pictures that were.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._footing = Footing(lost=True)
        self.skipped = 0

    @property
    def over(self) -> bool:
        """Whether all that comes from now on is sound."""
        return not self._footing.lost

    def add(self, packet: Packet[VideoStream]) -> None:
        """A packet was decoded. A key frame may be hidden by an edit list: those after it are sound then."""
        if packet.is_discard and packet.is_keyframe and self._keys_are_marked:
            self._footing.lost = False

    @cached_property
    def _keys_are_marked(self) -> bool:
        """Of a film without any key frame an .mp4 says that all are."""
        return not all(entry.is_keyframe for entry in self._stream.index_entries)

    def cut(self, frames: list[VideoFrame]) -> list[VideoFrame]:
        """The sound ones of ``frames``, the next that came out."""
        sound = []
        for frame in frames:
            if self._footing.bears(frame):
                sound.append(frame)
            else:
                self.skipped += frame.pict_type != _MADE_UP
        return sound
