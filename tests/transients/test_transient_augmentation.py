"""Augmentation of transients against closed forms, the process against scikit-learn's, scores against its metrics."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from transient_scenes import curve

from ariel_scripts.training.transients import scores
from ariel_scripts.training.transients.augmentation import (
    TransientAugmentation,
    noisier,
    redshifted,
    thinned,
    with_redshift_error,
)
from ariel_scripts.training.transients.process import LightCurveProcess
from hf_dataset.transients.simulation.physics import blackbody_flux
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.detection_scores import average_precision, best_threshold, detection
from modeling_ariel.transients.surveys import SURVEYS


def black_body(time: np.ndarray, wavelength: np.ndarray, z: float) -> np.ndarray:
    """(N,) flux [uJy] of a black body that brightens and fades over 40 days in its own frame."""
    luminosity = 1e44 * np.exp(-0.5 * ((time - 60_200.0) / (1 + z) / 40.0) ** 2)
    return blackbody_flux(luminosity, np.array(12_000.0), wavelength, z)


def observed(z: float, size: int = 110, share: float = 0.003) -> Curve:
    """It as the six bands see it, with errors of a ``share`` of the peak."""
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(60_050, 60_400, size))
    wavelength = rng.choice(list(SURVEYS["lsst"].values()), size)
    flux = black_body(time, wavelength, z)
    return curve(flux, time, wavelength, share * flux.max(), redshift=z, ebv=0.0)


@pytest.mark.parametrize("moved", [0.22, 0.35])
def test_a_black_body_moved_to_a_redshift_is_the_one_that_shines_there(moved: float) -> None:
    source = observed(0.3)
    found = redshifted(source, LightCurveProcess.of(source), moved, np.random.default_rng(1))
    assert found.redshift == moved
    assert len(found) > 50
    # the most significant measurement stays where it is, so its distance from the peak is stretched
    middle = source.time[np.argmax(source.flux / source.flux_err)]
    stretch = (1 + moved) / 1.3
    peak = middle + (60_200.0 - middle) * stretch
    expected = black_body(found.time - peak + 60_200.0, found.wavelength, moved)
    assert np.abs(found.flux - expected).max() < 0.08 * expected.max()
    assert np.sqrt(np.mean((found.flux - expected) ** 2)) < 0.02 * expected.max()
    pulls = (found.flux - expected) / found.flux_err
    assert np.sqrt(np.mean(pulls**2)) < 2.5  # errors say how well the process knows it


def test_light_that_the_curve_does_not_show_is_left_out() -> None:
    source = observed(0.3)
    found = redshifted(source, LightCurveProcess.of(source), 0.9, np.random.default_rng(1))
    rest = found.wavelength / (1.9 / 1.3)
    assert rest.min() > SURVEYS["lsst"]["u"] / 1.1 - 1
    assert "u" not in {band for band, at in SURVEYS["lsst"].items() if at in found.wavelength}
    few = source.take(slice(0, 9))
    assert redshifted(few, LightCurveProcess.of(few), 3.0, np.random.default_rng(1)) is few


def test_the_process_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    time = np.sort(rng.uniform(0, 200, 40))
    flux = np.sin(time / 30) + rng.normal(0, 0.1, 40)
    own = LightCurveProcess.of(curve(flux, time, np.full(40, 6223.0), 0.1))
    kernel = ConstantKernel(own.amplitude**2, "fixed") * Matern(own.length, "fixed", nu=1.5)
    theirs = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(time[:, None], flux)
    at = np.linspace(-20, 250, 60)
    mean, sigma = theirs.predict(at[:, None], return_std=True)
    found = own.predict(at, np.full(60, 6223.0))
    np.testing.assert_allclose(found[0], mean, atol=1e-8)
    np.testing.assert_allclose(found[1], sigma, atol=1e-6)


def test_thinning_keeps_a_share_of_the_measurements_as_they_are() -> None:
    source = observed(0.3)
    found = thinned(source, 0.4, np.random.default_rng(0))
    assert len(found) == 44
    assert set(zip(found.time, found.flux, strict=True)) < set(zip(source.time, source.flux, strict=True))
    assert (np.diff(found.time) >= 0).all()
    assert len(thinned(source, 0.01, np.random.default_rng(0))) == 8
    assert len(thinned(source.take(slice(0, 5)), 0.5, np.random.default_rng(0))) == 5


def test_noise_has_the_variance_that_the_errors_say() -> None:
    source = curve(np.zeros(20_000), np.arange(20_000.0), np.full(20_000, 6223.0), 0.5)
    found = noisier(source, 2.0, np.random.default_rng(0))
    np.testing.assert_allclose(found.flux_err, 1.0)
    assert found.flux.std() == pytest.approx(0.5 * np.sqrt(3.0), rel=0.02)


def test_redshifts_get_the_error_of_photometry() -> None:
    source, rng = observed(0.5, 10), np.random.default_rng(0)
    drawn = np.array([with_redshift_error(source, 0.02, rng).redshift for _ in range(4000)])
    assert drawn.std() == pytest.approx(0.02 * 1.5, rel=0.05)
    assert drawn.mean() == pytest.approx(0.5, abs=2e-3)
    unknown = source.take(slice(None), redshift=float("nan"))
    assert np.isnan(with_redshift_error(unknown, 0.02, rng).redshift)


def test_a_draw_is_a_function_of_its_numbers_and_settings_that_cannot_be_are_refused() -> None:
    source = observed(0.3)
    process, settings = LightCurveProcess.of(source), TransientAugmentation(redshift=1.0)
    one, two, other = (settings.draw(source, process, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.flux, two.flux)
    assert one.redshift == two.redshift != other.redshift
    for wrong in ({"redshift": 2.0}, {"thinning": 0.0}, {"noise": 0.5}, {"redshift_error": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            TransientAugmentation(**wrong)


def test_scores_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(500) < 0.1
    probability = np.round(1 / (1 + np.exp(-(2.0 * truth + rng.normal(0, 1.5, 500)))), 2)  # with ties
    assert average_precision(truth, probability) == pytest.approx(average_precision_score(truth, probability))
    threshold = best_threshold(truth, probability)
    assert detection(truth, probability >= threshold).f1 == pytest.approx(f1_score(truth, probability >= threshold))
    precision, recall, _ = precision_recall_curve(truth, probability)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
    assert detection(truth, probability >= threshold).f1 == pytest.approx(best)
    fold = np.arange(500) % 5
    found = scores.out_of_fold_scores(truth, probability, fold)
    assert found["f1"] <= found["f1_optimistic"] == pytest.approx(best)
    assert "f1" not in scores.out_of_fold_scores(truth, probability, np.zeros(500, int))
