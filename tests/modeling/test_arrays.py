"""Arrays of other libraries mean what they meant there: masks, units, dates, labels, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time, TimeDelta
from astropy.utils.masked import Masked
from small_visits import BINS, CHANNELS, WAVELENGTH, visit
from tolerances import assert_close

from modeling_ariel.arrays import FeatureError
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

STAR = {"Rs": 1.1, "Ms": 1.0, "Ts": 5800.0, "Mp": 0.9, "e": 0.01, "P": 4.0, "sma": 9.0, "i": 88.0}
HIDDEN = np.zeros((BINS, CHANNELS), dtype=bool)
HIDDEN[3:6, 2] = True


@pytest.fixture(scope="module")
def extractor() -> ArielFeatureExtractor:
    return ArielFeatureExtractor(wavelength=WAVELENGTH)


def own(**changes: Any) -> dict[str, Any]:
    """A visit as arrays, with channels named."""
    row = visit()
    return {name: row[name] for name in ("time", "flux", "flux_err")} | {"wavelength": np.array(WAVELENGTH)} | changes


def assert_same(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6, equal_nan=True, msg=name)


@pytest.mark.parametrize("field", ["flux", "flux_err"])
@pytest.mark.parametrize("mask", [np.ma.array, Masked, lambda *a, **k: MaskedColumn(*a, **k, unit="adu")])
def test_masked_points_are_invalid(extractor: ArielFeatureExtractor, field: str, mask: Any) -> None:
    expected = own()
    expected[field][HIDDEN] = np.nan
    found = own()
    found[field] = mask(np.where(HIDDEN, 1e6, found[field]), mask=HIDDEN)
    if hasattr(found[field], "unit"):
        other = {"flux", "flux_err"} - {field}
        found |= {name: u.Quantity(found[name], u.adu) for name in other}
    batch = extractor(**found)
    assert batch["valid"].logical_not().nonzero()[:, 1:].tolist() == np.argwhere(HIDDEN).tolist()
    assert_same(batch, extractor(**expected))
    assert_same(extractor({name: [value] for name, value in found.items() if name != "wavelength"}),
                extractor({name: [value] for name, value in expected.items() if name != "wavelength"}))  # fmt: skip


def test_what_is_masked_in_valid_is_invalid_and_in_a_star_table_unknown(extractor: ArielFeatureExtractor) -> None:
    valid = np.ma.array(np.ones((BINS, CHANNELS)), mask=HIDDEN)
    assert_same(extractor(**own(valid=valid)), extractor(**own(valid=~HIDDEN)))
    table = Table(masked=True, data={name: [value] for name, value in STAR.items()})
    table["P"].mask = True
    unknown = STAR | {"P": np.nan}
    expected = extractor(**own(star=unknown))
    assert_same(extractor(**own(star={name: table[name][0] for name in STAR})), expected)
    assert_same(extractor(**own(star=np.ma.masked_invalid(list(unknown.values())))), expected)


@pytest.mark.parametrize("field", ["time", "wavelength"])
def test_masked_times_and_wavelengths_are_named(extractor: ArielFeatureExtractor, field: str) -> None:
    value = own()[field]
    mask = np.arange(len(value)) == 2
    for masked in (np.ma.array(value, mask=mask), Masked(value, mask=mask)):
        message = f"{field}: expected all of its values, found 1 of {len(value)} masked"
        with pytest.raises(FeatureError, match=message):
            extractor(**own(**{field: masked}))


def test_units_are_converted(extractor: ArielFeatureExtractor) -> None:
    row = own(star=STAR)
    expected = extractor(**row)
    table = QTable({"time": (row["time"] * u.h).to(u.day), "flux": row["flux"] * u.electron})
    given = {
        "time": table["time"],
        "flux": table["flux"],
        "flux_err": (row["flux_err"] * u.electron).to(1e3 * u.electron),
        "wavelength": (row["wavelength"] * u.um).to(u.nm),
        "star": {
            "Rs": (1.1 * u.R_sun).to(u.km),
            "Ms": 1.0 * u.M_sun,
            "Ts": 5800.0 * u.K,
            "Mp": (0.9 * u.M_jup).to(u.kg),
            "e": 0.01 * u.dimensionless_unscaled,
            "P": (4.0 * u.day).to(u.s),
            "sma": 9.0,
            "i": (88.0 * u.deg).to(u.rad),
        },
    }
    assert_same(extractor(**given), expected)
    columns = Table({"time": table["time"], "flux": table["flux"]})  # columns with a unit are no quantities
    assert_same(extractor(**given | {name: columns[name] for name in columns.colnames}), expected)
    assert_same(extractor(**given | {"time": row["time"] * 3600.0 * u.s}), expected)
    pair = {name: u.Quantity([given[name]] * 2) for name in ("time", "flux", "flux_err")}
    assert extractor(**pair)["flux"].shape == (2, BINS, CHANNELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": own()["time"] * u.um}, "time: expected a unit of time, found um"),
        (
            {"time": u.Quantity(own()["time"], u.Unit("BJD", parse_strict="silent"))},
            "time: expected a unit of time, found BJD",
        ),
        ({"wavelength": WAVELENGTH * u.GHz}, "wavelength: expected a unit of length, found GHz"),
        (
            {"flux": own()["flux"] * u.electron, "flux_err": own()["flux_err"] * u.Jy},
            "flux_err: expected a unit that converts to that of flux, electron, found Jy",
        ),
        ({"flux": own()["flux"] * u.electron}, "flux_err: expected the unit of flux, electron, found none"),
        ({"flux": own()["flux"] * u.mag}, r"flux: expected a flux, found magnitudes \(mag\)"),
        ({"star": {"sma": 9.0 * u.R_sun}}, "sma: expected stellar radii, which have no unit, found solRad"),
        ({"star": {"P": 96.0 * u.K}}, "P: expected a unit of time, found K"),
        ({"star": {"P": 400.0 * u.us}}, "P: expected days"),
        ({"time": [hours * u.h for hours in own()["time"]]}, "time: expected one array, found a list of Quantity"),
        (
            {"flux": list(np.ma.array(own()["flux"], mask=HIDDEN))},
            "flux: expected one array, found a list of MaskedArray",
        ),
    ],
)
def test_units_that_cannot_be_meant_are_named(
    extractor: ArielFeatureExtractor, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        extractor(**own(**changes))


def test_dates_are_hours_after_the_first_exposure(extractor: ArielFeatureExtractor) -> None:
    step = 1e-3 * u.s
    dates = Time(2462502.7, format="jd", scale="tdb") + (np.arange(BINS) * 0.19 * u.h + np.arange(BINS) * step)
    hours = np.arange(BINS) * (0.19 + 1e-3 / 3600.0)
    for given in (dates, TimeDelta(hours * u.h) + 5.0 * u.day):
        found = extractor.visit(own(time=given)).time
        np.testing.assert_allclose(found, hours, rtol=0, atol=1e-9)  # h: 4 microseconds
    pair = own(time=Time(np.stack([dates.jd1] * 2), np.stack([dates.jd2] * 2), format="jd"))
    batch = extractor(**pair | {name: [pair[name]] * 2 for name in ("flux", "flux_err")})
    assert_close(batch["time"].numpy(), np.stack([hours] * 2))
    hidden = Masked(dates.jd1, mask=np.arange(BINS) == 4)
    with pytest.raises(FeatureError, match="time: expected all of its values, found 1 of 40 masked"):
        extractor(**own(time=Time(hidden, format="jd", scale="tdb")))


def test_columns_of_a_filtered_frame_are_taken_by_place(extractor: ArielFeatureExtractor) -> None:
    row = own()
    kept = row["time"] > 1.0
    expected = extractor(**{name: value if name == "wavelength" else value[kept] for name, value in row.items()})
    table = pd.DataFrame(row["flux"]).assign(time=row["time"], other=1)[kept]
    flux = table[list(range(CHANNELS))]
    assert 0 not in table.index
    given = {"flux": flux, "flux_err": row["flux_err"][kept], "wavelength": pd.Series(WAVELENGTH, range(5, 13))}
    assert_same(extractor(time=table["time"], **given), expected)
    assert_same(extractor(time=table["time"].astype("Float64"), **given), expected)
    polars = pl.DataFrame({"time": row["time"]}).filter(pl.col("time") > 1.0)
    assert_same(extractor(time=polars["time"], **given | {"wavelength": pl.Series(WAVELENGTH)}), expected)
    stacks = {name: [row[name]] * 2 for name in ("time", "flux", "flux_err")} | {"planet_id": [4, 5]}
    cells = pd.DataFrame({name: pd.Series(list(value), [7, 9]) for name, value in stacks.items()})
    assert_same(extractor(dict(cells.items())), extractor(**stacks))


def test_the_order_of_channels_does_not_matter(extractor: ArielFeatureExtractor) -> None:
    row = own(spectrum=np.linspace(0.01, 0.012, CHANNELS), valid=~HIDDEN)
    expected = extractor(**row)
    for order in (slice(None, None, -1), [*range(1, CHANNELS), 0], np.random.default_rng(1).permutation(CHANNELS)):
        moved = {name: value if name == "time" else value[..., order] for name, value in row.items()}
        assert_same(extractor(**moved), expected)


@pytest.mark.parametrize("field", ["time", "flux", "flux_err"])
def test_half_precision_is_refused(extractor: ArielFeatureExtractor, field: str) -> None:
    value = own()[field]
    half = np.minimum(value, 6e4).astype(np.float16)
    tensor = torch.as_tensor(value)
    for given, found in ((half, "float16"), (list(half), "float16"), (tensor.half(), "float16"),
                         (tensor.bfloat16(), "bfloat16")):  # fmt: skip
        with pytest.raises(FeatureError, match=f"{field}: expected float32 or float64, found {found}"):
            extractor(**own(**{field: given}))
