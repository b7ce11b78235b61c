"""Fast light curves: the dataset's schema, known components, noise as stated, and likeness with real light curves."""

import csv
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from hf_dataset import schema
from hf_dataset.simulation import light_curves, planets, statistics, telescope


def test_rows_obey_the_schema():
    for layout, star in (("2024", True), ("2025", False)):
        row = light_curves.simulate_row(planets.sample_planets(1, 1, layout)[0], n_bins=60)
        schema.check_row(row, 60)
        assert row["layout"] == "simulated"
        assert (row["star"] >= 0) == star
        assert np.isnan(row["Rs"]) == star
        assert json.loads(row["calibration"])[0]["params"]["seed"] == 0


def test_a_row_depends_on_seed_planet_and_visit_alone():
    sample = planets.sample_planets(3, 1, "2025")
    forward = list(light_curves.simulate_rows(sample, visits=2, n_bins=40, seed=5))
    alone = light_curves.simulate_row(sample[2], visit=1, n_bins=40, seed=5)
    assert np.array_equal(forward[5]["flux"], alone["flux"])
    assert not np.array_equal(forward[4]["flux"], forward[5]["flux"])
    assert not np.array_equal(light_curves.simulate_row(sample[2], 1, 40, seed=6)["flux"], alone["flux"])


def test_noise_is_gaussian_with_the_stated_variance():
    planet = planets.sample_planets(1, 2, "2024")[0]
    row, truth = light_curves.simulate_with_truth(planet, settings=light_curves.LightCurveSettings(outlier_rate=0))
    z = (row["flux"] - truth.expectation) / np.sqrt(truth.variance)
    assert abs(z.mean()) < 0.015
    assert z.std() == pytest.approx(1, abs=0.01)
    assert abs((z[1:] * z[:-1]).mean()) < 0.015
    np.testing.assert_allclose(row["flux_err"][:, 1:] ** 2, truth.variance[:, 1:], rtol=1e-5)


def test_jitter_has_the_stated_covariance():
    law = telescope.PointingLaw()
    draws = np.stack([law.draw(np.random.default_rng(s), 40, 0.02, "AIRS-CH0", 15)[:, 0] for s in range(3000)])
    covariance = law.covariance(40, 0.02, "AIRS-CH0", 15)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.12 * covariance[0, 0])


def test_centroids_follow_the_jitter():
    row, truth = light_curves.simulate_with_truth(planets.sample_planets(1, 2, "2025")[0])
    assert np.corrcoef(row["centroid"][:, 2], truth.jitter)[0, 1] > 0.95
    assert np.corrcoef(row["centroid"][:, 3], truth.dispersion_jitter)[0, 1] > 0.95


def test_drift_is_separable_in_time_and_wavelength_over_airs():
    _, truth = light_curves.simulate_with_truth(planets.sample_planets(1, 4, "2025")[0])
    singular = np.linalg.svd(truth.drift[:, 1:], compute_uv=False)
    assert singular[1] < 1e-12 * singular[0]


def test_outliers_only_add_light():
    settings = light_curves.LightCurveSettings(outlier_rate=0.01, outlier_size=50)
    row, truth = light_curves.simulate_with_truth(planets.sample_planets(1, 4, "2025")[0], settings=settings)
    z = ((row["flux"] - truth.expectation) / np.sqrt(truth.variance))[truth.outliers]
    assert truth.outliers.mean() == pytest.approx(0.01, rel=0.1)
    assert z.mean() > 30


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="outlier_rate"):
        light_curves.LightCurveSettings(outlier_rate=0.7)
    with pytest.raises(ValueError, match="noise"):
        light_curves.LightCurveSettings(noise=light_curves.NoiseModel(read_noise=-1))
    with pytest.raises(ValueError, match="pointing"):
        telescope.PointingLaw(airs_px=-0.1)


def test_a_row_takes_well_under_a_tenth_of_a_second():
    sample = planets.sample_planets(20, 1, "2025")
    light_curves.simulate_row(sample[0])
    start = time.process_time()
    for planet in sample:
        light_curves.simulate_row(planet)
    assert (time.process_time() - start) / 20 < 0.1  # 0.023 s on the machine it was written on, unloaded


