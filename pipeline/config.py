"""Configuration: what a run is made of, from a file, from flags, or from Python.

``RunConfig`` is the one list of options; the command line and ``keywarp.Run`` fill it. docs/config.md lists
the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from keywarp.engines.errors import UsageError, unknown_name
from keywarp.flow.base import Size

CONFIGS = Path(__file__).parent.parent / "configs"
TRAINING = CONFIGS / "training"

# FFmpeg scales to no more than about 2**28 pixels.
LARGEST_SIDE_PX = 16_384
MOST_PIXELS = 2**27


def parse_size(value: object) -> object:
    """``"640x360"``, or a pair of numbers, as (640, 360). Raises :class:`ValueError` for what is no such size."""
    size = _size_of(value)
    if size is None:
        given = "x".join(map(str, value)) if isinstance(value, list | tuple) else value
        raise ValueError(f"a size is WIDTHxHEIGHT in pixels, such as 640x360; given: '{given}'")
    check_largest(size)
    return size


def _size_of(value: object) -> Size | None:
    sides: list[str] = []
    if isinstance(value, str):
        sides = value.lower().split("x")
    elif isinstance(value, list | tuple):
        sides = [str(side) for side in value]
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def check_largest(size: Size) -> None:
    """Raise :class:`ValueError` where ``size`` is more than can be scaled to."""
    width, height = size
    if max(size) > LARGEST_SIDE_PX or width * height > MOST_PIXELS:
        raise ValueError(
            f"a size has up to {LARGEST_SIDE_PX} pixels a side, and {MOST_PIXELS // 10**6} million in all; "
            f"given: {width}x{height}"
        )


SizeText = Annotated[Size, BeforeValidator(parse_size)]
Interval = Annotated[int, Field(ge=1)]
LevelName = Literal["features", "result"]
ModeName = Literal["newest", "every", "block"]
_CHOICES = {"level": get_args(LevelName), "mode": get_args(ModeName)}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Strict):
    """One model on the stream. None: as the run says."""

    name: str
    interval: Interval | None = None
    level: LevelName | None = None
    precision: str | None = None
    size: SizeText | None = None


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class FlowConfig(_Strict):
    """Flow: an estimator's name (``lk:fine``, ``dis``, ``source``, ``flownet-inception``), or the path of a flow
    network's card, and the size of the pictures that it compares (None: its own choice); ``auto`` and ``codec``
    leave comparing to ``lk``. The default of a run depends on its level, see :class:`RunConfig`.
    """

    method: str = "lk"
    size: SizeText | None = None


class OverlayConfig(_Strict):
    """What is drawn on the frames."""

    opacity: Annotated[float, Field(ge=0, le=1)] = 0.55
    legend: bool = True
    hud: bool = True


class EncoderConfig(_Strict):
    """How video files are encoded: ``NAME:PRESET`` of FFmpeg, and the constant rate factor."""

    name: str = "libx264:veryfast"
    crf: Annotated[int, Field(ge=0, le=51)] = 23


class DeliveryConfig(_Strict):
    """Which frames go into the graph.

    ``mode``: ``newest`` (the default of live sources: a frame that waits gives way to a newer one), ``every``
    (all, waiting in a queue of up to ``queue`` frames; the default of files, which wait themselves) or
    ``block`` (the source waits for the graph, whatever it is). ``max_age_ms``: a frame older than this when
    its turn comes is dropped.
    """

    mode: ModeName | None = None
    max_age_ms: Annotated[float, Field(gt=0)] | None = None
    queue: Annotated[int, Field(ge=1, le=10_000)] = 300


class ReconnectConfig(_Strict):
    """What happens when a live stream breaks off, stalls or cannot be reached again.

    ``tries``: how often in a row to try to get it back (None: forever, 0: never). ``first_s`` and
    ``longest_s``: the waiting before the first try, doubled for each further one, and its limit; a fifth of
    it is random. ``silence_s``: a stream that brings nothing for so long counts as lost.
    """

    tries: Annotated[int, Field(ge=0)] | None = None
    first_s: Annotated[float, Field(gt=0)] = 0.1
    longest_s: Annotated[float, Field(gt=0)] = 0.5
    silence_s: Annotated[float, Field(gt=0)] = 2.0


class ServeConfig(_Strict):
    """The page: where it listens, and who may see it.

    ``token``: what a viewer must know; needed beyond loopback (made up where it is None). ``hosts``: further
    names under which the page may be asked for, such as ``camera.local``. ``viewers``: the most at a time.
    ``quality`` of the JPEG pictures, 1 to 100, and ``width``, their largest, in pixels.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    token: str | None = None
    hosts: tuple[str, ...] = ()
    viewers: Annotated[int, Field(ge=1, le=1000)] = 16
    quality: Annotated[int, Field(ge=1, le=100)] = 80
    width: Annotated[int, Field(ge=16)] = 1280


