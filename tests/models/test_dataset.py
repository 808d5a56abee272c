"""Data sets from folders and street scenes; errors name the file and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.training.dataset import load_data, parse_size


def write(folder: Path, stem: str, labels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    for name in ("train", "train_labels"):
        (folder / name).mkdir(exist_ok=True)
    height, width = labels.shape[:2]
    picture = np.full((height, width, 3), 7, np.uint8)
    cv2.imwrite(str(folder / "train" / f"{stem}.png"), picture)
    cv2.imwrite(str(folder / "train_labels" / f"{stem}.png"), labels)


def test_a_folder_is_read_in_order_and_its_last_label_is_void(tmp_path: Path) -> None:
    for stem, value in (("b", 11), ("a", 10), ("c", 255)):
        write(tmp_path, stem, np.full((8, 16), value, np.uint8))
    samples = load_data(f"camvid:{tmp_path}/train", CAMVID)
    assert [int(s.labels[0, 0]) for s in samples] == [10, VOID, VOID]
    assert len(load_data(f"camvid:{tmp_path}", CAMVID)) == 3
    assert samples[0].bgr.shape == (8, 16, 3)
    assert samples[0].bgr.dtype == samples[0].labels.dtype == np.uint8


def test_street_frames_are_rendered() -> None:
    samples = load_data("street:seed=2,length=5,every=2,size=64x48", CAMVID)
    assert len(samples) == 3
    assert samples[0].bgr.shape == (48, 64, 3)
    assert samples[0].labels.max() < len(CAMVID)


def test_views_from_above_are_rendered() -> None:
    samples = load_data("above:seed=2,length=5,every=2,size=64x48", CAMVID)
    assert len(samples) == 3
    assert samples[0].bgr.shape == (48, 64, 3)
    assert samples[0].labels.shape == (48, 64)
    assert max(sample.labels.max() for sample in samples) < len(CAMVID)
    with pytest.raises(UsageError, match="did you mean 'seed'"):
        load_data("above:sead=2", CAMVID)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train' does not exist"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)
    (tmp_path / "train").mkdir()
    with pytest.raises(UsageError, match="train_labels' does not exist"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros((8, 8), np.uint8))
    (tmp_path / "train" / "a.png").unlink()
    with pytest.raises(UsageError, match="no pictures"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros((8, 8), np.uint8))
    (tmp_path / "train" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"a\.png' cannot be read"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_a_picture_without_labels_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros((8, 8), np.uint8))
    (tmp_path / "train_labels" / "a.png").unlink()
    with pytest.raises(UsageError, match=r"a\.png' has no labels"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_labels_of_another_size_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(tmp_path / "train_labels" / "a.png"), np.zeros((8, 16), np.uint8))
    with pytest.raises(UsageError, match=r"a\.png' are 16x8, their picture is 8x8"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_labels_in_colour_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="one channel of 8 bits"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


def test_labels_out_of_range_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a", np.full((8, 8), 12, np.uint8))
    with pytest.raises(UsageError, match=r"hold the value 12; .* 0 to 10, and 11 or 255 for void"):
        load_data(f"camvid:{tmp_path}/train", CAMVID)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "unknown data set ''"),
        ("camvd:x", "did you mean 'camvid'"),
        ("street:sed=1", "did you mean 'seed'"),
        ("street:seed=-1", "seed=-1"),
        ("street:seed=one", "seed=one"),
        ("street:length=0", "length=0.*at least 1"),
        ("street:every=0", "every=0.*at least 1"),
        ("street:kind=motorwy", "unknown kind of street 'motorwy'; did you mean 'motorway'"),
        ("street:size=big", "'big' is not a size"),
    ],
)
def test_names_that_cannot_be_understood_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_data(spec, CAMVID)


@pytest.mark.parametrize("text", ["", "x", "10", "10x", "0x10", "10x-1", "axb"])
def test_sizes_are_width_cross_height(text: str) -> None:
    assert parse_size("480x360") == (480, 360)
    with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
        parse_size(text)
