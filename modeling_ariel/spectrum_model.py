"""What all models of spectra share: the classical posterior, a network's correction of it, and the loss.

A network gives a correction of the mean in units of the posterior's sigma, and of ln sigma; both are zero until
something is learned. With physics="none" there is no posterior, and the correction is the answer.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .correction_head import ZeroLinear
from .familiarity import Familiarity, judged_alone, kept_share, with_distance_notes
from .losses import gaussian_nll
from .objective import Answered, Objective, spectrum_loss
from .outputs import ArielSpectrumOutput
from .physics import ArielPhysics, ClassicalPosterior
from .planet_kinds import planet_facts, unknown_star
from .rule_scales import RuleScales
from .spectrum_config import ArielSpectrumConfig
from .uncertainty import SigmaCalibration
from .visit_batch import DEPTH, VisitBatch, check_shape, checked_planet, checked_visits, known_noise
from .visit_summary import WIDTH, visit_summary

FEATURE = 1e-4  # depth: the size of spectral features, in which physics="none" counts them
_LOST = 0.1  # depth: only where no visit could be fitted are all errors so wide; the prior's answer is kept
_WIDEST_LOG_SCALE = 8.0  # of physics="none", which starts from the spread of all depths

Answer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Correction:
    """A network's answer of R rows.

    ``channels`` (R, C, 2) and ``level`` (R, 2), of mean and ln sigma, in units of the posterior's sigma (with
    physics="none", of the mean: features of 100 ppm, and a level in ``depth_scale``); ``features`` (R, W), by which it
    is told how far from training a planet is; ``parts``, what :meth:`ArielSpectrumModel.auxiliary_loss` and penalties
    look at: "quantiles" and "transit" as :class:`Answered` has them; ``maps``, what is shown of how it came about.
    """

    channels: Tensor
    level: Tensor
    features: Tensor
    parts: dict[str, Tensor] | None = None
    maps: dict[str, Tensor] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class ArielPreTrainedModel(PreTrainedModel):
    """What all models share: how they are initialised, and that physics stays in float32.

    A class that can be pushed has a config of its own, and both names in ``auto_map``.
    """

    config: ArielSpectrumConfig
    config_class = ArielSpectrumConfig
    main_input_name = "light_curve"
    accepts_loss_kwargs = False
    auto_map: dict[str, str] = {}  # noqa: RUF012, set by each class
    _keep_in_fp32_modules_strict = {  # noqa: RUF012, the library wants a set
        "physics",
        "calibration",
        "familiarity",
        "light_familiarity",
        "rule_scales",
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, ZeroLinear):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            init.kaiming_normal_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, RuleScales):
            for size in module.values():
                init.zeros_(size)
        elif isinstance(module, ArielPhysics | Familiarity):
            module.reset()
        elif isinstance(module, SigmaCalibration):
            module.reset(init.copy_)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """With the code, and every auto class named: what was loaded may name one, or another repository."""
        self.config.auto_map = dict(self.auto_map)
        super().save_pretrained(*args, **kwargs)
        folder = Path(args[0] if args else kwargs["save_directory"])
        for weights in folder.glob("*.safetensors"):  # which safetensors writes for its owner alone
            shutil.copymode(folder / "config.json", weights)


class ArielSpectrumModel(ArielPreTrainedModel):
    """Light curves to transmission spectra with uncertainties, by any network.

    With ``physics="residual"`` the classical posterior is computed (or given) and corrected, the less, the farther a
    planet is from training (:class:`Familiarity`); with "none" the network predicts spectra from light curves alone.

    A class of one's own sets ``config_class``, makes its layers, calls ``post_init`` and answers :meth:`network`.

    Args:
        config: of the model.
        features: W, numbers by which the network tells planets apart.
    """

    # newer than some checkpoints
    _keys_to_ignore_on_load_missing = [  # noqa: RUF012, or a list
        r"familiarity\.",
        r"rule_scales\.",
        "population_shares",
        r"calibration\.(usual|slopes)",
    ]

    def __init__(self, config: ArielSpectrumConfig, features: int):
        super().__init__(config)
        self.objective = None if config.penalties is None else Objective(config.penalties, config.wavelength or [])
        rules = None if self.objective is None else self.objective.rules
        self.rule_scales = RuleScales(list(rules.rules)) if rules is not None and rules.learned else None
        self.mean_is_frozen = False
        self.physics = ArielPhysics(config)
        self.familiarity = Familiarity(features)
        if config.physics == "none":
            self.light_familiarity = Familiarity(WIDTH)
        self.calibration = SigmaCalibration(config.n_channels)

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """The correction of R rows.

        Args:
            visits: the light curves.
            channels: (R, C, 3): the posterior's spectrum about its mean, what the prior took from the fit, and ln of
                its sigma, all of order one; zeros with physics="none".
            context: (R, G): parameters that channels share and their errors, shares of the prior's scales, mean depth,
                size of features, and the star's numbers; with physics="none" the star's alone, after zeros.
            wanted: output_hidden_states, output_attentions.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method network")

    def answered(self, found: Correction, mean: Tensor, sigma: Tensor) -> Answered:
        """What rules look at: mean and sigma (R, C), and what else ``parts`` answer."""
        parts = found.parts or {}
        return Answered(mean, sigma, parts.get("quantiles"), parts.get("transit"))

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Linear layers, and those of their outputs that nothing but ln sigma is read from."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method sigma_layers, to train sigma alone")

    def freeze_mean(self) -> None:
        """Train ln sigma alone, by :meth:`sigma_layers`; the mean stays what it is, to the bit, and without dropout.

        For an optimizer without weight decay.
        """
        self.requires_grad_(False)
        for layer, rows in self.sigma_layers():
            for weight in (layer.weight, layer.bias):
                kept = torch.zeros_like(weight)
                kept[rows] = 1.0
                weight.requires_grad_()
                weight.register_hook(lambda slope, kept=kept: slope * kept.to(slope))
        self.mean_is_frozen = True

    def train(self, mode: bool = True) -> "ArielSpectrumModel":
        """As of any module; a model whose mean is frozen stays in evaluation mode."""
        return super().train(mode and not self.mean_is_frozen)

    def prepare(self, truths: Tensor) -> None:
        """Start a new model from the true spectra (N, C) that it will be trained on; most need nothing."""

    def auxiliary_loss(self, found: Correction, answer: Answer, labels: Tensor) -> Tensor | None:
        """What is trained beside the answer; ``answer`` makes mean and sigma (R, C) of corrections and their level."""
        return None

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        flux: Tensor | None = None,
        flux_err: Tensor | None = None,
        centroid: Tensor | None = None,
        star: Tensor | None = None,
        star_features: Tensor | None = None,
        planet: Tensor | None = None,
        labels: Tensor | None = None,
        classical_mean: Tensor | None = None,
        classical_sigma: Tensor | None = None,
        classical_depth: Tensor | None = None,
        classical_depth_sigma: Tensor | None = None,
        classical_share: Tensor | None = None,
        classical_shared: Tensor | None = None,
        classical_shared_sigma: Tensor | None = None,
        residual: Tensor | None = None,
        noise: Tensor | None = None,
        output_covariance_factor: int = 0,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> ArielSpectrumOutput:
        """Predict spectra.

        Args:
            light_curve: (B, T, C) relative flux in sigma, as ArielFeatureExtractor gives it.
            valid: (B, T, C) bool; time: (B, T) [h]; centroid: (B, T, 4), star_features: (B, 16), 0 if absent.
            flux, flux_err: (B, T, C), any one unit; star: (B, 8) star table, NaN where unknown. For the fit,
                and the star for kinds of planets that rules tell apart.
            planet: (B,) 0 ... P - 1, the planet of each visit; each visit its own where not given.
            labels: (P, C) true depths, NaN where unknown.
            classical_mean ... residual: a :class:`ClassicalPosterior` computed before; then no fit is run. Its tensors
                and the labels may have D rows for each planet, one after the other: as many draws of its errors.
            noise: (B, C) 1 sigma of a bin in relative flux, what light_curve is counted in; else of flux and flux_err.
            output_covariance_factor: rank R of the covariance factor to return, 0 for none.
        """
        visits = checked_visits(self.config, light_curve, valid, time, centroid, star_features)
        visits.planet = checked_planet(planet, star, len(light_curve))
        visits.noise = known_noise(noise, flux, flux_err, valid)
        classical = None
        if self.config.physics == "residual":
            given = {"mean": classical_mean, "sigma": classical_sigma, "depth": classical_depth,
                     "depth_sigma": classical_depth_sigma, "share": classical_share, "shared": classical_shared,
                     "shared_sigma": classical_shared_sigma}  # fmt: skip
            classical = self._classical(given, residual, time, flux, flux_err, valid, star, planet)
            visits.classical, visits.residual = classical, classical.residual
            if classical.residual is not None:
                check_shape("residual", classical.residual, light_curve.shape)
        planets = len(light_curve) if planet is None else int(planet.max()) + 1
        visits.rows = planets if classical is None else len(classical.mean)
        channels, context = self._spectral_features(classical, visits.by_row(visits.star_features))
        wanted = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        found = self.network(visits, channels, context, **wanted)
        distance = self._distance(found, visits)

        def answer(by_channel: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
            return self._spectrum(classical, by_channel.float(), level.float(), distance)

        mean, sigma = answer(found.channels, found.level)
        answered = self.answered(found, mean, sigma)
        answered.facts = self._facts(classical, visits, star)
        loss = self._loss(found, answer, answered, labels)
        sigma, fitted = self.calibration(sigma), classical is not None and classical.status is not None
        return ArielSpectrumOutput(
            loss=loss,
            mean=mean,
            sigma=sigma,
            log_likelihood=_log_likelihood(mean, sigma, labels),
            covariance_factor=self._factor(classical, sigma, output_covariance_factor),
            classical_mean=None if classical is None else classical.mean,
            classical_sigma=None if classical is None else classical.sigma,
            distance=distance,
            **(self.told(distance, classical) if fitted else {}),
            maps=found.maps,
            hidden_states=found.hidden_states,
            attentions=found.attentions,
        )

    @property
    def familiarities(self) -> list[Familiarity]:
        """What tells how far planets are from training: by the network's features; without a fit, by the light too."""
        return [module for module in self.children() if isinstance(module, Familiarity)]

    @property
    def is_taught(self) -> bool:
        """Whether all of these have learned what training was like."""
        return all(each.learned for each in self.familiarities)

    def told(self, distance: Tensor, classical: ClassicalPosterior | None = None) -> dict[str, list[str]]:
        """The "status" and "notes" of P planets at a ``distance`` (P,) from training, all that tells without a fit."""
        if classical is None:
            status, notes = judged_alone(distance, self.is_taught)
        else:
            status, notes = list(classical.status or ()), with_distance_notes(classical.notes or (), distance)
        return {"status": status, "notes": notes}

    def _distance(self, found: Correction, visits: VisitBatch) -> Tensor:
        """Of R rows from training, the greatest that is found."""
        distance = self.familiarity(found.features)
        if self.config.physics == "none":
            summary = visits.read(_summary)["summary"]
            distance = torch.maximum(distance, self.light_familiarity(visits.by_row(summary)))
        return distance

    def _classical(
        self,
        given: dict[str, Tensor | None],
        residual: Tensor | None,
        time: Tensor,
        flux: Tensor | None,
        flux_err: Tensor | None,
        valid: Tensor,
        star: Tensor | None,
        planet: Tensor | None,
    ) -> ClassicalPosterior:
        """The posterior as given, checked, or by a fit."""
        present = {name: tensor for name, tensor in given.items() if tensor is not None}
        if len(present) == len(given):
            rows = len(present["mean"])
            config = self.config
            width = {"share": config.prior_components, "shared": config.n_shared, "shared_sigma": config.n_shared}
            for name, tensor in present.items():
                check_shape(f"classical_{name}", tensor, (rows, width.get(name, config.n_channels)))
            posterior: dict[str, Any] = {**present, "residual": residual}
            return ClassicalPosterior(**posterior)
        if present:
            missing = ", ".join(f"classical_{name}" for name in given if name not in present)
            raise ValueError(f"classical posterior: expected all of it or nothing, missing {missing}")
        if flux is None or flux_err is None:
            raise ValueError("physics='residual': expected flux and flux_err, or a classical posterior, found neither")
        if star is None:
            star = unknown_star(len(flux), flux)
        if planet is None:
            planet = torch.arange(len(flux), device=flux.device)
        return self.physics(time, flux, flux_err, valid, star, planet)

    def _spectral_features(self, classical: ClassicalPosterior | None, star: Tensor) -> tuple[Tensor, Tensor]:
        """Channels (P, C, 3) and context (P, G), numbers of order one."""
        config = self.config
        if classical is None:
            empty = star.new_zeros(len(star), 2 * config.n_shared + config.prior_components + 2)
            return star.new_zeros(len(star), config.n_channels, 3), torch.cat([empty, star], -1)
        level = classical.mean.mean(-1, keepdim=True)
        size = (classical.mean - level).std(-1, keepdim=True) + 0.1 * FEATURE
        channels = torch.stack(
            [
                (classical.mean - level) / size,
                ((classical.depth - classical.mean) / classical.depth_sigma).clamp(-5.0, 5.0),
                (classical.sigma / FEATURE).log(),
            ],
            -1,
        )
        context = torch.cat(
            [
                classical.shared.clamp(-4.0, 4.0),
                classical.shared_sigma.clamp_min(1e-4).log().clamp(-6.0, 2.0),
                classical.share,
                (level - config.depth_mean) / config.depth_scale,
                (size / FEATURE).log(),
                star.to(classical.mean),
            ],
            -1,
        )
        return channels.float(), context.float()

    def _spectrum(
        self, classical: ClassicalPosterior | None, by_channel: Tensor, level: Tensor, distance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and sigma (P, C) from corrections (P, C, 2) and those of the level (P, 2), by ``distance`` (P,)."""
        config = self.config
        floor = 1e-6 * config.sigma_floor_ppm
        shift, log_scale = by_channel[..., 0] + level[:, :1], by_channel[..., 1] + level[:, 1:]
        if classical is None:
            mean = config.depth_mean + config.depth_scale * level[:, :1] + FEATURE * by_channel[..., 0]
            limit = _WIDEST_LOG_SCALE
            return mean, (config.depth_scale * torch.exp(limit * torch.tanh(log_scale / limit))).clamp_min(floor)
        lost = classical.depth_sigma.amin(-1, keepdim=True) > _LOST  # training shows no such planet
        shift, log_scale = shift.masked_fill(lost, 0.0), log_scale.masked_fill(lost, 0.0)
        usual = (classical.share.sum(-1, keepdim=True) / (1.0 - config.prior_surprise)).clamp_max(1.0)
        kept = kept_share(distance)[:, None] * usual  # less where evidence makes surprise likelier than it was
        shift, log_scale = shift * kept, log_scale * kept
        limit = config.max_log_scale
        sigma = classical.sigma * torch.exp(limit * torch.tanh(log_scale / limit))
        return classical.mean + shift * classical.sigma, sigma.clamp_min(floor)

    def _facts(
        self, classical: ClassicalPosterior | None, visits: VisitBatch, star: Tensor | None
    ) -> dict[str, Tensor] | None:
        """What tells the kinds of the rows' planets, where rules have profiles."""
        if self.objective is None or not self.objective.rules.profiles:
            return None
        star = unknown_star(len(visits.time), visits.time) if star is None else star
        return planet_facts(visits.by_row(star), None if classical is None else classical.mean.detach())

    def _loss(self, found: Correction, answer: Answer, answered: Answered, labels: Tensor | None) -> Tensor | None:
        """Training's loss, of the sigma before calibration, with what penalties cost and what is trained beside."""
        if labels is None:
            return None
        check_shape("labels", labels, answered.mean.shape)
        log_sizes = None if self.rule_scales is None else self.rule_scales.log_sizes()
        loss = spectrum_loss(answered, labels, self.config.loss, self.objective, log_sizes)
        beside = self.auxiliary_loss(found, answer, labels)
        return loss if beside is None else loss + beside

    def _factor(self, classical: ClassicalPosterior | None, sigma: Tensor, rank: int) -> Tensor | None:
        """Low-rank factor (P, C, R) of the classical posterior's correlations, with this sigma."""
        if not rank:
            return None
        if classical is None or classical.covariance is None:
            raise ValueError("output_covariance_factor: expected physics='residual' and light curves to fit")
        _, spread = self.physics.spectrum_prior().prior().posterior(classical.depth, classical.covariance)
        size = spread.diagonal(dim1=1, dim2=2).sqrt()
        values, vectors = torch.linalg.eigh(spread / (size[:, :, None] * size[:, None, :]))
        return sigma[..., None] * vectors[..., -rank:] * values[:, None, -rank:].clamp_min(0.0).sqrt()


def _summary(visits: VisitBatch) -> dict[str, Tensor]:
    """What the light curves look like."""
    noise = torch.ones_like(visits.light[:, 0]) if visits.noise is None else visits.noise / DEPTH
    return {"summary": visit_summary(visits.light, visits.valid, visits.time, noise)}


def _log_likelihood(mean: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor | None:
    """Of each planet's known labels (P,), under what is answered."""
    if labels is None:
        return None
    return -gaussian_nll(mean, sigma, labels) * (~torch.isnan(labels)).sum(-1)
