"""Labels from ENet's features, exactly those of its head and argmax, in a form that engines run fast.

A 3x3 transposed convolution of stride 2 gives each feature cell 2x2 pixels. Pixels of even rows see the cell
and the one to the right, pixels of odd rows also the two below. So it is one 1x2 and one 2x2 convolution,
each of which puts out the scores of all classes for two pixels side by side, with kernels that are zero
where a pixel sees nothing. The best class is found before anything is moved to full size, so that only
labels are interleaved.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

TAPS = (((0, 1),), ((0, 2), (1, 0)))
"""For even and odd pixels of a line: pairs (cell, kernel place) of what pixel 2j or 2j + 1 sees of cell
j or j + 1, in a transposed convolution of width 3, stride 2, padding 1 and output padding 1."""


class FastLabels(nn.Module):
    """Features (1, 16, h, w) float32 -> labels (1, 2h, 2w) uint8, as ``head(features).argmax(1)``."""

    def __init__(self, fullconv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.classes = fullconv.out_channels
        self.even, self.odd = (row_convolution(fullconv, odd=odd) for odd in (False, True))

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        height, width = features.shape[2:]
        even = self.even(F.pad(features, (0, 1, 0, 0)))
        odd = self.odd(F.pad(features, (0, 1, 0, 1)))
        rows = [self._best(scores, height, width) for scores in (even, odd)]
        labels = torch.cat(rows, dim=2).reshape(1, 2 * height, 2 * width)
        return labels.to(torch.uint8)  # from float and last of all: TensorRT has no other way to bytes

    def _best(self, scores: Tensor, height: int, width: int) -> Tensor:
        """Scores (1, 2C, h, w) of every other row of pixels -> its labels (1, h, 1, 2w)."""
        # channels last, the two pixels innermost: engines reduce over classes without moving scores
        by_pixel = scores.permute(0, 2, 3, 1).reshape(1, height, width, self.classes, 2)
        return by_pixel.argmax(3).float().reshape(1, height, 1, 2 * width)


def row_convolution(fullconv: nn.ConvTranspose2d, *, odd: bool) -> nn.Conv2d:
    """The scores of even or odd rows as a convolution to classes x 2 channels, pixels innermost."""
    inputs, classes = fullconv.in_channels, fullconv.out_channels
    kernel = torch.zeros(classes, 2, inputs, 2 if odd else 1, 2)
    for row, kernel_row in TAPS[odd]:
        for pixel in (0, 1):
            for column, kernel_column in TAPS[pixel]:
                weight = fullconv.weight.detach()[:, :, kernel_row, kernel_column]
                kernel[:, pixel, :, row, column] = weight.T
    conv = nn.Conv2d(inputs, 2 * classes, (2 if odd else 1, 2))
    conv.weight = nn.Parameter(kernel.flatten(0, 1))
    assert fullconv.bias is not None
    conv.bias = nn.Parameter(fullconv.bias.detach().repeat_interleave(2))
    return conv
