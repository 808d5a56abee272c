"""Teaching a FlowNet and its scale map through the features that they carry: Deep Feature Flow end to end.

Zhu et al., CVPR 2017, section 4.3: a pair of frames, the features of the key frame warped to the current one and
multiplied by the scale map, the task's loss there. Where the current frame has no labels, the network itself,
run on that frame, is the teacher.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from keywarp.engines.card import Provenance
from keywarp.engines.errors import ModelError
from keywarp.engines.weights import read_weights
from keywarp.flow.card import FlowCard
from keywarp.flow.flownet import FLOWNETS, STRIDE_PX, FlowNet
from keywarp.models.card import find_card, part_path, read_card
from keywarp.models.labels import CLASS_SETS, VOID
from keywarp.models.metrics import confusion, scores
from keywarp.models.networks.card import segmentation_card
from keywarp.models.networks.enet import ENet
from keywarp.models.networks.enet_definition import ENET
from keywarp.models.networks.files import load_enet
from keywarp.models.networks.normalise import MEAN_BGR, STD_BGR
from keywarp.models.networks.warp import propagate

from .begin import put_first
from .config import Part, TrainConfig
from .flow import PairTask, Ready, flow_card, pictures_of, row_of, stacked, truth_of
from .losses import flow_loss
from .pairs import Pair, PairSample
from .task import AnyCard


@dataclass(frozen=True, slots=True)
class _Carried:
    """What comes of a batch: scores of the propagated features, the teacher's, and the flow of all levels."""

    scores: Tensor
    taught: Tensor
    flows: list[Tensor]


