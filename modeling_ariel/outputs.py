"""What the Ariel models answer."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class ArielModelOutput(ModelOutput):
    """``last_hidden_state`` (B, 1 + N, D): the star's token, then the patches'; ``used`` (B, 1 + N) those with data."""

    last_hidden_state: Tensor | None = None
    used: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ArielForPreTrainingOutput(ModelOutput):
    """``reconstruction`` (B, T, C) [sigma of the light curve]; ``mask`` (B, N, C), true where it was hidden."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ArielContrastiveOutput(ModelOutput):
    """``embeddings`` (B, N, E), unit vectors of the first view's patches; ``side`` (B, N): 1 in transit, 0 out, -1."""

    loss: Tensor | None = None
    embeddings: Tensor | None = None
    side: Tensor | None = None


@dataclass
class ArielSpectrumOutput(ModelOutput):
    """Spectra of P planets.

    ``mean``, ``sigma`` (P, C) transit depth (Rp/Rs)^2 and its 1 sigma; ``log_likelihood`` (P,) of the labels, summed
    over channels; ``covariance_factor`` (P, C, R), so that F F' is near the covariance; ``classical_mean``,
    ``classical_sigma`` (P, C) before the network; ``distance`` (P,) from training, 1 at its edge;
    ``status`` of each planet's fit, and ``notes`` that say why; ``maps``, what a network shows of how it came about.
    """

    loss: Tensor | None = None
    mean: Tensor | None = None
    sigma: Tensor | None = None
    log_likelihood: Tensor | None = None
    covariance_factor: Tensor | None = None
    classical_mean: Tensor | None = None
    classical_sigma: Tensor | None = None
    distance: Tensor | None = None
    status: list[str] | None = None
    notes: list[str] | None = None
    maps: dict[str, Tensor] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
