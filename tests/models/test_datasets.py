"""Labelled folders: pairs, splits, every kind of PNG, and an error for each thing that can be wrong."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.engines.errors import UsageError
from keywarp.models.datasets import LabelMap, find_pairs, labels_beside, parse_data, splits_of
from keywarp.models.labels import CAMVID, VOID

Pixels = NDArray[np.uint8]

# Every class, void in both ways, an odd width.
VALUES = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 255, 0, 1]], np.uint8)
READ = np.where(VALUES == 11, VOID, VALUES)


def write_pair(folder: Path, stem: str, labels: Pixels, *, split: str = "test", suffix: str = ".png") -> None:
    pictures, truth = folder / split, folder / f"{split}_labels"
    pictures.mkdir(parents=True, exist_ok=True)
    truth.mkdir(exist_ok=True)
    cv2.imwrite(str(pictures / f"{stem}{suffix}"), np.full((*labels.shape[:2], 3), 7, np.uint8))
    cv2.imwrite(str(truth / f"{stem}.png"), labels)


def png(values: Pixels, *, depth: int, color: int, palette: bytes = b"", transparent: bytes = b"") -> bytes:
    """A PNG by the letter of the format: ``depth`` bits, colour type 0 (grey) or 3 (palette)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for row in values:
        bits = "".join(format(int(value), f"0{depth}b") for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\x00" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, color, 0, 0, 0)
    chunks = chunk(b"IHDR", header)
    chunks += chunk(b"PLTE", palette) if palette else b""
    chunks += chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


COLORS = bytes(np.random.default_rng(0).integers(0, 256, 768, np.uint8))


def test_pairs_are_listed_by_name_without_reading_a_picture(tmp_path: Path) -> None:
    for stem, suffix in (("b", ".png"), ("a10", ".jpg"), ("a2", ".png")):
        write_pair(tmp_path, stem, VALUES, suffix=suffix)
    (tmp_path / "test" / "notes.txt").write_text("not a picture")
    (tmp_path / "test" / "._b.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "test" / "b.png").write_bytes(b"damaged")
    pairs = find_pairs(tmp_path, "test")
    assert [pair.picture.name for pair in pairs] == ["a10.jpg", "a2.png", "b.png"]
    assert pairs[0].labels.path == tmp_path / "test_labels" / "a10.png"
    assert pairs == find_pairs(tmp_path / "test")


def test_a_pair_has_a_picture_and_its_labels(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", VALUES)
    sample = find_pairs(tmp_path, "test")[0].read(CAMVID)
    assert sample.bgr.shape == (3, 5, 3)
    assert sample.bgr.dtype == sample.labels.dtype == np.uint8
    np.testing.assert_array_equal(sample.labels, READ)


@pytest.mark.parametrize("transparent", [b"", b"\x00\x80"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_png_is_read_by_its_indices(tmp_path: Path, depth: int, transparent: bytes) -> None:
    values = np.minimum(VALUES, min(11, (1 << depth) - 1))
    data = png(values, depth=depth, color=3, palette=COLORS[: 3 << depth], transparent=transparent)
    (tmp_path / "a.png").write_bytes(data)
    found = LabelMap(tmp_path / "a.png")
    assert found.size == (5, 3)
    np.testing.assert_array_equal(found.read(CAMVID), np.where(values == 11, VOID, values))


@pytest.mark.parametrize(
    ("depth", "color"), [(1, 0), (2, 0), (4, 0)], ids=["grey of 1 bit", "of 2 bits", "of 4 bits"]
)
def test_grey_of_fewer_bits_is_refused(tmp_path: Path, depth: int, color: int) -> None:
    (tmp_path / "a.png").write_bytes(png(VALUES % 2, depth=depth, color=color))
    with pytest.raises(UsageError, match=r"a\.png' are not a PNG with one channel of 8 bits"):
        LabelMap(tmp_path / "a.png").read(CAMVID)


@pytest.mark.parametrize(
    "labels", [np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5, 4), np.uint8), np.zeros((3, 5), np.uint16)]
)
def test_colours_and_16_bits_are_refused(tmp_path: Path, labels: Pixels) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), labels)
    with pytest.raises(
        UsageError, match=r"a\.png' are not a PNG with one channel of 8 bits.*write the number"
    ):
        LabelMap(tmp_path / "a.png").read(CAMVID)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 a jpeg begins so, and goes on"])
def test_what_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UsageError, match="are not a PNG"):
        LabelMap(tmp_path / "a.png").read(CAMVID)


