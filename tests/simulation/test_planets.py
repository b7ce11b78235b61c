"""The population: ranges, physics, determinism, and its spectra's variety against the 466 real label spectra."""

import csv
import time

import numpy as np
import pytest

from hf_dataset.simulation import opacities, planets, statistics


@pytest.fixture(scope="module")
def labels(real) -> np.ndarray:
    """True spectra of the real 2024 challenge: (planet, channel)."""
    with (real / "challenge_2024" / "train_labels.csv").open() as file:
        return np.array([[float(x) for x in row[1:]] for row in list(csv.reader(file))[1:]])


@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_planets_orbit_by_keplers_third_law_and_transit_within_the_window(layout):
    for planet in planets.sample_planets(200, 1, layout):
        cubed = (planet.sma * planet.Rs * planets.R_SUN) ** 3 * 4 * np.pi**2
        assert cubed / (planet.P * 86400) ** 2 == pytest.approx(planets.G * planet.Ms * planets.M_SUN, rel=1e-6)
        assert planet.t0 - planet.duration / 2 > 0.3
        assert planet.t0 + planet.duration / 2 < planets.WINDOW_H - 0.3
        assert 1 < planet.duration < 6.2
        assert planet.b + planet.k < 1
        assert planet.spectrum.shape == (283,)
        assert planet.u.shape == (283, 2)
        assert np.all((planet.u.sum(axis=1) <= 1) & (planet.u >= 0).all(axis=1))


def test_star_tables_keep_to_the_real_tables_ranges(real):
    with (real / "challenge_2025" / "train_star_info.csv").open() as file:
        table = list(csv.DictReader(file))
    sample = planets.sample_planets(1000, 2, "2025")
    for name in ("Rs", "Ms", "Ts", "Mp", "P", "sma", "i"):
        real_column = np.array([float(row[name]) for row in table])
        column = np.array([getattr(p, name) for p in sample])
        low, middle, high = np.quantile(column, [0.02, 0.5, 0.98])
        spread = np.ptp(np.quantile(real_column, [0.02, 0.98]))
        assert low > real_column.min() - 0.1 * spread, name
        assert high < real_column.max() + 0.1 * spread, name
        assert abs(middle - np.median(real_column)) < 0.2 * spread, name


def test_the_same_seed_gives_the_same_planets_and_another_seed_others():
    first, again, other = (planets.sample_planets(5, seed, "2024") for seed in (3, 3, 4))
    assert [p.planet_id for p in first] == [p.planet_id for p in again]
    assert all(
        np.array_equal(a.spectrum, b.spectrum) and np.array_equal(a.u, b.u) for a, b in zip(first, again, strict=True)
    )
    assert not np.array_equal(first[0].spectrum, other[0].spectrum)


def test_a_planets_truth_is_the_populations_spectrum():
    truths = planets.spectra(6, 9, "2024")
    assert np.array_equal(truths, [p.spectrum for p in planets.sample_planets(6, 9, "2024")])


def test_a_thousand_spectra_take_less_than_a_second():
    planets.spectra(10, 0)
    start = time.process_time()
    planets.spectra(2000, 1)
    assert time.process_time() - start < 2


def test_features_scale_with_scale_height():
    system = planets.sample_systems(400, np.random.default_rng(0), "2025")
    heavy = planets.System(**{**vars(system), "Mp": 10 * system.Mp})
    light, heavy = (
        planets.transmission_spectra(
            one.k, planets.sample_atmospheres(one, np.random.default_rng(1)), planets.wavelengths_um()
        )
        for one in (system, heavy)
    )
    ratio = np.ptp(np.sqrt(light), axis=1) / np.ptp(np.sqrt(heavy), axis=1)
    assert np.median(ratio) == pytest.approx(10, rel=1e-6)


@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_a_spectrum_follows_again_from_the_atmosphere_that_is_kept_as_truth(layout):
    for planet in planets.sample_planets(5, 9, layout, without=("CO",)):
        kept = planet.atmosphere
        assert tuple(kept) == planets.ATMOSPHERE
        assert kept["log10_CO"] == -np.inf
        ratios = np.array([[kept[f"log10_{name}"] for name in opacities.SPECIES]])
        temperature, height, cloud = (np.array([kept[name]]) for name in ("temperature", "scale_height", "log10_cloud"))
        again = planets.Atmospheres(temperature, height, ratios, cloud)
        k = np.array([np.mean(np.sqrt(planet.spectrum))])  # the drawn radius is the mean over the channels
        found = planets.transmission_spectra(k, again, planets.wavelengths_um(layout))[0]
        np.testing.assert_allclose(found, planet.spectrum, rtol=1e-12)


@pytest.mark.parametrize(
    ("species", "band_um"), [("H2O", 2.62), ("CO2", 2.7), ("CH4", 3.32), ("CO", 2.34), ("NH3", 2.95)]
)
def test_each_molecule_absorbs_most_in_its_known_band(species, band_um):
    wavelength = planets.wavelengths_um()[1:]
    log_sigma = opacities.log_cross_sections(wavelength, np.array([1000.0]))[0, opacities.SPECIES.index(species)]
    assert abs(wavelength[np.argmax(log_sigma)] - band_um) < 0.12