class RunConfig(_Strict):
    """A whole run, but for its source.

    ``interval``: every how many delivered frames the models run in full. ``policy``: on which, such as ``fixed``,
    ``adaptive:share=0.1`` or ``codec`` (docs/keyframes.md). ``level``: what is propagated between. ``aggregate``:
    mix the features of each key frame with those of the one before it (None: ``adaptive`` by share does, where it
    can); results have none, and stay as they are. ``agreement``: compare what is carried to each key frame that
    the policy chooses with its full run, and report how far they agree. ``fused``: run heads (where the engine is
    on the CPU) and gradients' flow by kernels of keywarp's own, where there are such. ``size``: the frames' size in
    the graph and in the outputs (None: the source's). ``flow``: where no method is named it is ``lk``, and
    ``lk:quick`` where nothing but results is carried.
    """

    models: Annotated[tuple[Annotated[ModelConfig, BeforeValidator(_named)], ...], Field(min_length=1)] = (
        ModelConfig(name="enet"),
    )
    engine: str = "auto"
    precision: str | None = None
    interval: Interval = 10
    policy: str = "fixed"
    level: LevelName = "features"
    aggregate: bool | None = None
    agreement: bool = False
    fused: bool = True
    flow: FlowConfig = FlowConfig()
    size: SizeText | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    overlay: OverlayConfig = OverlayConfig()
    encoder: EncoderConfig = EncoderConfig()
    sinks: tuple[str, ...] = ()
    delivery: DeliveryConfig = DeliveryConfig()
    reconnect: ReconnectConfig = ReconnectConfig()
    serve: ServeConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _choose_flow(cls, given: object) -> object:
        """Where features are carried a better flow is a tenth of a propagated frame, beside a warp a quarter."""
        if not isinstance(given, Mapping):
            return given
        flow = given.get("flow", {})
        if not isinstance(flow, Mapping) or flow.get("method") is not None:
            return given
        return {**given, "flow": {**flow, "method": "lk:quick" if carries_only_results(given) else "lk"}}


def carries_only_results(settings: Mapping[str, Any]) -> bool:
    """Whether no model of these settings, validated or not, carries features."""
    level, models = settings.get("level", "features"), settings.get("models") or ()
    levels = [_level_of(model) or level for model in models] if isinstance(models, Sequence) else []
    return set(levels or [level]) == {"result"}


def _level_of(model: object) -> object:
    if isinstance(model, ModelConfig):
        return model.level
    return model.get("level") if isinstance(model, Mapping) else None


def config_names(folder: Path = CONFIGS) -> tuple[str, ...]:
    """The names that ``--config`` accepts beside a file."""
    return tuple(path.stem for path in sorted(folder.glob("*.yaml")))


def read_config(name_or_path: str) -> dict[str, Any]:
    """The settings in a bundled configuration or a YAML file, not yet validated."""
    return _read_yaml(name_or_path, CONFIGS)


def read_training(name_or_path: str) -> dict[str, Any]:
    """The settings in a bundled training recipe or a YAML file, not yet validated."""
    return _read_yaml(name_or_path, TRAINING)


def _read_yaml(name_or_path: str, bundled: Path) -> dict[str, Any]:
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in config_names(bundled):
            raise unknown_name("configuration", name_or_path, config_names(bundled))
        path = bundled / f"{name_or_path}.yaml"
    try:
        settings = _load_yaml(path.read_text())
    except OSError as error:
        raise UsageError(f"configuration '{path}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"configuration '{path}' is not text; give a YAML file") from error
    except yaml.YAMLError as error:
        raise UsageError(f"configuration '{path}' is not YAML: {' '.join(str(error).split())}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"configuration '{path}' holds a {type(settings).__name__}, not keys and values")
    return settings


class _Yaml(yaml.SafeLoader):
    """YAML as it is safe to read, but that ``0x360`` is a (wrong) size and no hexadecimal number."""


def _integer(loader: _Yaml, node: yaml.ScalarNode) -> int | str:
    text = str(loader.construct_scalar(node))
    return text if "x" in text else int(loader.construct_yaml_int(node))


_Yaml.add_constructor("tag:yaml.org,2002:int", _integer)


def _load_yaml(text: str) -> Any:
    return yaml.load(text, _Yaml)


def assign(settings: dict[str, Any], assignments: Iterable[str]) -> None:
    """Apply ``key=value`` texts, ``key`` dotted for nested ones and ``value`` as YAML has it."""
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes key=value, such as flow.method=lk:fine; given: '{text}'")
        assign_one(settings, key, read_value(text, value))


def assign_one(settings: dict[str, Any], key: str, value: object) -> None:
    """Put one value at a dotted key. Raises :class:`UsageError` where a part of the key holds no fields."""
    *parents, last = key.split(".")
    place = settings
    for parent in parents:
        inner = place.setdefault(parent, {})
        if inner is None:
            inner = place[parent] = {}
        if not isinstance(inner, dict):
            raise UsageError(
                f"'{key}' cannot be set: '{parent}' is {inner!r}, which has no fields of its own"
            )
        place = inner
    place[last] = value


def read_value(text: str, value: str) -> Any:
    """The value of the assignment ``text``, as YAML has it."""
    try:
        return _load_yaml(value)
    except yaml.YAMLError as error:
        raise UsageError(
            f"--set {text}: the value is not YAML: {getattr(error, 'problem', None) or error}"
        ) from error


def make_config(settings: Mapping[str, Any]) -> RunConfig:
    """Validated settings. Raises :class:`UsageError` that names the first wrong one and what is accepted."""
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        raise _as_usage_error(error) from error


def _as_usage_error(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        return unknown_name("configuration key", name, _known_keys(path[:-1]))
    if first["type"] == "literal_error":
        return unknown_name(path[-1], str(first["input"]), _CHOICES[path[-1]])
    if first["type"] == "too_short":
        return UsageError(f"'{name}' cannot be empty: name at least one")
    message = first["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list, such as [a, b]")
    return UsageError(f"'{name}' cannot be {first['input']!r}: {message[0].lower()}{message[1:]}")


def _known_keys(parents: list[str]) -> list[str]:
    nested: dict[str, type[BaseModel]] = {
        "flow": FlowConfig,
        "overlay": OverlayConfig,
        "encoder": EncoderConfig,
        "delivery": DeliveryConfig,
        "reconnect": ReconnectConfig,
        "serve": ServeConfig,
        "models": ModelConfig,
    }
    owner: type[BaseModel] = nested[parents[0]] if parents else RunConfig
    prefix = "".join(f"{parent}." for parent in parents)
    return [prefix + name for name in owner.model_fields]
