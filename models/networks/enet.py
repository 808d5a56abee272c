"""ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation (Paszke et al. 2016).

arXiv 1606.02147: table 1 lists the blocks, section 4 and figure 2 describe them. What the text leaves
open follows the published torch7 code: inner width output/4, a normalisation and PReLU after the initial
block, a 3x3 kernel in the last layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from .base import SegmentationNetwork
from .unpool import IndexPooling, Pooling, Position

Activation = Callable[[int], nn.Module]

REDUCTION = 4
"""Width of a bottleneck's output over its inner width."""
BATCH_NORM_EPS = 1e-3


class ENet(SegmentationNetwork):
    """Segmentation of pictures (N, 3, H, W), H and W multiples of 8, into scores (N, classes, H, W).

    Pictures are float32 and normalised as the card of the weights says. ``features`` are what Deep
    Feature Flow carries from frame to frame: the output of the last bottleneck, (N, 16, H/2, W/2). They are
    cut there, since places of maxima cannot be warped. ``head`` is the last transposed convolution.

    ``dropout`` is the probability of dropping a channel in stage 1 and after it (section 4: 0.01, 0.1).
    ``pooling`` is exchanged by the export; it has no weights and all of them compute the same.
    """

    feature_channels = 16
    feature_stride_px = 2
    input_stride_px = 8

    def __init__(self, *, classes: int = 11, dropout: tuple[float, float] = (0.01, 0.1)) -> None:
        super().__init__()
        self.classes = classes
        self.pooling: Pooling = IndexPooling()
        early, late = dropout
        self.initial = Initial(channels=16)
        self.down1 = Downsampling(inputs=16, outputs=64, dropout=early)
        self.stage1 = nn.Sequential(*[regular(64, dropout=early) for _ in range(4)])
        self.down2 = Downsampling(inputs=64, outputs=128, dropout=late)
        self.stage2 = context_stage(dropout=late)
        self.stage3 = context_stage(dropout=late)
        self.up4 = Upsampling(inputs=128, outputs=64, dropout=late)
        self.stage4 = nn.Sequential(*[regular(64, dropout=late, act=relu) for _ in range(2)])
        self.up5 = Upsampling(inputs=64, outputs=16, dropout=late)
        self.stage5 = regular(16, dropout=late, act=relu)
        self.fullconv = nn.ConvTranspose2d(16, classes, 3, 2, padding=1, output_padding=1)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 16, H/2, W/2), not negative."""
        self.check_size(x)
        x = self.initial(x)  # (N, 16, H/2, W/2)
        x, position1 = self.down1(x, self.pooling)  # (N, 64, H/4, W/4)
        x = self.stage1(x)
        x, position2 = self.down2(x, self.pooling)  # (N, 128, H/8, W/8)
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, position2, self.pooling))  # (N, 64, H/4, W/4)
        return self.stage5(self.up5(x, position1, self.pooling))  # (N, 16, H/2, W/2)

    def head(self, features: Tensor) -> Tensor:
        """(N, 16, H/2, W/2) -> scores (N, classes, H, W)."""
        return self.fullconv(features)


class Initial(nn.Module):
    """Figure 2a: a 3x3 convolution of stride 2 beside 2x2 max pooling of the picture, concatenated."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels - 3, 3, 2, padding=1, bias=False)
        self.norm = batch_norm(channels)
        self.act = prelu(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, channels, H/2, W/2)."""
        return self.act(self.norm(torch.cat([self.conv(x), F.max_pool2d(x, 2)], dim=1)))


class Bottleneck(nn.Module):
    """Figure 2b without change of size: x + expand(main(project(x))), then the activation."""

    def __init__(self, *, branch: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return self.act(x + self.branch(x))


class Downsampling(nn.Module):
    """Bottleneck of half the size: a 2x2 projection of stride 2, beside max pooling padded with zeros."""

    def __init__(self, *, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = outputs // REDUCTION
        self.added = outputs - inputs
        self.branch = nn.Sequential(
            *normed(nn.Conv2d(inputs, inner, 2, 2, bias=False), prelu),
            *normed(nn.Conv2d(inner, inner, 3, padding=1, bias=False), prelu),
            *expansion(inner, outputs, dropout),
        )
        self.act = prelu(outputs)

    def forward(self, x: Tensor, pooling: Pooling) -> tuple[Tensor, Position]:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2), and where the maxima of the input were."""
        pooled, position = pooling.pool(x)
        padded = F.pad(pooled, (0, 0, 0, 0, 0, self.added))
        return self.act(padded + self.branch(x)), position


