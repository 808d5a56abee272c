"""What FlowNets are built of: Inception and Reduction blocks, as FlowNet Inception has them (Zhu et al. 2017,
table 7), and separable convolutions."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

SLOPE = 0.1


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, norm: bool = True) -> nn.Module:
    """A convolution that keeps the size or divides it by ``stride``, rounded up; then a leaky ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE, inplace=True))


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution (MobileNets, Howard et al. 2017)."""
    by_channel = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    activation = nn.LeakyReLU(SLOPE, inplace=True)
    return nn.Sequential(by_channel, nn.BatchNorm2d(inputs), activation, conv(inputs, outputs, 1))


class Inception(nn.Module):
    """Branches side by side, joined: 1x1; 1x1 and 3x3; 1x1 and twice 3x3.

    ``ones``, ``threes`` and ``fives`` are the channels of each branch's layers; their last ones add up to
    ``outputs``. No 1x1 branch where ``ones`` is 0.
    """

    def __init__(
        self, inputs: int, outputs: int, *, ones: int, threes: tuple[int, int], fives: tuple[int, int, int]
    ) -> None:
        super().__init__()
        branches = [_branch(inputs, threes, 1), _branch(inputs, fives, 1)]
        if ones:
            branches.insert(0, conv(inputs, ones, 1))
        self.branches = nn.ModuleList(branches)
        assert ones + threes[-1] + fives[-1] == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class Reduction(nn.Module):
    """An Inception block whose branches halve the size, with a fourth: 3x3 maximum pooling and 1x1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        ones: int,
        threes: tuple[int, int],
        fives: tuple[int, int, int],
        pooled: int,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv(inputs, ones, 1, 2),
                _branch(inputs, threes, 2),
                _branch(inputs, fives, 2),
                nn.Sequential(nn.MaxPool2d(3, 2, 1), conv(inputs, pooled, 1)),
            ]
        )
        assert ones + threes[-1] + fives[-1] + pooled == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2), rounded up."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _branch(inputs: int, channels: tuple[int, ...], stride: int) -> nn.Module:
    """A 1x1 layer, then 3x3 layers, the last of which has the stride."""
    layers = [conv(inputs, channels[0], 1)]
    for number, (before, after) in enumerate(pairwise(channels), 2):
        layers.append(conv(before, after, 3, stride if number == len(channels) else 1))
    return nn.Sequential(*layers)
