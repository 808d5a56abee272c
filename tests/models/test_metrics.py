"""Scores against counts made by hand, and against scikit-learn and torchmetrics on real label maps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from keywarp.models.datasets import LabelMap
from keywarp.models.labels import CAMVID, VOID
from keywarp.models.metrics import CLASS_FIGURES, Counts, Scores, confusion, scores

Labels = NDArray[np.uint8]

LABELS = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "clip_a_labels"
CLASSES = len(CAMVID)
MEANS = ("pixel_accuracy", "mean_accuracy", "miou", "fw_iou", "dice")


def test_no_pixels_score_nothing() -> None:
    counts = confusion(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), 3)
    assert counts.tolist() == [[0] * 3] * 3
    assert scores(counts) == {"miou": 0.0, "accuracy": 0.0}
    assert all(np.isnan(getattr(Scores(counts), name)) for name in MEANS)
    assert all(np.isnan(figure(Scores(counts))).all() for figure in CLASS_FIGURES.values())


def test_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, 255, 2]], np.uint8)
    labels = np.array([[0, 1, 1, 1, 0, 0]], np.uint8)
    counts = confusion(truth, labels, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    found = Scores(counts)
    np.testing.assert_allclose(found.class_iou, [1 / 3, 2 / 3, 0, np.nan])
    np.testing.assert_allclose(found.class_accuracy, [1 / 2, 1, 0, np.nan])
    np.testing.assert_allclose(found.class_dice, [1 / 2, 4 / 5, 0, np.nan])
    np.testing.assert_allclose(found.class_share, [2 / 5, 2 / 5, 1 / 5, 0])
    means = {name: getattr(found, name) for name in MEANS}
    assert means == pytest.approx(
        {"pixel_accuracy": 3 / 5, "mean_accuracy": 1 / 2, "miou": 1 / 3, "fw_iou": 2 / 5, "dice": 13 / 30}
    )
    assert scores(counts) == pytest.approx({"miou": 1 / 3, "accuracy": 3 / 5})


def test_a_class_that_is_given_but_never_true_has_no_accuracy_and_an_iou_of_0() -> None:
    truth, labels = np.array([0, 0], np.uint8), np.array([0, 3], np.uint8)
    found = Scores(confusion(truth, labels, 4))
    assert found.miou == 0.25
    assert found.mean_accuracy == 0.5
    assert found.fw_iou == 0.5


def test_void_is_ignored_in_the_truth_and_refused_in_the_labels() -> None:
    void, sky = np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8)
    assert not confusion(void, void, 4).any()
    assert not confusion(np.full((2, 2), 4, np.uint8), sky, 4).any()
    with pytest.raises(ValueError, match="labels are 0 to 3; the largest given is 255"):
        confusion(sky, void, 4)


def test_maps_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truth \(2, 2\) and labels \(2, 3\)"):
        confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 4)


@pytest.mark.parametrize("classes", [1, 2, 19, 150, 255])
def test_counts_are_those_of_a_loop(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, 256, (7, 9), dtype=np.uint8)[:, ::2]  # not contiguous
    labels = rng.integers(0, classes, truth.shape, dtype=np.uint8)
    expected = np.zeros((classes, classes), np.int64)
    for true, given in zip(truth.ravel(), labels.ravel(), strict=True):
        if true < classes:
            expected[true, given] += 1
    np.testing.assert_array_equal(confusion(truth, labels, classes), expected)


# --- Against other people's code --------------------------------------------------------------------------


@lru_cache(maxsize=1)
def maps() -> tuple[Labels, Labels]:
    """True labels of real frames, every other pixel, and as a result those of two frames later."""
    paths = sorted(LABELS.glob("*.png"))[:7:2]
    if not paths:
        pytest.skip(f"needs real data: {LABELS} (the project's shared folder beside the repository)")
    frames = np.stack([LabelMap(path).read(CAMVID)[::2, ::2] for path in paths])
    truth, labels = frames[:-1], frames[1:].copy()
    labels[labels == VOID] = 0
    labels[labels == 6] = 7  # a class that is true, but never given
    return truth, labels


def _case(without: int | None) -> tuple[Labels, Labels, Counts]:
    """The maps where the truth is known; ``without``: a class that is never true, but given."""
    truth, labels = maps()
    known = (truth < CLASSES) & (truth != without)
    return truth[known], labels[known], confusion(truth[known], labels[known], CLASSES)


@pytest.mark.parametrize("without", [None, 9])
def test_all_figures_are_those_of_scikit_learn(without: int | None) -> None:
    sk = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (pip install 'keywarp[dev]')")
    truth, labels, counts = _case(without)
    every = list(range(CLASSES))
    np.testing.assert_array_equal(counts, sk.confusion_matrix(truth, labels, labels=every))
    found = Scores(counts)
    occurring = np.union1d(truth, labels).tolist()
    expected = {
        "pixel_accuracy": sk.accuracy_score(truth, labels),
        "mean_accuracy": sk.recall_score(truth, labels, labels=np.unique(truth), average="macro"),
        "miou": sk.jaccard_score(truth, labels, labels=occurring, average="macro"),
        "fw_iou": sk.jaccard_score(truth, labels, labels=occurring, average="weighted", zero_division=0),
        "dice": sk.f1_score(truth, labels, labels=occurring, average="macro", zero_division=0),
    }
    assert {name: getattr(found, name) for name in MEANS} == pytest.approx(expected, abs=1e-6)
    iou = sk.jaccard_score(truth, labels, labels=every, average=None, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num(found.class_iou), iou, atol=1e-6)
    dice = sk.f1_score(truth, labels, labels=every, average=None, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num(found.class_dice), dice, atol=1e-6)


@pytest.mark.parametrize("without", [None, 9])
def test_the_means_are_those_of_torchmetrics(without: int | None) -> None:
    torch: Any = pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[dev]')")
    metrics: Any = pytest.importorskip(
        "torchmetrics.functional.classification", reason="needs torchmetrics (pip install 'keywarp[dev]')"
    )
    truth, labels, counts = _case(without)
    given, true = torch.from_numpy(labels).long(), torch.from_numpy(truth).long()
    found = Scores(counts)

    def figure(name: str, average: str) -> float:
        return float(
            getattr(metrics, f"multiclass_{name}")(given, true, num_classes=CLASSES, average=average)
        )

    assert found.miou == pytest.approx(figure("jaccard_index", "macro"), abs=1e-6)
    assert found.fw_iou == pytest.approx(figure("jaccard_index", "weighted"), abs=1e-6)
    assert found.pixel_accuracy == pytest.approx(figure("accuracy", "micro"), abs=1e-6)
    assert found.dice == pytest.approx(figure("f1_score", "macro"), abs=1e-6)
    if without is None:  # torchmetrics counts a class that is never true as one of accuracy 0
        assert found.mean_accuracy == pytest.approx(figure("accuracy", "macro"), abs=1e-6)
