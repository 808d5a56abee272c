"""The page in a real browser, headless: what a person sees and does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from keywarp.pipeline.page.sink import PageSink

from .browser import chromium, resize
from .feeder import Feeder, page, wait_for

TOKEN = "a token of these tests"

COPY = """
const canvas = document.getElementById(arguments[0]);
const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
copy.drawImage(canvas, 0, 0);
const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
"""
PIXELS = (
    COPY
    + """
let hash = 0;
for (let place = 0; place < data.length; place += 97) hash = (hash * 31 + data[place]) | 0;
return hash;
"""
)
COLORS = (
    COPY
    + """
const counts = {};
for (let place = 0; place < data.length; place += 4) {
  if (data[place + 3] === 255) {
    const color = [data[place], data[place + 1], data[place + 2]].join();
    counts[color] = (counts[color] ?? 0) + 1;
  }
}
return counts;
"""
)
AMBER, TEAL = "255,190,70", "72,200,190"  # pipeline/stages/style.py


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(dark=True) as found:
        yield found


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[PageSink, Feeder]]:
    with page(token=TOKEN) as both:
        yield both


@pytest.fixture
def opened(browser: Any, served: tuple[PageSink, Feeder]) -> tuple[Any, Feeder]:
    sink, feeder = served
    feeder.controls.change(
        {
            "interval": 10,
            "paused": False,
            "recording": False,
            "enabled": True,
            "opacity": 0.55,
            "aggregate": False,
        }
    )
    browser.get(sink.url)
    wait_for(lambda: drawn_count(browser) > 3)
    wait_for(lambda: text(browser, "state-word") == "live")
    return browser, feeder


def drawn_count(browser: Any) -> int:
    return int(browser.execute_script("return Number(document.getElementById('picture').dataset.drawn ?? 0)"))


def text(browser: Any, name: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).textContent", name))


def press(browser: Any, keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def do(browser: Any, name: str, value: object, event: str = "input") -> None:
    """Set a control as a person does, with its event."""
    browser.execute_script(
        "const [name, value, event] = arguments; const element = document.getElementById(name);"
        "if (element.type === 'checkbox') element.checked = value; else element.value = value;"
        "element.dispatchEvent(new Event(event, { bubbles: true }));",
        name, value, event,
    )  # fmt: skip


def complaints(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_the_picture_moves_and_the_token_leaves_the_address(opened: tuple[Any, Feeder]) -> None:
    browser, _ = opened
    assert urlsplit(browser.current_url).query == ""
    assert "street · fake" in browser.title
    seen = set()
    for _ in range(6):
        seen.add(browser.execute_script(PIXELS, "picture"))
        time.sleep(0.1)
    assert len(seen) >= 4
    before = drawn_count(browser)
    time.sleep(1)
    assert drawn_count(browser) - before > 12
    shape = browser.execute_script("const r = picture.getBoundingClientRect(); return r.width / r.height")
    assert shape == pytest.approx(16 / 9, rel=0.02)
    assert complaints(browser) == []


def test_charts_have_data(opened: tuple[Any, Feeder]) -> None:
    browser, _ = opened
    for name, least in (("fps", 10), ("latency", 10), ("ticks", 60)):
        points = "return Number(document.getElementById(arguments[0]).dataset.points ?? 0)"
        wait_for(lambda n=name, m=least, p=points: browser.execute_script(p, n) >= m)
        assert browser.execute_script(PIXELS, name) != 0
    colors = browser.execute_script(COLORS, "ticks")
    assert colors[TEAL] > colors[AMBER] > 50
    wait_for(lambda: float(text(browser, "now-fps")) > 15)
    assert float(text(browser, "now-latency")) >= 9
    stages = text(browser, "stages")
    assert (
        stages.index("perceive") < stages.index("features") < stages.index("flow") < stages.index("overlay")
    )
    figures = text(browser, "figures")
    assert "Dropped: late3" in figures
    assert "Reconnects2" in figures
    assert "Carried as in a full run94.3 %" in figures


def test_controls_act_at_once(opened: tuple[Any, Feeder]) -> None:
    browser, feeder = opened
    start_s = time.perf_counter()
    do(browser, "interval", 4)
    at = wait_for(lambda: [at for at, interval in feeder.intervals if interval == 4 and at > start_s])
    assert at[0] - start_s < 0.5
    assert browser.execute_script("return document.getElementById('interval-number').value") == "4"
    do(browser, "interval-number", 250)
    wait_for(lambda: feeder.controls.knobs.interval == 250)
    do(browser, "opacity", 0.2)
    wait_for(lambda: feeder.controls.knobs.opacity == 0.2)
    assert text(browser, "opacity-value") == "20 %"
    do(browser, "level", "result", "change")
    wait_for(lambda: feeder.controls.knobs.level == "result")
    do(browser, "enabled", False, "change")
    wait_for(lambda: not feeder.controls.knobs.enabled)
    feeder.controls.change({"interval": 12})  # by somebody else
    wait_for(lambda: browser.execute_script("return document.getElementById('interval').value") == "12")
    assert complaints(browser) == []


def test_aggregation_is_a_switch_with_a_reason_where_it_cannot_be(opened: tuple[Any, Feeder]) -> None:
    browser, feeder = opened
    checked = "return document.getElementById('aggregate').checked"
    assert not browser.execute_script(checked)
    browser.execute_script("document.getElementById('aggregate').focus()")
    press(browser, " ")
    wait_for(lambda: feeder.controls.knobs.aggregate)
    assert browser.execute_script(checked)
    assert not feeder.controls.knobs.paused
    feeder.abilities = {"aggregate": "level 'result' carries no features"}
    try:
        wait_for(lambda: browser.execute_script("return document.getElementById('aggregate').disabled"))
        assert not browser.execute_script(checked)  # nothing is aggregated
        reason = "return document.getElementById('barred')"
        assert "level 'result' carries no features" in browser.execute_script(f"{reason}.textContent")
        assert browser.execute_script(f"{reason}.getBoundingClientRect().height") > 0
    finally:
        feeder.abilities = {}
    wait_for(lambda: browser.execute_script(checked))
    assert browser.execute_script("return document.getElementById('barred').hidden")
    assert complaints(browser) == []


def test_keys(opened: tuple[Any, Feeder]) -> None:
    browser, feeder = opened
    knobs = feeder.controls
    browser.execute_script("document.activeElement.blur()")
    press(browser, " ")
    wait_for(lambda: knobs.knobs.paused)
    wait_for(lambda: text(browser, "state-word") == "paused")
    assert text(browser, "badge") == "Paused"
    press(browser, " ")
    wait_for(lambda: not knobs.knobs.paused)
    press(browser, "r")
    wait_for(lambda: knobs.knobs.recording)
    wait_for(lambda: browser.execute_script("return recording.getAttribute('aria-pressed')") == "true")
    press(browser, "\ue014")  # right
    wait_for(lambda: knobs.knobs.interval == 11)
    press(browser, "\ue012\ue012")  # left
    wait_for(lambda: knobs.knobs.interval == 9)
    browser.execute_script("document.getElementById('interval-number').focus()")
    press(browser, "s r")
    time.sleep(0.3)
    assert knobs.knobs.recording
    assert not knobs.knobs.paused


def test_an_error_is_shown_in_words(opened: tuple[Any, Feeder]) -> None:
    browser, feeder = opened
    browser.execute_script(
        "const list = document.getElementById('flow'); list.add(new Option('magic')); list.value = 'magic';"
        "list.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    wait_for(lambda: "unknown flow 'magic'" in text(browser, "trouble"))
    wait_for(lambda: browser.execute_script("return flow.value") == feeder.controls.knobs.flow)


def test_a_lost_stream_is_shown_and_announced(opened: tuple[Any, Feeder]) -> None:
    browser, feeder = opened
    feeder.health = {"state": "lost", "reason": "no route to the camera", "since_s": 12.0}
    feeder.frozen = True
    try:
        wait_for(lambda: text(browser, "state-word") == "signal lost")
        assert text(browser, "state-more") == "12 s · no route to the camera"
        assert text(browser, "badge") == "Signal lost 12 s ago · this is the last picture"
        assert "no route to the camera" in text(browser, "news")
    finally:
        feeder.health, feeder.frozen = {}, False
    wait_for(lambda: text(browser, "state-word") == "live")
    wait_for(lambda: browser.execute_script("return document.getElementById('badge').hidden"))


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_sticks_out(opened: tuple[Any, Feeder], width: int) -> None:
    browser, _ = opened
    resize(browser, width, 844)
    try:
        time.sleep(0.3)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        small = browser.execute_script(
            "return [...document.querySelectorAll('button, input, select')].filter((one) =>"
            " one.getBoundingClientRect().height < 24).map((one) => one.id)"
        )
        assert small == []
    finally:
        resize(browser, 1440, 900)


def test_every_control_has_a_name(opened: tuple[Any, Feeder]) -> None:
    browser, _ = opened
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('input, select, button')].filter((one) =>"
        " !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map((one) => one.id)"
    )
    assert nameless == []


def test_light_and_dark(opened: tuple[Any, Feeder]) -> None:
    browser, _ = opened
    ground = "return getComputedStyle(document.body).backgroundColor"
    dark = browser.execute_script(ground)
    browser.find_element("id", "theme").click()
    assert text(browser, "theme-word") == "light"
    assert browser.execute_script(ground) != dark
    browser.refresh()
    wait_for(lambda: text(browser, "theme-word") == "light")
    browser.find_element("id", "theme").click()
    assert browser.execute_script(ground) == dark
    browser.find_element("id", "theme").click()
    assert text(browser, "theme-word") == "auto"


NOWHERE = """
window.Real = WebSocket;
window.WebSocket = class extends EventTarget {
  static OPEN = 1;
  readyState = 0;
  close() {}
};
window.fetch = (_, { signal }) => new Promise((_, fail) => { signal.onabort = () => fail(signal.reason); });
"""


def test_a_network_that_swallows_everything_is_not_waited_for(browser: Any) -> None:
    with page() as (sink, _):
        browser.get(sink.url)
        wait_for(lambda: drawn_count(browser) > 3)
        browser.execute_script(NOWHERE)
    wait_for(lambda: "Trying again (2)" in text(browser, "veil"), 20)
    wait_for(lambda: "cannot be reached" in text(browser, "veil"), 20)
    browser.get_log("browser")


def test_it_comes_back_by_itself(browser: Any) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("needs SIGKILL (Linux, macOS)")
    with page() as (sink, _):
        browser.get(sink.url)
        wait_for(lambda: drawn_count(browser) > 3)
        assert sink._server is not None
        pid = sink._server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: text(browser, "state-word") == "disconnected")
        wait_for(lambda: text(browser, "state-word") == "live")
        before = drawn_count(browser)
        wait_for(lambda: drawn_count(browser) > before + 10)
    wait_for(lambda: "No connection to keywarp" in text(browser, "veil"))
    browser.get_log("browser")