class Upsampling(nn.Module):
    """Bottleneck of double size: a transposed convolution beside unpooling of a 1x1 convolution."""

    def __init__(self, *, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = outputs // REDUCTION
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), batch_norm(outputs))
        main = nn.ConvTranspose2d(inner, inner, 3, 2, padding=1, output_padding=1, bias=False)
        self.branch = nn.Sequential(
            *normed(nn.Conv2d(inputs, inner, 1, bias=False), relu),
            *normed(main, relu),
            *expansion(inner, outputs, dropout),
        )
        self.act = relu(outputs)

    def forward(self, x: Tensor, position: Position, pooling: Pooling) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2H, 2W); ``position`` is of a picture of that shape."""
        return self.act(pooling.unpool(self.skip(x), position) + self.branch(x))


def context_stage(*, dropout: float) -> nn.Sequential:
    """The eight bottlenecks of stages 2 and 3: regular, dilated and asymmetric in turn (table 1)."""
    return nn.Sequential(
        regular(128, dropout=dropout),
        regular(128, dropout=dropout, dilation=2),
        asymmetric(128, dropout=dropout),
        regular(128, dropout=dropout, dilation=4),
        regular(128, dropout=dropout),
        regular(128, dropout=dropout, dilation=8),
        asymmetric(128, dropout=dropout),
        regular(128, dropout=dropout, dilation=16),
    )


def prelu(channels: int) -> nn.Module:
    """The encoder's activation: a slope a channel, learned (section 3, nonlinear operations)."""
    return nn.PReLU(channels)


def relu(_: int) -> nn.Module:
    """The decoder's activation: PReLU was worse there (section 3, nonlinear operations)."""
    return nn.ReLU(inplace=True)


def regular(channels: int, *, dropout: float, dilation: int = 1, act: Activation = prelu) -> Bottleneck:
    """A bottleneck whose main convolution is 3x3, dilated or not."""
    inner = channels // REDUCTION
    main = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)
    return bottleneck(channels, main, dropout, act)


def asymmetric(channels: int, *, dropout: float) -> Bottleneck:
    """A bottleneck whose main convolution is 5x1, then 1x5."""
    inner = channels // REDUCTION
    main = nn.Sequential(
        nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
        nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False),
    )
    return bottleneck(channels, main, dropout, prelu)


def bottleneck(channels: int, main: nn.Module, dropout: float, act: Activation) -> Bottleneck:
    """Figure 2b: a 1x1 projection, the main convolution, a 1x1 expansion, dropout."""
    inner = channels // REDUCTION
    branch = nn.Sequential(
        *normed(nn.Conv2d(channels, inner, 1, bias=False), act),
        *normed(main, act),
        *expansion(inner, channels, dropout),
    )
    return Bottleneck(branch=branch, act=act(channels))


def normed(conv: nn.Module, act: Activation) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A convolution, its normalisation and its activation.

    Convolutions have no bias: the paper omits it in projections, and before a normalisation it is void.
    """
    channels = out_channels(conv)
    return conv, batch_norm(channels), act(channels)


def expansion(inner: int, outputs: int, dropout: float) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The 1x1 convolution that ends a branch, normalised, and the regulariser."""
    conv = nn.Conv2d(inner, outputs, 1, bias=False)
    return conv, batch_norm(outputs), nn.Dropout2d(dropout)


def out_channels(conv: nn.Module) -> int:
    """The number of channels that a convolution, or the last of a sequence, puts out."""
    last = conv[-1] if isinstance(conv, nn.Sequential) else conv
    assert isinstance(last, nn.Conv2d | nn.ConvTranspose2d)
    return last.out_channels


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with the constant of the published code."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
