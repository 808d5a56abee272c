"""The signals of key-frame policies, measured on made-up pictures and on real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.flow.base import Field, KeyFlow, PairFlow, StepFlow
from keywarp.flow.build import make_estimator
from keywarp.flow.keyframes import AdaptiveShare, FixedInterval, Signals, watch, watches
from keywarp.flow.motion import Gray, grid_size, is_cut, is_finite, match, measure
from keywarp.flow.scenes.street import StreetScene
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.street import StreetSource

HEIGHT, WIDTH = 66, 88
CLIP = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "clip_a"


def texture(seed: int) -> Gray:
    """(HEIGHT, 2 * WIDTH) uint8: smooth noise over the whole range."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, 2 * WIDTH)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def window(picture: Gray, left: int) -> Gray:
    return np.ascontiguousarray(picture[:, left : left + WIDTH])


def flow(dx: float = 0.0, dy: float = 0.0) -> StepFlow:
    field: Field = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    field += np.array([dx, dy], np.float32)
    return StepFlow(field, np.ones((HEIGHT, WIDTH), np.bool_))


def test_of_a_still_picture_nothing_moves() -> None:
    picture = window(texture(0), 0)
    motion = measure(picture, picture, flow())
    assert (motion.mean, motion.spread, motion.residual, motion.invalid_share) == (0, 0, 0, 0)


def test_motion_is_in_percent_of_the_width() -> None:
    motion = measure(window(texture(0), 8), window(texture(0), 4), flow(-4.0))
    assert motion.mean == pytest.approx(100 * 4 / WIDTH)
    assert motion.spread == pytest.approx(0.0, abs=1e-5)
    assert motion.residual < 0.3


def test_spread_is_of_both_directions() -> None:
    made = flow()
    made.field[::2] += np.array([3.0, 4.0], np.float32)
    picture = window(texture(0), 0)
    motion = measure(picture, picture, made)
    assert motion.mean == pytest.approx(100 * 2.5 / WIDTH)
    assert motion.spread == pytest.approx(100 * 2.5 / WIDTH)


def test_the_residual_is_about_the_distance_that_the_flow_is_off() -> None:
    key, now = window(texture(0), 8), window(texture(0), 7)
    right, wrong = measure(key, now, flow(-1.0)), measure(key, now, flow(0.0))
    assert right.residual < 0.1
    assert wrong.residual == pytest.approx(100 * 1 / WIDTH, rel=0.4)


def test_contrast_and_light_do_not_matter() -> None:
    key, now = window(texture(0), 8), window(texture(0), 7)
    faint = measure(key // 4 + 20, now // 4 + 60, flow())
    assert faint.residual == pytest.approx(measure(key, now, flow()).residual, rel=0.15)


def test_what_is_found_again_matches() -> None:
    before, now = window(texture(0), 8), window(texture(0), 4)
    right, wrong = match(before, now, flow(-4.0)), match(before, now, flow(4.0))
    assert right.shape == (HEIGHT, WIDTH)
    assert right.dtype == np.float32
    assert right[:, 6:].min() > 0.8  # the mean brightness of what is in sight is not quite the same
    assert wrong.mean() < 0.2
    now[10:30, 40:60] = now[30:10:-1, 40:60]  # something else is there, as bright
    changed = match(before, now, flow(-4.0))
    assert changed[12:28, 42:58].mean() < 0.2
    np.testing.assert_array_equal(changed[40:, 6:], right[40:, 6:])


def test_what_came_into_the_picture_does_not_match() -> None:
    made = flow()
    made.valid[:, :10] = False
    picture = window(texture(0), 0)
    found = match(picture, picture, made)
    assert not found[:, :10].any()
    assert (found[:, 10:] == 1).all()


def test_another_light_matches_as_well() -> None:
    picture = np.clip(window(texture(0), 0), 30, 200)
    assert match(picture, picture + 40, flow()).min() == 1


def test_invalid_cells_are_counted() -> None:
    made = flow()
    made.valid[: HEIGHT // 2] = False
    picture = window(texture(0), 0)
    assert measure(picture, picture, made).invalid_share == pytest.approx(0.5)


def test_flow_may_have_another_grid() -> None:
    field = np.full((2 * HEIGHT, 2 * WIDTH, 2), (-8.0, 0.0), np.float32)
    fine = StepFlow(field, np.ones((2 * HEIGHT, 2 * WIDTH), np.bool_))
    motion = measure(window(texture(0), 8), window(texture(0), 4), fine)
    assert motion.mean == pytest.approx(100 * 4 / WIDTH)
    assert grid_size(fine) == (WIDTH, HEIGHT)
    assert grid_size(flow()) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_flow_is_told(value: float) -> None:
    assert is_finite(flow(1.0))
    broken = flow()
    broken.field[3, 4, 1] = value
    assert not is_finite(broken)


def test_a_broken_scale_map_is_told() -> None:
    made = flow()
    scale = np.ones((2, 3, 4), np.float32)
    assert is_finite(PairFlow(made.field, made.valid, scale))
    assert is_finite(PairFlow(made.field, made.valid))
    scale[1, 1, 1] = np.nan
    assert not is_finite(PairFlow(made.field, made.valid, scale))


# --- Cuts ----------------------------------------------------------------------------------------------------


def test_another_picture_is_a_cut() -> None:
    assert is_cut(window(texture(0), 0), window(texture(1), 0), flow())


@pytest.mark.parametrize("now", [0, 90, 255])
def test_a_blank_picture_after_a_full_one_is_a_cut(now: int) -> None:
    assert is_cut(window(texture(0), 0), np.full((HEIGHT, WIDTH), now, np.uint8), flow())


def test_moving_on_is_no_cut() -> None:
    assert not is_cut(window(texture(0), 8), window(texture(0), 4), flow(-4.0))


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (0.5, 80), (0.2, 200)])
def test_another_light_is_no_cut(gain: float, offset: int) -> None:
    before = window(texture(0), 0)
    assert not is_cut(before, (gain * before + offset).astype(np.uint8), flow())


