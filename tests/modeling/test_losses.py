"""Training losses against independent float64 NumPy: the scores, likelihoods, masked reconstruction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from modeling_ariel.losses import (
    HUBER_THRESHOLD,
    REFERENCE,
    LossError,
    gaussian_nll,
    masked_patch_loss,
    score_loss,
)
from modeling_ariel.scoring import REFERENCE_2024, SCORES

Array = NDArray[np.float64]


def spectra(planets: int = 40, channels: int = 283, seed: int = 0) -> tuple[Array, Array, Array]:
    """Mean, sigma and truth (planet, channel) in depth, errors of 20 to 60 ppm."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.001, 0.02, (planets, 1)) * (1.0 + 0.02 * rng.standard_normal((planets, channels)))
    sigma = rng.uniform(2e-5, 6e-5, truth.shape)
    return truth + 1.1 * sigma * rng.standard_normal(truth.shape), sigma, truth


def tensors(*arrays: Array, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    return tuple(torch.as_tensor(array).to(dtype) for array in arrays)


@pytest.mark.parametrize("year", ["2024", "2025"])
@pytest.mark.parametrize("widened", [0.7, 1.0, 5.0])
def test_score_loss_is_one_minus_the_float64_score(year: str, widened: float) -> None:
    mean, sigma, truth = spectra()
    expected = 1.0 - SCORES[year](truth, mean, widened * sigma)
    found = score_loss(*tensors(mean, widened * sigma, truth), year)
    assert 0.0 < expected < 1.0
    assert float(found) == pytest.approx(expected, rel=1e-12)
    assert float(score_loss(*tensors(mean, widened * sigma, truth), int(year))) == float(found)


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_score_loss_of_float32_predictions_is_that_of_their_float64_score(year: str) -> None:
    rounded = tensors(*spectra(), dtype=torch.float32)
    mean, sigma, truth = (tensor.double().numpy() for tensor in rounded)
    assert float(score_loss(*rounded, year)) == pytest.approx(1.0 - SCORES[year](truth, mean, sigma), rel=1e-6)


def test_score_loss_uses_another_reference_where_told() -> None:
    mean, sigma, truth = spectra()
    other = (float(truth.mean()), float(truth.std()))
    for year, score in SCORES.items():
        expected = 1.0 - score(truth, mean, sigma, other)
        assert float(score_loss(*tensors(mean, sigma, truth), year, other)) == pytest.approx(expected, rel=1e-12)
    assert REFERENCE == REFERENCE_2024


def test_score_loss_is_not_clipped_and_has_gradients_where_the_score_is_zero() -> None:
    mean, sigma, truth = tensors(*spectra(4))
    mean.requires_grad_()
    loss = score_loss(mean + 0.02, sigma, truth, "2024")
    loss.backward()
    assert float(loss.detach()) > 1.0
    assert (mean.grad > 0).all()


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_score_loss_gradients_are_those_of_finite_differences(year: str) -> None:
    mean, sigma, truth = tensors(*spectra(2, 5))

    def in_sigma(shift: torch.Tensor, stretch: torch.Tensor) -> torch.Tensor:
        return score_loss(mean + shift * sigma, sigma * torch.exp(stretch), truth, year)

    zeros = [torch.full_like(mean, 0.1, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(in_sigma, zeros)


def test_scores_leave_unknown_labels_out() -> None:
    mean, sigma, truth = spectra(6)
    known = truth.copy()
    known[4:] = np.nan
    for year, score in SCORES.items():
        expected = 1.0 - score(truth[:4], mean[:4], sigma[:4])
        assert float(score_loss(*tensors(mean, sigma, known), year)) == pytest.approx(expected, rel=1e-12)
        assert float(score_loss(*tensors(mean, sigma, np.full_like(truth, np.nan)), year)) == 0.0


def test_gaussian_nll_is_minus_the_log_density_averaged_over_channels() -> None:
    mean, sigma, truth = spectra(8)
    expected = -norm.logpdf(truth, mean, sigma).mean(1)
    np.testing.assert_allclose(gaussian_nll(*tensors(mean, sigma, truth)), expected, rtol=1e-12)


def test_gaussian_nll_of_small_float32_depths_keeps_seven_digits() -> None:
    rounded = tensors(*spectra(8), dtype=torch.float32)
    mean, sigma, truth = (tensor.double().numpy() for tensor in rounded)
    found = gaussian_nll(*rounded)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, -norm.logpdf(truth, mean, sigma).mean(1), rtol=2e-7)


def test_gaussian_nll_weighs_channels() -> None:
    mean, sigma, truth = spectra(8)
    weight = np.arange(1.0, 284.0)
    expected = -np.average(norm.logpdf(truth, mean, sigma), axis=1, weights=weight)
    np.testing.assert_allclose(
        gaussian_nll(*tensors(mean, sigma, truth), weight=torch.as_tensor(weight)), expected, rtol=1e-12
    )


def test_gaussian_nll_ignores_unknown_labels_in_value_and_gradient() -> None:
    mean, sigma, truth = tensors(*spectra(3, 10), dtype=torch.float32)
    truth[0, :5], truth[2] = math.nan, math.nan
    mean.requires_grad_(), sigma.requires_grad_()
    nll = gaussian_nll(mean, sigma, truth)
    nll.sum().backward()
    torch.testing.assert_close(nll[:1], gaussian_nll(mean[:1, 5:], sigma[:1, 5:], truth[:1, 5:]))
    assert nll[2] == 0.0
    for grad in (mean.grad, sigma.grad):
        assert torch.isfinite(grad).all()
        assert not grad[0, :5].any()
        assert not grad[2].any()


def test_gaussian_nll_stays_finite_for_sigma_of_zero() -> None:
    mean, sigma, truth = tensors(*spectra(2, 4), dtype=torch.float32)
    nll = gaussian_nll(mean.requires_grad_(), 0.0 * sigma, truth)
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    assert torch.isfinite(mean.grad).all()


def test_losses_are_the_same_under_autocast() -> None:
    mean, sigma, truth = tensors(*spectra(4), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = gaussian_nll(mean, sigma, truth), score_loss(mean, sigma, truth, "2025")
    torch.testing.assert_close(found, (gaussian_nll(mean, sigma, truth), score_loss(mean, sigma, truth, "2025")))


def test_masked_loss_is_the_mean_square_over_valid_hidden_points() -> None:
    rng = np.random.default_rng(1)
    rebuilt, target = rng.standard_normal((2, 3, 12, 7))
    valid, hidden = rng.random((2, 3, 12, 7)) < 0.6
    found = masked_patch_loss(*(torch.as_tensor(array) for array in (rebuilt, target, valid, hidden)))
    assert float(found) == pytest.approx(((rebuilt - target)[valid & hidden] ** 2).mean(), rel=1e-6)


def test_masked_loss_does_not_see_what_is_visible_or_invalid() -> None:
    torch.manual_seed(0)
    rebuilt, target = torch.randn(2, 2, 10, 4)
    valid, hidden = torch.rand(2, 2, 10, 4) < 0.5
    counted = valid & hidden
    rebuilt.requires_grad_()
    loss = masked_patch_loss(rebuilt, torch.where(counted, target, math.nan), valid, hidden)
    loss.backward()
    torch.testing.assert_close(loss, masked_patch_loss(rebuilt, target, valid, hidden))
    assert torch.equal(rebuilt.grad != 0, counted)


def test_a_hit_pulls_no_harder_than_one_at_the_threshold() -> None:
    everywhere = torch.ones(1, 5, 1, dtype=torch.bool)
    error = torch.tensor([0.5, HUBER_THRESHOLD, 6.0, 20.0, 1e4]).reshape(1, 5, 1).requires_grad_()
    loss = masked_patch_loss(error, torch.zeros_like(error), everywhere, everywhere)
    loss.backward()
    pulls = 5.0 * error.grad.flatten()
    torch.testing.assert_close(pulls, torch.tensor([1.0] + 4 * [2.0 * HUBER_THRESHOLD]))


def test_nothing_hidden_costs_nothing_and_can_still_be_differentiated() -> None:
    rebuilt = torch.randn(1, 4, 2, requires_grad=True)
    nothing = torch.zeros(1, 4, 1, dtype=torch.bool)
    loss = masked_patch_loss(rebuilt, torch.randn(1, 4, 2), torch.ones(1, 4, 2, dtype=torch.bool), nothing)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not rebuilt.grad.any()


def test_shapes_and_years_that_cannot_be_meant_are_named() -> None:
    spectrum, other = torch.ones(2, 5), torch.ones(2, 4)
    with pytest.raises(LossError, match=r"expected one shape \(P, C\), found \(2, 5\), \(2, 5\), \(2, 4\)"):
        gaussian_nll(spectrum, spectrum, other)
    with pytest.raises(LossError, match=r"year: expected one of \['2024', '2025'\], found '2023'"):
        score_loss(spectrum, spectrum, spectrum, "2023")
    curve, valid = torch.ones(1, 6, 5), torch.ones(1, 6, 5, dtype=torch.bool)
    with pytest.raises(LossError, match=r"expected one shape \(B, T, C\)"):
        masked_patch_loss(curve, curve[:, :4], valid, valid)
    with pytest.raises(LossError, match=r"hidden: expected to broadcast to \(1, 6, 5\), found \(3, 6, 5\)"):
        masked_patch_loss(curve, curve, valid, torch.ones(3, 6, 5, dtype=torch.bool))
