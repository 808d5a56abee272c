"""Folders, globs and single pictures of every kind."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import SourceError, UsageError
from keywarp.pipeline.sources.images import ImageSource, find_images, is_animated
from keywarp.pipeline.sources.parse import open_source

from .films import Pixels, pictures, read_all, real


def _write(folder: Path, **files: object) -> Path:
    for name, pixels in files.items():
        assert cv2.imwrite(str(folder / name.replace("_dot_", ".")), pixels)
    return folder


def _only(path: Path) -> Pixels:
    (frame,) = read_all(ImageSource(path))[1]
    return frame.bgr


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    given = pictures(12)
    for index, pixels in enumerate(given):
        cv2.imwrite(str(tmp_path / f"frame{index}.png"), pixels)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._frame0.png").write_text("what a Mac leaves behind")
    info, frames = read_all(ImageSource(tmp_path, rate=10))
    assert (info.size, info.rate, info.time_base, info.frame_count) == (
        (64, 48),
        Fraction(10),
        Fraction(1, 10),
        12,
    )
    for index, frame in enumerate(frames):
        assert (frame.index, frame.pts) == (index, index)
        np.testing.assert_array_equal(frame.bgr, given[index])


@pytest.mark.parametrize("pattern", ["*.png", "frame[0-2].*", "**/*.png"])
def test_a_glob(tmp_path: Path, pattern: str) -> None:
    _write(tmp_path, **{f"frame{index}_dot_png": pixels for index, pixels in enumerate(pictures(3))})
    info, frames = read_all(ImageSource(f"{tmp_path}/{pattern}"))
    assert info.frame_count == len(frames) == 3


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "JPG", "bmp", "webp", "ppm", "tif", "tiff"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    (given,) = pictures(1)
    cv2.imwrite(str(path), given)
    lossy = suffix.lower() in ("jpg", "jpeg", "webp")
    np.testing.assert_allclose(_only(path).astype(int), given, atol=12 if lossy else 0)
    assert len(read_all(ImageSource(tmp_path))[1]) == 1


GRAY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
COLOR = np.dstack([GRAY, GRAY[::-1], GRAY[:, ::-1]])
KINDS = {
    "grey": (GRAY // 256).astype(np.uint8),
    "grey 16 bit": GRAY,
    "colour": (COLOR // 256).astype(np.uint8),
    "colour 16 bit": COLOR,
    "alpha": (np.dstack([COLOR, GRAY]) // 256).astype(np.uint8),
    "alpha 16 bit": np.dstack([COLOR, GRAY]),
}


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_bgr_bytes(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    cv2.imwrite(str(path), KINDS[kind])
    expected = (np.dstack([GRAY] * 3) if "grey" in kind else COLOR) / 256
    got = _only(path)
    assert got.dtype == np.uint8
    np.testing.assert_allclose(got, expected, atol=1.5)  # OpenCV cuts 16 bits to 8, in TIFF twice


def test_palette_pictures(tmp_path: Path) -> None:
    """Written by hand, since OpenCV writes none: 2x1 pixels, red and blue."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    body = (
        chunk(b"IHDR", head)
        + chunk(b"PLTE", b"\xff\0\0\0\0\xff")
        + chunk(b"IDAT", zlib.compress(b"\0\0\x01"))
    )
    path = tmp_path / "palette.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    assert _only(path).tolist() == [[[0, 0, 255], [255, 0, 0]]]


