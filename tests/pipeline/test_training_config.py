"""Training settings as the command line and recipes have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keywarp.engines.errors import UsageError
from keywarp.models.training.config import Part
from keywarp.pipeline.cli.networks import training_config
from keywarp.pipeline.config import TRAINING, config_names, read_training

GIVEN: dict[str, Any] = {"data": ["street:seed=0"], "network": "enet", "out": "runs/x"}


@pytest.mark.parametrize("name", config_names(TRAINING))
def test_every_recipe_is_valid(name: str) -> None:
    config = training_config({**read_training(name), "network": "enet", "out": "runs/x"})
    assert config.data
    assert config.out == Path("runs/x")


def test_texts_and_lists_become_what_settings_are() -> None:
    config = training_config(
        {**GIVEN, "size": "64x48", "growth": [[0.5, 32, 24, 0.5, 1]], "init": "w.safetensors"}
    )
    assert config.size == (64, 48)
    assert config.init == Path("w.safetensors")
    assert config.part(0) == Part(32, 24, 0.5, 1.0)
    assert config.part(20) == Part(64, 48, 0.5, 1.5)


@pytest.mark.parametrize("network", ["flow", "dff"])
def test_the_data_set_that_is_advised_is_one_that_the_network_takes(network: str) -> None:
    with pytest.raises(UsageError, match=r"such as --data shapes:DIR$"):
        training_config({"network": network, "out": "runs/x"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"growht": []}, "did you mean 'growth'"),
        ({"growth": [[0.5, 32]]}, "training setting 'growth.0"),
        ({"size": "64"}, "64"),
        ({"size": [64, 48, 3]}, "training setting 'size'"),
        ({"epochs": "ten"}, "training setting 'epochs' cannot be 'ten'"),
        ({"dropout": 0.1}, "training setting 'dropout'"),
        ({"data": []}, "nothing to train on; name a data set, such as --data camvid:DIR"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        training_config({**GIVEN, **changes})