@pytest.mark.parametrize(
    ("species", "window_um", "peak_um"),
    [
        ("H2O", (2.64, 2.9), 2.67),  # nu3's Q branch
        ("CO2", (2.66, 2.72), 2.685),  # R branch of nu1 + nu3
        ("CO2", (2.75, 2.9), 2.76),  # R branch of 2 nu2 + nu3
        ("CO2", (1.99, 2.03), 2.01),  # 2 nu1's partner, 4978 1/cm
        ("CH4", (3.0, 3.9), 3.312),  # nu3's Q branch
        ("CH4", (2.3, 2.36), 2.316),  # nu3 + nu4's Q branch
        ("CO", (1.96, 3.0), 2.326),  # R branch of 2-0
        ("NH3", (2.8, 3.2), 2.997),  # nu1's Q branch
    ],
)
def test_band_peaks_at_room_temperature_stand_where_spectroscopy_says(species, window_um, peak_um):
    wavelength = planets.wavelengths_um()
    log_sigma = opacities.log_cross_sections(wavelength, np.array([300.0]))[0, opacities.SPECIES.index(species)]
    inside = (wavelength > window_um[0]) & (wavelength < window_um[1])
    assert abs(wavelength[inside][np.argmax(log_sigma[inside])] - peak_um) < 0.012


def test_cos_overtone_has_its_head_at_2_29_um():
    band = opacities.BANDS["CO"][1]
    assert 1e4 / (band.centre + band.lines()[0].max()) == pytest.approx(2.2935, abs=0.004)


def test_a_cold_band_keeps_its_integrated_strength():
    overtone = (opacities.NU > 3900) & (opacities.NU < 4500)
    strength = 1e4 * opacities.cross_section("CO", 300.0)[overtone].sum()
    assert strength == pytest.approx(opacities.BANDS["CO"][1].strength, rel=0.01)


def test_the_water_rotor_has_waters_levels_and_selection_rules():
    # observed: 1_01, 1_11, 1_10; 2_02 … 2_20 [1/cm]
    levels = [opacities._asymmetric_levels((27.88, 14.52, 9.28), j)[0] for j in (1, 2)]
    np.testing.assert_allclose(levels[0], [23.79, 37.14, 42.37], atol=0.2)
    np.testing.assert_allclose(levels[1], [70.09, 79.50, 95.18, 134.90, 136.16], atol=0.2)
    for v, first_line in (((0, 0, 1), 23.8), ((1, 0, 0), 37.1)):  # R(0): 1_01 of an a-type band, 1_11 of a b-type one
        offset, lower, weight = opacities.water_lines(*v)
        from_ground = lower < 1
        assert from_ground.sum() == 1
        assert offset[from_ground][0] == pytest.approx(first_line, abs=1.5)
        assert weight[from_ground][0] == pytest.approx(1, abs=1e-3)


def test_a_given_spectrum_travels_into_a_planet():
    spectrum = np.linspace(0.002, 0.003, 283)
    planet = planets.planet_from_spectrum(spectrum, seed=1, layout="2024", planet_id=77)
    assert planet.planet_id == 77
    assert planet.given
    assert not planets.sample_planets(1, seed=1)[0].given
    assert np.array_equal(planet.spectrum, spectrum)
    assert planet.duration > 1


@pytest.mark.parametrize("bad", [np.ones(282) * 0.01, np.full(283, np.nan), np.zeros(283)])
def test_a_spectrum_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="expected 283 depths between 0 and 1"):
        planets.planet_from_spectrum(bad, seed=1)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        planets.sample_planets(1, 0, "2023")


def test_wavelengths_are_the_challenges(real):
    for layout in ("2024", "2025"):
        with (real / f"challenge_{layout}" / "wavelengths.csv").open() as file:
            expected = np.array(list(csv.reader(file))[1], dtype=float)
        np.testing.assert_allclose(planets.wavelengths_um(layout), expected, rtol=0, atol=1e-12)


def test_spectra_vary_much_as_the_real_labels_do(labels):
    ours = statistics.summarise_spectra(planets.spectra(4000, 0, "2024"))
    theirs = statistics.summarise_spectra(labels)
    np.testing.assert_allclose(ours.depth, theirs.depth, rtol=0.12)
    for name in ("feature_ppm", "fgs1_offset_ppm"):
        ratio = getattr(ours, name) / getattr(theirs, name)
        assert np.all((ratio > 0.65) & (ratio < 1.4)), name
    # the labels' first is 0.74 and their first five 0.97
    assert 0.55 < ours.variance[0] < 0.8
    assert 0.9 < ours.variance[:5].sum() < 0.98
    # shapes come from spectroscopy alone: the labels' own six components leave 1.6 %
    assert abs(ours.components[0] @ theirs.components[0]) > 0.85
    assert statistics.explained(ours.components, labels)[5] > 0.8
    assert np.corrcoef(ours.mean, theirs.mean)[0, 1] > 0.75
