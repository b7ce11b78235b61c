"""What all classifiers of transients share: checked inputs, the loss, and probabilities that were calibrated."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_transient import TransientModelConfig
from .logistic import logistic
from .outputs import TransientClassifierOutput, TransientModelOutput

MEASURED = 3  # numbers by which a network reads a measurement


@dataclass(frozen=True)
class CurveBatch:
    """B objects of N measurements.

    ``time`` (B, N) [d] and ``wavelength`` (B, N) [A], observed; ``flux``, ``flux_err`` (B, N) in peaks; where they are
    ``observed`` (B, N); ``redshift`` (B,), ``host`` (B, H) and ``features`` (B, F), NaN unknown.
    """

    time: Tensor
    wavelength: Tensor
    flux: Tensor
    flux_err: Tensor
    observed: Tensor
    redshift: Tensor
    host: Tensor
    features: Tensor

    @property
    def measured(self) -> Tensor:
        """(B, N, MEASURED) of order one, 0 where not observed: signal to noise, flux in peaks, ln of its error."""
        error = torch.where(self.observed, self.flux_err, torch.ones_like(self.flux_err))
        snr = torch.asinh(self.flux / error) / 3.0
        found = torch.stack([snr, torch.asinh(10.0 * self.flux) / 3.0, error.log() / 3.0], -1)
        return torch.where(self.observed[..., None], found, torch.zeros_like(found))

    @property
    def dilation(self) -> Tensor:
        """(B, 1) of 1 + z, 1 where the redshift is unknown."""
        return 1.0 + torch.nan_to_num(self.redshift)[:, None]

    def bands(self, band_wavelength: Tensor) -> Tensor:
        """(B, N) places of the bands (K,) [A] that are nearest."""
        wavelength = self.wavelength.clamp_min(1.0).log()
        return (wavelength[..., None] - band_wavelength.log()).abs().argmin(-1)

    def scalars(self) -> Tensor:
        """(B, 2 H + 2 F): host and features, 0 where unknown, and whether they are known."""
        found = torch.cat([self.host, self.features], 1)
        return torch.cat([torch.nan_to_num(found), torch.isfinite(found).to(found)], 1)

    def without(self, hidden: Tensor) -> "CurveBatch":
        """The batch with fluxes set to 0 where ``hidden`` (B, N)."""
        return replace(self, flux=torch.where(hidden, torch.zeros_like(self.flux), self.flux))


def check_shape(name: str, found: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse another shape."""
    if tuple(found.shape) != expected:
        raise ValueError(f"{name}: expected shape {expected}, found {tuple(found.shape)}")


def checked_batch(
    config: TransientModelConfig,
    time: Tensor,
    wavelength: Tensor,
    flux: Tensor,
    flux_err: Tensor,
    observed: Tensor,
    redshift: Tensor | None = None,
    host: Tensor | None = None,
    features: Tensor | None = None,
) -> CurveBatch:
    """The extractor's tensors as a batch; what is not given is unknown. ValueError where shapes do not fit."""
    if time.ndim != 2:
        raise ValueError(f"time: expected (objects, measurements), found shape {tuple(time.shape)}")
    size = time.shape[0]
    for name, value in (("wavelength", wavelength), ("flux", flux), ("flux_err", flux_err), ("observed", observed)):
        check_shape(name, value, tuple(time.shape))
    n_features = len(config.feature_names or [])
    unknown = torch.full((size, config.n_host + n_features), torch.nan, dtype=time.dtype, device=time.device)
    redshift = unknown[:, 0] if redshift is None else redshift
    host = unknown[:, : config.n_host] if host is None else host
    features = unknown[:, config.n_host :] if features is None else features
    check_shape("redshift", redshift, (size,))
    check_shape("host", host, (size, config.n_host))
    check_shape("features", features, (size, n_features))
    return CurveBatch(time, wavelength, flux, flux_err, observed.bool(), redshift, host, features)


def masked_mean(x: Tensor, used: Tensor) -> Tensor:
    """(B, D) mean of (B, N, D) over the ``used`` (B, N), 0 where none is."""
    weight = used.to(x.dtype)[..., None]
    return (x * weight).sum(1) / weight.sum(1).clamp_min(1.0)


