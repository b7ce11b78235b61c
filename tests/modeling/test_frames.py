"""Long tables: what their columns mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
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
