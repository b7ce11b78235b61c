"""The prior over spectra: posterior, saving, and visits combined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modeling_ariel.retrieval import UNKNOWN_SIGMA
from modeling_ariel.spectrum_prior import MIXTURE, PriorError, SpectrumPrior


def population(n: int, seed: int, spread: bool = False) -> torch.Tensor:
    """Spectra (n, 60) with a level and two features, of sizes alike or over a factor of hundreds."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, 60)
    shapes = np.stack([np.exp(-((x - 0.3) ** 2) / 0.01), np.exp(-((x - 0.7) ** 2) / 0.02)])
    size = 10 ** rng.uniform(-6, -3.5, (n, 1)) if spread else np.full((n, 1), 5e-5)
    return torch.as_tensor(0.003 + 1e-3 * rng.standard_normal((n, 1)) + size * rng.standard_normal((n, 2)) @ shapes)


def measured(truth: torch.Tensor, sigma: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = sigma * torch.as_tensor(np.random.default_rng(seed).standard_normal(truth.shape))
    return truth + noise, (sigma**2 * torch.eye(truth.shape[1]).double()).expand(len(truth), -1, -1)


def test_the_posterior_is_closer_to_the_truth_than_the_data_and_its_errors_are_honest() -> None:
    prior, truth = SpectrumPrior.fit(population(300, 0)), population(150, 1)
    depth, covariance = measured(truth, 1e-4, 2)
    mean, spread = prior.posterior(depth, covariance)
    assert float((mean - truth).pow(2).mean().sqrt()) < 0.4 * 1e-4
    z = (mean - truth) / spread.diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(z.std()) == pytest.approx(1.0, abs=0.12)


def test_a_depth_that_is_not_known_gets_the_prior() -> None:
    prior = SpectrumPrior.fit(population(300, 0))
    depth, covariance = torch.zeros(1, 60).double(), UNKNOWN_SIGMA**2 * torch.eye(60).double()[None]
    mean, spread = prior.posterior(depth, covariance)
    assert float((mean[0] - prior.mean).abs().max()) < 3e-6
    torch.testing.assert_close(spread[0], prior.covariances[0], rtol=0.01, atol=1e-12)


def test_the_mixture_is_better_where_feature_sizes_differ_widely() -> None:
    train, truth = population(300, 3, spread=True), population(200, 4, spread=True)
    depth, covariance = measured(truth, 1e-4, 5)

    def likelihood(scales: tuple[float, ...]) -> float:
        mean, spread = SpectrumPrior.fit(train, scales).posterior(depth, covariance)
        variance = spread.diagonal(dim1=-2, dim2=-1)
        return float((-0.5 * (truth - mean) ** 2 / variance - 0.5 * variance.log()).mean())

    assert likelihood(MIXTURE) > likelihood((1.0,)) + 0.05


def test_a_saved_prior_loads_equal_and_another_file_is_refused(tmp_path: Path) -> None:
    prior = SpectrumPrior.fit(population(50, 8), MIXTURE)
    prior.sigma_factor = 1.25
    prior.save(tmp_path / "prior.safetensors")
    loaded = SpectrumPrior.load(tmp_path / "prior.safetensors")
    assert torch.equal(loaded.covariances, prior.covariances)
    assert torch.equal(loaded.weights, prior.weights)
    assert loaded.sigma_factor == 1.25
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(PriorError, match="expected a spectrum prior"):
        SpectrumPrior.load(tmp_path / "no.safetensors")


def test_truths_with_nan_and_wrong_shapes_are_refused() -> None:
    truths = population(20, 9)
    truths[3, 4] = torch.nan
    with pytest.raises(PriorError, match="found 1 other"):
        SpectrumPrior.fit(truths)
    prior = SpectrumPrior.fit(population(20, 9))
    with pytest.raises(PriorError, match="expected depth"):
        prior.posterior(torch.zeros(2, 59).double(), torch.zeros(2, 59, 59).double())
