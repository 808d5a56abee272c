"""Steps of Lucas and Kanade by kernels: what OpenCV finds, at every size, on every instruction set."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from keywarp.flow.base import Size
from keywarp.flow.build import make_step_estimator, step_names
from keywarp.flow.compose import inside
from keywarp.flow.gradients import KernelLevel, OpenCvLevel, best_kernel, kernels

from .shots import Shot

built = pytest.mark.skipif(not kernels(), reason="keywarp was installed without a C++ compiler")
DARKER = np.clip(np.arange(256) * 0.8 + 5, 0, 255).astype(np.uint8)
Pictures = tuple[np.ndarray, np.ndarray, np.ndarray]


def textured(size: Size, seed: int = 0, *, blur: float = 2.0) -> Pictures:
    """A picture, the same half a pixel further to the right and a third up, and a field to begin with."""
    rng = np.random.default_rng(seed)
    width, height = size
    noise = rng.uniform(0, 255, (height + 16, width + 16)).astype(np.float32)
    wide = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 30, 220, cv2.NORM_MINMAX)
    before, now = (
        np.rint(cv2.warpAffine(wide, np.array([[1, 0, -8 - x], [0, 1, -8 - y]], np.float32), size)).astype(
            np.uint8
        )
        for x, y in ((0, 0), (0.5, -0.33))
    )
    few = max(2, width // 16), max(2, height // 16)
    field = rng.normal(0, 0.4, (few[1], few[0], 2)).astype(np.float32)
    return before, now, cv2.resize(field, (width // 2, height // 2))


@built
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("light", [None, DARKER])
@pytest.mark.parametrize("size", [(64, 48), (32, 32), (96, 72), (98, 34), (30, 130), (336, 192)])
def test_a_kernel_finds_what_opencv_finds(kernel: str, light: np.ndarray | None, size: Size) -> None:
    before, now, field = textured(size)
    if light is not None:
        now = cv2.LUT(now, light)
    for _ in range(2):  # the second time the memory is not new
        level = KernelLevel(size, kernel)
        wanted = OpenCvLevel(size).finish(field.copy(), before, now, light)
        found = level.finish(field.copy(), before, now, light)
        assert found.field.dtype == np.float32
        away = np.linalg.norm(found.field - wanted.field, axis=2)
        # OpenCV rounds, goes beyond the border, and cuts blocks of light otherwise (keywarp.flow.gradients)
        assert away.mean() < 0.02
        assert np.quantile(away[3:-3, 3:-3], 0.98) < 0.1
        assert np.linalg.norm(wanted.field - field / 2, axis=2).mean() > 0.1
        assert np.array_equal(found.valid, inside(found.field))
        refined = level.refine(field.copy(), before, now, light)
        np.testing.assert_array_equal(refined * np.float32(0.5), found.field)


def reference(field: np.ndarray, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The field after three steps, as the kernels have it, cell by cell in float64."""
    height, width = now.shape
    rows, columns = field.shape[:2]
    found, wide = field.astype(np.float64), np.pad(now.astype(np.float64), 1, mode="reflect")
    smooth, change = wide[:-2] + 2 * wide[1:-1] + wide[2:], wide[2:] - wide[:-2]
    gx = (smooth[:, 2:] - smooth[:, :-2]) / 8
    gy = (change[:, :-2] + 2 * change[:, 1:-1] + change[:, 2:]) / 8
    window = np.outer(*[np.array([1, 4, 6, 4, 1]) / 16] * 2)

    def sums(values: np.ndarray) -> np.ndarray:
        cells = np.pad(values.reshape(rows, 2, columns, 2).mean((1, 3)), 2)
        return sum(window[i, j] * cells[i : i + rows, j : j + columns] for i in range(5) for j in range(5))

    def among(pixels: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
        place = np.clip((np.arange(pixels) + 0.5) * blocks / pixels - 0.5, 0, blocks - 1)
        lower = np.minimum(place.astype(int), max(blocks - 2, 0))
        return lower, place - lower

    xx, yy, xy = sums(gx * gx) + 3, sums(gy * gy) + 3, sums(gx * gy)
    for _ in range(3):
        x = np.arange(width) + found[..., 0].repeat(2, 0).repeat(2, 1)
        y = np.arange(height)[:, None] + found[..., 1].repeat(2, 0).repeat(2, 1)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        left, top = (
            np.clip(np.floor(place), 0, side - 1).astype(int) for place, side in ((x, width), (y, height))
        )
        right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        upper = before[top, left] + (x - left) * (before[top, right].astype(float) - before[top, left])
        lower = before[bottom, left] + (x - left) * (
            before[bottom, right].astype(float) - before[bottom, left]
        )
        more = np.where(inside, now - (upper + (y - top) * (lower - upper)), 0)
        down, across = max(1, height // 16), max(1, width // 16)
        edges = [np.arange(n + 1) * cells // n * 2 for n, cells in ((down, rows), (across, columns))]
        means = np.array(
            [
                [more[t:b, a:z].mean() for a, z in zip(edges[1], edges[1][1:], strict=False)]
                for t, b in zip(edges[0], edges[0][1:], strict=False)
            ]
        )
        (i, down_part), (j, across_part) = among(height, down), among(width, across)
        means = means[:, j] + across_part * (means[:, np.minimum(j + 1, across - 1)] - means[:, j])
        means = means[i] + down_part[:, None] * (means[np.minimum(i + 1, down - 1)] - means[i])
        bx, by = sums(gx * (more - means)), sums(gy * (more - means))
        step = np.stack([yy * bx - xy * by, xx * by - xy * bx], 2) / (xx * yy - xy * xy)[..., None]
        found += np.clip(step, -0.75, 0.75)
    return found


@built
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("size", [(64, 48), (84, 48), (72, 56), (98, 34), (30, 130), (18, 14)])
def test_a_kernel_does_what_is_written(kernel: str, size: Size) -> None:
    before, now, field = textured(size, seed=1)
    field *= 4  # over the borders too
    before[: size[1] // 2] = np.clip(
        before[: size[1] // 2] * 1.3 - 20, 0, 255
    )  # light that changed in places
    found = KernelLevel(size, kernel).refine(field.copy(), before, now, None)
    np.testing.assert_allclose(found, reference(field, before, now), atol=1e-3)


@built
@pytest.mark.parametrize("kernel", kernels())
def test_pictures_may_lie_anyhow(kernel: str) -> None:
    before, now, field = textured((64, 48))
    level = KernelLevel((64, 48), kernel)
    wanted = level.refine(field.copy(), before, now, None)
    wide = np.zeros((48, 100), np.uint8)
    wide[:, 10:74] = now
    upside_down = before[::-1].copy()[::-1]
    np.testing.assert_array_equal(level.refine(field.copy(), upside_down, wide[:, 10:74], None), wanted)


@built
@pytest.mark.parametrize("size", [(2, 2), (2, 40), (16, 2), (18, 18), (34, 66), (130, 46)])
def test_all_kernels_find_the_same(size: Size) -> None:
    before, now, field = textured(size, seed=size[0])
    found = [KernelLevel(size, kernel).finish(field.copy(), before, now, None) for kernel in kernels()]
    for other in found[1:]:
        np.testing.assert_allclose(other.field, found[0].field, atol=1e-4)
    assert np.isfinite(found[0].field).all()


@built
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e9, -40.0, 40.0])
def test_no_field_leads_out_of_memory(kernel: str, value: float) -> None:
    before, now, field = textured((48, 32))
    level = KernelLevel((48, 32), kernel)
    wanted = level.refine(field.copy(), before, now, None)
    wild = field.copy()
    wild[4:12, 4:20] = value
    found = level.finish(wild, before, now, None)
    assert not found.valid[4:12, 4:20].any()
    # what lies further away than the windows of three steps reach, and blocks of light, is as before
    assert np.isfinite(found.field[:, 23:]).all()
    wild[:] = value
    assert not level.finish(wild, before, now, None).valid.any()
    np.testing.assert_array_equal(level.refine(field.copy(), before, now, None), wanted)


@built
@pytest.mark.parametrize("kernel", kernels())
def test_pictures_without_detail_stand_still(kernel: str) -> None:
    flat = np.full((32, 48), 77, np.uint8)
    found = KernelLevel((48, 32), kernel).finish(np.zeros((16, 24, 2), np.float32), flat, flat, None)
    assert not found.field.any()
    assert found.valid.all()


@built
@pytest.mark.parametrize("name", [name for name in step_names() if name not in ("source", "dis")])
def test_estimators_find_the_same_by_kernels_and_by_opencv(name: str) -> None:
    before, now, _ = textured((320, 240), seed=3, blur=4.0)
    shots = [Shot(np.dstack([picture] * 3)) for picture in (before, now)]
    ours, theirs = (make_step_estimator(name, fused=fused).step(*shots) for fused in (True, False))
    assert np.linalg.norm(ours.field - theirs.field, axis=2).mean() < 0.02
    assert (ours.valid == theirs.valid).mean() > 0.99


@built
def test_arrays_that_do_not_fit_are_refused() -> None:
    from keywarp.flow import _gradients

    call: Any = _gradients.refine
    arrays: dict[str, Any] = {
        "field": np.zeros((2, 4, 2), np.float32),
        "previous": np.zeros((4, 8), np.uint8),
        "current": np.zeros((4, 8), np.uint8),
        "light": np.zeros(256, np.uint8),
        "valid": np.zeros((2, 4), np.bool_),
        "scratch": np.zeros(_gradients.scratch_bytes(8, 4), np.uint8),
    }
    rest = {"width": 8, "height": 4, "steps": 1, "damping": 3.0, "longest": 1.0, "scale": 1.0}
    call(kernels()[0], *arrays.values(), *rest.values())
    for name, array in arrays.items():
        given = {**arrays, name: array.reshape(-1)[:-1]}
        with pytest.raises(ValueError, match=f"'{name}' holds"):
            call(kernels()[0], *given.values(), *rest.values())
    for name, size in (("width", 0), ("width", 7), ("height", -2), ("height", 2**30), ("width", 16386)):
        with pytest.raises(ValueError, match="sides are even, 2 to 16384"):
            call(kernels()[0], *arrays.values(), *{**rest, name: size}.values())
    with pytest.raises(ValueError, match="0 steps; at least 1"):
        call(kernels()[0], *arrays.values(), *{**rest, "steps": 0}.values())
    with pytest.raises(ValueError, match="no kernel 'sse9' here"):
        call("sse9", *arrays.values(), *rest.values())
    arrays["field"].flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"(?i)writ|read-only"):
        call(kernels()[0], *arrays.values(), *rest.values())


def test_without_kernels_opencv_does_it() -> None:
    assert best_kernel(fused=False) is None
    assert best_kernel() == next(iter(kernels()), None)
