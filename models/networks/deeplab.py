"""A dense feature network and a DeepLab head, as Deep Feature Flow has them (Zhu et al., CVPR 2017, section 5).

A 3x3 convolution with dilation 6 and a ReLU bring the backbone's channels down to 1024: those are the features.
The head scores them with a 1x1 convolution (DeepLab's large field of view, Chen et al. 2015) and enlarges the
scores bilinearly to the picture. The authors enlarge by a transposed convolution with a bilinear kernel, which
gives the same best class everywhere: at the border, where its kernel runs over zeros, all scores shrink alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from .base import SegmentationNetwork
from .resnet import ResNet

DILATION = 6


class DeepLab(SegmentationNetwork):
    """Segmentation of pictures (N, 3, H, W), H and W multiples of 16, into scores (N, classes, H, W).

    ``features``, (N, 1024, H/16, W/16), are what Deep Feature Flow carries from frame to frame. ``score`` is all of
    the head that has weights. Being a 1x1 convolution it may as well run before a bilinear warp as after it: the
    warp mixes cells, the convolution channels, and a warp's four weights add up to one, so that the bias stays
    too. A scale map multiplies single features and has to come before it.
    """

    feature_channels = 1024
    feature_stride_px = ResNet.stride_px
    input_stride_px = ResNet.stride_px

    def __init__(self, *, backbone: ResNet, classes: int = 11) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone
        self.reduce = nn.Conv2d(
            backbone.channels, self.feature_channels, 3, padding=DILATION, dilation=DILATION
        )
        self.score = nn.Conv2d(self.feature_channels, classes, 1)
        for layer in (self.reduce, self.score):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1024, H/16, W/16), not negative."""
        self.check_size(x)
        return F.relu(self.reduce(self.backbone(x)))

    def head(self, features: Tensor) -> Tensor:
        """(N, 1024, H/16, W/16) -> scores (N, classes, H, W)."""
        stride_px = self.feature_stride_px
        return F.interpolate(
            self.score(features), scale_factor=stride_px, mode="bilinear", align_corners=False
        )


class EnlargedLabels(nn.Module):
    """Scores (1, ``classes``, h, w) float32 -> labels (1, ``factor`` h, ``factor`` w) uint8: those of the scores
    enlarged bilinearly, of equal scores the first class.

    Engines resize few and small maps slowly, and search the best of many classes slowly in a large picture. Here a
    product with a matrix enlarges along the lines; between two lines each class then is a straight line between two
    values, compared with the best so far before the next class is touched, so that the work stays in the cache.
    """

    def __init__(self, factor: int, classes: int) -> None:
        super().__init__()
        self.factor, self.classes = factor, classes

    def forward(self, scores: Tensor) -> Tensor:
        """See the class."""
        height, width = scores.shape[2:]
        wide = scores[0] @ bilinear_matrix(width, self.factor).T  # (classes, h, W)
        # h + 1 bands of lines: from the line of one cell to that of the next, and from the border to the first
        above = torch.cat([wide[:, :1], wide], 1)[:, :, None]
        below = torch.cat([wide, wide[:, -1:]], 1)[:, :, None]
        share = ((torch.arange(self.factor) + 0.5) / self.factor)[None, :, None]
        best = torch.lerp(above[0], below[0], share)  # (h + 1, factor, W)
        labels = torch.zeros_like(best)
        for number in range(1, self.classes):
            score = torch.lerp(above[number], below[number], share)
            labels = torch.where(score > best, float(number), labels)
            best = torch.maximum(score, best)
        lines = labels.reshape(1, (height + 1) * self.factor, width * self.factor)
        half = self.factor // 2
        return lines[:, half : half - self.factor].to(torch.uint8)


def bilinear_matrix(cells: int, factor: int) -> Tensor:
    """(``factor`` x cells, cells) float32: the share of each cell in each pixel of a line enlarged bilinearly.

    Pixel i lies at (i + 0.5) / factor - 0.5 cells; those before the first cell and after the last take its value.
    ``cells`` may be a symbol while a network is traced.
    """
    pixels = torch.arange(cells * factor, dtype=torch.float32)
    places = ((pixels + 0.5) / factor - 0.5)[:, None]
    last = torch.as_tensor(cells, dtype=torch.float32) - 1
    inside = torch.minimum(places.clamp_min(0), last)
    return (1 - (inside - torch.arange(cells, dtype=torch.float32)).abs()).clamp_min(0)
