"""Pipelines from their text, and what is wrong with one that does not work, in words for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from keywarp.engines.errors import KeywarpError

from .bindings import element_names, has_element, load_glib, load_gst
from .packages import how_to_get, known_elements
from .secrets import without_credentials

_NO_SUCH_ELEMENT, _NO_SUCH_PROPERTY, _LINK, _BAD_VALUE = 1, 2, 3, 4
_MOST_CAPS = 120


def launch(text: str, what: str, kind: type[KeywarpError]) -> Any:
    """The pipeline that ``text`` describes, as ``gst-launch-1.0`` would make it.

    Raises ``kind`` with a message that begins with ``what``, says which element, property or link is wrong, and
    shows no password.
    """
    gst, glib = load_gst(), load_glib()
    try:
        pipeline = gst.parse_launch(text)
    except glib.Error as error:
        raise kind(f"{what} cannot be built: {_parse_problem(error)}") from None
    if isinstance(pipeline, gst.Pipeline):
        return pipeline
    outer = gst.Pipeline.new(None)
    outer.add(pipeline)
    return outer


def _parse_problem(error: Any) -> str:
    message = without_credentials(error.message)
    quoted = re.findall(r"[\"“']([^\"”']+)[\"”']", error.message)
    if error.code == _NO_SUCH_ELEMENT and quoted:
        return no_element(quoted[0])
    if error.code == _NO_SUCH_PROPERTY and len(quoted) >= 2:
        return _no_property(quoted[0], quoted[1])
    if error.code == _LINK:
        return f"{message}; {_link_hint(message)}"
    return f"{message}; check it with: gst-launch-1.0"


def _link_hint(message: str) -> str:
    if "to videoconvert" in message or "to appsink" in message:
        return (
            "the last element before the appsink gives pictures: raw video in the main memory, as decoders such as "
            "'decodebin' do"
        )
    return "the formats on the two sides do not meet (a converter or parser between them may help)"


def no_element(name: str) -> str:
    """What to say where there is no element ``name``: what is meant, or which package has it."""
    start = f"there is no element '{name}'"
    cure = how_to_get(name)
    if cure is not None:
        return f"{start}; {cure}"
    near = difflib.get_close_matches(name, {*element_names(), *known_elements()}, n=1)
    if not near:
        return f"{start}; 'gst-inspect-1.0' lists those that there are"
    meant = f"{start}; did you mean '{near[0]}'?"
    cure = None if has_element(near[0]) else how_to_get(near[0])
    return meant if cure is None else f"{meant} ({cure})"


def _no_property(name: str, element: str) -> str:
    gst = load_gst()
    made = gst.ElementFactory.make(element, None) or gst.ElementFactory.make(
        element.rstrip("0123456789"), None
    )
    known = [] if made is None else [spec.name for spec in made.list_properties()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; 'gst-inspect-1.0 {element}' lists them"
    return f"element '{element}' has no property '{name}'{hint}"


def bus_problem(pipeline: Any, message: Any) -> str:
    """What an error message of the bus says: the element, what happened, and where formats do not meet."""
    error, debug = message.parse_error()
    element = message.src.get_name() if message.src is not None else "the pipeline"
    said = without_credentials(error.message).rstrip(".")
    detail = debug or ""
    if "not-negotiated" in detail or "not negotiated" in said.lower():
        place = mismatch(pipeline)
        return f"element '{element}' could not agree on a format{place}"
    missing = re.search(r"[Nn]o decoder.*?for type '([\w/+.-]+)", f"{said} {detail}")
    if missing:
        return (
            f"there is no decoder for {missing[1]}; the usual ones come with: sudo apt install gstreamer1.0-libav "
            "gstreamer1.0-plugins-bad"
        )
    reason = _last_line(detail)
    more = f" ({reason})" if reason and reason.rstrip(".") != said else ""
    return f"element '{element}' says: {said}{more}"


def _last_line(debug: str) -> str:
    """The part of a debug text that is for people: its last line, without source file and place."""
    line = without_credentials(debug.strip().splitlines()[-1]) if debug.strip() else ""
    return "" if re.match(r"[\w./+-]+\.(c|cpp|cc|h|rs)\(\d+\)", line) else line


def mismatch(pipeline: Any) -> str:
    """Where in ``pipeline`` two linked elements have no format in common, as the end of a sentence, or nothing."""
    for source, sink in _links(pipeline):
        given, taken = source.query_caps(None), sink.query_caps(None)
        if not given.can_intersect(taken):
            giver, taker = source.get_parent_element(), sink.get_parent_element()
            return (
                f": '{giver.get_name()}' gives {_short(given)}, but '{taker.get_name()}' takes {_short(taken)}"
                f"{_memory_hint(given)}"
            )
    return "; look at the formats (caps) that are asked for"


def _memory_hint(caps: Any) -> str:
    text = caps.to_string()
    if "memory:NVMM" in text:
        return "; put 'nvvidconv ! video/x-raw,format=NV12' behind it to have the pictures in the main memory"
    if "memory:VAMemory" in text or "memory:VASurface" in text:
        return "; put 'vapostproc' or 'vaapipostproc' behind it to have the pictures in the main memory"
    return ""


def _links(pipeline: Any) -> Iterator[tuple[Any, Any]]:
    gst = load_gst()
    for element in elements_of(pipeline):
        for pad in element.srcpads:
            peer = pad.get_peer()
            if peer is not None and not isinstance(peer, gst.GhostPad | gst.ProxyPad):
                yield pad, peer


def elements_of(pipeline: Any) -> list[Any]:
    """All elements in ``pipeline``, those in its bins too."""
    return list(items(pipeline.iterate_recurse()))


def items(iterator: Any) -> Iterator[Any]:
    """What a GstIterator goes over; a change meanwhile ends it early."""
    gst = load_gst()
    while True:
        result, value = iterator.next()
        if result != gst.IteratorResult.OK:
            return
        yield value


def factory_of(element: Any) -> str:
    """The kind of an element, such as ``appsink``."""
    factory = element.get_factory()
    return "" if factory is None else factory.get_name()


def _short(caps: Any) -> str:
    text = re.sub(r"\((?:string|int|fraction|boolean)\)", "", caps.to_string())
    return f"'{text}'" if len(text) <= _MOST_CAPS else f"'{text[:_MOST_CAPS]}...'"