def test_the_noise_of_a_dark_picture_is_no_cut() -> None:
    noise = np.random.default_rng(0)
    before, now = (noise.integers(5, 14, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(2))
    assert not is_cut(before, now, flow())


def _cuts(pictures: list[NDArray[np.uint8]], flow: str = "lk") -> list[int]:
    """The pictures, BGR, at which a flow, by default the one that runs use, sees a cut."""
    from fractions import Fraction

    from keywarp.pipeline.frame import Frame
    from keywarp.pipeline.picture import Picture

    steps, policy = make_estimator(flow, None), FixedInterval(1000)
    frames = [Frame(i, i, Fraction(1, 25), 0, Picture.from_bgr(bgr)) for i, bgr in enumerate(pictures)]
    found = []
    for number in range(1, len(frames)):
        before, now = frames[number - 1], frames[number]
        step = steps.step(before, now)  # type: ignore[union-attr]
        signals = Signals(1, number=number)
        seen = watch(policy, signals, key=before, previous=before, now=now, flow=step, step=step)  # type: ignore[arg-type]
        assert seen.motion is None
        found += [number] * seen.cut
    return found


def _street(seed: int, count: int) -> Iterator[NDArray[np.uint8]]:
    scene = StreetScene(size=(320, 240), rate=15, length=None, seed=seed)
    return (scene.frame(number).bgr for number in range(count))


@pytest.fixture(scope="module")
def streets() -> dict[int, list[NDArray[np.uint8]]]:
    """The first two pictures of drawn streets."""
    return {seed: list(_street(seed, 2)) for seed in (1, 2, 3, 5)}


@pytest.mark.parametrize("method", ["lk", "lk:quick", "lk:fine", "dis"])
def test_only_the_cuts_between_streets_are_some(
    streets: dict[int, list[NDArray[np.uint8]]], method: str
) -> None:
    """A flow that searches well finds something of one street in another, too."""
    shots = [streets[seed] for seed in (1, 5, 2, 3, 5, 1, 3, 1, 2, 5, 3, 2, 1)]
    assert _cuts([bgr for shot in shots for bgr in shot], method) == list(range(2, 26, 2))


@pytest.mark.skipif(not CLIP.is_dir(), reason=f"needs {CLIP}")
def test_only_the_cut_out_of_a_real_drive_is_one() -> None:
    pictures = [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(CLIP.glob("*.png"))]
    street = [np.asarray(cv2.resize(bgr, (480, 360)), np.uint8) for bgr in _street(3, 3)]
    assert _cuts([*pictures[:8], *street, *pictures[8:16]]) == [8, 11]


# --- What a policy wants ---------------------------------------------------------------------------------------


def test_what_nobody_wants_is_not_measured() -> None:
    assert not watches(FixedInterval(5, cuts=False))
    assert watches(FixedInterval(5))
    assert watches(AdaptiveShare(0.1, cuts=False))


def test_a_wrong_step_between_neighbouring_frames_is_no_cut() -> None:
    source = StreetSource(size=(320, 240), rate=15, length=12, seed=1)
    source.open()
    frames = list(source.frames())
    other = StreetSource(size=(320, 240), rate=15, length=1, seed=9)
    other.open()
    wrong = flow(30.0)
    key_flow = KeyFlow(wrong.field, wrong.valid, 1)

    def cut(previous: Frame, now: Frame) -> bool:
        policy = FixedInterval(1000)
        return watch(
            policy, Signals(1), key=previous, previous=previous, now=now, flow=key_flow, step=wrong
        ).cut

    size = grid_size(wrong)
    assert is_cut(frames[10].gray(size), frames[11].gray(size), wrong), (
        "along the step nothing is found again"
    )
    assert not cut(frames[10], frames[11])
    assert cut(frames[10], next(iter(other.frames())))


def test_without_steps_a_cut_needs_both_signs() -> None:
    source = StreetSource(size=(320, 240), rate=15, length=12, seed=1)
    source.open()
    frames = list(source.frames())
    wrong = flow(30.0)
    policy = AdaptiveShare(0.1)
    within = watch(
        policy,
        Signals(11),
        key=frames[0],
        previous=frames[10],
        now=frames[11],
        flow=PairFlow(wrong.field, wrong.valid),
        step=None,
    )
    assert not within.cut
    assert within.motion is not None
    assert within.motion.mean == pytest.approx(100 * 30 / WIDTH)
