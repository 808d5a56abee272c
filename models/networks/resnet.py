"""ResNet (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) as a dense feature extractor.

The names of weights are those of torchvision, which most published files share (``conv1.weight``, ``bn1.*``,
``layer1.0.conv1.weight``, ..., ``fc.*``). As in Deep Feature Flow (Zhu et al. 2017, section 5) the last stage keeps
its resolution, so that features have stride 16 and not 32, and its 3x3 convolutions are dilated by 2 instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

EXPANSION = 4
"""Width of a bottleneck's output over its inner width."""
WIDTHS = (64, 128, 256, 512)
"""Inner width of the bottlenecks of stages conv2 to conv5, called layer1 to layer4."""
BLOCKS_50 = (3, 4, 6, 3)
BLOCKS_101 = (3, 4, 23, 3)


class ResNet(nn.Module):
    """Pictures (N, 3, H, W), H and W multiples of 16 -> features (N, 2048, H/16, W/16), not negative.

    Pictures are float32, normalised as the weights' makers did. ``blocks``: bottlenecks of each stage.

    ``stride_first`` says which convolution of a stage's first block halves the size: False, the 3x3, as
    torchvision's weights have it and nearly all that are published for PyTorch; True, the 1x1 before it, as in the
    paper and in the Caffe weights that Deep Feature Flow began with. The weights' shapes are the same.
    """

    channels = WIDTHS[-1] * EXPANSION
    stride_px = 16

    def __init__(self, *, blocks: Sequence[int], stride_first: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, stages = 64, []
        for width, count, stride, dilation in zip(WIDTHS, blocks, (1, 2, 2, 1), (1, 1, 1, 2), strict=True):
            first = Bottleneck(inputs, width, stride=stride, dilation=dilation, stride_first=stride_first)
            inputs = width * EXPANSION
            rest = [Bottleneck(inputs, width, dilation=dilation) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self._start(sum(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = F.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, padding=1)  # (N, 64, H/4, W/4)
        x = self.layer1(x)  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        x = self.layer3(x)  # (N, 1024, H/16, W/16)
        last: Tensor = self.layer4(x)  # (N, 2048, H/16, W/16)
        return last

    def _start(self, blocks: int) -> None:
        """Weights to begin with: He et al. (2015), and branches small enough that their sum stays in range."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                nn.init.constant_(module.bn3.weight, blocks**-0.5)


class Bottleneck(nn.Module):
    """x + expand(main(reduce(x))), then ReLU: convolutions of 1x1, 3x3 and 1x1 (figure 5, right).

    (N, inputs, H, W) -> (N, 4 x ``width``, H / ``stride``, W / ``stride``); where the shape changes, ``downsample``
    brings x to it.
    """

    def __init__(
        self, inputs: int, width: int, *, stride: int = 1, dilation: int = 1, stride_first: bool = False
    ) -> None:
        super().__init__()
        outputs = width * EXPANSION
        strides = (stride, 1) if stride_first else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, strides[1], padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))
