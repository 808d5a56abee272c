"""Labelled pictures as a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Size, readonly
from keywarp.models.datasets import Pair
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.rate import Rate, exact_rate
from keywarp.pipeline.stage import StreamInfo

_RATE = 25


class PairSource(Source):
    """The pictures of ``pairs``, in their order, each read when it is its turn; ``rate`` a second.

    All have the width and height ``size``. Nothing is left out: a picture that cannot be read, or has
    another size than its labels or the others, raises :class:`UsageError`.
    """

    def __init__(self, name: str, pairs: Sequence[Pair], size: Size, *, rate: Rate | None = None) -> None:
        super().__init__()
        self._name, self._pairs, self._size = name, pairs, size
        self._rate = exact_rate(_RATE if rate is None else rate)

    def open(self) -> StreamInfo:
        """Say how many there are."""
        folders = tuple({pair.picture.parent for pair in self._pairs})
        return StreamInfo(self._name, self._size, self._rate, 1 / self._rate, len(self._pairs), paths=folders)

    def frames(self) -> Iterator[Frame]:
        """Read them."""
        for index, pair in enumerate(self._pairs):
            picture = Picture.from_bgr(readonly(pair.read_picture()))
            if picture.size != self._size:
                raise UsageError(
                    f"picture '{pair.picture}' is {picture.size[0]}x{picture.size[1]}, those before it are "
                    f"{self._size[0]}x{self._size[1]}; the pictures of a sequence have one size"
                )
            yield Frame(index, index, 1 / self._rate, self.clock.now_ns(), picture)

    def close(self) -> None:
        """Nothing is held."""
