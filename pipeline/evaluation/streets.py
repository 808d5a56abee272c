"""The drawn street, as what can be run again and again."""

from __future__ import annotations

from keywarp.engines.errors import UsageError
from keywarp.flow.scenes.street import StreetScene
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.rate import Rate
from keywarp.pipeline.sources.street import StreetSource


def street_of(text: str, rate: Rate | None = None) -> tuple[StreetScene, int]:
    """The scene that ``street:`` with its options names, at ``rate`` frames a second, and its length in frames.

    Raises :class:`UsageError` where it never ends, or is live.
    """
    source = open_source(text, rate=rate)
    assert isinstance(source, StreetSource)
    length = source.scene.length
    if length is None or source.is_live:
        raise UsageError(
            f"'{text}' cannot be run again and again; give it a length, such as street:length=300, and no live"
        )
    return source.scene, length
