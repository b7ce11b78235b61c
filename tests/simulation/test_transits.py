"""Transit curves: geometry, limb darkening, exposure averages; batman as an outside judge where it is installed."""

import exoplanet_core
import numpy as np
import pytest

from hf_dataset.simulation import planets, transits

ORBIT = {"t0_h": 3.7, "period_d": 4.0, "a_over_rs": 10.0, "inclination_deg": 88.5}


def test_all_channels_at_once_are_exoplanet_cores_curves_one_by_one():
    z = transits.sky_separation(np.linspace(0, 7.5, 200), **ORBIT)
    rng = np.random.default_rng(0)
    depth, u = rng.uniform(1e-4, 0.02, 30), rng.uniform(0, 0.45, (30, 2))
    one_by_one = [exoplanet_core.quad_limbdark_light_curve(*u[c], z, depth[c] ** 0.5) + 1 for c in range(30)]
    np.testing.assert_allclose(transits.light_curves(z, depth, u), np.transpose(one_by_one), rtol=0, atol=1e-14)


def test_curves_agree_with_batman():
    batman = pytest.importorskip("batman")
    time = np.linspace(0, 7.5, 301)
    u = np.array([[0.4, 0.25], [0.08, 0.15]])
    depth = np.array([0.012, 0.0008])
    ours = transits.light_curves(transits.sky_separation(time, **ORBIT), depth, u)
    for channel in range(2):
        p = batman.TransitParams()
        p.t0, p.per, p.rp, p.a, p.inc, p.ecc, p.w = 3.7 / 24, 4.0, depth[channel] ** 0.5, 10.0, 88.5, 0.0, 90.0
        p.u, p.limb_dark = list(u[channel]), "quadratic"
        theirs = batman.TransitModel(p, time / 24, max_err=0.01).light_curve(p)
        np.testing.assert_allclose(ours[:, channel], theirs, rtol=0, atol=2e-8)


def test_an_eccentric_orbit_agrees_with_batman():
    batman = pytest.importorskip("batman")
    time = np.linspace(0, 7.5, 301)
    p = batman.TransitParams()
    p.t0, p.per, p.rp, p.a, p.inc, p.ecc, p.w = 3.7 / 24, 4.0, 0.1, 10.0, 88.5, 0.3, 90.0
    p.u, p.limb_dark = [0.3, 0.2], "quadratic"
    theirs = batman.TransitModel(p, time / 24, max_err=0.01).light_curve(p)
    separation = transits.sky_separation(time, **ORBIT, eccentricity=0.3)
    ours = transits.light_curves(separation, np.array([0.01]), np.array([[0.3, 0.2]]))[:, 0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-7)


def test_without_limb_darkening_the_floor_is_the_depth():
    flux = transits.light_curves(np.array([0.2, 0.5, 3.0]), np.array([0.01]), np.zeros((1, 2)))
    np.testing.assert_allclose(flux[:, 0], [0.99, 0.99, 1.0], atol=1e-12)


def test_the_planet_behind_the_star_does_not_transit():
    half_a_period_later = 3.7 + 48.0
    assert np.isinf(transits.sky_separation(np.array([half_a_period_later]), **ORBIT))


def test_a_planet_that_misses_has_no_duration_and_no_transit():
    orbit = {**ORBIT, "inclination_deg": 80.0}
    assert transits.transit_duration(0.1, 4.0, 10.0, 80.0) == 0
    separation = transits.sky_separation(np.linspace(0, 7.5, 50), **orbit)
    assert np.all(transits.light_curves(separation, np.array([0.01]), np.array([[0.3, 0.2]])) == 1)


def test_duration_is_from_first_to_fourth_contact():
    time = np.linspace(0, 7.5, 200_001)
    inside = time[transits.sky_separation(time, **ORBIT) < 1.1]
    assert np.ptp(inside) == pytest.approx(transits.transit_duration(0.1, 4.0, 10.0, 88.5), abs=1e-3)


def test_bins_are_averaged_like_many_fine_samples():
    time, width = (np.arange(375) + 0.5) * 0.02, 0.02
    depth, u = np.array([0.01, 0.004]), np.array([[0.4, 0.25], [0.1, 0.2]])
    ours = transits.exposure_averaged(time, width, **ORBIT, depth=depth, u=u)
    fine = (time[:, None] + width * ((np.arange(400) + 0.5) / 400 - 0.5)).ravel()
    exact = transits.light_curves(transits.sky_separation(fine, **ORBIT), depth, u).reshape(375, 400, 2).mean(axis=1)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=2e-6)


def test_limb_darkening_falls_from_the_optical_to_the_infrared_and_with_temperature():
    wavelength = planets.wavelengths_um()
    u = transits.limb_darkening(wavelength, 5500.0)
    assert 0.35 < u[0, 0] < 0.45
    assert 0.05 < u[-1, 0] < 0.12
    assert np.all(np.diff(u[1:, 0]) < 0)
    assert np.all(transits.limb_darkening(wavelength, 6500.0)[:, 0] < u[:, 0])
