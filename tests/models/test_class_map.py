"""Label maps with numbers of another data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.training.class_map import CITYSCAPES, ClassMap
from keywarp.models.training.dataset import load_data


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A picture and its labels as Cityscapes lays them out: road on the left, an unlabelled rest."""
    for folder, name in (("images/aachen", "a_0_leftImg8bit"), ("truth/aachen", "a_0_gtFine_labelIds")):
        (tmp_path / folder).mkdir(parents=True)
        values = np.zeros((8, 16), np.uint8)
        values[:, :8] = 7
        cv2.imwrite(str(tmp_path / folder / f"{name}.png"), values)
    return tmp_path


def spec(city: Path, **options: str) -> str:
    wanted = {
        "labels": f"{city}/truth",
        "picture_end": "_leftImg8bit",
        "label_end": "_gtFine_labelIds",
        **options,
    }
    return f"pictures:{city}/images," + ",".join(f"{name}={value}" for name, value in wanted.items())


def test_cityscapes_become_camvid(city: Path) -> None:
    (sample,) = load_data(spec(city, map="cityscapes"), CAMVID)
    assert (sample.labels[:, :8] == CAMVID.names.index("road")).all()
    assert (sample.labels[:, 8:] == VOID).all()
    assert set(CITYSCAPES.values()) == set(CAMVID.names)


def test_a_map_from_a_file(city: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("7: car\n0: sky\n")
    (sample,) = load_data(spec(city, map=str(tmp_path / "own.yaml")), CAMVID)
    assert [CAMVID.names[i] for i in sample.labels[0, [0, 15]]] == ["car", "sky"]


def test_without_a_map_numbers_are_classes(city: Path) -> None:
    (sample,) = load_data(spec(city), CAMVID)
    assert sample.labels[0].tolist() == [7] * 8 + [0] * 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"map": "cityscape"}, "did you mean 'cityscapes'"),
        ({"map": "none.yaml"}, "cannot be read as YAML"),
        ({"labels": "nowhere"}, "'nowhere' does not exist"),
        ({"picture_end": "_rightImg8bit"}, "no pictures below"),
        ({"label_end": "_labels"}, "has no labels: .*a_0_labels.png' does not exist"),
        ({"size": "8x8"}, "unknown option of data set 'pictures' 'size'"),
    ],
)
def test_what_cannot_work_is_named(city: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_data(spec(city, **change), CAMVID)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({7: "street"}, "unknown class in the map"),
        ({256: "road"}, "no number from 0"),
        ({"a": "road"}, "'a' is no"),
    ],
)
def test_maps_of_other_classes_or_numbers_are_refused(names: dict[int, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClassMap.of(names, CAMVID, "map.yaml")
