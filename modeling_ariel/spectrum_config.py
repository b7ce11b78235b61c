"""What every model of spectra has in its configuration, whatever its network."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .feature_extraction_ariel import ariel_wavelength
from .objective import Objective
from .surprise import LENGTHS, SIZES


@strict
class ArielSpectrumConfig(PreTrainedConfig):
    """Channels, physics and loss of a model of spectra; validated where it is built, and never changed by a model.

    Args:
        wavelength: of the C channels [um], FGS1 first, then AIRS ascending; empty for the challenge's.
        physics: "residual", the classical posterior corrected by the network, or "none", light curves alone.
        hidden_dropout_prob, attention_probs_dropout_prob: dropout, also that of Monte Carlo samples.
        loss: "gaussian", the log-likelihood, or the challenge's score itself, "score_2024" or "score_2025".
        penalties: physics rules added to the loss, as penalty_rules.py has them; None for none.
        max_log_scale: how far the network may move ln sigma from the classical posterior's.
        sigma_floor_ppm: smallest sigma that is ever answered [ppm].
        depth_mean, depth_scale: depths that physics="none" starts from: their mean and 1 sigma.
        prior_components: scales of features in the prior over spectra.
        prior_surprise: share of that prior for spectra unlike what it learned, 0 for none, as in older checkpoints.
        prior_surprise_weights: how often its residuals have each length and size, rows of lengths; None for all alike.
        telescope: what is usual for its visits, as `Telescope.to_dict` has it; None for the fit's defaults.
        n_shared: parameters that the fit shares between channels.
        n_star_features: numbers that describe the star.
    """

    keys_to_ignore_at_inference = ["status", "notes", "maps"]  # noqa: RUF012  which a Trainer cannot stack

    wavelength: list[float] | None = None
    physics: str = "residual"
    hidden_dropout_prob: float = 0.05
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    loss: str = "gaussian"
    penalties: dict | None = None
    max_log_scale: float = 2.0
    sigma_floor_ppm: float = 1.0
    depth_mean: float = 2.55e-3
    depth_scale: float = 1.73e-3
    prior_components: int = 5
    prior_surprise: float = 0.0
    prior_surprise_weights: list[list[float]] | None = None
    telescope: dict | None = None
    n_shared: int = 23
    n_star_features: int = 16

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in the wavelengths."""
        if not self.wavelength:
            self.wavelength = ariel_wavelength()
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Read a checkpoint's configuration; another architecture's is refused, for its weights would be left out."""
        kind = config_dict.get("model_type") or cls.model_type
        if kind != cls.model_type:
            raise ValueError(
                f"model_type: expected {cls.model_type}, found {kind}: load it by its own class, or by ArielPipeline"
            )
        return super().from_dict(config_dict, **kwargs)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values that each field of words may have."""
        return {"physics": ("residual", "none"), "loss": ("gaussian", "score_2024", "score_2025")}

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        return ("prior_components",)

    def validate_choices(self) -> None:
        """Reject settings that cannot be meant; called by `strict` when the config is built."""
        for name, allowed in self.choices().items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {getattr(self, name)!r}")

    def validate_numbers(self) -> None:
        """Reject numbers outside their range."""
        for name in self.counts():
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("max_log_scale", "sigma_floor_ppm", "depth_scale"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: expected above 0, found {getattr(self, name)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "prior_surprise"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")

    def validate_prior(self) -> None:
        """Reject weights of surprise that are not one for each length and size."""
        if (rows := self.prior_surprise_weights) is not None:
            shape = len(LENGTHS), len(SIZES)
            if len(rows) != shape[0] or any(len(row) != shape[1] or min(row) <= 0.0 for row in rows):
                raise ValueError(
                    f"prior_surprise_weights: expected {shape[0]} x {shape[1]} numbers above 0, found {rows}"
                )

    def validate_wavelength(self) -> None:
        """Reject channels that are not in um, or not in order."""
        wavelength = self.wavelength or []
        airs = wavelength[1:]
        if not all(math.isfinite(w) and 0.1 < w < 30.0 for w in wavelength) or airs != sorted(airs):
            raise ValueError("wavelength: expected um, FGS1 first and then AIRS ascending, found other values")

    def validate_penalties(self) -> None:
        """Reject rules that there are not, or that these channels or this loss cannot have."""
        if self.penalties is None:
            return
        objective = Objective(self.penalties, self.wavelength or [])
        if objective.rules.reweight and self.loss != "gaussian":
            raise ValueError(f"penalties: reweight: expected loss gaussian, which planets add to, found {self.loss}")

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.wavelength or [])

    @property
    def n_context(self) -> int:
        """Numbers that describe a planet beside its channels: the fit's, the prior's and the star's."""
        return 2 * self.n_shared + self.prior_components + 2 + self.n_star_features
