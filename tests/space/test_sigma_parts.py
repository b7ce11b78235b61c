"""The parts of σ against closed forms, against fits with a group held, against other noise."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from space_scenes import engine, planet

from engine import sample
from engine.sigma_parts import LEARNED, NOISES, PARTS, light_curve_errors, through_prior
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.physics import ArielPhysics, fit_inputs
from modeling_ariel.retrieval import ClassicalFit, fit

AIRS = slice(1, None)


def physics() -> ArielPhysics:
    return engine().network.pipeline.model.physics


@cache
def fitted(noise: float = 1.0, drift: float = 1.0, jitter: bool = True, held: bool = False) -> tuple[Any, ClassicalFit]:
    """Features and fit of the ordinary planet under other conditions; ``held``: with all drift fixed at none."""
    rows = sample.observe(sample.cases()[planet()], noise, drift)
    tiny: dict[str, Any] = {"drift_sigma": (1e-9,) * 5, "wavelength_sigma": (1e-9,) * 2} if held else {}
    settings = FitSettings(jitter=jitter, telescope=physics().fit_settings.telescope, **tiny)
    features = dict(engine().network.pipeline.extractor(rows))
    with torch.no_grad():
        return features, fit(fit_inputs(features), engine().network.pipeline.fit_wavelength, settings)


def errors(**conditions: Any) -> dict[str, np.ndarray]:
    """Covariances (282, 282) of AIRS by NOISES."""
    found = light_curve_errors(*fitted(**conditions), physics())
    return {name: matrix.numpy()[AIRS, AIRS] for name, matrix in found.items()}


@pytest.mark.parametrize("note", ["", "two visits", "2.5–2.9 µm missing"])
def test_the_parts_are_the_whole_variance_and_only_what_the_network_learned_may_be_negative(note: str) -> None:
    rows = engine().visits(planet(note))
    found, spectrum = engine().parts(rows), engine().spectrum(rows)
    assert set(found.variance) == {*PARTS, LEARNED}
    np.testing.assert_allclose(sum(found.variance.values()), spectrum.sigma**2, rtol=1e-9)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    for name in PARTS:
        assert (found.variance[name] >= 0).all(), name
    assert min(found.shares[name] for name in (*NOISES, "prior")) > 0.01
    np.testing.assert_allclose(found.variance["network"], spectrum.sigma_epistemic**2)
    assert engine().parts(rows) is found


def test_without_a_transit_all_is_the_prior_s() -> None:
    row = dict(engine().visits(planet())[0])
    flat = np.random.default_rng(0).normal(1.0, 1e-3, row["flux"].shape)
    row |= {"planet_id": None, "flux": flat, "flux_err": np.full(flat.shape, 1e-3), "valid": np.ones(flat.shape, bool)}
    found = engine().parts([row])
    assert not found.fitted
    assert all(found.shares[name] == 0.0 for name in NOISES)


def test_photon_noise_is_that_of_a_box_of_so_many_points() -> None:
    case, (features, found) = sample.cases()[planet()].planet, fitted()
    time = features["time"][0].numpy()
    inside = np.abs(time - case.t0) < 0.5 * case.duration
    point = 1.0 / np.sqrt(np.median(found.weight[0].numpy()[AIRS], axis=1))
    box = point * np.sqrt(1.0 / inside.sum() + 1.0 / (~inside).sum())
    white = np.sqrt(errors()["photon noise"].diagonal())
    assert 0.85 < np.median(white / box) < 1.15


def test_a_fit_without_jitter_has_none_but_the_same_photon_noise() -> None:
    usual, without = errors(), errors(jitter=False)
    np.testing.assert_allclose(without["jitter"].diagonal(), 0.0, atol=0.02 * without["photon noise"].diagonal().min())
    assert usual["jitter"].mean() > 20.0 * abs(without["jitter"].mean())
    ratio = usual["photon noise"].diagonal() / without["photon noise"].diagonal()
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


def test_a_fit_with_the_drift_held_is_as_sure_as_the_one_of_which_the_drift_is_taken() -> None:
    """Of white noise, so that both have the same noise; the drift is none, and held there."""
    free, held = errors(drift=0.0, jitter=False), errors(drift=0.0, jitter=False, held=True)
    total, without = sum(free.values()), sum(held.values())
    taken = total - free["drift"]
    assert total.mean() > 1.1 * without.mean(), "drift costs something"
    assert np.abs(held["drift"]).max() < 1e-3 * without.diagonal().mean()
    assert without.mean() <= taken.mean() <= total.mean()  # what drift and orbit cause together is shared
    np.testing.assert_allclose(taken.diagonal(), without.diagonal(), rtol=0.1)


def test_twice_the_noise_is_four_times_the_photon_noise() -> None:
    once, twice = errors(), errors(noise=2.0)
    ratio = twice["photon noise"].diagonal() / once["photon noise"].diagonal()
    assert np.median(ratio) == pytest.approx(4.0, rel=0.05)


def test_what_passes_the_prior_is_how_far_its_answer_moves_with_the_noise() -> None:
    """Draws of each noise, pushed through the network's own code of the posterior."""
    rows = engine().visits(planet())
    classical, found = engine()._answer(rows).classical, errors()
    whole = light_curve_errors(*fitted(), physics())
    parts = through_prior(physics().spectrum_prior(), classical.depth[0], classical.covariance[0], whole)
    posterior, generator = physics().posterior(classical.covariance), torch.Generator().manual_seed(3)
    small = 0.05  # so that the mixture's shares stay as they are
    for name in found:
        values, axes = torch.linalg.eigh(whole[name])
        draws = torch.randn(600, 283, generator=generator, dtype=torch.float64) * values.clamp_min(0).sqrt() @ axes.T
        mean = posterior(classical.depth[:, None] + small * draws)[0][0]
        moved = (mean.var(0) / small**2)[AIRS]
        assert float(moved.mean() / parts[name][AIRS].mean()) == pytest.approx(1.0, abs=0.2), name
