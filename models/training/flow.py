"""Teaching FlowNets where things were, from pairs whose flow is known."""

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

from keywarp.engines.card import FileEntry, Provenance, file_sha256
from keywarp.engines.errors import UsageError, unknown_name
from keywarp.engines.weights import read_weights
from keywarp.flow.base import Field, resize_field
from keywarp.flow.card import FlowCard, PairInput
from keywarp.flow.draw import draw_field
from keywarp.flow.flownet import FLOWNETS, STRIDE_PX, FlowNet
from keywarp.flow.metrics import FlowError, flow_error

from .augment import Augmentation
from .begin import put_first
from .config import Part, TrainConfig
from .losses import flow_loss
from .pairs import Pair, PairSample, load_pairs
from .task import Task

_PICTURE_HEIGHT_PX = 200
# How much two pictures of one pair differ in light, as a share of what two pairs do.
_DIFFERENT_LIGHT = 0.1


class PairTask(Task[PairSample]):
    """What all tasks on pairs of pictures share."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        if config.flownet not in FLOWNETS:
            raise unknown_name("flow network", config.flownet, FLOWNETS)

    def load(self, spec: str) -> Sequence[PairSample]:
        """See :func:`load_pairs`."""
        return load_pairs(spec)

    def fingerprint(self, samples: Sequence[PairSample]) -> str:
        """Their number, and a checksum of pictures."""
        checksum = 0
        for sample in samples:
            checksum = zlib.crc32(sample.fingerprint, checksum)
        return f"{len(samples)}, {checksum:08x}"

    def prepare(self, samples: Sequence[PairSample]) -> None:
        """Nothing."""

    def changed_pair(self, sample: PairSample, part: Part, rng: np.random.Generator) -> Pair:
        """A random pair of the sample in random light, nearly the same in both pictures."""
        config, pair = self.config, sample.pair(part, rng)
        both = np.vstack([pair.current, pair.key])
        augmentation = Augmentation(
            shade=config.shade,
            blur=config.blur,
            noise=config.noise,
            jpeg=config.jpeg,
            night=config.night,
            rain=config.rain,
        )
        current, key = np.vsplit(augmentation.changed(both, rng), 2)
        gain, offset = 1 + rng.normal(0, _DIFFERENT_LIGHT / 3), rng.normal(0, 20 * _DIFFERENT_LIGHT)
        key = cv2.convertScaleAbs(key, alpha=gain, beta=max(0.0, offset))
        return Pair(current, np.asarray(key, np.uint8), pair.field, pair.valid, pair.labels)

    @property
    def input_channels(self) -> int:
        """Both pictures."""
        return 6


class FlowTask(PairTask):
    """A FlowNet by itself, without a scale map."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        if config.compiled:
            raise UsageError("`train flow` cannot compile its network; leave compiled out")

    def load(self, spec: str) -> Sequence[PairSample]:
        """Pairs whose flow is known; see :func:`load_pairs`."""
        samples = load_pairs(spec)
        if any(not sample.knows_flow for sample in samples):
            raise UsageError(
                f"`train flow` needs pairs whose flow is known, and '{spec}' has none; "
                "give shapes:, street: or chairs:"
            )
        return samples

    def network(self) -> nn.Module:
        """The one that ``flownet`` names."""
        return FLOWNETS[self.config.flownet]()

    def begin_from(self, network: nn.Module, path: Path) -> None:
        """Weights of the same FlowNet."""
        put_first(network, read_weights(path), path, self.config.flownet)

    def changed(self, sample: PairSample, part: Part, rng: np.random.Generator) -> PairSample:
        """A pair of the size of ``part``."""
        return Ready(self.changed_pair(sample, part, rng))

    def batch(self, samples: Sequence[PairSample]) -> tuple[Tensor, ...]:
        """Both pictures (N, 6, H, W) from 0 to 1, and :func:`truth_of` them."""
        pairs = [sample.whole() for sample in samples]
        return pictures_of(pairs), *truth_of(pairs)

    def run(self, network: Any, inputs: Tensor) -> Any:
        """The flow of all levels."""
        return network.pyramid(inputs[:, :3], inputs[:, 3:])[0]

    def loss(self, output: Sequence[Tensor], truth: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
        """See :func:`flow_loss`."""
        return flow_loss(output, truth[0], truth[1], STRIDE_PX)

    @property
    def loss_in_words(self) -> str:
        """The error of all levels."""
        return "End-point error in pixels + 0.1, to the power of 0.6, of the flow of five levels"

    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """Those whose outputs are flow."""
        assert isinstance(network, FlowNet)
        return [*network.predict, *network.enlarge_flow]

    def evaluate(self, network: nn.Module, samples: Sequence[PairSample]) -> dict[str, float]:
        """The end-point error in pixels, Fl-all, and the error of no flow at all."""
        found, still = FlowError(), FlowError()
        for sample in samples:
            pair = sample.whole()
            assert pair.field is not None
            found += flow_error(estimated(network, pair), pair.field, pair.valid)
            still += flow_error(np.zeros_like(pair.field), pair.field, pair.valid)
        return {"epe_px": found.epe_px, "fl_all": found.fl_all, "still_epe_px": still.epe_px}

    def picture(self, network: nn.Module, samples: Sequence[PairSample]) -> NDArray[np.uint8]:
        """A row a pair: both pictures, the true flow, the network's."""
        rows = []
        for sample in samples:
            pair = sample.whole()
            assert pair.field is not None
            longest_px = float(np.percentile(np.hypot(pair.field[..., 0], pair.field[..., 1]), 99))
            drawn = (draw_field(field, longest_px) for field in (pair.field, estimated(network, pair)))
            rows.append(row_of([pair.key, pair.current, *drawn]))
        return stacked(rows)

    def card(
        self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance
    ) -> FlowCard:
        """The card of a FlowNet."""
        assert isinstance(network, FlowNet)
        return flow_card(network, self.config, name, files, provenance)


def flow_card(
    network: FlowNet,
    config: TrainConfig,
    name: str,
    files: Mapping[str, Path],
    provenance: Provenance,
    scale_for: str | None = None,
) -> FlowCard:
    """The card of a trained FlowNet; ``files`` by part lie beside it."""
    return FlowCard(
        name=name,
        network=config.flownet,
        description=f"{config.flownet} (Zhu et al. 2017)"
        + (f" with a scale map for the features of {scale_for}" if scale_for else ""),
        input=PairInput(
            width=config.size[0], height=config.size[1], smallest_side_px=network.smallest_side_px
        ),
        stride_px=network.stride_px,
        scale_for=scale_for,
        scale_channels=network.scale_channels,
        parameters=sum(p.numel() for p in network.parameters()),
        files={part: FileEntry(path=path.name, sha256=file_sha256(path)) for part, path in files.items()},
        provenance=provenance,
    )


class Ready(PairSample):
    """A pair that is as it should be."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def pair(self, part: Part, rng: np.random.Generator) -> Pair:
        """The pair."""
        return self._pair

    def whole(self) -> Pair:
        """The pair."""
        return self._pair

    @property
    def knows_flow(self) -> bool:
        """Whether the pair has it."""
        return self._pair.field is not None

    @property
    def fingerprint(self) -> bytes:
        """Both pictures."""
        return self._pair.current.tobytes() + self._pair.key.tobytes()


def pictures_of(pairs: Sequence[Pair]) -> Tensor:
    """(N, 6, H, W) float32 from 0 to 1: the current pictures and the keys."""
    both = np.stack([np.dstack([pair.current, pair.key]) for pair in pairs])
    return torch.from_numpy(both).permute(0, 3, 1, 2).float() / 255


def truth_of(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """The flow (N, 2, H, W) in pixels and where it is known (N, 1, H, W), 1 or 0; 0 for pairs without flow."""
    fields, valid = [], []
    for pair in pairs:
        shape = pair.current.shape[:2]
        fields.append(np.zeros((*shape, 2), np.float32) if pair.field is None else pair.field)
        valid.append(np.zeros(shape, np.bool_) if pair.valid is None else pair.valid)
    truth = torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2).float()
    return truth, torch.from_numpy(np.stack(valid))[:, None].float()


@torch.no_grad()
def estimated(network: nn.Module, pair: Pair) -> Field:
    """What a FlowNet says of a pair: (H, W, 2) in pixels."""
    device = next(network.parameters()).device
    inputs = pictures_of([pair]).to(device)
    flow = network(inputs[:, :3], inputs[:, 3:])[0][0].permute(1, 2, 0).cpu().numpy()
    height, width = pair.current.shape[:2]
    return resize_field(np.ascontiguousarray(flow), (width, height))


def row_of(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size side by side."""
    height, width = pictures[0].shape[:2]
    size = round(width * _PICTURE_HEIGHT_PX / height), _PICTURE_HEIGHT_PX
    return np.hstack(
        [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    )


def stacked(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows below each other, filled up to one width."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([cv2.copyMakeBorder(r, 0, 4, 0, width - r.shape[1], cv2.BORDER_CONSTANT) for r in rows])
