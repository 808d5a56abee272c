"""What the training loop needs to know of a kind of network, be it for segmentation, detection or flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from keywarp.engines.card import Provenance
from keywarp.engines.weights import read_weights

from .begin import put_first
from .config import Part, TrainConfig

S = TypeVar("S")


class AnyCard(Protocol):
    """A model's card, or a flow network's."""

    def to_json(self) -> str:
        """The card as the text of its file."""
        ...


class Task(ABC, Generic[S]):
    """One network and one way of teaching it; ``S`` is a sample in memory.

    Every method but :meth:`prepare` is a function of its arguments: all chance comes from the generators that it
    is given, so that a run can be taken up in the middle.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network. torch's seed decides its weights."""

    @abstractmethod
    def load(self, spec: str) -> Sequence[S]:
        """The samples of a data set. Raises UsageError for text or files that cannot work."""

    @abstractmethod
    def fingerprint(self, samples: Sequence[S]) -> str:
        """What tells these samples from others: a run is not taken up with other data."""

    @abstractmethod
    def prepare(self, samples: Sequence[S]) -> None:
        """See all samples once before the first step: to weight classes, to find anchors."""

    @abstractmethod
    def changed(self, sample: S, part: Part, rng: np.random.Generator) -> S:
        """A randomly changed copy of the size of ``part``. Several threads call it at once."""

    @abstractmethod
    def batch(self, samples: Sequence[S]) -> tuple[Tensor, ...]:
        """The network's input, (N, C, H, W) float32, then what :meth:`loss` compares its output with."""

    def run(self, network: Any, inputs: Tensor) -> Any:
        """The network's output on a batch's input, in training mode: what :meth:`loss` takes."""
        return network(inputs)

    @property
    def input_channels(self) -> int:
        """Of a batch's input: 3 for a picture, 6 for a pair."""
        return 3

    def parts(self, network: nn.Module) -> dict[str, nn.Module]:
        """What is written of a trained network, by the name of the file; one is called ``weights``."""
        return {"weights": network}

    def further_cards(
        self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance
    ) -> dict[str, AnyCard]:
        """The cards of further :meth:`parts`, by the name of the file; arguments as those of :meth:`card`."""
        return {}

    def begin_from(self, network: nn.Module, path: Path) -> None:
        """Put the weights of an earlier run into a new network. Raises ModelError for those of another."""
        put_first(network, read_weights(path), path, self.config.network)

    @abstractmethod
    def loss(self, output: Any, truth: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
        """A number to make small."""

    @property
    @abstractmethod
    def loss_in_words(self) -> str:
        """What :meth:`loss` is, for the card."""

    @abstractmethod
    def last_layers(self, network: nn.Module) -> Sequence[nn.Module]:
        """The layers whose outputs are the result; their weights are no matrices to Muon."""

    @abstractmethod
    def evaluate(self, network: nn.Module, samples: Sequence[S]) -> dict[str, float]:
        """Figures of a network in eval mode, by name."""

    @abstractmethod
    def picture(self, network: nn.Module, samples: Sequence[S]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Samples, what is true and what the network says, side by side: (H, W, 3) uint8 BGR."""

    @abstractmethod
    def card(
        self, network: nn.Module, name: str, files: Mapping[str, Path], provenance: Provenance
    ) -> AnyCard:
        """The card of trained weights; ``files`` by part lie beside it."""
