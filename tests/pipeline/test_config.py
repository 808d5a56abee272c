"""Configurations: files, ``--set``, what is suggested for a typing error, and the bundled ones, run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import keywarp
from keywarp.engines.errors import UsageError
from keywarp.pipeline.cli.main import DEFAULT_PAGE, with_default_serve
from keywarp.pipeline.cli.settings import serve_flags, settings_from
from keywarp.pipeline.config import (
    CONFIGS,
    DeliveryConfig,
    EncoderConfig,
    FlowConfig,
    ModelConfig,
    OverlayConfig,
    ReconnectConfig,
    RunConfig,
    ServeConfig,
    assign,
    config_names,
    make_config,
    parse_size,
    read_config,
)
from keywarp.pipeline.run import _name_of

DOCS = Path(__file__).parents[2] / "docs" / "config.md"
NESTED: dict[str, type[BaseModel]] = {
    "flow": FlowConfig,
    "overlay": OverlayConfig,
    "encoder": EncoderConfig,
    "delivery": DeliveryConfig,
    "reconnect": ReconnectConfig,
    "serve": ServeConfig,
}


def test_no_settings_are_the_defaults() -> None:
    assert make_config({}) == RunConfig()
    assert read_config("dff")["interval"] == RunConfig().interval


def test_there_are_five_bundled_configurations() -> None:
    assert config_names() == ("accurate", "dff-flownet", "dff", "fastest", "per-frame")


@pytest.mark.parametrize("name", config_names())
def test_every_bundled_configuration_runs(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    assert text.startswith("# "), "a bundled configuration says what it is for"
    config = make_config({**read_config(name), "sinks": ("null",)})
    run = keywarp.Run("street:length=12,size=160x96", config)
    packets = list(run)
    assert len(packets) == 12
    assert run.report()["frames"]["key"] == -(-12 // config.interval)
    assert all(packet[keywarp.SEGMENTATION].labels.shape == (96, 160) for packet in packets)


def _fields() -> Iterator[str]:
    for name in RunConfig.model_fields:
        yield from (f"{name}.{inner}" for inner in NESTED[name].model_fields) if name in NESTED else (name,)
    yield from (f"models.N.{inner}" for inner in ModelConfig.model_fields)


@pytest.mark.parametrize("field", tuple(_fields()))
def test_every_field_is_documented(field: str) -> None:
    assert re.search(rf"^\| `{re.escape(field)}` \|", DOCS.read_text(), re.MULTILINE), f"no row for {field}"


def test_nothing_else_is_documented_as_a_field() -> None:
    table = DOCS.read_text().partition("Bundled configurations")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == set(_fields())


def test_a_file_holds_the_same_settings_as_python(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "models:\n"
        "  - enet\n"
        "  - {name: enet-camvid, interval: 5, level: result, size: 320x184}\n"
        "size: 640x360\n"
        "flow: {method: 'dis:fast', size: [320, 180]}\n"
        "overlay: {opacity: 0.4, legend: false}\n"
        "sinks: [out.mp4, 'null']\n"
    )
    config = make_config(read_config(str(path)))
    assert config == RunConfig(
        models=(
            ModelConfig(name="enet"),
            ModelConfig(name="enet-camvid", interval=5, level="result", size=(320, 184)),
        ),
        size=(640, 360),
        flow=FlowConfig(method="dis:fast", size=(320, 180)),
        overlay=OverlayConfig(opacity=0.4, legend=False),
        sinks=("out.mp4", "null"),
    )


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_changes_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.yml"
    path.write_text(text)
    assert read_config(str(path)) == {}


def test_models_are_names_or_mappings() -> None:
    config = make_config({"models": ["enet", {"name": "enet", "interval": 3}]})
    assert [(model.name, model.interval) for model in config.models] == [("enet", None), ("enet", 3)]


@pytest.mark.parametrize(
    ("text", "size"), [("640x360", (640, 360)), ("641X359", (641, 359)), ("1x1", (1, 1))]
)
def test_a_size_is_width_x_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size
    assert make_config({"size": text}).size == size


@pytest.mark.parametrize(
    "text", ["", "640", "640x", "x360", "0x360", "-1x5", "640*360", "640x360x3", "6.5x3"]
)
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"'size' cannot be .* WIDTHxHEIGHT in pixels, such as 640x360"):
        make_config({"size": text})


@pytest.mark.parametrize("pair", [[640, 360], (640, 360)])
def test_a_size_may_be_a_pair(pair: object) -> None:
    assert make_config({"flow": {"size": pair}}).flow.size == (640, 360)


@pytest.mark.parametrize(
    "value", [0, 640, 6.5, True, {}, [], [640], [640, 0], [640, -1], [640, 360, 3], [1.5, 2]]
)
def test_what_is_no_pair_is_no_size(value: object) -> None:
    with pytest.raises(
        UsageError, match=r"'flow.size' cannot be .*: a size is WIDTHxHEIGHT in pixels, such as"
    ):
        make_config({"flow": {"size": value}})


@pytest.mark.parametrize("key", ["size", "flow.size", "models.size"])
@pytest.mark.parametrize("text", ["20000x20000", "99999x99999", "16385x1", "1x16385", "16384x16384"])
def test_a_size_has_a_limit(key: str, text: str) -> None:
    name, _, inner = key.partition(".")
    given: Any = {inner: text} if inner else text
    settings = {name: [{"name": "enet", **given}] if name == "models" else given}
    with pytest.raises(UsageError, match=f"a size has up to 16384 pixels a side, .* given: {text}") as caught:
        make_config(settings)
    assert "\n" not in str(caught.value)
    assert parse_size("16384x8192") == (16_384, 8192)


# --- key=value ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignments", "settings"),
    [
        ([], {}),
        (["interval=4"], {"interval": 4}),
        (["flow.method=dis:fast"], {"flow": {"method": "dis:fast"}}),
        (["flow.size=320x180", "flow.method=dis"], {"flow": {"size": "320x180", "method": "dis"}}),
        (["overlay.hud=false", "overlay.opacity=0.3"], {"overlay": {"hud": False, "opacity": 0.3}}),
        (["models=[enet, {name: enet, interval: 2}]"], {"models": ["enet", {"name": "enet", "interval": 2}]}),
        (["precision="], {"precision": None}),
        (["interval=4", "interval=5"], {"interval": 5}),
        (["sinks=[a=b.mp4]"], {"sinks": ["a=b.mp4"]}),
    ],
)
def test_assignments_are_yaml_at_dotted_keys(assignments: list[str], settings: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    assign(found, assignments)
    assert found == settings
    make_config(found)


@pytest.mark.parametrize("text", ["0x0", "0x360", "0x10", "0X0", "0x", "640x", "12"])
@pytest.mark.parametrize("form", ["size={}", "flow.size={}", "flow={{size: {}}}"])
def test_a_wrong_size_is_shown_as_it_was_given(form: str, text: str) -> None:
    """YAML reads 0x360 as a hexadecimal number."""
    settings: dict[str, Any] = {}
    assign(settings, [form.format(text)])
    with pytest.raises(UsageError, match=rf"WIDTHxHEIGHT in pixels, such as 640x360; given: '{text}'"):
        make_config(settings)


def test_a_wrong_size_of_a_file_is_shown_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("flow: {size: 0x360}\ninterval: 7\n")
    settings = read_config(str(path))
    assert settings["interval"] == 7
    with pytest.raises(UsageError, match=r"'flow.size' cannot be '0x360'"):
        make_config(settings)


def test_an_assignment_fills_a_section_that_a_file_left_empty() -> None:
    settings: dict[str, Any] = {"flow": None}
    assign(settings, ["flow.method=dis:fast"])
    assert make_config(settings).flow.method == "dis:fast"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interval", "--set takes key=value"),
        ("=4", "--set takes key=value"),
        ("", "--set takes key=value"),
        ("sinks=[a", "not YAML"),
        ("sinks={a: b: c}", "not YAML"),
    ],
)
def test_what_is_no_assignment_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        assign({}, [text])


def test_an_assignment_below_a_plain_value_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'flow.method' cannot be set: 'flow' is 'dis'"):
        assign({"flow": "dis"}, ["flow.method=dis:fast"])


def test_flags_go_before_the_file_and_set_before_the_flags() -> None:
    flags = {"interval": 4, "level": None, "flow.method": "dis:fast"}
    settings = settings_from("accurate", flags, ["interval=6"])
    config = make_config(settings)
    assert (config.interval, config.level, config.flow.method) == (6, "features", "dis:fast")


@pytest.mark.parametrize(
    ("flags", "assignments"), [({"level": "result"}, []), ({}, ["models=[{name: enet, level: result}]"])]
)
def test_what_has_no_features_cannot_be_asked_to_aggregate_them(
    flags: dict[str, Any], assignments: list[str]
) -> None:
    with pytest.raises(UsageError, match="at level 'result' none are carried; use --level features"):
        settings_from(None, {**flags, "aggregate": True}, assignments)
    settings = settings_from("accurate", flags, assignments)  # whose own aggregation has no sense then
    assert make_config(settings).aggregate is True


@pytest.mark.parametrize(
    ("settings", "flow"),
    [
        ({}, "lk"),
        ({"level": "result"}, "lk:quick"),
        ({"level": "result", "flow": {"size": "320x180"}}, "lk:quick"),
        ({"level": "result", "flow": {"method": "auto"}}, "auto"),
        ({"level": "result", "models": ["enet", {"name": "other", "level": "features"}]}, "lk"),
        ({"models": [{"name": "enet", "level": "result"}]}, "lk:quick"),
        ({"models": [ModelConfig(name="enet", level="result"), "other"]}, "lk"),
    ],
)
def test_the_default_flow_is_the_quickest_where_only_results_are_carried(
    settings: dict[str, Any], flow: str
) -> None:
    assert RunConfig(**settings).flow.method == flow


# --- Mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"intervall": 3}, "unknown configuration key 'intervall'; did you mean 'interval'?"),
        ({"flow": {"metod": "dis"}}, "'flow.metod'; did you mean 'flow.method'?"),
        ({"overlay": {"opacty": 1}}, "did you mean 'overlay.opacity'?"),
        ({"encoder": {"cfr": 1}}, "unknown configuration key 'encoder.cfr'"),
        ({"models": [{"name": "enet", "intervl": 1}]}, "did you mean 'models.0.interval'?"),
        ({"delivery": {"mode": "newst"}}, "unknown mode 'newst'; did you mean 'newest'?"),
        ({"level": "feature"}, "unknown level 'feature'; did you mean 'features'?"),
        ({"aggregate": "often"}, "'aggregate' cannot be 'often'"),
        ({"models": [{"name": "enet", "level": "results"}]}, "did you mean 'result'?"),
        ({"interval": 0}, "'interval' cannot be 0"),
        ({"interval": "often"}, "'interval' cannot be 'often'"),
        ({"models": [{"name": "enet", "interval": 0}]}, "'models.0.interval' cannot be 0"),
        ({"models": []}, "'models' cannot be empty"),
        ({"models": "enet"}, "a list, such as [a, b]"),
        ({"models": [{}]}, "'models.0.name'"),
        ({"rate": 0}, "'rate' cannot be 0"),
        ({"threads": 0}, "'threads' cannot be 0"),
        ({"overlay": {"opacity": 2}}, "'overlay.opacity' cannot be 2"),
        ({"encoder": {"crf": 52}}, "'encoder.crf' cannot be 52"),
        ({"flow": "dis"}, "'flow' cannot be 'dis'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_accepted(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        make_config(settings)
    assert "\n" not in str(caught.value)


def test_an_unknown_configuration_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown configuration 'fastst'; did you mean 'fastest'\?"):
        read_config("fastst")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"interval: [", "is not YAML"),
        (b"- a\n- b\n", "holds a list"),
        (b"just words\n", "holds a str"),
        (b"\xff\xfe\x00\x81", "is not text"),
        (b"a: \x00", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        read_config(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        (["--serve", "csi:0"], ["--serve", DEFAULT_PAGE, "csi:0"]),
        (["--serve", "0"], ["--serve", DEFAULT_PAGE, "0"]),
        (["0", "--serve"], ["0", "--serve", DEFAULT_PAGE]),
        (["--serve", "8080", "0"], ["--serve", "8080", "0"]),
        (["--serve", ":80", "0"], ["--serve", ":80", "0"]),
        (["--serve", "[::1]:80", "0"], ["--serve", "[::1]:80", "0"]),
    ],
)
def test_what_follows_serve_is_an_address_or_a_source(words: list[str], filled: list[str]) -> None:
    assert with_default_serve(words) == filled


def test_a_token_is_that_of_the_page_wherever_the_page_is_asked_for() -> None:
    assert settings_from(None, serve_flags("8080"), [], "t")["serve"]["token"] == "t"
    assert settings_from(None, {}, ["serve.port=9000"], "t")["serve"] == {"port": 9000, "token": "t"}
    assert "serve" not in settings_from(None, {}, [], "t")


def test_the_controls_begin_with_what_the_first_model_is_set_to() -> None:
    own = {"name": "enet", "interval": 3, "level": "result"}
    knobs = keywarp.Run("street:length=1", models=[own, "enet"], sinks=["null"]).controls.knobs
    assert (knobs.interval, knobs.level) == (3, "result")


def test_a_source_s_name_holds_no_password() -> None:
    assert "hush" not in _name_of("gst: rtspsrc location=rtsp://h/x user-pw=hush ! decodebin")
    assert "hush" not in _name_of("rtsp+gst://anna:hush@h/x")
