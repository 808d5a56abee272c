"""Scores against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keywarp.models.metrics import class_iou, confusion, scores


def test_no_pixels_score_nothing() -> None:
    empty = np.zeros((0, 0), np.uint8)
    assert scores(confusion(empty, empty, 3)) == {"miou": 0.0, "accuracy": 0.0}


def test_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, 255, 2]], np.uint8)
    labels = np.array([[0, 1, 1, 1, 0, 0]], np.uint8)
    counts = confusion(truth, labels, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(class_iou(counts), [1 / 3, 2 / 3, 0, np.nan])
    assert scores(counts) == pytest.approx({"miou": 1 / 3, "accuracy": 3 / 5})


def test_a_class_that_is_given_but_never_true_lowers_the_others_only() -> None:
    truth, labels = np.array([0, 0], np.uint8), np.array([0, 3], np.uint8)
    assert scores(confusion(truth, labels, 4))["miou"] == 0.5


def test_void_in_the_labels_counts_as_wrong() -> None:
    truth, labels = np.array([0, 0], np.uint8), np.array([0, 255], np.uint8)
    assert scores(confusion(truth, labels, 4))["accuracy"] == 0.5