@pytest.mark.parametrize("size", [(641, 359), (640, 1), (1, 480), (1, 1)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    _write(tmp_path, a_dot_png=pictures(1, size)[0])
    info, (frame,) = read_all(ImageSource(tmp_path))
    assert info.size == frame.size == size
    assert frame.gray().shape == size[::-1]
    planes = frame.picture.yuv()
    assert planes.y.shape == size[::-1]
    assert planes.u.shape == planes.v.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
    assert frame.picture.scaled((32, 24)).bgr.shape == (24, 32, 3)


def test_other_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    (small,), (big,) = pictures(1, (64, 48)), pictures(1, (128, 96))
    _write(tmp_path, a_dot_png=small, b_dot_png=big, c_dot_png=small)
    source = ImageSource(tmp_path)
    info, frames = read_all(source)
    assert {frame.size for frame in frames} == {info.size} == {(64, 48)}
    np.testing.assert_allclose(frames[1].bgr.astype(int), small, atol=30)
    assert source.notes == [
        "1 of 3 pictures have another size than the first and were scaled to 64x48: b.png 128x96"
    ]


def test_unreadable_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    (pixels,) = pictures(1)
    _write(tmp_path, b_dot_png=pixels, d_dot_png=pixels)
    for name in ("a", "c"):
        (tmp_path / f"{name}.png").write_text("not really")
    (tmp_path / "e.png").touch()
    source = ImageSource(tmp_path)
    info, frames = read_all(source)
    assert info.frame_count == 5
    assert [frame.index for frame in frames] == [1, 3], "a gap is a drop"
    assert source.losses.by_cause == {"unreadable": 3}
    assert source.notes == ["3 of 5 pictures could not be read: a.png, c.png, e.png"]


def test_only_some_names_are_listed(tmp_path: Path) -> None:
    _write(tmp_path, x_dot_png=pictures(1)[0])
    for index in range(9):
        (tmp_path / f"bad{index}.png").touch()
    source = ImageSource(tmp_path)
    read_all(source)
    assert source.notes == ["9 of 10 pictures could not be read: bad0.png, bad1.png, bad2.png and 6 more"]


def _animated(path: Path, count: int = 4) -> Path:
    animation = cv2.Animation()
    animation.frames, animation.durations = pictures(count), [40] * count
    assert cv2.imwriteanimation(str(path), animation)
    return path


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_of_animated_pictures_the_first_is_read_and_that_is_noted(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path, **{f"a_dot_{suffix}": pictures(1)[0], f"c_dot_{suffix}": pictures(1)[0]})
    _animated(tmp_path / f"b.{suffix}")
    source = ImageSource(tmp_path)
    assert len(read_all(source)[1]) == 3
    assert source.notes == [
        "1 of 3 pictures are animated, and only the first picture of each was read: "
        f"b.{suffix}; make videos of them to read them whole"
    ]


def test_an_animated_png_alone_is_a_film(tmp_path: Path) -> None:
    source = open_source(str(_animated(tmp_path / "film.png")))
    _, frames = read_all(source)
    assert len(frames) == 4
    assert source.notes == []
    np.testing.assert_allclose(frames[2].bgr.astype(int), pictures(3)[2], atol=2)
    assert isinstance(open_source(str(_animated(tmp_path / "film.webp"))), ImageSource)


@pytest.mark.parametrize("head", [b"", b"\x89PNG", b"RIFF\0\0\0\0WEBPVP8X"])
def test_a_picture_that_ends_in_its_head_is_not_animated(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.webp").write_bytes(head)
    assert not is_animated(tmp_path / "a.webp")


def _only_bad(folder: Path) -> None:
    (folder / "bad.png").write_text("not really")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", "holds no pictures .accepted: .png, .jpg"),
        ("*.png", "no picture matches .*accepted: .png, .jpg"),
        ("nowhere", "does not exist"),
        ("bad", "none of the 1 pictures .* can be read"),
    ],
)
def test_errors(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "bad").mkdir()
    _only_bad(tmp_path / "bad")
    source = ImageSource(tmp_path / place)
    with pytest.raises(SourceError, match=message):
        source.open()
    source.close()


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(UsageError, match="a frame rate is a number above 0"):
        ImageSource(".", rate=rate)


def test_natural_order_of_names(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "10.png", "a1b2.png", "a1b10.png", "a2.png"]
    for name in reversed(names):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(str(tmp_path))] == names


def test_real_pictures() -> None:
    info, frames = read_all(ImageSource(real("camvid/clip_a"), rate=15))
    assert (info.size, len(frames)) == ((480, 360), 51)


def test_a_glob_names_every_folder_it_found_something_in(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 6, 3), np.uint8))
    for place, paths in (
        ("*/*.png", ("a", "b")),
        ("b/*.png", ("b",)),
        ("b", ("b",)),
        ("a/1.png", ("a/1.png",)),
    ):
        source = ImageSource(tmp_path / place)
        assert source.open().paths == tuple(tmp_path / path for path in paths)
        source.close()
