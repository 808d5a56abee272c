"""Key-frame policies on made-up signals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.keyframes import (
    AdaptiveQuality,
    AdaptiveShare,
    CodecKeyframes,
    Delayed,
    FixedInterval,
    KeyframePolicy,
    Signals,
    make_policy,
    policy_names,
    predicted_agreement,
)
from keywarp.flow.motion import Motion

STILL = Motion(0.0, 0.0, 0.0, 0.0)
ALL = ("fixed", "adaptive", "adaptive:share=0.25", "adaptive:quality=92", "codec")

Scene = Callable[[int, int], Motion]
"""The motion from a key frame (first number) to a frame (second)."""


def drive(rate: Callable[[int], float]) -> Scene:
    """Errors that add up as a random walk does, on frame n by ``rate(n)``."""

    def motion(key: int, now: int) -> Motion:
        residual = sum(rate(number) ** 2 for number in range(key + 1, now + 1)) ** 0.5
        return Motion(2 * residual, 3 * residual, residual, 0.0)

    return motion


def keys_of(
    policy: KeyframePolicy, frames: int, scene: Scene = lambda key, now: STILL, cuts: tuple[int, ...] = ()
) -> list[int]:
    """The key frames, asked for as the propagate stage does: without motion first."""
    keys: list[int] = []
    for number in range(frames):
        age = number - keys[-1] if keys else None
        is_key = policy.is_key(Signals(age, number=number))
        if not is_key and age is not None:
            motion = scene(keys[-1], number)
            is_key = policy.is_key(Signals(age, number=number, motion=motion, cut=number in cuts))
        if is_key:
            keys.append(number)
    return keys


def key_pattern(interval: int, frames: int, phase: int = 0) -> str:
    keys = keys_of(FixedInterval(interval, phase), frames)
    return "".join("K" if number in keys else "." for number in range(frames))


# --- All policies --------------------------------------------------------------------------------------------


def test_the_table_has_every_name() -> None:
    assert {text.partition(":")[0] for text in ALL} == set(policy_names())


@pytest.mark.parametrize("text", ALL)
def test_the_first_frame_is_a_key_frame(text: str) -> None:
    assert make_policy(text, 10).cause(Signals(None, number=0)) == "first"


@pytest.mark.parametrize("text", ALL)
def test_a_cut_makes_a_key_frame(text: str) -> None:
    assert make_policy(text, 10).cause(Signals(2, "P", 2, STILL, cut=True)) == "cut"
    assert 7 in keys_of(make_policy(text, 10), 12, cuts=(7,))


@pytest.mark.parametrize("text", ALL)
def test_cuts_can_be_switched_off(text: str) -> None:
    policy = make_policy(text + ("," if ":" in text else ":") + "cuts=off", 10)
    assert not policy.cuts
    assert policy.cause(Signals(2, "P", 2, STILL, cut=True)) is None


@pytest.mark.parametrize("text", ALL)
def test_nothing_is_wanted_of_a_frame_right_after_a_key_frame(text: str) -> None:
    assert make_policy(text, 10).cause(Signals(1, "P", 1)) is None


@pytest.mark.parametrize("text", ALL)
def test_no_stream_is_without_key_frames_for_long(text: str) -> None:
    assert len(keys_of(make_policy(text, 10), 91)) >= 4


@pytest.mark.parametrize("text", ALL)
def test_another_interval_keeps_what_else_is_set(text: str) -> None:
    policy = make_policy(text + ("," if ":" in text else ":") + "cuts=off", 10).with_interval(5)
    assert not policy.cuts
    assert type(policy) is type(make_policy(text, 5))
    if "quality" not in text:
        assert len(keys_of(policy, 60, drive(lambda number: 0.3))) in (12, 13)


@pytest.mark.parametrize("text", ["fixed", "adaptive", "adaptive:share=1", "codec"])
def test_every_frame_can_be_a_key_frame(text: str) -> None:
    assert keys_of(make_policy(text, 1), 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adaptve", "unknown policy 'adaptve'; did you mean 'adaptive'.*codec, fixed"),
        ("", "unknown policy ''"),
        ("adaptive:share", "options are key=value, such as adaptive:share=0.1"),
        ("adaptive:", "options are key=value"),
        ("adaptive:share=", "options are key=value"),
        ("adaptive:shares=0.1", "unknown policy option 'shares'; did you mean 'share'"),
        ("fixed:share=0.1", "unknown policy option 'share'.*cuts"),
        ("adaptive:share=many", "share=many is not a number; write share=0.1"),
        ("adaptive:share=nan", "share=nan is not a number"),
        ("adaptive:share=0", "share of 0 key frames is not possible; it is above 0 and at most 1"),
        ("adaptive:share=1.5", "share of 1.5 key frames"),
        ("adaptive:quality=100", "quality of 100 is not possible.*above 0 and below 100"),
        ("adaptive:quality=-3", "quality of -3 is not possible"),
        ("adaptive:share=0.1,quality=90", "a share or to a quality, not to both"),
        ("codec:cuts=maybe", "unknown value of cuts 'maybe'.*off, on"),
    ],
)
def test_an_impossible_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_policy(text, 10)


@pytest.mark.parametrize("phase", [1, 2, 4])
@pytest.mark.parametrize("name", ALL)
def test_a_delayed_policy_begins_anew_at_its_phase(name: str, phase: int) -> None:
    scene = drive(lambda number: 1.0 + number % 7)
    alone = keys_of(make_policy(name, 5), 60, lambda key, now: scene(key + phase, now + phase))
    delayed = Delayed(make_policy(name, 5), phase)
    assert keys_of(delayed, 60 + phase, scene) == [0, *(key + phase for key in alone)]
    assert delayed.name == make_policy(name, 5).name


def test_a_delayed_policy_has_seen_the_frame_that_it_begins_with() -> None:
    policy, keys = Delayed(CodecKeyframes(30), 11), list[int]()
    for number in range(30):
        age = number - keys[-1] if keys else None
        if policy.is_key(Signals(age, "P" if number % 12 else "I", number)):
            keys.append(number)
    assert keys == [0, 11, 12, 24]


@pytest.mark.parametrize("phase", [0, 2, 4])
def test_a_delayed_interval_is_its_phase(phase: int) -> None:
    assert keys_of(Delayed(FixedInterval(5), phase), 14) == keys_of(FixedInterval(5, phase), 14)


# --- fixed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "pattern"), [(1, "KKKKKK"), (2, "K.K.K."), (3, "K..K.."), (10, "K.....")]
)
def test_a_fixed_interval_starts_with_a_key_frame_and_repeats(interval: int, pattern: str) -> None:
    assert key_pattern(interval, 6) == pattern


@pytest.mark.parametrize(
    ("interval", "phase", "pattern"),
    [(3, 0, "K..K..K."), (3, 1, "KK..K..K"), (3, 2, "K.K..K.."), (5, 4, "K...K..."), (1, 0, "KKKKKKKK")],
)
def test_a_phase_moves_all_key_frames_but_the_first(interval: int, phase: int, pattern: str) -> None:
    assert key_pattern(interval, 8, phase) == pattern


def test_a_signal_without_a_number_has_no_phase() -> None:
    assert not FixedInterval(3, 1).is_key(Signals(1))


def test_after_a_cut_the_counting_starts_anew() -> None:
    assert keys_of(FixedInterval(4), 14, cuts=(5,)) == [0, 4, 5, 9, 13]


@pytest.mark.parametrize(("interval", "phase"), [(1, 1), (3, 3), (3, -1)])
def test_an_impossible_phase_is_refused(interval: int, phase: int) -> None:
    with pytest.raises(UsageError, match=f"phase {phase} of interval {interval} .* 0 to {interval - 1}"):
        FixedInterval(interval, phase)


@pytest.mark.parametrize("interval", [0, -3])
@pytest.mark.parametrize("make", [FixedInterval, CodecKeyframes, lambda n: make_policy("adaptive", n)])
def test_an_impossible_interval_is_refused(interval: int, make: Callable[[int], KeyframePolicy]) -> None:
    with pytest.raises(UsageError, match=f"interval {interval} is not possible"):
        make(interval)


# --- codec ---------------------------------------------------------------------------------------------------


def coded_causes(policy: KeyframePolicy, types: str, cuts: tuple[int, ...] = ()) -> str:
    """Why the frames of a stream of these picture types (``?``: not known) become key frames, a letter each, asked
    for as the propagate stage does: a second time with what was measured.
    """
    found = ""
    for number, kind in enumerate(types):
        known = None if kind == "?" else kind
        if number == 0:
            assert policy.cause(Signals(None, known, 0)) == "first"
            found = "F"
            continue
        age = next(age for age in range(1, number + 1) if found[number - age] != ".")
        cause = policy.cause(Signals(age, known, number))
        cause = cause or policy.cause(Signals(age, known, number, STILL, cut=number in cuts))
        found += "." if cause is None else cause[0]
    return found


@pytest.mark.parametrize(
    ("types", "causes"),
    [
        ("IPPPPPPPP", "F....i..."),  # (i)nterval
        ("IPPIPPIPP", "F..i..i.."),  # (i)ntra
        ("IPIPIPIPI", "F.i.i.i.i"),
        ("IBBPIBBPI", "F...i...i"),
        ("IIIIIIIIIIII", "F....i....i."),
        ("????????????", "F....i....i."),
        ("IIIPIIIIIIII", "F...i....i.."),
        ("I?I?I?I?", "F....i.."),  # what is not known to be coded from others counts for nothing
        ("IPPPPPIPI", "F....ii.i"),  # P5 is a key frame itself, and I6 the first that needs none before it
        ("PPP", "F.."),
        ("PIPPIPPPPPPI", "Fi..i....i.i"),  # it begins just before an intra frame
    ],
)
def test_an_intra_frame_is_a_key_frame_where_not_all_are(types: str, causes: str) -> None:
    assert coded_causes(CodecKeyframes(5), types) == causes


def test_which_cause_it_is() -> None:
    policy = CodecKeyframes(5)
    assert policy.cause(Signals(1, "I", 1)) is None
    assert policy.cause(Signals(2, "B", 2)) is None
    assert policy.cause(Signals(3, "I", 3)) == "intra"
    assert policy.cause(Signals(5, "I", 8)) == "interval"
    assert policy.cause(Signals(5, "I", None)) == "interval"


def test_an_intra_frame_after_a_cut_to_another_frame_is_a_key_frame() -> None:
    assert coded_causes(CodecKeyframes(9), "IPPPIPP", cuts=(3,)) == "F..ci.."
    assert coded_causes(CodecKeyframes(9), "IIIIIII", cuts=(3,)) == "F..c..."


def test_another_interval_remembers_what_was_seen_and_a_new_start_does_not() -> None:
    policy = CodecKeyframes(5)
    assert policy.cause(Signals(1, "P", 1)) is None
    later = policy.with_interval(9)
    assert later.cause(Signals(2, "I", 2)) == "intra"
    later.reset()
    assert later.cause(Signals(2, "I", 2)) is None
    assert later.cause(Signals(9, "I", 9)) == "interval"


# --- adaptive, by share --------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [2, 3, 5, 10, 25])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.3, 40.0])
def test_a_steady_stream_has_even_intervals_whatever_its_rate(interval: int, rate: float) -> None:
    keys = keys_of(make_policy("adaptive", interval), 10 * interval, drive(lambda number: rate))
    assert keys == list(range(0, 10 * interval, interval))


def test_a_share_that_no_interval_has_is_met_on_average() -> None:
    keys = keys_of(AdaptiveShare(0.3), 1000, drive(lambda number: 0.2))
    assert len(keys) == pytest.approx(300, abs=3)
    assert {after - before for before, after in pairwise(keys)} == {3, 4}


def stop_and_go(number: int) -> float:
    """Standing and driving, 60 frames each."""
    return 0.5 if number // 60 % 2 else 0.05


def test_key_frames_are_where_the_motion_is() -> None:
    keys = keys_of(AdaptiveShare(0.1), 600, drive(stop_and_go))
    driving = sum(stop_and_go(key) > 0.1 for key in keys)
    assert driving > 2 * (len(keys) - driving)
    assert len(keys) == pytest.approx(60, abs=9)


def test_intervals_stay_within_a_third_and_three_times_the_mean() -> None:
    keys = keys_of(AdaptiveShare(0.1), 600, drive(lambda number: 9.0 if number % 200 > 150 else 1e-6))
    gaps = [after - before for before, after in pairwise(keys)]
    assert min(gaps) >= 3
    assert max(gaps) == 30


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_in_a_still_picture_a_share_is_met_in_the_end_and_what_was_saved_is_spent_on_motion(
    share: float,
) -> None:
    moves = drive(lambda number: 0.05 if number < 5 or number >= 3000 else 1e-6)
    keys = keys_of(AdaptiveShare(share), 4000, moves)
    assert sum(key < 500 for key in keys) < 0.8 * 500 * share
    assert sum(2000 <= key < 3000 for key in keys) == pytest.approx(1000 * share, rel=0.05)
    assert sum(key < 3000 for key in keys) > 3000 * share - 60
    assert len(keys) == pytest.approx(4000 * share, rel=0.05)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_a_beginning_with_more_loss_than_what_follows_is_made_good(share: float) -> None:
    keys = keys_of(AdaptiveShare(share), 300, drive(lambda number: 2.0 if number < 20 else 0.2))
    assert len(keys) > 0.86 * 300 * share


@pytest.mark.parametrize("still", [0.0, 1e-6])
def test_motion_after_a_still_picture_is_soon_what_is_usual(still: float) -> None:
    keys = keys_of(AdaptiveShare(0.1), 600, drive(lambda number: still if number < 100 else 0.05))
    assert sum(key < 100 for key in keys) == 10
    assert 10 < sum(100 <= key < 200 for key in keys) <= 20
    assert sum(200 <= key < 600 for key in keys) == pytest.approx(36, abs=3)


def test_what_leaves_the_picture_counts() -> None:
    def turning(key: int, now: int) -> Motion:
        gone = sum(0.02 for number in range(key + 1, now + 1) if number >= 200)
        return Motion(5.0, 0.1, 0.1 * (now - key) ** 0.5, min(gone, 1.0))

    keys = keys_of(AdaptiveShare(0.1), 300, turning)
    assert sum(key >= 200 for key in keys) > 1.5 * sum(100 <= key < 200 for key in keys)


def test_other_key_frames_count_for_the_share() -> None:
    cuts = tuple(range(25, 1000, 25))
    keys = keys_of(AdaptiveShare(0.1), 1000, drive(lambda number: 0.2), cuts)
    assert set(cuts) < set(keys)
    assert len(keys) == pytest.approx(100, abs=3)


def test_frames_on_which_the_policy_was_not_asked_count() -> None:
    policy = AdaptiveShare(0.1)
    steady = Motion(1.0, 1.0, 1.0, 0.0)
    assert policy.cause(Signals(1, None, 1, steady)) is None
    assert policy.cause(Signals(10, None, 10, Motion(3.0, 3.0, 10**0.5, 0.0))) == "adaptive"


def test_a_new_start_forgets_the_stream() -> None:
    policy, scene = AdaptiveShare(0.1), drive(stop_and_go)
    first = keys_of(policy, 150, scene)
    assert keys_of(policy, 150, scene) != first
    policy.reset()
    assert keys_of(policy, 150, scene) == first


def test_without_motion_a_share_cannot_be_steered_to() -> None:
    assert AdaptiveShare(0.5).cause(Signals(50, "P", 50)) is None


# --- adaptive, by quality ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["mean", "spread", "residual", "invalid_share"])
def test_the_predicted_agreement_falls_with_every_signal(field: str) -> None:
    values = {"mean": 2.0, "spread": 2.0, "residual": 0.5, "invalid_share": 0.01}
    agreements = [predicted_agreement(Motion(**{**values, field: values[field] * n})) for n in (1, 2, 4)]
    assert agreements == sorted(agreements, reverse=True)
    assert len(set(agreements)) == 3


def test_agreement_is_a_percentage() -> None:
    assert predicted_agreement(STILL) == 98.0
    assert predicted_agreement(Motion(900.0, 900.0, 900.0, 1.0)) == 0.0


def test_a_better_quality_takes_more_key_frames() -> None:
    scene = drive(lambda number: 0.4)
    counts = [len(keys_of(AdaptiveQuality(quality), 200, scene)) for quality in (88, 92, 95, 97.9)]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[2] < counts[3] == 200


def test_no_propagated_frame_falls_below_the_quality() -> None:
    scene, policy = drive(stop_and_go), AdaptiveQuality(92)
    keys = keys_of(policy, 300, scene)
    for number in range(300):
        key = max(key for key in keys if key <= number)
        assert number == key or predicted_agreement(scene(key, number)) >= 92


def test_a_still_picture_has_the_largest_interval() -> None:
    assert keys_of(make_policy("adaptive:quality=90", 10), 70) == [0, 30, 60]


def taught(
    policy: AdaptiveQuality, frames: int, scene: Scene, truth: Callable[[Motion], float]
) -> list[tuple[int, float]]:
    """The key frames, each with the true agreement of what had been carried to it, which the policy is told."""
    keys = [(0, 100.0)]
    for number in range(1, frames):
        motion = scene(keys[-1][0], number)
        if policy.is_key(Signals(number - keys[-1][0], number=number, motion=motion)):
            keys.append((number, truth(motion)))
            policy.learn(keys[-1][1])
    return keys


@pytest.mark.parametrize("error", [-6.0, -3.0, 2.0])
def test_a_quality_is_learnt_whatever_the_prediction_is_wrong_by(error: float) -> None:
    policy = AdaptiveQuality(90, 200)
    keys = taught(policy, 2000, drive(lambda n: 0.4), lambda m: predicted_agreement(m) + error)
    assert abs(keys[1][1] - (90 + error)) < 1  # where the prediction alone put it
    later = [agreement for _, agreement in keys[8:]]
    assert len(later) > 8
    assert all(89 < agreement < 91 for agreement in later)


MOVED = Motion(3.0, 4.0, 1.25, 0.0)
"""Of which an agreement of 93.8 is expected, nothing being known."""


def test_what_was_learnt_is_unlearnt_in_time() -> None:
    policy = AdaptiveQuality(90)
    taught(policy, 300, drive(lambda n: 0.4), lambda m: predicted_agreement(m) - 5)
    keys = []
    for _ in range(5):
        keys.append(policy.is_key(Signals(1, number=300, motion=MOVED)))
        policy.learn(predicted_agreement(MOVED))
    assert keys[:2] == [True, True]
    assert not keys[-1]


def test_a_new_stream_is_learnt_anew() -> None:
    policy = AdaptiveQuality(90)
    taught(policy, 300, drive(lambda n: 0.4), lambda m: predicted_agreement(m) - 5)
    assert policy.is_key(Signals(1, number=300, motion=MOVED))
    policy.reset()
    assert not policy.is_key(Signals(1, number=301, motion=MOVED))


def test_another_interval_keeps_what_was_learnt() -> None:
    policy = AdaptiveQuality(90, 12)
    taught(policy, 300, drive(lambda n: 0.4), lambda m: predicted_agreement(m) - 5)
    changed = policy.with_interval(10)
    assert (changed.largest, changed.quality, changed.name) == (30, 90, policy.name)
    assert changed.is_key(Signals(1, number=300, motion=MOVED))
    assert policy.largest == 12


@pytest.mark.parametrize("agreement", [float("nan"), float("inf")])
def test_nothing_is_learnt_from_what_is_no_number(agreement: float) -> None:
    policy = AdaptiveQuality(90)
    for number in (1, 2):
        assert not policy.is_key(Signals(1, number=number, motion=MOVED))
        policy.learn(agreement)


def test_each_expectation_is_held_against_one_key_frame() -> None:
    policy = AdaptiveQuality(90)
    policy.learn(10.0)  # before anything was expected
    assert not policy.is_key(Signals(1, number=1, motion=MOVED))
    policy.learn(predicted_agreement(MOVED))
    for _ in range(20):
        policy.learn(10.0)
    assert not policy.is_key(Signals(2, number=2, motion=MOVED))


def test_by_quality_the_largest_interval_teaches_too() -> None:
    """What is carried for that long may be worse than expected: then it is carried less far."""
    keys = taught(AdaptiveQuality(90, 20), 400, drive(lambda n: 0.2), lambda m: predicted_agreement(m) - 6)
    assert keys[1][0] == 20
    assert keys[-1][0] - keys[-2][0] < 20


def test_a_quality_that_is_out_of_reach_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    keys = taught(AdaptiveQuality(95), 60, drive(lambda n: 0.2), lambda m: 91.0)
    assert len(keys) > 30
    (line,) = caplog.messages
    assert "a quality of 95 % is out of reach here: one frame after a key frame 91.0 % of the pixels" in line


def test_a_few_bad_frames_are_not_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    found = iter([80.0] * 8 + [97.0] + [80.0] * 8)
    policy = AdaptiveQuality(95)
    for number, agreement in enumerate(found, 1):
        policy.cause(Signals(1, number=number, motion=MOVED))
        policy.learn(agreement)
    assert caplog.messages == []
