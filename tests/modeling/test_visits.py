"""Light curves that cannot be meant are errors that name the planet, what was expected and what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_visits import WAVELENGTH, visit

from modeling_ariel.arrays import FeatureError
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor


@pytest.fixture(scope="module")
def extractor() -> ArielFeatureExtractor:
    return ArielFeatureExtractor(wavelength=WAVELENGTH)


def _cut(field: str, axis: int) -> dict[str, Any]:
    return {field: np.take(visit()[field], range(visit()[field].shape[axis] - 1), axis)}


def _filled_with(value: float, bins: int = 4) -> np.ndarray:
    flux = visit()["flux"].copy()
    flux[5 : 5 + bins] = value
    return flux


_SECONDS = visit()["time"] * 3600.0
_INFINITE = visit()["flux"].copy()
_INFINITE[3, 2] = np.inf
_ERRORS = visit()["flux_err"].copy()
_ERRORS[1, 0] = np.inf
_BACKWARDS = visit()["time"].copy()
_BACKWARDS[[8, 9]] = _BACKWARDS[[9, 8]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (_cut("flux", 1), "flux: expected the extractor's 8 channels, or a wavelength for each, found 7 channels"),
        (_cut("flux_err", 0), r"flux_err: expected shape \(40, 8\), found \(39, 8\)"),
        (_cut("valid", 0), r"valid: expected shape \(40, 8\), found \(39, 8\)"),
        (_cut("centroid", 1), r"centroid: expected shape \(40, 4\), found \(40, 3\)"),
        (_cut("spectrum", 0), r"spectrum: expected shape \(8,\), found \(7,\)"),
        ({"flux": visit()["flux"].T}, r"flux: expected shape \(40, 'channels'\), found \(8, 40\)"),
        ({"flux": [[1.0], [1.0, 2.0]]}, r"flux: expected shape \(40, 'channels'\), found rows of different lengths"),
        ({"wavelength": [2.0, 2.3]}, "flux: expected 2 channels as in wavelength, found 8 channels"),
        ({"valid": np.zeros((40, 8), dtype=bool)}, "expected valid data, found none in 320 points: 320 masked"),
        ({"flux": np.full((40, 8), np.nan)}, "expected valid data, found none in 320 points: 0 masked, 320 with NaN"),
        ({"flux_err": np.zeros((40, 8))}, "expected valid data, found none .* 320 with no positive error"),
        ({"flux": _INFINITE}, "flux: expected finite numbers .* found inf at bin 3, channel 2"),
        ({"flux_err": _ERRORS}, "flux_err: expected finite numbers .* found inf at bin 1, channel 0"),
        ({"flux_err": visit()["flux_err"] * 1e4}, "flux_err: expected errors in the unit of flux, found all larger"),
        ({"flux": visit()["flux"] * -1.0}, "flux: expected a positive median in some of the extractor's channels"),
        ({"time": _BACKWARDS}, r"time: expected increasing, found .* then .* at bins 8, 9"),
        ({"time": _SECONDS}, r"time: expected hours, .* found 26325: minutes or seconds\?"),
        ({"time": _SECONDS / 86400.0}, r"time: expected hours, .* found 0.304688: days\?"),
        ({"time": [1.0]}, "time: expected 2 bins or more, found 1"),
        ({"time": np.where(np.arange(40) == 3, np.nan, visit()["time"])}, "time: expected finite hours, found 1"),
        ({"wavelength": 1e3 * np.array(WAVELENGTH)}, r"wavelength: expected um, found values round 2750: nm\?"),
        ({"wavelength": 1e-6 * np.array(WAVELENGTH)}, r"wavelength: expected um, found .* metres\?"),
        (
            {"wavelength": [5.0, 6.0]},
            "wavelength: expected channels within 0.0025 um of the extractor's, 0.7 to 3.8 um",
        ),
        ({"wavelength": [2.0, 2.001]}, "wavelength: expected one channel near 2.0000 um, found 2"),
        ({"wavelength": [2.0, np.nan]}, "wavelength: expected positive um, found nan"),
        ({"flux": np.full((40, 8), "1.0")}, "flux: expected numbers, found dtype <U3"),
        ({"flux": visit()["flux"] + 0j}, "flux: expected numbers, found dtype complex128"),
        ({"valid": np.full((40, 8), 2)}, "valid: expected true and false, found 2"),
        ({"valid": np.full((40, 8), 0.5)}, "valid: expected true and false, found 0.5"),
        ({"valid": np.full((40, 8), np.nan)}, "valid: expected true and false, found nan"),
        ({"valid": np.full((40, 8), "True")}, "valid: expected numbers, found dtype <U4"),
        ({"flux": _filled_with(-999.0)}, "flux: expected a star's flux, found -999 in 4 bins: mark missing bins"),
        ({"flux": _filled_with(1e30)}, r"flux: expected a star's flux, found 1e\+30 in 4 bins: mark missing bins"),
        ({"flux": _filled_with(0.0)}, "flux: expected a star's flux, found 0 in 4 bins"),
        ({"flux": _filled_with(-1.0, bins=30)}, "flux: expected a star's flux, found -1 in 30 bins"),
        ({"centroid": np.full((40, 4), np.inf)}, "centroid: expected finite px or NaN"),
        ({"spectrum": np.full(8, 1e4)}, r"spectrum: expected depths .* found 10000: ppm or percent\?"),
        ({"i": 1.55}, "i: expected degrees, 45 to 135, found 1.55"),
        ({"sma": 0.05}, r"sma: expected stellar radii, 1 to 1e\+06, found 0.05"),
        ({"flux": None}, r"expected time, flux and flux_err, missing \['flux'\]"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_planet(
    extractor: ArielFeatureExtractor, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatureError, match="^planet 342072318 visit 1: " + message):
        extractor([visit(1), visit(342072318, visit=1, **changes)])


def test_negative_noise_of_a_faint_channel_is_no_missing_flux(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    counts = np.round(3.0 * np.random.default_rng(4).standard_normal(40) + 1.0)  # so few that many are repeated
    row["flux"][:, 3], row["flux_err"][:, 3] = counts, 3.0
    assert (counts == -1.0).sum() >= 3
    assert extractor(row)["valid"].all()


def test_a_channel_that_never_has_flux_is_left_out(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    row["flux"][:, 3] = -999.0
    assert extractor(row)["valid"].all(1)[0].tolist() == [channel != 3 for channel in range(8)]


def test_visits_without_a_planet_are_named_by_their_place(extractor: ArielFeatureExtractor) -> None:
    nameless = {name: value for name, value in visit(flux=None).items() if name != "planet_id"}
    with pytest.raises(FeatureError, match=r"^visit 1 of the batch: expected time, flux"):
        extractor([visit(), nameless])


def test_a_visit_that_is_given_twice_is_named(extractor: ArielFeatureExtractor) -> None:
    numbered = "planet 7 visit 0: expected each visit once, found visit 0 twice"
    with pytest.raises(FeatureError, match=numbered):
        extractor([visit(), visit(seed=1), visit(seed=2, visit=1)])
    unnumbered = [{name: value for name, value in visit(seed=seed).items() if name != "visit"} for seed in (0, 1, 0)]
    assert extractor(unnumbered[:2])["planet"].tolist() == [0, 0]
    with pytest.raises(FeatureError, match="planet 7 visit 0: expected each visit once, found the same light curves"):
        extractor(unnumbered)
    with pytest.raises(FeatureError, match=r"planet 7 visit 5: .* the same light curves twice, also as visit 0"):
        extractor([visit(), visit(visit=5)])


def test_calls_that_cannot_be_meant_are_named(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    for arguments, message in (
        (([],), "rows: expected at least one visit, found none"),
        (("rows.parquet",), "rows: expected a row, a list of rows or a dictionary of columns"),
        (([row["flux"]],), r"rows: expected dictionaries, found \['ndarray'\]"),
        (({"flux": row["flux"]},), "time: expected bin centres, found None"),
        (
            ({"time": [row["time"]] * 2, "flux": [row["flux"]], "flux_err": [row["flux_err"]] * 2},),
            "flux: expected 2 vis",
        ),
        (({**row, "star": {"radius": 1.0}},), r"star: expected columns .* found \['radius'\]"),
        (({**row, "star": [1.0, 2.0]},), r"star: expected the 8 values .* found shape \(2,\)"),
    ):
        with pytest.raises(FeatureError, match=message):
            extractor(*arguments)
    with pytest.raises(FeatureError, match=r"found rows and \['flux'\]"):
        extractor(row, flux=row["flux"])
    with pytest.raises(FeatureError, match="return_tensors: expected 'pt' or 'np', found 'tf'"):
        extractor(row, return_tensors="tf")


@pytest.mark.parametrize(
    "settings",
    [
        {"wavelength": [3.0, 2.0]},
        {"wavelength": [700.0, 2000.0]},
        {"clip": 0.0},
        {"centroid_scale": [1.0, 1.0]},
        {"star_scale": [0.0] * 8},
    ],
)
def test_statistics_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(FeatureError, match=f"{next(iter(settings))}.*: expected"):
        ArielFeatureExtractor(**settings)
