"""Labels from ENet's features, exactly those of its head and argmax, in a form that engines run fast.

A 3x3 transposed convolution of stride 2 gives each feature cell 2x2 pixels ("phases"), each of which sees
at most the cell and its neighbours right, below and diagonal. So it is one 2x2 convolution that puts out the
scores of all classes for all four phases, with kernels that are zero where a phase sees nothing. The
largest score is found for each phase, and only labels, one byte each, are interleaved to full size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

TAPS = ((((0, 1),)), ((0, 2), (1, 0)))
"""By phase in one direction: pairs (cell, kernel place); pixel 2j + phase sees feature j + cell."""


class FastLabels(nn.Module):
    """Features (1, 16, h, w) float32 -> labels (1, 2h, 2w) uint8, as ``head(features).argmax(1)``."""

    def __init__(self, fullconv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.classes = fullconv.out_channels
        self.conv = phase_convolution(fullconv)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        height, width = features.shape[2:]
        scores = self.conv(F.pad(features, (0, 1, 0, 1))).permute(0, 2, 3, 1)
        # channels last, phases innermost: engines reduce over classes without moving the scores
        labels = scores.reshape(1, height, width, self.classes, 4).argmax(3).to(torch.uint8)
        labels = labels.reshape(1, height, width, 2, 2).permute(0, 1, 3, 2, 4)
        return labels.reshape(1, 2 * height, 2 * width)


def phase_convolution(fullconv: nn.ConvTranspose2d) -> nn.Conv2d:
    """The same as a 2x2 convolution with classes x 4 channels, phases (row by row) innermost."""
    inputs, classes = fullconv.in_channels, fullconv.out_channels
    kernel = torch.zeros(classes, 2, 2, inputs, 2, 2)
    for row_phase in (0, 1):
        for column_phase in (0, 1):
            for row, kernel_row in TAPS[row_phase]:
                for column, kernel_column in TAPS[column_phase]:
                    weight = fullconv.weight.detach()[:, :, kernel_row, kernel_column]
                    kernel[:, row_phase, column_phase, :, row, column] = weight.T
    conv = nn.Conv2d(inputs, 4 * classes, 2)
    conv.weight = nn.Parameter(kernel.flatten(0, 2))
    assert fullconv.bias is not None
    conv.bias = nn.Parameter(fullconv.bias.detach().repeat_interleave(4))
    return conv
