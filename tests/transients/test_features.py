"""Features beside closed forms, the simulator's truths and injected signals; too little data gives NaN."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transient_light import PEAK, disruption, walk
from typer.testing import CliRunner, Result

from ariel_scripts.cli import app
from ariel_scripts.transients import feature_table
from ariel_scripts.transients.feature_table import COLUMNS, SOURCES, drawn_redshifts, read_features
from hf_dataset.transients import bands
from hf_dataset.transients.simulation import physics
from modeling_ariel.transients import observed as sky
from modeling_ariel.transients.band_features import baseline, significance, statistics
from modeling_ariel.transients.curves import CurveError
from modeling_ariel.transients.feature_families import FAMILIES, family_of, features
from modeling_ariel.transients.light_features import absolute, blackbody, blackbody_posterior, decline, radius
from modeling_ariel.transients.observed import Observed, coadded, distance_modulus, observe
from modeling_ariel.transients.shape_features import colours, peaks, relations
from modeling_ariel.transients.smooth import GRID, Smooth, smooth_all
from modeling_ariel.transients.surveys import extinction
from modeling_ariel.transients.variability_features import random_walk, structure

TEMPERATURE = 20_000.0


@pytest.fixture(scope="module")
def event() -> tuple[Observed, Smooth]:
    """A well-measured disruption and its smooth light curve."""
    one = disruption(TEMPERATURE)
    return one, smooth_all([one])[0]


def smooth_of(flux: np.ndarray) -> Smooth:
    """A smooth light curve with these fluxes (time of GRID, band), known to a thousandth."""
    return Smooth(1.0, 50.0, 5000.0, 0.0, 1.0, PEAK, flux, np.full(flux.shape, 1e-3 * flux.max()), 0.0, {})


def test_wavelengths_dust_and_distances_are_those_of_the_dataset() -> None:
    assert dict(zip(sky.BANDS, sky.WAVELENGTHS, strict=True)) == bands.WAVELENGTHS
    np.testing.assert_allclose(extinction(sky.WAVELENGTHS), bands.extinction(sky.WAVELENGTHS), atol=1e-4)
    for redshift in (0.01, 0.3, 2.0):
        expected = 5 * np.log10(physics.luminosity_distance(redshift) / physics.MPC * 1e5)
        assert distance_modulus(redshift) == pytest.approx(expected, abs=1e-3)
    assert np.isnan(distance_modulus(0.0))
    assert np.isnan(distance_modulus(np.nan))


def test_dust_is_taken_off() -> None:
    curve = {"band": ["u", "y"], "time": [60001.0, 60002.0], "flux": [1.0, 1.0], "flux_err": [0.1, 0.1]}
    row = {"object_id": "a", "lightcurve": curve, "redshift": None, "ebv": 0.3}
    one = observe(row)
    np.testing.assert_allclose(one.flux * bands.dust_factors(np.array(["u", "y"]), 0.3), 1, atol=1e-4)
    np.testing.assert_allclose(one.flux / one.error, 10)
    assert np.isnan(one.redshift)
    np.testing.assert_array_equal(observe(row | {"ebv": None}).flux, 1)


def test_an_object_is_the_same_in_any_order_and_what_cannot_be_meant_is_refused() -> None:
    curve = {"band": ["u", "y", "r"], "time": [60001.0, 60002.0, 60003.0], "flux": [1.0, 2.0, np.nan],
             "flux_err": [0.1, 0.2, 0.3]}  # fmt: skip
    row = {"object_id": "a", "redshift": None, "ebv": np.nan}
    one, other = (observe(row | {"lightcurve": {k: v[::s] for k, v in curve.items()}}) for s in (1, -1))
    for name in ("time", "band", "flux", "error"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.flux, [1.0, 2.0])
    with pytest.raises(CurveError, match=r"object a: flux_err: expected errors above 0"):
        observe(row | {"lightcurve": curve | {"flux_err": [0.1, 0.0, 0.1]}})
    with pytest.raises(CurveError, match=r"object a: redshift: expected 0 to 20, found -0.5"):
        observe(row | {"lightcurve": curve, "redshift": -0.5})


def test_coadding_keeps_the_weighted_sum_of_every_band() -> None:
    one = disruption()
    few = coadded(one, 200)
    assert few.time.size <= 200 < one.time.size
    assert (np.diff(few.time) >= 0).all()
    for band in range(6):
        (_, flux, error), (_, less, its) = one.of_band(band), few.of_band(band)
        assert (less / its**2).sum() == pytest.approx((flux / error**2).sum())
        assert (its**-2).sum() == pytest.approx((error**-2).sum())
    assert coadded(few, 200) is few


def test_a_black_body_gives_back_its_temperature_radius_and_luminosity() -> None:
    redshift, luminosity = 0.2, 10**44.3
    for temperature in (6_000.0, 12_000.0, 25_000.0):
        flux = physics.blackbody_flux(np.full(6, luminosity), np.full(6, temperature), sky.WAVELENGTHS, redshift)[None]
        mean, spread, scale, chi2 = blackbody_posterior(flux, 0.01 * flux, redshift)
        assert mean[0] == pytest.approx(np.log10(temperature), abs=0.02)
        assert 0 < spread[0] < 0.08
        assert chi2[0] < 0.1
        true = np.sqrt(luminosity / (4 * np.pi * physics.SIGMA * temperature**4))
        assert radius(scale, redshift)[0] == pytest.approx(np.log10(true), abs=0.05)


def test_a_disruption_of_constant_temperature_is_seen_as_one(event: tuple[Observed, Smooth]) -> None:
    one, smooth = event
    assert smooth.peak == pytest.approx(PEAK, abs=8)
    assert 0 < smooth.residual < 1  # the process follows some of the noise
    found = blackbody(one, smooth)
    for since in (0, 20, 50):
        assert found[f"temperature_{since}"] == pytest.approx(np.log10(TEMPERATURE), abs=0.12)
    assert abs(found["temperature_rate"]) < 1.5e-3
    assert found["luminosity_0"] == pytest.approx(44.5, abs=0.3)
    assert found["luminosity_rate"] < 0
    fall = decline(one, smooth)
    assert fall["chi2"] == pytest.approx(1.0, abs=0.25)
    assert 10 ** fall["tau"] == pytest.approx(45, rel=0.35)
    assert fall["exponential_gain"] < 0 < fall["constant_gain"]


def test_rise_fade_and_colours_are_those_of_the_light(event: tuple[Observed, Smooth]) -> None:
    one, smooth = event
    found = peaks(one, smooth)
    assert found["rise_g"] == pytest.approx(12 * np.sqrt(2 * np.log(2)), abs=5)
    assert found["fade_g"] == pytest.approx(45 * (2**0.6 - 1), abs=5)
    assert found["asymmetry_g"] == pytest.approx((23.2 - 14.1) / (23.2 + 14.1), abs=0.15)
    light = physics.blackbody_flux(np.full(6, 1e44), np.full(6, TEMPERATURE), sky.WAVELENGTHS, one.redshift)
    own = colours(one, smooth)
    for blue, red in (("g", "r"), ("r", "i")):
        true = -2.5 * np.log10(light[sky.BANDS.index(blue)] / light[sky.BANDS.index(red)])
        assert own[f"{blue}_{red}_0"] == pytest.approx(true, abs=0.1)
        assert own[f"{blue}_{red}_30"] == pytest.approx(true, abs=0.1)
        assert abs(own[f"{blue}_{red}_slope"]) < 3e-3


def test_absolute_magnitudes_are_those_of_the_source(event: tuple[Observed, Smooth]) -> None:
    one, smooth = event
    top = np.full(1, 10**44.5)
    for name, wavelength in (("g", 4827.0), ("r", 6223.0)):
        # at 10 pc, which is redshift 0 in all but distance
        near = physics.blackbody_flux(top, np.full(1, TEMPERATURE), np.array([wavelength]), 1e-6)
        ten_parsecs = near * (physics.luminosity_distance(1e-6) / (physics.MPC / 1e5)) ** 2
        assert absolute(one, smooth)[f"rest_{name}"] == pytest.approx(23.9 - 2.5 * np.log10(ten_parsecs[0]), abs=0.12)


def test_a_lag_between_bands_is_found_with_its_sign() -> None:
    one = replace(disruption(), redshift=0.0)
    flux = np.stack([np.exp(-0.5 * ((GRID - 10 * band) / 25) ** 2) for band in range(6)], axis=1)
    found = relations(one, smooth_of(flux))
    assert found["lag_g_r"] == pytest.approx(10)
    assert relations(one, smooth_of(flux[:, ::-1]))["lag_g_r"] == pytest.approx(-10)
    assert relations(one.at(1.0), smooth_of(flux))["lag_g_r"] == pytest.approx(5)
    assert found["correlation_g_r"] < 1
    assert found["ratio_g_r"] == pytest.approx(1, abs=0.02)


def test_the_structure_function_tells_drift_from_noise() -> None:
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0, 1000, 300))
    error, band = np.full(300, 0.1), np.full(300, 2)
    drift = Observed("drift", time, band, time / 100 + 0.1 * rng.standard_normal(300), error, 0.0)
    assert structure(drift)["slope"] == pytest.approx(1, abs=0.1)  # gaps to 300 days are ten times those to 30
    noise = replace(drift, flux=0.1 * rng.standard_normal(300))
    assert max(structure(noise)[f"lag_{lag}"] for lag in (30, 100, 300)) < -0.4


def test_walks_of_a_band_are_in_the_source_s_frame() -> None:
    time, flux, error = walk(3.0, 40.0, 5)
    one = Observed("agn", time, np.full(time.size, 2), flux, error, 1.0)
    found = random_walk(one, smooth_all([one])[0])
    assert found["tau_r"] == pytest.approx(np.log10(20), abs=0.3)
    assert found["sigma_r"] == pytest.approx(0, abs=0.2)
    assert np.isnan(found["tau_g"])


def test_statistics_of_noise_are_those_of_noise() -> None:
    rng = np.random.default_rng(1)
    size = 6_000
    one = Observed(
        "n", np.sort(rng.uniform(0, 1e4, size)), np.full(size, 1), rng.standard_normal(size), np.ones(size), 0.1
    )
    found = statistics(one) | significance(one)
    expected = {"mean_g": 0, "spread_g": 1, "skew_g": 0, "kurtosis_g": 0, "mad_g": 0.6745, "chi2_g": 1, "neumann_g": 2}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0.15), name
    assert found["bright_g"] == found["bright_all"] == pytest.approx(0.00135, abs=0.0015)


def test_light_before_and_after_an_event_is_told(event: tuple[Observed, Smooth]) -> None:
    one, smooth = event
    quiet = baseline(one, smooth)
    busy = baseline(replace(one, flux=one.flux + 0.5 * one.flux.max()), smooth)
    assert abs(quiet["snr_before"]) < 0.5 < 10 < busy["snr_before"]
    assert quiet["square_before"] == pytest.approx(1, abs=0.5)
    assert quiet["second_peak"] < 0.2


@pytest.mark.parametrize("count", [1, 2, 3, 10])
@pytest.mark.parametrize("redshift", [0.2, float("nan")])
def test_little_data_gives_nan_and_the_same_columns(
    event: tuple[Observed, Smooth], count: int, redshift: float
) -> None:
    full = features(*event)
    one = Observed(
        "few", PEAK + np.arange(count), np.arange(count) % 6, np.full(count, -1.0 if count == 2 else 1.0),
        np.full(count, 0.5), redshift,
    )  # fmt: skip
    found = features(one, smooth_all([one])[0])
    assert list(found) == list(full)
    assert np.isnan(found["blackbody.temperature_rate"]) or redshift > 0
    assert not any(np.isinf(value) for value in found.values())
    assert {family_of(name) for name in found} == set(FAMILIES)
    assert not any("err" in name for name in found)  # whether a redshift has an error tells the split


def test_a_constant_object_of_no_flux_is_no_reason_to_fail() -> None:
    one = Observed("zero", PEAK + np.arange(30.0), np.arange(30) % 6, np.zeros(30), np.ones(30), 0.1)
    assert not any(np.isinf(value) for value in features(one, smooth_all([one])[0]).values())


# --- the table -----------------------------------------------------------------------------------------------------


def ariel(*words: object) -> Result:
    return CliRunner().invoke(app, ["transients", *map(str, words)])


def test_the_command_writes_draws_continues_and_is_the_same_in_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, data = tmp_path / "raw", tmp_path / "data"
    for words in (("simulate", raw, "--objects", 5, "--test-objects", 2, "--seasons", 2), ("build", raw, data)):
        assert ariel(*words).exit_code == 0
    monkeypatch.setattr(feature_table, "OBJECTS_PER_PART", 3)
    command = ("features", data, "--draws", 2, "--workers", 1)
    assert ariel(*command, tmp_path / "whole").exit_code == 0
    table = read_features(tmp_path / "whole")
    assert (table.layouts, len(table.code) > 0) == (("simulated",), True)
    assert list(zip(table.split, table.draw, strict=True)).count(("train", 1)) == 5
    assert table.draw[table.split == "test"].tolist() == [0, 0]
    assert np.isfinite(table.values).any(0).mean() > 0.7
    whole = (tmp_path / "whole" / feature_table.FILE).read_bytes()

    stopped = tmp_path / "stopped"
    write_part, calls = feature_table.write_part, []

    def stop_later(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("power is gone")
        return write_part(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_table, "write_part", stop_later)
    assert ariel(*command, stopped).exit_code == 1
    assert len(list((stopped / feature_table.PARTS).iterdir())) == 1
    assert ariel(*command, stopped).exit_code == 0
    assert len(calls) == 4
    assert (stopped / feature_table.FILE).read_bytes() == whole
    assert ariel(*command, stopped).exit_code == 0
    assert len(calls) == 4
    assert pq.read_table(stopped / feature_table.FILE).num_rows == 5 * 3 + 2


@pytest.mark.parametrize("column", ["split", *(name for name in COLUMNS if name != "lightcurve")])
def test_what_is_kept_of_earlier_features_is_that_of_the_same_rows(column: str) -> None:
    curve = {"band": ["g"], "time": [60001.0], "flux": [1.0], "flux_err": [0.1]}
    row: dict[str, object] = {"split": "train", "lightcurve": curve} | dict.fromkeys(COLUMNS[:1] + COLUMNS[2:])
    assert feature_table._digest([row]) == feature_table._digest([dict(row)])
    assert feature_table._digest([row]) != feature_table._digest([row | {column: 1}])


def test_features_are_made_anew_when_any_of_their_sources_changes() -> None:
    folder = Path(feature_table.modeling_ariel.transients.__path__[0])
    imported = {
        name for source in SOURCES for name in re.findall(r"^from \.(\w+) import", (folder / source).read_text(), re.M)
    }
    assert {f"{name}.py" for name in imported} <= set(SOURCES)


def test_drawn_redshifts_have_the_error_of_photometric_ones() -> None:
    row = {"object_id": "a", "redshift": 0.5, "redshift_err": None}
    drawn = drawn_redshifts(row, 4000, 0)
    assert drawn[0] == 0.5
    assert np.std(drawn[1:]) == pytest.approx(0.02 * 1.5, rel=0.05)
    assert drawn_redshifts(row, 2, 0) == drawn[:3]
    assert drawn_redshifts(row | {"redshift_err": 0.03}, 4, 0) == [0.5]
    assert np.isnan(drawn_redshifts(row | {"redshift": None}, 4, 0)).all()


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"features.parquet: expected a table of `ariel transients features`"):
        read_features(tmp_path / "features.parquet")
    (tmp_path / "features.parquet").write_text("a,b\n")
    with pytest.raises(ValueError, match="expected a Parquet table"):
        read_features(tmp_path)
    known = {"object_id": ["a", "a"], "split": ["train"] * 2, "spec_type": ["TDE"] * 2, "target": [1, 1]}
    drawn = known | {"draw": [0, 1], "redshift": [0.1, 0.1], "x": [1.0, 2.0]}
    for change, message in (
        ({"x": ["1", "2"]}, "x: expected numbers, found string"),
        ({"draw": [0, 0]}, "expected each draw of an object once, found 2 rows of one"),
    ):
        pq.write_table(pa.table(drawn | change), tmp_path / "features.parquet")
        with pytest.raises(ValueError, match=message):
            read_features(tmp_path)
