"""Long tables: what their columns mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from modeling_ariel.arrays import FeatureError
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.frames import rows_of


def long_table(**columns: object) -> pd.DataFrame:
    """Three times at two wavelengths."""
    time, wavelength = np.repeat([0.0, 1.0, 2.0], 2), np.tile([0.7, 2.0], 3)
    return pd.DataFrame(
        {"time_h": time, "wavelength_um": wavelength, "flux": np.arange(6) + 10.0, "flux_err": np.ones(6)} | columns
    )


@pytest.mark.parametrize("made", [pd.DataFrame, lambda frame: pl.from_pandas(frame)], ids=["pandas", "Polars"])
def test_points_that_the_table_calls_invalid_are_not_used(made: type) -> None:
    valid = np.array([True, False, True, True, True, True])
    (row,) = rows_of(made(long_table(valid=valid)))
    np.testing.assert_array_equal(row["valid"], valid.reshape(3, 2))


def test_a_column_that_lost_its_digits_or_its_meaning_is_refused() -> None:
    with pytest.raises(FeatureError, match="column flux: expected float32 or float64, found float16"):
        rows_of(long_table(flux=np.arange(6, dtype=np.float16)))
    frame = long_table(valid=np.arange(6)).assign(time_h=np.repeat([0.0, 1.0, 2.0], 2))
    with pytest.raises(FeatureError, match="visit 0: valid: expected true and false, found 2"):
        ArielFeatureExtractor(wavelength=[0.7, 2.0])(rows_of(frame))


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: pl.from_pandas(frame).lazy(),
        pa.Table.from_pandas,
        lambda frame: frame.set_index(["time_h", "wavelength_um"]),
        lambda frame: frame.assign(time_h=pd.to_timedelta(frame["time_h"], unit="h")),
        lambda frame: frame.assign(time_h=pd.Timestamp("2031-01-01") + pd.to_timedelta(frame["time_h"], unit="h")),
        lambda frame: frame.astype({"wavelength_um": "category"}),
    ],
    ids=["a Polars query", "Arrow", "an index", "durations", "dates", "categories"],
)
def test_a_table_of_any_kind_is_the_same_rows(made: Any) -> None:
    (expected,), (found,) = rows_of(long_table()), rows_of(made(long_table()))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (long_table().rename(columns={"time_h": "time"}), "missing time_h, found flux, flux_err, time, wavelength_um"),
        (pd.concat([long_table(), long_table()[["flux"]]], axis=1), "expected each column once, found flux 2 times"),
        (pd.concat({"a": long_table()}, axis=1), "missing time_h, wavelength_um, flux, flux_err, found none"),
        (long_table(flux=np.arange(6) + 1j), "column flux: expected numbers, found dtype complex128"),
        (long_table(visit=0.5), "column visit: expected whole numbers, found 0.5 in 6 rows"),
    ],
    ids=["time", "a column twice", "two levels", "complex", "half a visit"],
)
def test_columns_that_cannot_be_meant_are_named(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        rows_of(frame)