class ProbabilityCalibration(nn.Module):
    """Log odds to probabilities: sigmoid(slope * logit + offset) (Platt 1999)."""

    slope: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, logit: Tensor) -> Tensor:
        """Probabilities (B,) of log odds (B,)."""
        return torch.sigmoid(self.slope * logit + self.offset)

    @torch.no_grad()
    def learn(self, logit: Tensor, positive: Tensor) -> None:
        """Slope and offset by maximum likelihood from log odds (objects,) that were not trained on, and their truth.

        Targets are Platt's, (n + 1) / (n + 2), which keeps the answer finite; nothing changes where only one class is
        there.
        """
        x, truth = logit.double().cpu().numpy(), positive.cpu().bool().numpy()
        n_positive, n_negative = truth.sum(), (~truth).sum()
        if not n_positive or not n_negative:
            return
        target = np.where(truth, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
        design = np.stack([x, np.ones_like(x)], 1)
        slope, offset = logistic(design, target, np.full(2, 1e-3), np.array([1.0, 0.0]))
        self.slope.fill_(max(float(slope), 0.05))  # never so flat, or falling, that the order is lost
        self.offset.fill_(float(offset))

    @torch.no_grad()
    def reset(self) -> None:
        """As it is in a new model."""
        init.ones_(self.slope)
        init.zeros_(self.offset)


class TransientPreTrainedModel(PreTrainedModel):
    """How weights are initialised, and that the code travels: each class has an ``auto_map`` of its own."""

    config: TransientModelConfig
    config_class = TransientModelConfig
    main_input_name = "flux"
    base_model_prefix = "transient"
    accepts_loss_kwargs = False
    auto_map: dict[str, str] = {}  # noqa: RUF012, set by each class

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM | nn.GRU):
            for weight in module.parameters():
                init.uniform_(weight, -(module.hidden_size**-0.5), module.hidden_size**-0.5)
        elif isinstance(module, ProbabilityCalibration):
            module.reset()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """With the code, and every auto class named: what was loaded may name one, or another repository."""
        self.config.auto_map = dict(self.auto_map)
        super().save_pretrained(*args, **kwargs)
        folder = Path(args[0] if args else kwargs["save_directory"])
        for weights in folder.glob("*.safetensors"):  # which safetensors writes for its owner alone
            shutil.copymode(folder / "config.json", weights)


class TransientClassifier(TransientPreTrainedModel):
    """Light curves to classes by any network, which answers :meth:`embed`.

    Args:
        config: of the model.
        width: E, of the embedding that the classes are told by.
    """

    def __init__(self, config: TransientModelConfig, width: int):
        super().__init__(config)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classify = nn.Linear(width, len(config.classes or []))
        self.calibration = ProbabilityCalibration()

    def embed(
        self, batch: CurveBatch, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> TransientModelOutput:
        """``embeddings`` (B, E) of the objects, and what else is wanted."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method embed")

    def forward(
        self,
        time: Tensor,
        wavelength: Tensor,
        flux: Tensor,
        flux_err: Tensor,
        observed: Tensor,
        redshift: Tensor | None = None,
        host: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TransientClassifierOutput:
        """Classify B objects of N measurements, as TransientFeatureExtractor gives them.

        Args:
            time: (B, N) [d]; wavelength: (B, N) [A]; flux, flux_err: (B, N) in peaks; observed: (B, N) bool.
            redshift: (B,); host: (B, H); features: (B, F); NaN, or not given, where unknown.
            labels: (B,) places in the config's classes.
        """
        batch = checked_batch(self.config, time, wavelength, flux, flux_err, observed, redshift, host, features)
        found = self.embed(batch, output_hidden_states, output_attentions)
        embeddings = self.norm(found.embeddings)
        logits = self.classify(self.dropout(embeddings)).float()
        place = self.config.positive_class
        others = torch.cat([logits[:, :place], logits[:, place + 1 :]], 1)
        logit = logits[:, place] - others.logsumexp(1)
        loss = None
        if labels is not None:
            check_shape("labels", labels, (time.shape[0],))
            loss = self.loss(logits, labels)
        probability = self.calibration(logit)
        return TransientClassifierOutput(
            loss, logits, logit, probability, embeddings, found.hidden_states, found.attentions
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy or focal loss of logits (B, classes), by the classes' weights."""
        config = self.config
        log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
        each = -log_p
        if config.loss == "focal":
            each = each * (1.0 - log_p.exp()) ** config.focal_gamma
        if config.class_weights is None:
            return each.mean()
        weight = logits.new_tensor(config.class_weights)[labels]
        return (weight * each).sum() / weight.sum()
