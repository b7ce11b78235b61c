"""The simulator's physics against independent codes, exact properties and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM
from astropy.modeling.models import BlackBody

from hf_dataset.transients.bands import WAVELENGTHS, dust_factors, extinction
from hf_dataset.transients.schema import BANDS
from hf_dataset.transients.simulation import physics, population, survey


@pytest.mark.parametrize("z", [0.01, 0.3, 1.0, 4.0])
def test_distances_are_those_of_astropy(z: float) -> None:
    expected = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0).luminosity_distance(z).to_value("cm")
    assert physics.luminosity_distance(z) == pytest.approx(expected, rel=1e-5)


def test_a_black_body_has_astropys_flux() -> None:
    z, temperature, luminosity, wavelength = 0.4, 21_000.0, 3e44, np.array(list(WAVELENGTHS.values()))
    rest = wavelength / (1 + z) * units.AA
    radius_squared = luminosity / (4 * np.pi * physics.SIGMA * temperature**4)
    surface = np.pi * BlackBody(temperature * units.K)(rest).to_value("erg / (s cm2 Hz sr)")
    expected = (1 + z) * surface * radius_squared / physics.luminosity_distance(z) ** 2 / physics.MICROJANSKY
    found = physics.blackbody_flux(np.full(6, luminosity), np.full(6, temperature), wavelength, z)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_spectrum_adds_up_to_its_luminosity_but_for_what_lines_absorb() -> None:
    wavelength = np.geomspace(100, 1e6, 20_000)
    frequency = physics.C / (wavelength * 1e-8)
    total = [
        physics.blackbody_flux(np.full(20_000, 1e44), np.full(20_000, 1e4), wavelength, 1e-3, cutoff)
        for cutoff in (0.0, 3_000.0)
    ]
    sums = [-np.trapezoid(flux, frequency) * physics.MICROJANSKY for flux in total]
    area = 4 * np.pi * physics.luminosity_distance(1e-3) ** 2
    assert sums[0] * area == pytest.approx(1e44, rel=1e-3)
    assert 0.9 < sums[1] / sums[0] < 0.95  # 27 % of the light is below 3000 Å, most of it just below
    np.testing.assert_array_equal(total[0][wavelength > 3_100], total[1][wavelength > 3_100])


def test_a_disruption_peaks_at_zero_and_falls_as_the_debris_does() -> None:
    time = np.linspace(-50, 20_000, 400_001)
    light = physics.disruption(time, 1e44, rise=10.0, fallback=30.0)
    assert time[light.argmax()] == pytest.approx(0, abs=0.1)
    late = time > 10_000
    slope = np.polyfit(np.log(time[late] + 30.0), np.log(light[late]), 1)[0]
    assert slope == pytest.approx(-5 / 3, abs=1e-6)
    assert light[np.searchsorted(time, -10.0)] == pytest.approx(1e44 * np.exp(-0.5), rel=1e-2)


@pytest.mark.parametrize("scale", [8.0, 12.0, 25.0])
def test_a_supernova_shines_at_its_peak_with_the_power_of_that_moment(scale: float) -> None:
    """Arnett's rule, exact for the equation that `diffused` solves; at late times all heat comes out.

    The moment is known to a step of 0.1 d, in which the power falls by 1 %.
    """
    time = np.arange(0, 300, 0.1)
    light = physics.diffused(time, lambda t: physics.nickel_power(t, 0.6), scale)
    power = physics.nickel_power(time, 0.6)
    assert light.max() == pytest.approx(power[light.argmax()], rel=1e-2)
    assert light[-1] == pytest.approx(power[-1], rel=2e-2)
    assert light[0] == 0


def test_a_type_ia_has_the_peak_and_rise_of_observed_ones() -> None:
    """1.2e43 erg/s after 17 days are typical (Scalzo et al. 2014)."""
    ejecta = population.EJECTA["SN Ia"]
    scale = physics.diffusion_time(ejecta.mass[0], ejecta.velocity[0], ejecta.opacity)
    time = np.arange(0, 60, 0.1)
    light = physics.diffused(time, lambda t: physics.nickel_power(t, ejecta.nickel[0]), scale)
    assert light.max() == pytest.approx(1.2e43, rel=0.2)
    assert time[light.argmax()] == pytest.approx(17, abs=3)


def test_a_photosphere_cools_to_its_floor() -> None:
    time = np.array([5.0, 20.0, 200.0])
    temperature = physics.photosphere(time, np.full(3, 1e43), 10_000, 5_000)
    assert (np.diff(temperature) < 0).all()
    assert temperature[-1] == 5_000


def test_a_damped_random_walk_has_its_variance_and_memory() -> None:
    rng = np.random.default_rng(1)
    walks = np.array(
        [physics.damped_random_walk(rng, np.array([0.0, 30.0, 100.0, 5_000.0]), 100.0) for _ in range(5_000)]
    )
    found = np.corrcoef(walks.T)[0]
    np.testing.assert_allclose(walks.var(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(found, np.exp(-np.array([0, 30, 100, 5_000]) / 100), atol=0.04)


def test_quasars_vary_more_in_the_blue_and_slower_in_the_red() -> None:
    """At 4000 Å, M_i −23 and 1e9 M☉ MacLeod et al. (2010) give the two constants of their table 1."""
    amplitude, timescale = physics.quasar_variability(np.array([4_000.0, 2_000.0]), -23, 9)
    assert amplitude[0] == pytest.approx(10**-0.51)
    assert timescale[0] == pytest.approx(10**2.4)
    assert amplitude[1] > amplitude[0]
    assert timescale[1] < timescale[0]


def test_a_quasar_at_redshift_2_has_the_magnitude_of_its_distance() -> None:
    flux = physics.quasar_flux(np.array([7_546.0]), -26, 2.0)[0]
    modulus = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0).distmod(2.0).value
    assert 23.9 - 2.5 * np.log10(flux) == pytest.approx(-26 + modulus, abs=1e-3)


# --- dust ----------------------------------------------------------------------------------------------------------

# A_b / E(B−V) of Schlafly & Finkbeiner (2011, ApJ 737, 103), table 6, for R_V = 3.1: integrals over LSST's bands of a
# star's light under the same law, of which they find that maps need 86 %
SCHLAFLY = dict(zip(BANDS, (4.145, 3.237, 2.273, 1.684, 1.323, 1.088), strict=True))


def test_extinction_agrees_with_the_published_one_in_every_band() -> None:
    for band, wavelength in WAVELENGTHS.items():
        assert 0.86 * extinction(np.array(wavelength)) == pytest.approx(SCHLAFLY[band], rel=0.04), band


def test_extinction_goes_through_the_laws_own_table_and_falls_with_wavelength() -> None:
    found = extinction(np.array([4_110.0, 5_470.0, 6_000.0, 12_200.0]))
    np.testing.assert_allclose(found, [4.315, 3.055, 2.688, 0.829], rtol=1e-12)
    assert (np.diff(extinction(np.linspace(2_600, 30_000, 500))) < 0).all()
    with pytest.raises(ValueError, match="expected at least 2600 Å, found 2000"):
        extinction(np.array([5_000.0, 2_000.0]))


def test_dust_takes_more_of_the_blue() -> None:
    factors = dust_factors(np.array(list(BANDS)), 0.1)
    assert (np.diff(factors) > 0).all()
    assert factors[1] == pytest.approx(10 ** (-0.04 * extinction(np.array(4_827.0))))


# --- survey --------------------------------------------------------------------------------------------------------


def test_errors_are_a_fifth_of_the_depth_in_the_sky_and_grow_with_light() -> None:
    depth = np.array([0.5])
    assert survey.flux_errors(np.zeros(1), depth) == pytest.approx(0.5 * np.sqrt(0.039))
    assert survey.flux_errors(depth, depth) / depth == pytest.approx(0.2, rel=0.01)  # 5σ is 5σ
    assert survey.flux_errors(np.array([1e4]), depth) / 1e4 == pytest.approx(0.0046, rel=0.01)


def test_a_field_is_seen_in_seasons_in_bands_as_often_as_planned() -> None:
    rng = np.random.default_rng(3)
    drawn = [survey.draw_visits(rng, survey.Survey()) for _ in range(100)]
    for visits in drawn:
        assert (np.diff(visits.time) >= 0).all()
        gaps = np.diff(visits.time)
        assert (gaps > 100).sum() >= 4
        assert np.ptp(visits.time) < 6 * survey.YEAR
    bands = np.concatenate([visits.band for visits in drawn])
    shares = np.array([(bands == band).mean() for band in BANDS])
    assert (np.argsort(shares)[:2] == [0, 1]).all()
    assert np.median([visits.time.size for visits in drawn]) == pytest.approx(156, abs=6)
    depths = np.concatenate([visits.depth for visits in drawn])
    for band, magnitude in survey.DEPTHS.items():
        assert np.median(depths[bands == band]) == pytest.approx(10 ** (-0.4 * (magnitude - 23.9)), rel=0.05)
