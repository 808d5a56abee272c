"""The fast head yields the labels of ENet's own head."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import nn

from keywarp.models.networks.enet import ENet
from keywarp.models.networks.fast_head import FastLabels, row_convolution


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


@pytest.mark.parametrize("odd", [False, True])
def test_a_convolution_has_the_scores_of_every_other_row(odd: bool) -> None:
    torch.manual_seed(0)
    fullconv = nn.ConvTranspose2d(16, 3, 3, 2, padding=1, output_padding=1)
    features = torch.randn(1, 16, 5, 7)
    with torch.no_grad():
        scores = row_convolution(fullconv, odd=odd)(F.pad(features, (0, 1, 0, int(odd))))
        rows = fullconv(features)[:, :, int(odd) :: 2]
    pixels = scores.view(1, 3, 2, 5, 7)
    for pixel in (0, 1):
        torch.testing.assert_close(pixels[:, :, pixel], rows[..., pixel::2], atol=1e-5, rtol=1e-5)


def test_a_quarter_of_the_kernels_is_zero() -> None:
    fullconv = nn.ConvTranspose2d(16, 11, 3, 2, padding=1, output_padding=1)
    even, odd = (row_convolution(fullconv, odd=odd) for odd in (False, True))
    assert even.weight.shape == (22, 16, 1, 2)
    assert odd.weight.shape == (22, 16, 2, 2)
    for conv in (even, odd):
        assert (conv.weight == 0).float().mean().item() == pytest.approx(1 / 4)
