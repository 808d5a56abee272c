"""Teaching networks to segment pictures."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keywarp.models.card import Card, Provenance
from keywarp.models.labels import CLASS_SETS, VOID
from keywarp.models.metrics import confusion, scores
from keywarp.models.networks.card import segmentation_card
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.enet_definition import ENET
from keywarp.models.networks.normalise import normalise

from .augment import Augmentation
from .config import Part, TrainConfig
from .dataset import Sample, load_data
from .losses import class_weights, segmentation_loss
from .task import Task

LOVASZ_STRIDE = 3
PICTURE_HEIGHT_PX = 240


class EnetTask(Task[Sample]):
    """ENet: a network that yields scores of classes, (N, classes, H, W)."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.classes = CLASS_SETS[config.class_set]
        self._weights = torch.ones(len(self.classes))

    def network(self) -> nn.Module:
        """ENet."""
        return ENet(classes=len(self.classes), dropout=self.config.dropout)

    def load(self, spec: str) -> Sequence[Sample]:
        """See :func:`load_data`."""
        return load_data(spec, self.classes)

    def fingerprint(self, samples: Sequence[Sample]) -> str:
        """Their number, and a checksum of pictures and labels."""
        checksum = 0
        for sample in samples:
            for pixels in (sample.bgr, sample.labels):
                checksum = zlib.crc32(np.ascontiguousarray(pixels).data, checksum)
        return f"{len(samples)}, {checksum:08x}"

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Weight the classes by how rare they are."""
        labels = (sample.labels for sample in samples)
        self._weights = class_weights(labels, len(self.classes), self.config.weight_offset)

    def changed(self, sample: Sample, part: Part, rng: np.random.Generator) -> Sample:
        """See :class:`Augmentation`."""
        config = self.config
        augmentation = Augmentation(
            scale=(part.low, part.high),
            shade=config.shade,
            blur=config.blur,
            noise=config.noise,
            jpeg=config.jpeg,
            night=config.night,
            rain=config.rain,
        )
        return augmentation.apply(sample, (part.width, part.height), rng)

    def batch(self, samples: Sequence[Sample]) -> tuple[Tensor, ...]:
        """Normalised pictures, and labels (N, H, W) int64."""
        images = normalise(torch.from_numpy(np.stack([s.bgr for s in samples])))
        return images, torch.from_numpy(np.stack([s.labels for s in samples])).long()

    def loss(self, output: Tensor, truth: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
        """Cross entropy and Lovász."""
        y, x = rng.integers(LOVASZ_STRIDE, size=2)
        return segmentation_loss(
            output.float(),
            truth[0],
            self._weights.to(output.device),
            lovasz=self.config.lovasz,
            stride=LOVASZ_STRIDE,
            start=(int(y), int(x)),
        )

    @property
    def loss_in_words(self) -> str:
        """Cross entropy, and Lovász where it is on."""
        text = f"Cross entropy, classes weighted by 1/ln({self.config.weight_offset} + share)"
        if self.config.lovasz:
            text += f", plus {self.config.lovasz:g} times the Lovász-Softmax loss"
        return text

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """The head."""
        assert isinstance(network, ENet)
        return [network.fullconv]

    def evaluate(self, network: nn.Module, samples: Sequence[Sample]) -> dict[str, float]:
        """Scores over samples at their own size."""
        counts = np.zeros((len(self.classes),) * 2, np.int64)
        for sample in samples:
            counts += confusion(sample.labels, predicted(network, sample.bgr), len(self.classes))
        return scores(counts)

    def picture(self, network: nn.Module, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """A row a sample: the picture, the true labels, the network's labels."""
        palette = self.classes.palette_bgr()
        rows = []
        for sample in samples:
            drawn = [palette[sample.labels], palette[predicted(network, sample.bgr)]]
            # Void in the truth is black in both.
            drawn[1][sample.labels == VOID] = 0
            rows.append(_row([sample.bgr, *drawn]))
        width = max(row.shape[1] for row in rows)
        return np.vstack(
            [cv2.copyMakeBorder(r, 0, 4, 0, width - r.shape[1], cv2.BORDER_CONSTANT) for r in rows]
        )

    def card(self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance) -> Card:
        """The card of an ENet."""
        assert isinstance(network, ENet)
        return segmentation_card(ENET, network, name, files, provenance, self.classes, self.config.size)


@torch.no_grad()
def predicted(network: nn.Module, bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 labels of a picture (H, W, 3) uint8 BGR of any size.

    Where the sides are no multiples of 8 the picture is scaled to the nearest ones, as the pipeline does.
    """
    height, width = bgr.shape[:2]
    fit = tuple(max(8, round(side / 8) * 8) for side in (width, height))
    if fit != (width, height):
        bgr = np.asarray(cv2.resize(bgr, fit, interpolation=cv2.INTER_LINEAR), np.uint8)
    device = next(network.parameters()).device
    scores_: Any = network(normalise(torch.from_numpy(bgr)[None].to(device)))
    labels: NDArray[np.uint8] = scores_.argmax(1)[0].to(torch.uint8).cpu().numpy()
    if fit != (width, height):
        labels = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    return labels


def _row(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height, width = pictures[0].shape[:2]
    size = (round(width * PICTURE_HEIGHT_PX / height), PICTURE_HEIGHT_PX)
    ways = (cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_NEAREST)
    return np.hstack([cv2.resize(p, size, interpolation=way) for p, way in zip(pictures, ways, strict=True)])
