"""What the models of transients answer."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class TransientModelOutput(ModelOutput):
    """``last_hidden_state`` (B, 1 + G + N, D): the object's token, those of host and features, then measurements.

    ``used`` (B, 1 + G + N) those that hold data; ``embeddings`` (B, E) of the object.
    """

    last_hidden_state: Tensor | None = None
    used: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TransientForPreTrainingOutput(ModelOutput):
    """``reconstruction`` (B, N) of fluxes, in peaks; ``mask`` (B, N), true where they were hidden."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TransientClassifierOutput(ModelOutput):
    """Classes of B objects.

    ``logits`` (B, classes); ``logit`` (B,), log odds of the positive class by the network; ``probability`` (B,) of it,
    calibrated; ``embeddings`` (B, E) that the classes are told by.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    logit: Tensor | None = None
    probability: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
