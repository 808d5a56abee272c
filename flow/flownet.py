"""FlowNets: networks that yield flow, and a scale map, for one pair of pictures.

FlowNet-S ("Simple") of Fischer et al., "FlowNet: Learning Optical Flow with Convolutional Networks" (ICCV 2015);
the two lighter ones of Deep Feature Flow (Zhu et al., CVPR 2017), of which FlowNet Half has half the kernels in
every layer and FlowNet Inception is built of Inception and Reduction blocks; and FlowNet Light, of separable
convolutions as in Light Flow (Zhu et al. 2018). All contract the pair to a 64th of the network's input and refine
the flow from there to a quarter of it. As in Deep Feature Flow the input is the pair at half its size, and the
scale map comes from the same last layer as the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from .inception import Inception, Reduction, conv, separable

FLOW_FACTOR = 2.5
"""What the last layer's output is multiplied by, as in the published code of Deep Feature Flow."""
STRIDE_PX = 8
"""How many pixels wide a cell of the finest flow is."""


class FlowNet(nn.Module):
    """Flow from the current picture to the key picture, and the scale map of one model's features.

    ``levels`` contract the pair: the input is halved before the first of them, and each next one halves it again,
    but for the first two, which together quarter it. ``refined`` are the channels of the refinement's transposed
    convolutions, from the coarsest. The answer has a cell for each ``stride_px`` x ``stride_px`` pixels of the
    pictures: 8, or 16, for features that are no finer, by pooling what the last layers see. Any size of at least
    :attr:`smallest_side_px` will do: where a refinement is larger than what it is joined with, the excess is cut
    off, as the published code does.

    ``scale_channels``: those of the features that the scale map belongs to (None: no scale map). Its layer starts
    at weight 0 and bias 1, so that the map starts at exactly 1 (Zhu et al. 2017, section 4.1).
    """

    smallest_side_px = 64

    def __init__(
        self,
        *,
        levels: Sequence[nn.Module],
        widths: Sequence[int],
        refined: Sequence[int],
        scale_channels: int | None = None,
        stride_px: int = STRIDE_PX,
    ) -> None:
        super().__init__()
        assert stride_px in (STRIDE_PX, 2 * STRIDE_PX)
        self.scale_channels, self.stride_px = scale_channels, stride_px
        self.levels = nn.ModuleList(levels)
        joined = [widths[-1]]
        self.enlarge_features, self.enlarge_flow = nn.ModuleList(), nn.ModuleList()
        for channels, beside in zip(refined, reversed(widths[:-1]), strict=True):
            self.enlarge_features.append(
                nn.Sequential(nn.ConvTranspose2d(joined[-1], channels, 4, 2, 1), nn.LeakyReLU(0.1))
            )
            self.enlarge_flow.append(nn.ConvTranspose2d(2, 2, 4, 2, 1))
            joined.append(beside + channels + 2)
        self.predict = nn.ModuleList([nn.Conv2d(channels, 2, 3, padding=1) for channels in joined])
        self.pool = nn.Identity() if stride_px == STRIDE_PX else nn.AvgPool2d(2, ceil_mode=True)
        self.scale = None if scale_channels is None else _ones(joined[-1], scale_channels)

    def forward(self, current: Tensor, key: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pictures (N, 3, H, W), float32 BGR from 0 to 1 -> flow (N, 2, h, w) and scale (N, C, h, w) or None.

        The flow leads from ``current`` to ``key``, x then y, in cells of its own grid. h is H / ``stride_px``,
        rounded up.
        """
        flows, scale = self.pyramid(current, key)
        return flows[-1], scale

    def pyramid(self, current: Tensor, key: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The flow of every level of the refinement, coarsest first, and the scale map.

        Each flow has a grid of its own, and is in cells of the last one's.
        """
        pair = torch.cat([current, key], 1)
        return self.pyramid_of(F.avg_pool2d(pair, 2, ceil_mode=True, count_include_pad=False))

    def pyramid_of(self, pair: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """:meth:`pyramid` of a pair, current picture first, that was halved before: (N, 6, H/2, W/2)."""
        x = pair
        contracted = []
        for level in self.levels:
            x = level(x)
            contracted.append(x)
        flow = self.predict[0](x)
        flows = [FLOW_FACTOR * flow]
        steps = zip(
            self.enlarge_features, self.enlarge_flow, self.predict[1:], contracted[-2::-1], strict=True
        )
        for enlarge_features, enlarge_flow, predict, beside in steps:
            x = torch.cat([beside, _cut(enlarge_features(x), beside), _cut(enlarge_flow(flow), beside)], 1)
            x = self.pool(x) if predict is self.predict[-1] else x
            flow = predict(x)
            flows.append(FLOW_FACTOR * flow)
        return flows, None if self.scale is None else self.scale(x)


def _cut(x: Tensor, like: Tensor) -> Tensor:
    """The excess of an odd size that was halved and doubled again, cut off."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def _ones(inputs: int, outputs: int) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.ones_(layer.bias)
    return layer


def flownet_simple(
    *, width: float = 1.0, scale_channels: int | None = None, stride_px: int = STRIDE_PX
) -> FlowNet:
    """FlowNet-S with ``width`` times its kernels in every layer (Fischer et al. 2015, figure 2).

    No normalisations, as published; a second 3x3 layer at a 64th of the input, as in the published code.
    """
    c1, c2, c3, c4, c6 = (round(width * channels) for channels in (64, 128, 256, 512, 1024))
    levels = [
        nn.Sequential(conv(6, c1, 7, 2, norm=False), conv(c1, c2, 5, 2, norm=False)),
        nn.Sequential(conv(c2, c3, 5, 2, norm=False), conv(c3, c3, norm=False)),
        nn.Sequential(conv(c3, c4, 3, 2, norm=False), conv(c4, c4, norm=False)),
        nn.Sequential(conv(c4, c4, 3, 2, norm=False), conv(c4, c4, norm=False)),
        nn.Sequential(conv(c4, c6, 3, 2, norm=False), conv(c6, c6, norm=False)),
    ]
    refined = [round(width * channels) for channels in (512, 256, 128, 64)]
    return FlowNet(
        levels=levels,
        widths=(c2, c3, c4, c4, c6),
        refined=refined,
        scale_channels=scale_channels,
        stride_px=stride_px,
    )


def flownet_half(*, scale_channels: int | None = None, stride_px: int = STRIDE_PX) -> FlowNet:
    """FlowNet-S with half the kernels (Zhu et al. 2017, section 4.2)."""
    return flownet_simple(width=0.5, scale_channels=scale_channels, stride_px=stride_px)


def flownet_inception(*, scale_channels: int | None = None, stride_px: int = STRIDE_PX) -> FlowNet:
    """FlowNet Inception (Zhu et al. 2017, table 7); the refinement has a quarter of FlowNet-S's kernels.

    Every convolution of the contracting part is normalised and followed by a ReLU with slope 0.1 below 0, which
    the paper leaves open.
    """
    levels = [
        nn.Sequential(
            conv(6, 32, 7, 2),
            nn.MaxPool2d(3, 2, 1),
            Inception(32, 64, ones=0, threes=(24, 32), fives=(24, 32, 32)),
        ),
        nn.Sequential(
            conv(64, 128, 3, 2),
            Inception(128, 128, ones=48, threes=(32, 64), fives=(8, 16, 16)),
            Inception(128, 128, ones=48, threes=(48, 64), fives=(12, 16, 16)),
        ),
        nn.Sequential(
            Reduction(128, 256, ones=32, threes=(112, 128), fives=(28, 32, 32), pooled=64),
            Inception(256, 256, ones=96, threes=(112, 128), fives=(28, 32, 32)),
        ),
        nn.Sequential(
            Reduction(256, 384, ones=48, threes=(96, 192), fives=(36, 48, 48), pooled=96),
            Inception(384, 384, ones=144, threes=(96, 192), fives=(36, 48, 48)),
        ),
        nn.Sequential(
            Reduction(384, 512, ones=64, threes=(192, 256), fives=(48, 64, 64), pooled=128),
            Inception(512, 512, ones=192, threes=(192, 256), fives=(48, 64, 64)),
        ),
    ]
    return FlowNet(
        levels=levels,
        widths=(64, 128, 256, 384, 512),
        refined=(128, 64, 32, 16),
        scale_channels=scale_channels,
        stride_px=stride_px,
    )


def flownet_light(*, scale_channels: int | None = None, stride_px: int = STRIDE_PX) -> FlowNet:
    """A seventh of FlowNet Inception's work: separable convolutions, as in Light Flow (Zhu et al., "Towards High
    Performance Video Object Detection for Mobiles", 2018), and a narrow refinement."""
    widths = (32, 64, 96, 128, 192)
    levels = [nn.Sequential(conv(6, 16, 3, 2), separable(16, widths[0], 2))]
    for before, after in pairwise(widths):
        levels.append(nn.Sequential(separable(before, after, 2), separable(after, after)))
    return FlowNet(
        levels=levels,
        widths=widths,
        refined=(64, 48, 32, 16),
        scale_channels=scale_channels,
        stride_px=stride_px,
    )


FLOWNETS: Mapping[str, Callable[..., FlowNet]] = {
    "flownet": flownet_simple,
    "flownet-half": flownet_half,
    "flownet-inception": flownet_inception,
    "flownet-light": flownet_light,
}
"""By name; each takes ``scale_channels`` and ``stride_px``."""
