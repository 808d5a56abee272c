"""A window on the desktop, by SDL."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from keywarp.engines.errors import SinkError, missing_package
from keywarp.flow.base import Size
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import Sink, StreamInfo

_SMALLEST: Size = (160, 120)
_SCREEN_SHARE = 0.9
_PAUSE_POLL_S = 0.02


class WindowSink(Sink):
    """Shows pictures as they come. Space pauses; ``q``, Esc or closing the window ends the run.

    Ending calls ``on_quit`` once, from the sink's thread; later frames are accepted and not shown. The window
    can be resized, the picture keeps its shape. While it is paused ``process`` does not return: a file waits,
    a live source drops; :meth:`interrupt` ends that from outside. ``picture`` names what is shown, None for
    the frame's own picture. One window a process. Needs the extra ``window``, a screen, and a system where
    windows may live in any thread (not macOS).
    """

    name = "window"

    def __init__(
        self, *, on_quit: Callable[[], None] | None = None, picture: Key[Picture] | None = OVERLAY
    ) -> None:
        self._on_quit = on_quit
        self._picture = picture
        self.reads = () if picture is None else (picture,)
        self._pygame: Any = None
        self._title = "keywarp"
        self._paused = self._interrupted = False
        self.is_quit = False

    def open(self, info: StreamInfo) -> None:
        """Open the window."""
        self._pygame = pygame = _import_pygame()
        if sys.platform == "darwin":
            raise SinkError(
                "macOS allows windows in a program's main thread only; write a file: --sink out.mp4"
            )
        self._title = f"keywarp · {info.name}"
        try:
            pygame.display.init()
            desktop = pygame.display.get_desktop_sizes()[0]
            pygame.display.set_mode(_first_size(info.size, desktop), pygame.RESIZABLE)
        except pygame.error as error:
            reason = str(error).lower()
            raise SinkError(
                f"no window can be opened: {reason}; run it in a desktop session, or write a file: --sink out.mp4"
            ) from error
        pygame.display.set_caption(self._title)

    def process(self, packet: Packet) -> None:
        """Show one frame."""
        picture = packet.frame.picture if self._picture is None else packet[self._picture]
        self._listen()
        if not self.is_quit:
            self._show(picture)
            while self._paused and not self.is_quit and not self._interrupted:
                time.sleep(_PAUSE_POLL_S)
                if self._listen():
                    self._show(picture)
        self.written += 1

    def interrupt(self) -> None:
        """End a pause, and allow no other: the run is ending. Any thread may call."""
        self._interrupted = True

    def close(self) -> None:
        """Close the window."""
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = None

    def _show(self, picture: Picture) -> None:
        pygame = self._pygame
        surface = pygame.display.get_surface()
        window = surface.get_size()
        size = _fitted(picture.size, window)
        image = pygame.image.frombuffer(picture.bgr_at(size), size, "BGR")
        if size != window:
            surface.fill((0, 0, 0))
        surface.blit(image, ((window[0] - size[0]) // 2, (window[1] - size[1]) // 2))
        pygame.display.flip()

    def _listen(self) -> bool:
        """Take in what the user did; True where the window must be drawn again."""
        pygame = self._pygame
        redraw = False
        for event in pygame.event.get():
            key = event.key if event.type == pygame.KEYDOWN else None
            if event.type == pygame.QUIT or key in (pygame.K_q, pygame.K_ESCAPE):
                self._quit()
            elif key == pygame.K_SPACE:
                self._paused = not self._paused
                pygame.display.set_caption(f"{self._title} · paused" if self._paused else self._title)
            redraw |= event.type in (pygame.VIDEORESIZE, pygame.VIDEOEXPOSE)
        return redraw

    def _quit(self) -> None:
        if not self.is_quit:
            self.is_quit = True
            if self._on_quit is not None:
                self._on_quit()


def _import_pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would print
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # Ctrl-C is the graph's
    try:
        import pygame
    except ImportError as error:
        raise missing_package("pygame-ce", "window", "a window") from error
    return pygame


def _first_size(picture: Size, desktop: Size) -> Size:
    """The size to open with: the picture's own, within most of the screen."""
    room = int(desktop[0] * _SCREEN_SHARE), int(desktop[1] * _SCREEN_SHARE)
    width, height = picture if picture[0] <= room[0] and picture[1] <= room[1] else _fitted(picture, room)
    return max(width, _SMALLEST[0]), max(height, _SMALLEST[1])


def _fitted(picture: Size, window: Size) -> Size:
    """The largest size of the picture's shape inside a window."""
    factor = min(window[0] / picture[0], window[1] / picture[1])
    return max(1, round(picture[0] * factor)), max(1, round(picture[1] * factor))