@pytest.mark.parametrize("palette", [b"", COLORS], ids=["grey", "palette"])
def test_a_png_that_ends_too_soon_is_named(tmp_path: Path, palette: bytes) -> None:
    whole = png(VALUES, depth=8, color=3 if palette else 0, palette=palette)
    (tmp_path / "a.png").write_bytes(whole[: 40 + len(palette)])
    with pytest.raises(UsageError, match=r"a\.png' cannot be read: the file is damaged"):
        LabelMap(tmp_path / "a.png").read(CAMVID)


def test_a_label_map_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.png' cannot be read: No such file"):
        LabelMap(tmp_path / "a.png").read(CAMVID)


@pytest.mark.parametrize("value", [12, 254])
def test_values_without_a_class_are_named_with_what_is_accepted(tmp_path: Path, value: int) -> None:
    write_pair(tmp_path, "a", np.full((3, 5), value, np.uint8))
    with pytest.raises(
        UsageError, match=rf"a\.png' hold the value {value}; .* 0 to 10, and 11 or 255 for void"
    ):
        find_pairs(tmp_path, "test")[0].read(CAMVID)


def test_labels_of_another_size_are_named_with_both_sizes(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", VALUES)
    cv2.imwrite(str(tmp_path / "test_labels" / "a.png"), np.zeros((3, 6), np.uint8))
    with pytest.raises(UsageError, match=r"a\.png' are 6x3, their picture is 5x3"):
        find_pairs(tmp_path, "test")[0].read_picture()


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    write_pair(tmp_path, "a", VALUES)
    (tmp_path / "test" / "a.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"picture '.*a\.png' cannot be read"):
        find_pairs(tmp_path, "test")[0].read(CAMVID)


def test_a_picture_without_labels_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", VALUES)
    (tmp_path / "test_labels" / "a.png").unlink()
    with pytest.raises(UsageError, match=r"a\.png' has no labels: '.*test_labels/a\.png' does not exist"):
        find_pairs(tmp_path, "test")


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", VALUES)
    (tmp_path / "test" / "a.png").unlink()
    with pytest.raises(UsageError, match=r"test' holds no pictures \(\.jpg, \.jpeg, \.png\)"):
        find_pairs(tmp_path, "test")


@pytest.mark.parametrize("split", [None, "tests"])
def test_a_split_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path, split: str | None) -> None:
    for name in ("test", "train"):
        write_pair(tmp_path / "set", "a", VALUES, split=name)
    (tmp_path / "set" / "unlabelled").mkdir()
    assert splits_of(tmp_path / "set") == ["test", "train"]
    missing = "set_labels" if split is None else "set/tests"
    with pytest.raises(
        UsageError, match=rf"{missing}' does not exist; give one of the splits .*: test, train$"
    ):
        find_pairs(tmp_path / "set", split)


def test_a_folder_that_does_not_exist_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere' does not exist; a data set is pictures in DIR and labels"
    ):
        find_pairs(tmp_path / "nowhere")


def test_labels_lie_beside_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert labels_beside(Path("set/test")) == Path("set/test_labels")
    assert labels_beside(Path("set/test/")) == Path("set/test_labels")
    write_pair(tmp_path, "a", VALUES)
    monkeypatch.chdir(tmp_path / "test")
    assert len(find_pairs(Path())) == 1


def test_a_data_set_is_a_kind_and_a_folder() -> None:
    assert parse_data("camvid:a folder") == (CAMVID, Path("a folder"))
    assert parse_data("camvid:C:/data") == (CAMVID, Path("C:/data"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "unknown data set ''"),
        ("camvd:x", "did you mean 'camvid'"),
        ("street:", "unknown data set 'street'"),
        ("camvid", "'camvid' names no folder; write camvid:DIR"),
        ("camvid:", "'camvid:' names no folder"),
    ],
)
def test_data_that_cannot_be_understood_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_data(spec)
