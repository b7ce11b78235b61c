"""Anybody's tables of transients to tensors: shapes they may come in, dust, distances, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM
from astropy.table import QTable
from tolerances import assert_close
from transient_scenes import features, row, rows

from hf_dataset.transients import bands
from modeling_ariel.transients import TransientFeatureExtractor, flux_of_magnitude
from modeling_ariel.transients.curves import CurveError, read_curve, rows_of
from modeling_ariel.transients.feature_extraction_transient import HOST, feature_statistics
from modeling_ariel.transients.surveys import SURVEYS, absolute_magnitude, extinction, luminosity_distance


def table(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """The objects with a measurement a row."""
    parts = [{"object_id": [one["object_id"]] * len(one["lightcurve"]["time"]), **one["lightcurve"],
              "redshift": [one["redshift"]] * len(one["lightcurve"]["time"]),
              "ebv": [one["ebv"]] * len(one["lightcurve"]["time"])} for one in listed]  # fmt: skip
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("kind", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_rows_and_tables_of_any_library_give_the_same(kind: Any) -> None:
    listed = rows(2)[0]
    expected, found = features(listed), features(kind(table(listed)))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)


def test_an_index_of_names_is_a_column_and_other_columns_may_hold_anything() -> None:
    listed = rows(2)[0]
    frame = pd.DataFrame(table(listed))
    frame["spec_type"] = [None, *["AGN"] * (len(frame) - 1)]
    found = rows_of(frame.set_index("object_id"))
    assert [row["object_id"] for row in found] == [one["object_id"] for one in listed]
    unnamed = [pd.DataFrame(table([one])).drop(columns="object_id") for one in listed]
    names = [read_curve(row, "lsst", place).name for place, row in enumerate(rows_of(unnamed))]
    assert names == [f"object {place}" for place in range(len(listed))]


def test_masked_values_are_unknown_and_units_are_taken() -> None:
    measured = {"time": [60000.0, 60001.0], "band": ["g", "r"], "flux_err": [0.1, 0.1]}
    masked = np.ma.MaskedArray([1.0, 2.0], [False, True])
    assert len(read_curve(rows_of(measured | {"flux": masked})[0], "lsst")) == 1
    frame = QTable({**measured, "flux": [1.0, 2.0] * u.mJy})
    np.testing.assert_allclose(read_curve(rows_of(frame)[0], "lsst").flux, [1000.0, 2000.0])
    with pytest.raises(CurveError, match="table: flux: expected a unit as uJy, found s"):
        rows_of(QTable({**measured, "flux": [1.0, 2.0] * u.s}))


def test_one_object_needs_no_name_and_bands_may_be_wavelengths() -> None:
    one = row("TDE", 0)
    measured = dict(one["lightcurve"])
    expected = features([one])
    by_wavelength = measured | {"wavelength": [SURVEYS["lsst"][band] for band in measured.pop("band")]}
    found = features(by_wavelength | {"redshift": one["redshift"], "ebv": one["ebv"]})
    torch.testing.assert_close(found["flux"], expected["flux"])
    torch.testing.assert_close(found["host"], expected["host"])


def test_the_numbers_are_those_of_the_definition() -> None:
    one = {"time": [60010.0, 60000.0, 60005.0], "band": ["r", "g", "r"], "flux": [1.0, 4.0, 2.0],
           "flux_err": [0.5, 0.5, 1.0], "redshift": 0.5, "ebv": 0.0}  # fmt: skip
    found = features(one)  # type: ignore[arg-type]
    np.testing.assert_allclose(found["time"], [[0.0, 5.0, 10.0]])
    np.testing.assert_allclose(found["flux"], np.array([[4.0, 2.0, 1.0]]) / 3.5, rtol=1e-6)
    np.testing.assert_allclose(found["flux_err"], np.array([[0.5, 1.0, 0.5]]) / 3.5, rtol=1e-6)
    extractor = TransientFeatureExtractor()
    host = np.array([np.log(1.5), 0.0, np.log10(3.5), absolute_magnitude(3.5, 0.5)])
    np.testing.assert_allclose(found["host"][0], (host - extractor.host_mean) / extractor.host_scale, rtol=1e-5)


def test_unknown_is_nan_and_the_error_of_a_redshift_is_never_looked_at() -> None:
    one = row("SN", 1)
    bare = features([one | {"redshift": None, "ebv": None}])
    assert torch.isnan(bare["redshift"]).all()
    assert [bool(x) for x in torch.isnan(bare["host"][0])] == [True, True, False, True]
    assert HOST[2] == "log_peak"
    for error in (None, 0.01, 5.0):
        torch.testing.assert_close(features([one | {"redshift_err": error}])["host"], features([one])["host"])


def test_dust_is_the_builds_and_is_taken_off() -> None:
    wavelength = np.linspace(2600, 30_000, 400)
    assert_close(extinction(wavelength), bands.extinction(wavelength))
    one = row("AGN", 2)
    dusty, clear = (read_curve(one | {"ebv": ebv}, "lsst") for ebv in (0.3, 0.0))
    share = bands.dust_factors(np.array(one["lightcurve"]["band"]), 0.3)
    np.testing.assert_allclose(np.sort(dusty.flux), np.sort(one["lightcurve"]["flux"] / share), rtol=1e-6)
    assert (dusty.flux_err > clear.flux_err).all()


def test_distances_and_magnitudes_are_astropys() -> None:
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    for z in (0.01, 0.5, 3.0):
        assert luminosity_distance(z) == pytest.approx(cosmology.luminosity_distance(z).to_value(u.Mpc), rel=1e-5)
        expected = 20.0 - cosmology.distmod(z).value + 2.5 * np.log10(1 + z)
        flux = (20.0 * u.ABmag).to_value(u.uJy)
        assert absolute_magnitude(flux, z) == pytest.approx(expected, abs=1e-3)
    flux, error = flux_of_magnitude([20.0], [0.1])
    assert flux[0] == pytest.approx((20.0 * u.ABmag).to_value(u.uJy), rel=1e-3)
    assert error[0] / flux[0] == pytest.approx(0.0921, rel=1e-3)
    assert np.isnan(flux_of_magnitude([np.nan], [np.nan])[0]).all()
    for nothing in (99.0, -999.0):
        with pytest.raises(ValueError, match=f"magnitude: expected -30 to 40, .*, found {nothing:g}"):
            flux_of_magnitude([20.0, nothing], [0.1, 0.1])


def test_ztf_is_read_by_its_own_bands() -> None:
    one = {"time": [60000.0, 60001.0], "band": ["g", "i"], "flux": [1.0, 2.0], "flux_err": [0.1, 0.1]}
    found = TransientFeatureExtractor()(one, survey="ztf")
    np.testing.assert_allclose(found["wavelength"], [[4722.74, 7886.13]])
    with pytest.raises(CurveError, match=r"band: expected one of g, r, i \(ztf\), found u; other bands need"):
        TransientFeatureExtractor(survey="ztf")(one | {"band": ["u", "g"]})


def test_long_curves_are_thinned_evenly_in_order_of_time() -> None:
    one = row("TDE", 3, size=100)
    found = features([one], max_measurements=10)
    time = read_curve(one, "lsst").time[np.linspace(0, 99, 10).round().astype(int)]
    np.testing.assert_allclose(np.diff(found["time"][0]), np.diff(time), atol=1e-3)


def test_features_are_scaled_named_and_may_be_missing() -> None:
    listed = rows(1)[0]
    values = np.array([[1.0, 10.0], [3.0, np.nan], [5.0, 1e9]])
    statistics = feature_statistics(values)
    assert statistics["feature_median"] == [3.0, (1e9 + 10) / 2]
    extractor = TransientFeatureExtractor(feature_names=["a", "b"], feature_median=[3, 10], feature_scale=[2, 1])
    found = extractor(listed, features=values)["features"]
    np.testing.assert_allclose(found, [[-1, 0], [0, np.nan], [1, 5]])
    by_name = extractor(listed, features={"AGN 0": [1.0, 10.0]})["features"]
    np.testing.assert_allclose(by_name, [[-1, 0], [np.nan] * 2, [np.nan] * 2])
    numbered = [one | {"object_id": place} for place, one in enumerate(listed)]
    by_number = extractor(numbered, features={1: [1.0, 10.0]})["features"]
    torch.testing.assert_close(by_number.isnan().any(1), torch.tensor([True, False, True]))
    with pytest.raises(CurveError, match=r"features: expected those of object 0 …, found object 7 …"):
        extractor(numbered, features={7: [1.0, 10.0]})
    with pytest.raises(CurveError, match=r"features: expected shape \(3, 2\), found \(3, 1\)"):
        extractor(listed, features=values[:, :1])
    with pytest.raises(CurveError, match="features: expected none, as this extractor has no feature_names"):
        TransientFeatureExtractor()(listed, features=values)


GOOD = {"time": [60000.0, 60001.0], "band": ["g", "r"], "flux": [1.0, 2.0], "flux_err": [0.1, 0.1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flux": None}, "missing flux"),
        ({"band": ["g", "q"]}, "band: expected one of u, g, r, i, z, y (lsst), found q; other bands need a column"),
        ({"wavelength": [4.8e3, 0.6]}, "wavelength: expected 2600 to 50000 Angstrom, found others"),
        ({"time": [2460000.5, 2460001.5]}, "time: expected MJD of 30000 to 100000 (JD - 2400000.5), found 2.46e+06"),
        ({"time": [1.0, 2.0]}, "time: expected MJD of 30000 to 100000, found 1"),
        ({"flux": [np.nan, np.nan]}, "flux: expected measurements, found none"),
        ({"flux": [np.inf, 1.0]}, "flux: expected finite uJy, found infinite ones"),
        ({"flux_err": [0.1, 0.0]}, "flux_err: expected errors above 0, found others"),
        ({"flux_err": [0.1, np.nan]}, "flux_err: expected errors above 0, found others"),
        ({"flux": ["bright", "faint"]}, "flux: expected numbers, found others"),
        ({"flux": [1.0, 2.0, 3.0]}, "table: flux: expected 2 values, as of time, found shape (3,)"),
        ({"redshift": -0.1}, "redshift: expected 0 to 20, found -0.1"),
        ({"redshift": [0.1, 0.2]}, "redshift: expected one value, found 2"),
        ({"ebv": 99.0}, "ebv: expected 0 to 10, found 99"),
        ({"redshift": "far"}, "redshift: expected a number, found 'far'"),
        ({"time": [60000.0, np.nan]}, "time: expected MJD of 30000 to 100000, found nan"),
        ({"object_id": ["a", None]}, "object_id: expected a name in each row, found none in 1 of 2"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_object_and_field(change: dict[str, Any], message: str) -> None:
    given = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(CurveError) as caught:
        TransientFeatureExtractor()(given)
    assert message in str(caught.value)


def test_other_things_than_tables_and_settings_that_cannot_be_are_refused() -> None:
    for wrong in ("table.csv", 3):
        with pytest.raises(CurveError, match="expected rows, columns or a data frame, found"):
            TransientFeatureExtractor()(wrong)
    with pytest.raises(CurveError, match="rows: expected objects, found none"):
        TransientFeatureExtractor()([])
    with pytest.raises(CurveError, match=r"object TDE 0: expected in one row or table, found in 2"):
        TransientFeatureExtractor()([row("TDE", 0), row("TDE", 0)])
    with pytest.raises(CurveError, match="survey: expected one of lsst, ztf, found 'atlas'"):
        TransientFeatureExtractor(survey="atlas")
    with pytest.raises(CurveError, match="max_measurements: expected 2 or more, found 1"):
        TransientFeatureExtractor(max_measurements=1)
    with pytest.raises(CurveError, match="feature_median: expected 1 values, found 0"):
        TransientFeatureExtractor(feature_names=["a"])


def test_a_measurement_without_a_flux_is_left_out() -> None:
    whole = features({name: list(values) for name, values in GOOD.items()})  # type: ignore[arg-type]
    more = {name: [*values, values[0]] for name, values in GOOD.items()} | {"flux": [1.0, 2.0, np.nan]}
    torch.testing.assert_close(features(more)["flux"], whole["flux"])  # type: ignore[arg-type]
