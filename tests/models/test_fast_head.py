"""The fast head yields the labels of ENet's own head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywarp.models.networks.enet import ENet
from keywarp.models.networks.fast_head import FastLabels, phase_convolution


@pytest.mark.parametrize("classes", [2, 11, 20])
@pytest.mark.parametrize("size", [(4, 4), (20, 12)])
def test_labels_are_those_of_the_plain_head(classes: int, size: tuple[int, int]) -> None:
    torch.manual_seed(classes)
    network = ENet(classes=classes).eval()
    features = torch.randn(1, 16, size[1], size[0]).relu()
    with torch.no_grad():
        labels = FastLabels(network.fullconv)(features)
        plain = network.head(features).argmax(1)
    assert labels.dtype == torch.uint8
    assert labels.shape == (1, 2 * size[1], 2 * size[0])
    assert torch.equal(labels.long(), plain)


def test_one_convolution_has_the_scores_of_all_phases() -> None:
    torch.manual_seed(0)
    fullconv = nn.ConvTranspose2d(16, 3, 3, 2, padding=1, output_padding=1)
    features = torch.randn(1, 16, 5, 7)
    with torch.no_grad():
        scores = phase_convolution(fullconv)(nn.functional.pad(features, (0, 1, 0, 1)))
        plain = fullconv(features)
    phases = scores.view(1, 3, 2, 2, 5, 7)
    for row in (0, 1):
        for column in (0, 1):
            phase = plain[:, :, row::2, column::2]
            torch.testing.assert_close(phases[:, :, row, column], phase, atol=1e-5, rtol=1e-5)


def test_seven_sixteenths_of_the_kernel_are_zero() -> None:
    conv = phase_convolution(nn.ConvTranspose2d(16, 11, 3, 2, padding=1, output_padding=1))
    assert conv.weight.shape == (44, 16, 2, 2)
    assert (conv.weight == 0).float().mean().item() == pytest.approx(7 / 16)
