"""The quick posterior is the plain one."""

from __future__ import annotations

import pytest
import torch
from spectrum_scenes import CHANNELS, fits, prior
from torch import Tensor

from modeling_ariel.posterior import ScaleMixture, VisitPosterior
from modeling_ariel.spectrum_prior import MIXTURE, PLAIN, PriorError, SpectrumPrior

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


def measured(planets: int = 4, draws: int = 3) -> tuple[Tensor, Tensor]:
    """Depths (P, D, C) scattered round the prior's mean, with the covariances (P, C, C) of real fits."""
    draw = torch.Generator().manual_seed(0)
    covariance = fits().covariance[:planets]
    level = 1.5e-3 * torch.randn(planets, draws, 1, generator=draw, dtype=torch.float64)
    noise = torch.randn(planets, draws, CHANNELS, generator=draw, dtype=torch.float64)
    return prior().mean + level + noise @ torch.linalg.cholesky(covariance).transpose(1, 2), covariance


def plain_prior() -> SpectrumPrior:
    draw = torch.Generator().manual_seed(1)
    truths = prior().mean + 1e-3 * torch.randn(60, 1, generator=draw, dtype=torch.float64)
    return SpectrumPrior.fit(truths + 1e-4 * torch.randn(60, CHANNELS, generator=draw, dtype=torch.float64))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("scales", [MIXTURE, PLAIN], ids=["mixture", "one Gaussian"])
def test_mean_and_sigma_are_those_of_the_general_prior(scales: tuple[float, ...], dtype: torch.dtype) -> None:
    general = prior() if scales == MIXTURE else plain_prior()
    depth, covariance = measured()
    quick = VisitPosterior.prepare(ScaleMixture.of(general, scales), covariance).to(dtype)
    for one in depth.unbind(1):
        mean, sigma, share = quick(one)
        expected, spread = general.posterior(one, covariance)
        expected_sigma = spread.diagonal(dim1=1, dim2=2).sqrt()
        torch.testing.assert_close(sigma, expected_sigma, rtol=TOLERANCE[dtype], atol=0)
        assert float(((mean - expected) / expected_sigma).abs().max()) < TOLERANCE[dtype] * 10
        torch.testing.assert_close(mean, expected, rtol=TOLERANCE[dtype], atol=0)
        torch.testing.assert_close(share.sum(-1), torch.ones(len(one), dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_many_depths_of_a_planet_are_those_taken_one_by_one(dtype: torch.dtype) -> None:
    depth, covariance = measured()
    quick = VisitPosterior.prepare(ScaleMixture.of(prior(), MIXTURE), covariance).to(dtype)
    together = quick(depth)
    for draw in range(depth.shape[1]):
        for all_draws, one in zip(together, quick(depth[:, draw]), strict=True):
            torch.testing.assert_close(all_draws[:, draw], one, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 1e-4)


def test_a_selection_and_a_joining_of_planets_change_no_planets_answer() -> None:
    depth, covariance = measured()
    mixture = ScaleMixture.of(prior(), MIXTURE)
    whole = VisitPosterior.prepare(mixture, covariance)
    joined = VisitPosterior.join([VisitPosterior.prepare(mixture, covariance[rows]) for rows in ([2, 3], [0, 1])])
    order = torch.tensor([2, 3, 0, 1])
    for found, expected in zip(joined(depth[order]), whole(depth), strict=True):
        torch.testing.assert_close(found, expected[order])
    picked = torch.tensor([3, 1, 1])
    for found, expected in zip(whole.select(picked)(depth[picked]), whole(depth), strict=True):
        torch.testing.assert_close(found, expected[picked])


def test_planets_joined_from_different_priors_keep_their_own() -> None:
    depth, covariance = measured()
    one = ScaleMixture.of(prior(), MIXTURE)
    other = ScaleMixture(one.mean + 1e-3, one.common, 4 * one.features, one.scales, one.weights.flip(0))
    joined = VisitPosterior.join([VisitPosterior.prepare(p, covariance[:2]) for p in (one, other)])
    mean, sigma, _ = joined(torch.cat([depth[:2], depth[:2]]))
    for rows, mixture in ((slice(0, 2), one), (slice(2, 4), other)):
        for draw in range(depth.shape[1]):
            expected, spread = mixture.prior().posterior(depth[:2, draw], covariance[:2])
            torch.testing.assert_close(mean[rows, draw], expected, rtol=1e-8, atol=0)
            torch.testing.assert_close(sigma[rows, draw], spread.diagonal(dim1=1, dim2=2).sqrt(), rtol=1e-8, atol=0)


def test_a_measurement_that_says_nothing_leaves_the_prior() -> None:
    mixture = ScaleMixture.of(prior(), MIXTURE)
    nothing = torch.eye(CHANNELS, dtype=torch.float64)[None]
    mean, sigma, share = VisitPosterior.prepare(mixture, nothing)(torch.zeros(1, CHANNELS, dtype=torch.float64))
    general = mixture.prior()
    variance = torch.einsum("k,kc->c", general.weights, general.covariances.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(mean[0], general.mean, rtol=2e-3, atol=0)
    torch.testing.assert_close(sigma[0], variance.sqrt(), rtol=1e-3, atol=0)
    torch.testing.assert_close(share[0], general.weights, rtol=1e-2, atol=1e-6)


def test_a_prior_of_another_family_is_refused() -> None:
    covariances = prior().covariances.clone()
    covariances[2] = covariances[2] * 1.5 + 1e-8 * torch.eye(CHANNELS, dtype=torch.float64)
    with pytest.raises(PriorError, match=r"expected covariances A \+ s\^2 F"):
        ScaleMixture.of(SpectrumPrior(prior().mean, covariances, prior().weights), MIXTURE)
    with pytest.raises(PriorError, match="scales: expected 5, one for each covariance, found 1"):
        ScaleMixture.of(prior(), PLAIN)


def test_the_mixture_is_the_prior_that_it_was_made_of() -> None:
    general = ScaleMixture.of(prior(), MIXTURE).prior()
    torch.testing.assert_close(general.covariances, prior().covariances, rtol=1e-9, atol=1e-18)
    torch.testing.assert_close(general.mean, prior().mean)
    torch.testing.assert_close(general.weights, prior().weights)
