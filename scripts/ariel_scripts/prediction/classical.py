"""From fitted depths to predictions: no prior, one prior, or priors learned from the same planets in folds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hf_dataset.splits import grouped_folds
from modeling_ariel.predictions import TEXTS, Predictions
from modeling_ariel.scoring import REFERENCE_2024
from modeling_ariel.spectrum_prior import PriorError, SpectrumPrior
from modeling_ariel.status import FITTED, OK, TRUSTED
from modeling_ariel.surprise import Surprise


class _ClassicalPredictor:
    """Collects mean and sigma of planets; memory grows by two spectra a planet only."""

    factors: list[float]

    def __init__(self) -> None:
        self.rows: dict[int, tuple[np.ndarray, np.ndarray, str, str]] = {}
        self.factors = []

    def keep(self, planet: int, mean: Tensor, variance: Tensor, status: str, note: str) -> None:
        self.rows[planet] = (mean.numpy(), np.sqrt(variance.numpy()), status, note)

    def finish(self) -> Predictions:
        """Predictions in the order of planet ids; negative means become 0, as a depth cannot be negative."""
        planets = sorted(self.rows)
        mean = np.stack([self.rows[p][0] for p in planets]).clip(0.0)
        sigma = np.stack([self.rows[p][1] for p in planets])
        extra = {name: [self.rows[p][2 + place] for p in planets] for place, name in enumerate(TEXTS)}
        return Predictions(np.array(planets, np.int64), mean.astype(np.float32), sigma.astype(np.float32), extra)


class SinglePriorPredictor(_ClassicalPredictor):
    """Every planet under one prior that has not seen it, or under none."""

    def __init__(self, prior: SpectrumPrior | None) -> None:
        super().__init__()
        self.prior = prior
        self.factors = [] if prior is None else [prior.sigma_factor]

    def add(
        self, planet: int, depth: Tensor, covariance: Tensor, truth: np.ndarray | None, status: str, note: str = ""
    ) -> None:
        """Take one fitted planet."""
        if self.prior is not None:
            mean, spread = self.prior.posterior(depth[None], covariance[None])
            self.keep(planet, mean[0], spread[0].diagonal(), status, note)
        elif status not in FITTED:  # no data and no prior: what the reference of the score knows
            mean, sigma = (torch.full_like(depth, value) for value in REFERENCE_2024)
            self.keep(planet, mean, sigma**2, status, note)
        else:
            self.keep(planet, depth, covariance.diagonal(), status, note)

    def save(self, path: Path) -> None:
        """Write the prior."""
        if self.prior is None:
            raise ValueError("--save-prior: there is no prior to save with --prior none")
        self.prior.save(path)


@dataclass
class FoldedPriors:
    """Priors of labelled planets in K folds: ``without`` one fold or two, and ``of_all``."""

    folds: int
    fold: dict[int, int]
    without: dict[tuple[int, ...], SpectrumPrior]
    of_all: SpectrumPrior
    truths: dict[int, np.ndarray]


def folded_priors(
    truths: dict[int, np.ndarray], scales: tuple[float, ...], folds: int, seed: int, surprise: Surprise | None = None
) -> FoldedPriors:
    """K (K + 1) / 2 priors learned from the planets outside each fold and each pair of folds, all with ``surprise``."""
    if len(truths) < max(4 * folds, 16):
        raise PriorError(
            f"--prior dataset: expected at least {max(4 * folds, 16)} labelled planets, found {len(truths)}; "
            "use --prior simulated"
        )
    planets = sorted(truths)
    numbers = grouped_folds(planets, folds, seed)
    spectra, fold = torch.as_tensor(np.stack([truths[p] for p in planets])), torch.as_tensor(numbers)
    without: dict[tuple[int, ...], SpectrumPrior] = {
        tuple(sorted({a, b})): SpectrumPrior.fit(spectra[(fold != a) & (fold != b)], scales, surprise)
        for a in range(folds)
        for b in range(a, folds)
    }
    of_all = SpectrumPrior.fit(spectra, scales, surprise)
    return FoldedPriors(folds, dict(zip(planets, numbers.tolist(), strict=True)), without, of_all, truths)


class FoldedPriorPredictor(_ClassicalPredictor):
    """Labelled planets in K folds: each is judged by a prior and a sigma factor from the other folds alone.

    The factor of a fold comes from the planets outside it, each under a prior that has seen neither its own fold nor
    this one, whose fit can be trusted; only sums of squared z-scores are kept.
    """

    def __init__(self, priors: FoldedPriors) -> None:
        super().__init__()
        self.priors, self.folds = priors, priors.folds
        self.planet_fold: dict[int, int | None] = {}
        self.z2, self.count = [0.0] * priors.folds, [0] * priors.folds

    def posterior(self, excluded: tuple[int, ...], depth: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) given planets outside the ``excluded`` folds; all planets where it is empty."""
        prior = self.priors.without[excluded] if excluded else self.priors.of_all
        mean, spread = prior.posterior(depth[None], covariance[None])
        return mean[0], spread[0].diagonal()

    def add(
        self, planet: int, depth: Tensor, covariance: Tensor, truth: np.ndarray | None, status: str, note: str = ""
    ) -> None:
        """Take one fitted planet."""
        own = self.priors.fold.get(planet)
        self.keep(planet, *self.posterior(() if own is None else (own,), depth, covariance), status, note)
        self.planet_fold[planet] = own
        if own is None or truth is None or status not in TRUSTED:
            return
        for other in set(range(self.folds)) - {own}:
            excluded = (min(own, other), max(own, other))
            mean, variance = self.posterior(excluded, depth, covariance)
            self.z2[other] += float(((torch.as_tensor(truth) - mean) ** 2 / variance).sum())
            self.count[other] += len(mean)

    def finish(self) -> Predictions:
        """Predictions, each sigma times the factor of its fold."""
        self.factors = [math.sqrt(z2 / n) if n else 1.0 for z2, n in zip(self.z2, self.count, strict=True)]
        overall = math.sqrt(sum(self.z2) / sum(self.count)) if sum(self.count) else 1.0
        self.priors.of_all.sigma_factor = overall
        predictions = super().finish()
        for row, planet in enumerate(predictions.planet_id):
            fold = self.planet_fold[int(planet)]
            predictions.sigma[row] *= overall if fold is None else self.factors[fold]
        return predictions

    def save(self, path: Path) -> None:
        """Write the prior of all labelled planets with the overall sigma factor."""
        self.priors.of_all.save(path)


class PerChannelPredictor(FoldedPriorPredictor):
    """The fit's own depths without a prior, and the training mean where there is no fit; sigma factors as always."""

    def posterior(self, excluded: tuple[int, ...], depth: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """The fit itself."""
        return depth, covariance.diagonal()

    def add_naive(self, planet: int) -> None:
        """Take a planet whose light curve is not looked at."""
        own = self.priors.fold[planet]
        outside = [spectrum for p, spectrum in self.priors.truths.items() if self.priors.fold[p] != own]
        spectra = torch.as_tensor(np.stack(outside))
        self.keep(planet, spectra.mean(0), spectra.var(0), OK, "")
        self.planet_fold[planet] = own
