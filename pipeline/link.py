"""Links: bounded, closeable queues between two threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Frames that may wait in one link. A file's key frames take many times the mean, and the frames that pile up
# meanwhile keep the other cores busy; for a live stream every frame that waits is old news.
_FILE_LINK_FRAMES = 12
_LIVE_LINK_FRAMES = 1


def link_capacity(live: bool) -> int:
    """How many frames may wait in one link of a stream that is ``live``, or is not."""
    return _LIVE_LINK_FRAMES if live else _FILE_LINK_FRAMES


class Link(Generic[Item]):
    """A queue of at most ``capacity`` items from one thread to another.

    The writer ends it with :meth:`finish`: what lies in it is still read. The reader gives up with
    :meth:`close`: what lies in it is gone, and the writer learns it from :meth:`put`. Neither ever waits for
    a side that is gone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False

    def put(self, item: Item) -> bool:
        """Add an item, waiting for room. False where the reader has gone; the item is not taken then."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            return self._add(item)

    def put_newest(self, item: Item, succeed: Callable[[Item, Item], Item]) -> Item | None:
        """Add an item without waiting. Where there is no room the oldest item gives way and is returned.

        ``succeed(oldest, next)`` then makes what takes the place of the item after it.
        """
        with self._changed:
            if len(self._items) < self._capacity:
                self._add(item)
                return None
            oldest = self._items.popleft()
            self._add(item)
            self._items[0] = succeed(oldest, self._items[0])
            return oldest

    def _add(self, item: Item) -> bool:
        if self._closed:
            return False
        self._items.append(item)
        self._changed.notify_all()
        return True

    def __iter__(self) -> Iterator[Item]:
        """The items, waiting for each, until the link is finished or closed."""
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._closed:
                    self._changed.wait()
                if self._closed or not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more will be read, and drop what lies in the link."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits in it."""
        return not self._items

    @property
    def is_closed(self) -> bool:
        """Whether the reader has gone."""
        return self._closed
