"""The compiled parts of a model: what is compiled again, and what is freed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from keywarp.engines.base import Session
from keywarp.engines.build import get_engine
from keywarp.engines.errors import EngineError, ModelError
from keywarp.flow.base import Size
from keywarp.models.base import Setup
from keywarp.models.card import FeatureMap, find_card, read_card
from keywarp.models.sessions import PartSessions, check_part

SIZE = (160, 96)
CARD = read_card(find_card("enet"))


@pytest.fixture
def parts() -> Iterator[PartSessions]:
    made = PartSessions(CARD, find_card("enet"), Setup(get_engine("openvino"), threads=1), SIZE)
    yield made
    made.close()


def scaled(parts: PartSessions, grid: Size) -> Session:
    return parts.session("warp_scale_head", ("labels",), grid=grid, warm=True)


def test_a_part_is_compiled_once_for_each_choice_of_outputs(parts: PartSessions) -> None:
    features = parts.session("key", ("features",))
    both = parts.session("key", ("features", "labels"))
    assert parts.session("key", ("features",)) is features
    assert parts.session("key", ("features", "labels")) is both
    assert parts.runs_on.startswith("openvino ")
    image = np.zeros((1, 96, 160, 3), np.uint8)
    assert set(features.infer({"image": image})) == {"features"}
    assert set(both.infer({"image": image})) == {"features", "labels"}


def test_another_grid_takes_the_place_of_the_one_before(parts: PartSessions) -> None:
    first = scaled(parts, (20, 12))
    assert scaled(parts, (20, 12)) is first
    second = scaled(parts, (10, 6))
    with pytest.raises(EngineError, match="this session is closed"):
        first.infer({})
    taken = CARD.maps_of("warp_scale_head")
    maps = {map_.name: np.zeros((1, map_.channels, 48, 80), np.float32) for map_ in taken}
    scale = np.ones((1, sum(map_.channels for map_ in taken), 6, 10), np.float32)
    found = second.infer({**maps, "flow": np.zeros((1, 6, 10, 2), np.float32), "scale": scale})
    assert found["labels"].shape == (1, 96, 160)


def test_a_grid_that_cannot_be_compiled_leaves_the_one_before(
    parts: PartSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scaled(parts, (20, 12))

    def fail(*_: object, **__: object) -> None:
        raise EngineError("no room")

    monkeypatch.setattr(parts, "_compile", fail)
    with pytest.raises(EngineError, match="no room"):
        scaled(parts, (10, 6))
    assert scaled(parts, (20, 12)) is first


def test_closing_frees_all(parts: PartSessions) -> None:
    made = [parts.session("key", ("features",)), parts.session("warp_head", ("labels",))]
    parts.close()
    parts.close()
    for session in made:
        with pytest.raises(EngineError, match="this session is closed"):
            session.infer({})
    assert parts.session("key", ("features",)) is not made[0]


def test_a_card_without_a_part_says_what_is_missing() -> None:
    check_part(CARD, "aggregate", "mixes")
    without = CARD.model_copy(update={"files": {}})
    with pytest.raises(
        ModelError, match=r"model 'enet-camvid' lacks the part 'aggregate', which mixes; export it"
    ):
        check_part(without, "aggregate", "mixes")


def test_a_map_s_size() -> None:
    assert FeatureMap(name="features", channels=16, stride_px=8).size((640, 360)) == (80, 45)
