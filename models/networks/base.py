"""What every segmentation network in torch promises: to training, to export and to whoever counts its work."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class SegmentationNetwork(nn.Module):
    """Pictures (N, 3, H, W), sides multiples of ``input_stride_px``, into scores (N, classes, H, W).

    It is cut in two where Deep Feature Flow cuts: ``features`` yields (N, ``feature_channels``, H / s, W / s) with
    s = ``feature_stride_px``, ``head`` turns them into scores.
    """

    classes: int
    feature_channels: int
    feature_stride_px: int
    input_stride_px: int

    def forward(self, x: Tensor) -> Tensor:
        """Scores of all classes, (N, classes, H, W)."""
        return self.head(self.features(x))

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """What is carried from frame to frame. Raises ValueError for a size off the stride."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """Features -> scores of all classes, (N, classes, H, W)."""

    def check_size(self, x: Tensor) -> None:
        """Raise ValueError for a picture off the stride; while tracing its sides are no numbers."""
        height, width = x.shape[-2:]
        stride_px = self.input_stride_px
        if isinstance(height, int) and (height % stride_px or width % stride_px):
            kind = type(self).__name__
            raise ValueError(f"{kind} takes multiples of {stride_px} pixels; given {width}x{height}")
