from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keywarp.engines.errors import MissingPackageError, SinkError
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sinks.window import WindowSink

from .screen import Screen, virtual_screen
from .stream import make_info, make_packet

ORANGE = (20, 120, 250)


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    pytest.importorskip("pygame", reason="needs pygame-ce: pip install 'keywarp[window]'")
    with virtual_screen(tmp_path) as found:
        monkeypatch.setenv("DISPLAY", found.display)
        yield found


@pytest.fixture
def window(screen: Screen) -> Iterator[WindowSink]:
    sink = WindowSink(on_quit=lambda: None)
    yield sink
    sink.close()


def orange(size: tuple[int, int] = (320, 200)) -> Picture:
    return Picture.from_bgr(np.full((size[1], size[0], 3), ORANGE, np.uint8))


def wait_for(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def post(kind: str, **values: Any) -> None:
    import pygame

    pygame.event.post(pygame.event.Event(getattr(pygame, kind), **values))


def key(name: str) -> int:
    import pygame

    return int(getattr(pygame, name))


def orange_pixels(screen: Screen) -> int:
    difference = screen.pixels().astype(int) - ORANGE
    return int((np.abs(difference).max(axis=2) <= 4).sum())


def test_the_screen_shows_the_picture(screen: Screen, window: WindowSink) -> None:
    window.open(make_info((320, 200)))
    window.process(make_packet(0, 0, overlay=orange()))
    wait_for(lambda: orange_pixels(screen) == 320 * 200)


def test_a_small_picture_fills_the_window_in_its_own_shape(screen: Screen, window: WindowSink) -> None:
    window.open(make_info((20, 10)))
    window.process(make_packet(0, 0, overlay=orange((20, 10))))
    wait_for(lambda: orange_pixels(screen) == 160 * 80)


def test_a_large_picture_is_made_smaller(screen: Screen, window: WindowSink) -> None:
    window.open(make_info((1600, 1200)))
    window.process(make_packet(0, 0, overlay=orange((1600, 1200))))
    wait_for(lambda: orange_pixels(screen) == 720 * 540)


@pytest.mark.parametrize("event", ["QUIT", "K_q", "K_ESCAPE"])
def test_quitting_calls_back_once_and_hides_nothing_behind(screen: Screen, event: str) -> None:
    calls: list[str] = []
    sink = WindowSink(on_quit=lambda: calls.append("quit"))
    sink.open(make_info())
    post("QUIT") if event == "QUIT" else post("KEYDOWN", key=key(event))
    for index in range(3):
        sink.process(make_packet(index, index))
    sink.close()
    assert calls == ["quit"]
    assert sink.is_quit
    assert sink.written == 3


@pytest.mark.parametrize("end", ["space", "quit", "interrupt"])
def test_space_holds_the_frame(screen: Screen, end: str) -> None:
    sink = WindowSink()
    opened, go_on = threading.Event(), threading.Event()

    def work() -> None:
        sink.open(make_info())
        opened.set()
        go_on.wait(10)
        sink.process(make_packet(0, 0))
        sink.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert opened.wait(20)
    post("KEYDOWN", key=key("K_SPACE"))
    go_on.set()
    thread.join(0.3)
    assert thread.is_alive(), "a paused window must hold its frame"
    if end == "space":
        post("KEYDOWN", key=key("K_SPACE"))
    elif end == "quit":
        post("QUIT")
    else:
        sink.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert sink.written == 1


def test_no_screen_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame", reason="needs pygame-ce: pip install 'keywarp[window]'")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    sink = WindowSink()
    with pytest.raises(SinkError, match=r"no window can be opened: .*--sink out\.mp4"):
        sink.open(make_info())
    sink.close()


def test_without_the_package_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_pygame(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pygame":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pygame)
    with pytest.raises(MissingPackageError, match=r"pip install 'keywarp\[window\]'"):
        WindowSink().open(make_info())
