"""A user's transient: a CSV of one object with a row for each measurement, LSST's or ZTF's bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modeling_ariel.transients.curves import read_curve, rows_of
from modeling_ariel.transients.surveys import flux_of_magnitude
from uploads.limits import MB, UploadError, refuse_damaged
from uploads.tables import as_numbers

MAX_BYTES = 5 * MB
FEWEST, MOST = 8, 5_000  # measurements
MOST_BANDS = 12
TEXT = ("object_id", "band")
NUMBERS = ("time", "wavelength", "flux", "flux_err", "magnitude", "magnitude_err", "redshift", "ebv")
PREFIX = "z"  # of ZTF's bands where they are called zg, zr, zi
LIMITS_TEXT = (
    "CSV of one object, a row a measurement: `band` (or `wavelength` [Å]), `time` [MJD], `flux` and `flux_err` [µJy] "
    "or `magnitude` and `magnitude_err` [AB]; optionally `object_id`, `redshift`, `ebv`. Fluxes are differences to a "
    f"reference image. {FEWEST} to {MOST:,} measurements, {MAX_BYTES // MB} MB. It is seen by you alone."
)


def read_table(path: Path, survey: str) -> dict[str, Any]:
    """The fields of the file's curve, whose bands are the survey's ("lsst", "ztf"); UploadError."""
    with refuse_damaged("a table with commas"):
        table = pd.read_csv(
            path,
            comment="#",
            nrows=MOST + 1,
            index_col=False,
            dtype=dict.fromkeys(TEXT, "string"),
            encoding="utf-8-sig",
        )
    table.columns = [str(name).strip().lower() for name in table.columns]
    if not FEWEST <= len(table) <= MOST:
        raise UploadError(f"expected {FEWEST} to {MOST:,} measurements, found {_count(len(table))}.")
    columns = {name: table[name].to_numpy() for name in TEXT if name in table}
    columns |= {name: as_numbers(name, table[name]) for name in NUMBERS if name in table}
    columns.setdefault("object_id", np.array("unnamed"))
    if survey == "ztf" and "band" in columns:
        columns["band"] = np.array([str(band).strip().removeprefix(PREFIX) for band in columns["band"]])
    try:
        if "flux" not in columns and {"magnitude", "magnitude_err"} <= set(columns):
            columns["flux"], columns["flux_err"] = flux_of_magnitude(columns["magnitude"], columns["magnitude_err"])
        rows = rows_of({name: values for name, values in columns.items() if not name.startswith("magnitude")})
        curve = read_curve(rows[0], survey)
    except ValueError as error:
        raise UploadError(f"{error}.") from None
    if len(rows) > 1:
        raise UploadError(f"expected one object, found {len(rows)}: leave one object_id in the file.")
    if len(curve) < FEWEST or (bands := len(np.unique(curve.wavelength))) > MOST_BANDS:
        found = f"{len(curve)} with a flux" if len(curve) < FEWEST else f"{bands} bands"
        raise UploadError(f"expected {FEWEST} or more measurements in at most {MOST_BANDS} bands, found {found}.")
    return vars(curve)


def _count(rows: int) -> str:
    return f"more than {MOST:,}" if rows > MOST else str(rows)
