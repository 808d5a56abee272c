"""Policies by their texts."""

from __future__ import annotations

import math
from collections.abc import Callable

from keywarp.engines.errors import UsageError, unknown_name

from .adaptive import AdaptiveQuality, AdaptiveShare
from .base import KeyframePolicy, check_interval
from .codec import CodecKeyframes
from .fixed import FixedInterval

Options = dict[str, str]
_CUTS = {"on": True, "off": False}


def policy_names() -> tuple[str, ...]:
    """What ``--policy`` accepts, before a colon and options."""
    return tuple(_POLICIES)


def make_policy(text: str, interval: int) -> KeyframePolicy:
    """The policy of a text such as ``adaptive:share=0.1,cuts=off``; ``interval`` is the run's.

    Raises :class:`UsageError` for names, options and values that there are not.
    """
    name, colon, rest = text.partition(":")
    if name not in _POLICIES:
        raise unknown_name("policy", name, _POLICIES)
    make, known = _POLICIES[name]
    options = _options(text, rest, (*known, "cuts")) if colon else {}
    cuts = options.pop("cuts", "on")
    if cuts not in _CUTS:
        raise unknown_name("value of cuts", cuts, _CUTS)
    return make(options, check_interval(interval), _CUTS[cuts])


def _options(text: str, rest: str, known: tuple[str, ...]) -> Options:
    options: Options = {}
    for part in rest.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or not value:
            raise UsageError(f"policy '{text}': options are key=value, such as adaptive:share=0.1")
        if key not in known:
            raise unknown_name("policy option", key, known)
        options[key] = value
    return options


def _fixed(options: Options, interval: int, cuts: bool) -> KeyframePolicy:
    return FixedInterval(interval, cuts=cuts)


def _codec(options: Options, interval: int, cuts: bool) -> KeyframePolicy:
    return CodecKeyframes(interval, cuts=cuts)


def _adaptive(options: Options, interval: int, cuts: bool) -> KeyframePolicy:
    if len(options) > 1:
        raise UsageError("an adaptive policy is set to a share or to a quality, not to both")
    if "quality" in options:
        quality = _number("quality", options["quality"])
        return AdaptiveQuality(quality, cuts=cuts).with_interval(interval)
    share = _number("share", options["share"]) if "share" in options else 1 / interval
    return AdaptiveShare(share, cuts=cuts)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"policy option {name}={value} is not a number; write {name}={_EXAMPLES[name]}")
    return number


_EXAMPLES = {"share": "0.1", "quality": "92"}
_POLICIES: dict[str, tuple[Callable[[Options, int, bool], KeyframePolicy], tuple[str, ...]]] = {
    "fixed": (_fixed, ()),
    "adaptive": (_adaptive, ("share", "quality")),
    "codec": (_codec, ()),
}
