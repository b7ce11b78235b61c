"""The dataset's columns."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hf_dataset import schema


def make_row(n_bins: int = 8) -> dict:
    row = {
        "planet_id": 7,
        "visit": 0,
        "layout": "simulated",
        "time": np.arange(n_bins, dtype="float32"),
        "flux": np.ones((n_bins, schema.N_CHANNELS), "float32"),
        "flux_err": np.ones((n_bins, schema.N_CHANNELS), "float32"),
        "valid": np.ones((n_bins, schema.N_CHANNELS), bool),
        "centroid": np.zeros((n_bins, 4), "float32"),
        "star": -1,
        "spectrum": None,
        "calibration": "[]",
    }
    return row | {name: np.float32("nan") for name in schema.STAR_COLUMNS}


def test_a_row_of_the_schema_passes_and_becomes_features() -> None:
    schema.check_row(make_row(), 8)
    assert list(schema.features(8)) == [column.name for column in schema.COLUMNS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flux": np.ones((7, 283), "float32")}, "flux: expected shape (8, 283), found (7, 283)"),
        ({"flux": np.ones((8, 283))}, "flux: expected float32, found float64"),
        ({"flux": np.full((8, 283), np.nan, "float32")}, "flux: expected finite"),
        ({"flux_err": np.zeros((8, 283), "float32")}, "flux_err: expected positive"),
        ({"time": np.zeros(8, "float32")}, "time: expected increasing"),
        ({"layout": "2023"}, "expected layout"),
        ({"spectrum": np.zeros(283, "float32")}, "spectrum: expected positive finite depths"),
        ({"bogus": 1}, "unknown ['bogus']"),
    ],
)
def test_a_wrong_row_is_refused_with_planet_column_expected_and_found(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"planet 7 visit 0: .*{re.escape(message)}"):
        schema.check_row(make_row() | change, 8)


def test_time_axis_longer_than_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="time"):
        schema.check_row(make_row(9), 8)
