"""The parts of training that can be checked by themselves: losses, optimiser, bad weather, memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from keywarp.engines.errors import UsageError
from keywarp.models.labels import VOID
from keywarp.models.training import memory, weather
from keywarp.models.training.losses import lovasz_softmax, segmentation_loss
from keywarp.models.training.muon import Muon, orthogonal

SHAPE = (48, 64, 3)


def certain(labels: torch.Tensor, classes: int = 3) -> torch.Tensor:
    """Scores that say ``labels`` with certainty."""
    return 100.0 * nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).float()


def test_lovasz_of_certain_answers_is_one_minus_the_mean_iou() -> None:
    """At the corners of the cube the extension equals the function (Berman et al. 2018, section 2.1)."""
    generator = torch.Generator().manual_seed(0)
    truth, given = (torch.randint(0, 3, (2, 8, 8), generator=generator) for _ in range(2))
    ious = [((truth == c) & (given == c)).sum() / ((truth == c) | (given == c)).sum() for c in range(3)]
    assert lovasz_softmax(certain(given), truth).item() == pytest.approx(1 - float(sum(ious)) / 3, abs=1e-6)


def test_lovasz_ignores_void_and_classes_that_do_not_occur() -> None:
    truth = torch.tensor([[[0, 0, 1, VOID]]])
    assert lovasz_softmax(certain(torch.tensor([[[0, 0, 1, 2]]])), truth).item() == pytest.approx(0, abs=1e-6)
    nothing = lovasz_softmax(torch.zeros(1, 3, 1, 4, requires_grad=True), torch.full((1, 1, 4), VOID))
    assert nothing.item() == 0


def test_lovasz_has_a_gradient_that_lowers_it() -> None:
    scores = torch.zeros(1, 3, 4, 4, requires_grad=True)
    truth = torch.randint(0, 3, (1, 4, 4), generator=torch.Generator().manual_seed(1))
    before = lovasz_softmax(scores, truth)
    before.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert lovasz_softmax(scores - 10 * scores.grad, truth) < before


def test_the_loss_looks_at_every_third_pixel_for_lovasz_only() -> None:
    truth = torch.zeros(1, 6, 6, dtype=torch.long)
    given = certain(torch.ones_like(truth))
    given[:, :, 1::3, 2::3] = certain(truth)[:, :, 1::3, 2::3]
    parts = [
        segmentation_loss(given, truth, torch.ones(3), lovasz=weight, stride=3, start=(1, 2))
        for weight in (0, 1)
    ]
    assert parts[0] > 1
    assert parts[1].item() == pytest.approx(parts[0].item(), abs=1e-5)


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (64, 4)])
def test_updates_become_nearly_orthogonal(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_muon_learns_a_matrix() -> None:
    torch.manual_seed(0)
    layer, goal = nn.Linear(8, 8, bias=False), torch.randn(8, 8)
    optimiser = Muon(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        loss = (layer.weight - goal).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


CHANGES = [
    weather.shaded,
    weather.blurred,
    weather.noisy,
    weather.compressed,
    weather.at_night,
    weather.in_rain,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_bad_weather_changes_pictures_and_depends_on_the_generator_alone(change: object) -> None:
    assert callable(change)
    bgr = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    before = bgr.copy()
    one, two, other = (change(bgr, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == SHAPE
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, bgr)
    assert np.array_equal(bgr, before)


def test_nights_are_dark_and_rain_is_flat() -> None:
    bgr = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    for seed in range(5):
        assert weather.at_night(bgr, np.random.default_rng(seed)).mean() < 0.7 * bgr.mean()
        assert weather.in_rain(bgr, np.random.default_rng(seed)).std() < bgr.std()


@pytest.mark.parametrize("angle", [0.0, math.pi / 4, math.pi / 2])
def test_streaks_keep_the_brightness(angle: float) -> None:
    assert weather.streak(7, angle).sum() == pytest.approx(1)


def test_memory_is_asked_for_before_it_is_needed() -> None:
    memory.check_samples(10, 10 * 480 * 360, "small")
    with pytest.raises(UsageError, match=r"too little memory: 100000000 pictures of 'big' take about"):
        memory.check_samples(100_000_000, 100_000_000 * 480 * 360, "big")


def test_what_a_network_keeps_is_counted_without_changing_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept = memory.kept_bytes(network)
    # The picture, the output of the convolution and that of ReLU: 4 bytes x (3 + 8 + 8) channels.
    assert kept == pytest.approx(76, abs=2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