# --- against real light curves -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_planet(real):
    """Flux (time, channel) of the real planet 1103775 and a simulated planet on the same orbit, as bright."""
    flux = np.load(real / "light_curves" / "planet_1103775_2025.npz")["flux"].astype(float)[:, np.r_[0, 36:318]]
    with (real / "challenge_2025" / "test_star_info.csv").open() as file:
        star = {k: float(v) for k, v in next(csv.DictReader(file)).items() if k not in ("planet_id", "e")}
    planet = replace(planets.planet_from_spectrum(np.full(283, 0.0166), 1, "2025"), **star, t0=4.22, brightness=1.0)
    noise = light_curves.NoiseModel(airs_half_width=7.5, fgs1_radius=9.0)  # that reduction sums 16 rows
    level = light_curves.star_flux(planet, noise)[0]
    brightness = np.median(flux[:, 1:].sum(axis=1)) / level[1:].sum()
    return flux, replace(planet, brightness=float(brightness)), light_curves.LightCurveSettings(noise=noise)


def test_the_stellar_spectrum_is_the_real_planets(real_planet):
    flux, planet, settings = real_planet
    ratio = np.median(flux, axis=0) / light_curves.star_flux(planet, settings.noise)[0]
    assert np.all(np.abs(ratio[1:] - 1) < 0.12)
    assert ratio[1:].std() < 0.03
    # that file's FGS1 was left in counts: 0.4369 counts/e-
    assert ratio[0] == pytest.approx(0.4369, rel=0.1)


def test_noise_per_channel_is_the_real_planets(real_planet):
    flux, planet, settings = real_planet
    row = light_curves.simulate_row(planet, seed=3, settings=settings)
    real_noise, noise = (statistics.scatter(f / np.median(f, axis=0)) for f in (flux, row["flux"].astype(float)))
    assert np.median(real_noise / noise) == pytest.approx(1, abs=0.06)
    assert real_noise[0] / noise[0] == pytest.approx(1, abs=0.2)


def test_white_scatter_and_common_noise_are_the_real_planets(real_planet):
    flux, planet, settings = real_planet
    out = np.abs(np.arange(375) - 211) > 60
    real_common, real_white = statistics.common_noise(flux[:, 1:], out, np.random.default_rng(0), 40)
    out = np.abs(np.arange(375) - 211) > 115
    simulated = [
        statistics.common_noise(
            light_curves.simulate_row(planet, seed=seed, settings=settings)["flux"][:, 1:].astype(float),
            out,
            np.random.default_rng(0),
            40,
        )
        for seed in range(6)
    ]
    common, white = np.median(simulated, axis=0)
    assert 0.5 < common / real_common < 2
    assert white / real_white == pytest.approx(1, abs=0.15)


def test_drift_and_white_scatter_are_those_of_the_real_2024_curves(real):
    curves = np.load(real / "light_curves" / "airs_white_2024.npz")
    good = np.flatnonzero(np.isfinite(curves["flux"]).all(axis=1))
    measured = [statistics.white_drift(curves["flux"][j].astype(float), curves["bounds"][j]) for j in good]
    sample = [simulated_white_drift(p) for p in planets.sample_planets(120, 5, "2024")]
    real_drift, drift = (np.array([m[0] for m in group]) for group in (measured, sample))
    ratio = drift.std(axis=0) / real_drift.std(axis=0)
    assert np.all((ratio > 0.7) & (ratio < 1.4)), ratio
    real_noise, noise = (np.median([m[1] for m in group]) for group in (measured, sample))
    assert noise / real_noise == pytest.approx(1, abs=0.2)


def simulated_white_drift(planet):
    """Drift and scatter of a simulated planet's white curve in the real curves' 187 bins."""
    white = light_curves.simulate_row(planet, n_bins=187, seed=1)["flux"][:, 1:].astype(float).sum(axis=1)
    per_h = 187 / planets.WINDOW_H
    first, last = ((planet.t0 + s * planet.duration / 2) * per_h for s in (-1, 1))
    ingress = 1.2 * planet.duration * per_h * planet.k / (1 + planet.k)
    return statistics.white_drift(white / np.median(white), (first, first + ingress, last - ingress, last))
