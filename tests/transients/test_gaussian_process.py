"""The batched Gaussian process beside scikit-learn's, finite differences, SciPy's optimiser and injected walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern
from torch import Tensor
from transient_light import walk

from modeling_ariel.transients.gaussian_process import (
    Batch,
    Prior,
    damped,
    fit,
    gradient,
    log_likelihood,
    matern,
    padded,
    predict,
)
from modeling_ariel.transients.observed import Array

SCALES = torch.tensor([[0.2, 3.5, 8.0], [-0.5, 4.2, 8.6], [0.7, 2.9, 7.5]]).double()
PRIOR = Prior(torch.tensor([0.0, 4.0, 8.3]).double(), torch.tensor([1.0, 1.2, 1.0]).double())


@dataclass(frozen=True)
class Scene:
    """Objects as (place (measurement, dimension), flux, error), and the same as a batch."""

    objects: list[tuple[Array, Array, Array]]
    batch: Batch


def batch_of(objects: list[tuple[Array, Array, Array]]) -> Batch:
    return padded(*([torch.from_numpy(one[part].T) for one in objects] for part in range(3)))


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Three objects of 40, 25 and 12 measurements in time [d] and wavelength [Å]."""
    rng = np.random.default_rng(3)
    objects = []
    for count in (40, 25, 12):
        time, wavelength = np.sort(rng.uniform(0, 300, count)), rng.choice([3671.0, 4827.0, 7546.0], count)
        flux = np.exp(-(((time - 120) / 40) ** 2)) + 0.1 * rng.standard_normal(count)
        objects.append((np.stack([time, wavelength], axis=1), flux, rng.uniform(0.05, 0.15, count)))
    return Scene(objects, batch_of(objects))


def kernel(scales: Tensor) -> Kernel:
    amplitude, *lengths = scales.exp().tolist()
    return ConstantKernel(amplitude**2) * Matern(lengths, nu=1.5)


def test_likelihood_gradient_and_prediction_are_those_of_scikit_learn(scene: Scene) -> None:
    value, slope, _ = gradient(matern, scene.batch, SCALES)
    torch.testing.assert_close(value, log_likelihood(matern, scene.batch, SCALES))
    at = np.stack([np.linspace(0, 300, 7), np.full(7, 6223.0)], axis=1)
    for row, (place, flux, error) in enumerate(scene.objects):
        judge = GaussianProcessRegressor(kernel(SCALES[row]), alpha=error**2, optimizer=None).fit(place, flux)
        expected, theirs = judge.log_marginal_likelihood(judge.kernel_.theta, eval_gradient=True)
        assert value[row].item() == pytest.approx(expected, rel=1e-9)
        # theirs is by log a²: half of that by log a
        np.testing.assert_allclose(slope[row].numpy(), theirs * [2, 1, 1], rtol=1e-7)
        gaps = torch.zeros(2, 1, 7, scene.batch.flux.shape[1]).double()
        gaps[:, 0, :, : len(flux)] = torch.from_numpy(np.abs(at[:, None] - place)).permute(2, 0, 1)
        mean, sigma = predict(matern, scene.batch.of(torch.tensor([row])), SCALES[row : row + 1], gaps)
        their_mean, their_sigma = judge.predict(at, return_std=True)
        np.testing.assert_allclose(mean[0].numpy(), their_mean, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(sigma[0].numpy(), their_sigma, rtol=1e-6)


def test_an_object_has_the_same_likelihood_in_any_company(scene: Scene) -> None:
    together = log_likelihood(matern, scene.batch, SCALES)
    alone = [log_likelihood(matern, batch_of([one]), SCALES[row : row + 1]) for row, one in enumerate(scene.objects)]
    torch.testing.assert_close(torch.cat(alone), together)


def test_gradients_are_those_of_finite_differences_for_both_kernels(scene: Scene) -> None:
    for function, scales in ((matern, SCALES), (damped, SCALES[:, :2])):
        slope = gradient(function, scene.batch, scales)[1]
        for parameter in range(scales.shape[1]):
            step = torch.zeros(scales.shape[1]).double()
            step[parameter] = 1e-5
            up, down = (log_likelihood(function, scene.batch, scales + sign * step) for sign in (1, -1))
            torch.testing.assert_close(slope[:, parameter], (up - down) / 2e-5, rtol=1e-5, atol=1e-5)


def test_the_fit_ends_where_scipy_ends(scene: Scene) -> None:
    scales, _ = fit(matern, scene.batch, [PRIOR.mean.expand(3, 3), PRIOR.mean.expand(3, 3) - 1], PRIOR)
    for row in range(3):
        one = scene.batch.of(torch.tensor([row]))

        def loss(values: np.ndarray, one: Batch = one) -> float:
            at = torch.from_numpy(values)[None]
            prior = 0.5 * (((at - PRIOR.mean) / PRIOR.spread) ** 2).sum()
            return float(prior - log_likelihood(matern, one, at)[0])

        best = minimize(loss, PRIOR.mean.numpy(), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
        assert loss(scales[row].numpy()) <= best.fun + 1e-4


def test_injected_walks_are_recovered() -> None:
    spread, timescale, count = 3.0, 40.0, 16
    curves = [walk(spread, timescale, seed) for seed in range(count)]
    times, fluxes, errors = ([torch.from_numpy(one[part]) for one in curves] for part in range(3))
    batch = padded([time[None] for time in times], fluxes, errors)
    wide = Prior(torch.tensor([0.0, 4.0]).double(), torch.tensor([5.0, 5.0]).double())
    scales, _ = fit(damped, batch, [torch.tensor([0.0, shift]).double().expand(count, 2) for shift in (2, 4, 6)], wide)
    found, error = scales.mean(0).exp(), scales.std(0) / count**0.5
    assert abs(np.log(found[0].item() / spread)) < 3 * error[0].item() + 0.03
    assert abs(np.log(found[1].item() / timescale)) < 3 * error[1].item() + 0.05
    assert error[1].item() < 0.1
