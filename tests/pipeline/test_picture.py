"""Pictures in every form, made at most once."""

from __future__ import annotations

import threading

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.pipeline.picture import Picture, Pixels, _resized, convert, plane_view, yuv_planes

SIZES = [(64, 48), (641, 359), (33, 1), (1, 33), (1, 1)]


def _av(size: tuple[int, int], pixel_format: str, level: int = 100) -> av.VideoFrame:
    frame = av.VideoFrame(*size, pixel_format)
    for index in range(len(frame.planes)):
        np.frombuffer(memoryview(frame.planes[index]), np.uint8)[:] = level
    return frame


def _bgr(size: tuple[int, int]) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def _arrays(picture: Picture) -> list[NDArray[np.uint8]]:
    planes = picture.yuv()
    return [picture.bgr, picture.gray(), picture.gray((8, 6)), planes.y, planes.u, planes.v]


FORMATS = (
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "nv12",
    "yuv420p10le",
    "gray",
    "gray16le",
    "rgb24",
    "yuva420p",
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", [*FORMATS, "bgr"])
def test_every_form_of_every_picture(form: str, size: tuple[int, int]) -> None:
    picture = Picture.from_bgr(_bgr(size)) if form == "bgr" else Picture.from_av(_av(size, form))
    for made in (picture, picture.scaled((20, 15))):
        width, height = made.size
        bgr, gray, small, y, u, v = _arrays(made)
        assert bgr.shape == (height, width, 3)
        assert bgr.flags.c_contiguous
        assert gray.shape == y.shape == (height, width)
        assert small.shape == (6, 8)
        assert u.shape == v.shape == ((height + 1) // 2, (width + 1) // 2)
        for array in (bgr, gray, small, y, u, v):
            assert array.dtype == np.uint8
            assert not array.flags.writeable


def test_palettes() -> None:
    picture = Picture.from_av(_av((30, 20), "pal8"))
    assert picture.bgr.shape == (20, 30, 3)
    assert picture.scaled((15, 10)).bgr.shape == (10, 15, 3)


def test_each_form_is_made_once() -> None:
    picture = Picture.from_av(_av((64, 48), "yuv444p"))
    assert picture.bgr is picture.bgr
    assert picture.gray((8, 6)) is picture.gray((8, 6))
    assert picture.scaled((32, 24)) is picture.scaled((32, 24))
    assert picture.scaled((64, 48)) is picture
    assert picture.av_frame() is picture.av_frame()


@pytest.mark.parametrize("size", [(641, 359), (512, 256), (97, 300)])
def test_small_brightness_is_the_same_whatever_was_asked_for_before(size: tuple[int, int]) -> None:
    pixels, shared = _bgr(size), Picture.from_bgr(_bgr(size))
    sizes = [(8, 6), (160, 90), (88, 66), (81, 45), (40, 23), (321, 180), (256, 128), (49, 150), (20, 12)]
    for small in sizes:
        found = shared.gray(small)
        assert found.shape == small[::-1]
        np.testing.assert_array_equal(found, _resized(shared.gray(), small))
        np.testing.assert_array_equal(found, Picture.from_bgr(pixels).gray(small))


def test_the_decoders_planes_are_views() -> None:
    frame = _av((64, 48), "yuv420p")
    picture = Picture.from_av(frame)
    assert picture.av_frame() is frame
    np.frombuffer(memoryview(frame.planes[0]), np.uint8)[:] = 7
    assert picture.gray().max() == picture.yuv().y.max() == 7


def test_bgr_pixels_are_kept_without_a_copy() -> None:
    pixels = _bgr((64, 48))
    assert np.shares_memory(Picture.from_bgr(pixels).bgr, pixels)


@pytest.mark.parametrize("size", SIZES)
def test_bgr_survives_the_way_through_yuv(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), (30, 60, 200), np.uint8)
    frame = Picture.from_bgr(pixels).av_frame()
    assert (frame.width, frame.height, frame.format.name) == (*size, "yuv420p")
    back = Picture.from_av(frame).bgr
    np.testing.assert_allclose(back.astype(int), pixels, atol=4)  # two roundings of 8 bits


# AVCOL_SPC number, Kr, Kb: ITU-T H.273, table 4
MATRICES = {"BT.709": (1, 0.2126, 0.0722), "BT.601": (6, 0.299, 0.114), "BT.2020": (9, 0.2627, 0.0593)}


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_by_the_frames_tags(matrix: str, full: bool) -> None:
    code, kr, kb = MATRICES[matrix]
    blue, green, red = 30, 60, 200
    y = (kr * red + (1 - kr - kb) * green + kb * blue) / 255
    u, v = (blue / 255 - y) / (2 - 2 * kb), (red / 255 - y) / (2 - 2 * kr)
    levels = (255 * y, 128 + 255 * u, 128 + 255 * v) if full else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)
    frame = _av((32, 32), "yuv420p")
    frame.colorspace, frame.color_range = code, 2 if full else 1
    planes = yuv_planes(frame)
    planes.y[:], planes.u[:], planes.v[:] = (round(level) for level in levels)
    picture = Picture.from_av(frame)
    for bgr in (picture.bgr, picture.scaled((16, 16)).bgr, picture.bgr_at((16, 16))):
        np.testing.assert_allclose(bgr[8, 8].astype(int), (blue, green, red), atol=4)


def test_planes_with_padding() -> None:
    frame = _av((33, 5), "gray")
    assert abs(frame.planes[0].line_size) > 33
    assert plane_view(frame, 0, 5, 33).shape == (5, 33)


def test_converting_to_what_it_is_makes_no_copy() -> None:
    frame = _av((64, 48), "yuv420p")
    assert convert(frame) is frame
    assert convert(frame, (64, 48), "yuv420p") is frame


def test_many_conversions_in_one_thread() -> None:
    frame = _av((64, 48), "yuv420p")
    for width in range(10, 40):
        assert convert(frame, (width, 20)).width == width


def test_what_was_given_takes_as_much_memory_whatever_is_made_of_it() -> None:
    for picture, least in (
        (Picture.from_av(_av((64, 48), "yuv420p")), 64 * 72),
        (Picture.from_bgr(_bgr((9, 5))), 135),
    ):
        before = picture.given_bytes
        _arrays(picture)
        assert least <= picture.given_bytes == before < 2 * least


def test_threads_share_what_is_made() -> None:
    picture = Picture.from_av(_av((64, 48), "yuv420p"))
    found: list[Pixels] = []
    threads = [threading.Thread(target=lambda: found.append(picture.bgr)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(pixels) for pixels in found}) == 1


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_only_bgr_bytes_are_taken(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="BGR pixels are uint8"):
        Picture.from_bgr(wrong)
    with pytest.raises(ValueError, match="exactly one"):
        Picture()