class DffNetwork(nn.Module):
    """A FlowNet with a scale map, and the network whose features it carries."""

    def __init__(self, flownet: FlowNet, segmentation: ENet, *, frozen: bool) -> None:
        super().__init__()
        self.flownet, self.segmentation = flownet, segmentation
        self.frozen = frozen
        segmentation.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> DffNetwork:
        """Statistics of a frozen network stay as they are."""
        super().train(mode)
        if self.frozen:
            self.segmentation.eval()
        return self

    def forward(self, inputs: Tensor, *, ones: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Pairs (N, 6, H, W) from 0 to 1 -> scores (N, classes, H, W) on the current frame, and the flows.

        ``ones``: as if the scale map were 1 everywhere.
        """
        current, key = inputs[:, :3], inputs[:, 3:]
        flows, scale = self.flownet.pyramid(current, key)
        features = self.segmentation.features(as_normalised(key))
        assert scale is not None
        with torch.autocast(
            inputs.device.type, enabled=False
        ):  # half a number's digits are too few for places
            flow = flows[-1].float().permute(0, 2, 3, 1)
            carried = propagate(features.float(), flow, None if ones else scale.float())
        return self.segmentation.head(carried), flows


def as_normalised(images: Tensor) -> Tensor:
    """(N, 3, H, W) BGR from 0 to 1 as :func:`keywarp.models.networks.normalise.normalise` has them."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN_BGR, STD_BGR))
    return (images * 255 - mean) / std


class DffTask(PairTask):
    """A FlowNet with a scale map for the features of the model that ``model`` names."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self._card_path = find_card(config.model)
        self._card = read_card(self._card_path)
        self.classes = CLASS_SETS[self._card.class_set]
        if self._card.network != "enet":
            raise ModelError(
                f"`train dff` propagates the features of ENet; model '{self._card.name}' is {self._card.network}"
            )
        self._teacher = load_enet(part_path(self._card, self._card_path, "weights")).requires_grad_(False)

    def fingerprint(self, samples: Sequence[PairSample]) -> str:
        """That of the pairs, and the teacher's."""
        return f"{super().fingerprint(samples)}, {self._card.files['weights'].sha256}"

    def network(self) -> nn.Module:
        """Both networks; the scale map is 1 at the start."""
        flownet = FLOWNETS[self.config.flownet](scale_channels=ENet.feature_channels)
        return DffNetwork(flownet, copy.deepcopy(self._teacher), frozen=self.config.frozen)

    def begin_from(self, network: nn.Module, path: Path) -> None:
        """Weights of the same FlowNet, with or without a scale map."""
        assert isinstance(network, DffNetwork)
        tensors = read_weights(path)
        if not any(name.startswith("scale.") for name in tensors):
            own = network.flownet.state_dict()
            tensors |= {name: own[name] for name in own if name.startswith("scale.")}
        put_first(network.flownet, tensors, path, self.config.flownet)

    def parts(self, network: nn.Module) -> dict[str, nn.Module]:
        """The FlowNet, and the model's network where it was trained too."""
        assert isinstance(network, DffNetwork)
        parts: dict[str, nn.Module] = {"weights": network.flownet}
        return parts if self.config.frozen else {**parts, "model": network.segmentation}

    def changed(self, sample: PairSample, part: Part, rng: np.random.Generator) -> PairSample:
        """A pair of the size of ``part``."""
        return Ready(self.changed_pair(sample, part, rng))

    def batch(self, samples: Sequence[PairSample]) -> tuple[Tensor, ...]:
        """Both pictures, the flow and where it is known, and labels (N, H, W) int64, VOID for none."""
        pairs = [sample.whole() for sample in samples]
        void = np.full(pairs[0].current.shape[:2], VOID, np.uint8)
        labels = np.stack([void if pair.labels is None else pair.labels for pair in pairs])
        return pictures_of(pairs), *truth_of(pairs), torch.from_numpy(labels).long()

    def run(self, network: Any, inputs: Tensor) -> Any:
        """See :class:`_Carried`."""
        found, flows = network(inputs)
        with torch.no_grad():
            taught = self._teacher.to(inputs.device)(as_normalised(inputs[:, :3]))
        return _Carried(found, taught, flows)

    def loss(self, output: _Carried, truth: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
        """Cross entropy with the labels where there are any, else with what the teacher says."""
        field, known, labels = truth
        has_labels = (labels != VOID).flatten(1).any(1)
        wanted = F.softmax(output.taught.float(), 1)
        ones = F.one_hot(labels.clamp(max=wanted.shape[1] - 1), wanted.shape[1]).permute(0, 3, 1, 2)
        wanted = torch.where(has_labels[:, None, None, None], ones.to(wanted.dtype), wanted)
        counts = ((labels != VOID) | ~has_labels[:, None, None]).float()
        entropy = -(wanted * F.log_softmax(output.scores.float(), 1)).sum(1)
        total = (entropy * counts).sum() / counts.sum().clamp(min=1)
        if self.config.flow_weight:
            total = total + self.config.flow_weight * flow_loss(output.flows, field, known, STRIDE_PX)
        return total

    @property
    def loss_in_words(self) -> str:
        """The task's, and the flow's where it is on."""
        text = f"Cross entropy with the labels, or with what {self._card.name} says of the frame itself"
        if self.config.flow_weight:
            text += f", plus {self.config.flow_weight:g} times the error of the flow where it is known"
        return text

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Those whose outputs are flow, the scale map, and the head."""
        assert isinstance(network, DffNetwork)
        assert network.flownet.scale is not None
        flownet = network.flownet
        return [*flownet.predict, *flownet.enlarge_flow, flownet.scale, network.segmentation.fullconv]

    @torch.no_grad()
    def evaluate(self, network: nn.Module, samples: Sequence[PairSample]) -> dict[str, float]:
        """Agreement with the network run on the current frame, with the scale map and with 1 in its place; mIoU too
        where there are labels."""
        assert isinstance(network, DffNetwork)
        count = len(self.classes)
        agreed, ones, right = (np.zeros((count, count), np.int64) for _ in range(3))
        for sample in samples:
            pair = _whole_cells(sample)
            inputs = pictures_of([pair]).to(next(network.parameters()).device)
            found, plain = (_labels(network(inputs, ones=flag)[0]) for flag in (False, True))
            wanted = _labels(self._teacher.to(inputs.device)(as_normalised(inputs[:, :3])))
            agreed += confusion(wanted, found, count)
            ones += confusion(wanted, plain, count)
            if pair.labels is not None:
                right += confusion(pair.labels, found, count)
        figures = {"agreement": _share(agreed), "agreement_s1": _share(ones)}
        return figures | ({"miou": scores(right)["miou"]} if right.any() else {})

    @torch.no_grad()
    def picture(self, network: nn.Module, samples: Sequence[PairSample]) -> NDArray[np.uint8]:
        """A row a pair: both pictures, the propagated result, the network's own on the current frame."""
        palette = self.classes.palette_bgr()
        rows = []
        for pair in map(_whole_cells, samples):
            inputs = pictures_of([pair]).to(next(network.parameters()).device)
            labels = [network(inputs)[0], self._teacher.to(inputs.device)(as_normalised(inputs[:, :3]))]
            rows.append(row_of([pair.key, pair.current, *(palette[_labels(found)] for found in labels)]))
        return stacked(rows)

    def card(
        self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance
    ) -> FlowCard:
        """The card of a FlowNet with a scale map."""
        assert isinstance(network, DffNetwork)
        own = {"weights": files["weights"]}
        model = self._card.name if self.config.frozen else f"{name}-model"
        return flow_card(network.flownet, self.config, name, own, provenance, scale_for=model)

    def further_cards(
        self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance
    ) -> dict[str, AnyCard]:
        """That of the model's network, where it was trained too; its name is what the scale map is for."""
        assert isinstance(network, DffNetwork)
        if self.config.frozen:
            return {}
        weights, size = {"weights": files["model"]}, self.config.size
        card = segmentation_card(
            ENET, network.segmentation, f"{name}-model", weights, provenance, self.classes, size
        )
        return {"model": card}


def _whole_cells(sample: PairSample) -> Pair:
    """A pair without the last rows and columns that the network cannot take."""
    pair = sample.whole()
    stride_px = ENet.input_stride_px
    height, width = (side // stride_px * stride_px for side in pair.current.shape[:2])
    labels = None if pair.labels is None else pair.labels[:height, :width]
    return Pair(pair.current[:height, :width], pair.key[:height, :width], labels=labels)


def _labels(found: Tensor) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = found[0].argmax(0).to(torch.uint8).cpu().numpy()
    return labels


def _share(counts: NDArray[np.int64]) -> float:
    return float(np.trace(counts) / max(1, counts.sum()))
