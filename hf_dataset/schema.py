"""The columns of the `light_curves` dataset: the one source of the Features, the card's table and row checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Features

N_CHANNELS = 283  # FGS1, then the 282 labelled AIRS-CH0 channels in ascending wavelength
DEFAULT_BINS = 375  # 15 AIRS and 180 FGS1 exposures a bin on a full 7.5 h visit
LAYOUTS = ("2024", "2025", "simulated", "given")
STAR_COLUMNS = ("Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")


@dataclass(frozen=True)
class Column:
    """One column: `shape` uses T for time bins and C for the 283 channels; () is a scalar."""

    name: str
    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    meaning: str
    nullable: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("planet_id", "int64", (), "", "planet of the challenge folder"),
    Column("visit", "int32", (), "", "visit number, 0 for the first; all visits of a planet are in one split"),
    Column(
        "layout",
        "string",
        (),
        "",
        "`2024`, `2025`: the challenge's; `simulated`; `given`: simulated for given spectra",
    ),
    Column("time", "float32", ("T",), "h", "bin centres, from the first exposure"),
    Column("flux", "float32", ("T", "C"), "e-/exposure", "mean of the good exposures in the bin"),
    Column("flux_err", "float32", ("T", "C"), "e-/exposure", "1σ of `flux`: photon, dark and read noise"),
    Column("valid", "bool", ("T", "C"), "", "false where the bin has too little good data"),
    Column("centroid", "float32", ("T", 4), "px", "FGS1 y, x and AIRS y, dispersion shift, relative to their medians"),
    Column("star", "int32", (), "", "star index of the 2024 ADC table, −1 where there is none"),
    Column("Rs", "float32", (), "R☉", "stellar radius, NaN where the layout has none"),
    Column("Ms", "float32", (), "M☉", "stellar mass, NaN where none"),
    Column("Ts", "float32", (), "K", "stellar effective temperature, NaN where none"),
    Column("Mp", "float32", (), "M_J by its values", "planet mass as given (the data page says M⊕), NaN where none"),
    Column("e", "float32", (), "", "eccentricity, NaN where none"),
    Column("P", "float32", (), "d", "orbital period, NaN where none"),
    Column("sma", "float32", (), "Rs", "semi-major axis in stellar radii, NaN where none"),
    Column("i", "float32", (), "deg", "inclination, NaN where none"),
    Column("spectrum", "float32", ("C",), "(Rp/Rs)²", "the true transit depths; null where unlabelled", nullable=True),
    Column("calibration", "string", (), "", "JSON log of the calibration steps: parameters and effect"),
)


def shape_of(column: Column, n_bins: int) -> tuple[int, ...]:
    """The shape of a column's values with `n_bins` time bins; () for a scalar."""
    sizes = {"T": n_bins, "C": N_CHANNELS}
    return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in column.shape)


def features(n_bins: int = DEFAULT_BINS) -> Features:
    """`datasets.Features` of a light-curve row with `n_bins` time bins."""
    # importing `datasets` takes a second, and the reduction only needs the names above
    from datasets import Array2D, Features, List, Value

    def feature(column: Column) -> Array2D | List | Value:
        shape = shape_of(column, n_bins)
        if len(shape) == 2:
            return Array2D(shape, column.dtype)
        if len(shape) == 1:
            # a null spectrum can't be stored in a fixed-size list without a length, so it is a plain list
            return List(Value(column.dtype), -1 if column.nullable else shape[0])
        return Value(column.dtype)

    return Features({column.name: feature(column) for column in COLUMNS})


def check_row(row: Mapping[str, Any], n_bins: int) -> None:
    """Raise ValueError naming planet, column, expected and found where `row` breaks the schema.

    A row is a dict of NumPy arrays and scalars; `spectrum` may be None.
    """
    planet = f"planet {row.get('planet_id')} visit {row.get('visit')}"
    names = [column.name for column in COLUMNS]
    if set(row) != set(names):
        missing, extra = sorted(set(names) - set(row)), sorted(set(row) - set(names))
        raise ValueError(f"{planet}: expected the columns of the schema, missing {missing}, unknown {extra}")
    if row["layout"] not in LAYOUTS:
        raise ValueError(f"{planet}: expected layout in {LAYOUTS}, found {row['layout']!r}")
    for column in COLUMNS:
        value = row[column.name]
        if value is None and column.nullable:
            continue
        shape = shape_of(column, n_bins)
        if np.shape(value) != shape:
            raise ValueError(f"{planet}: {column.name}: expected shape {shape}, found {np.shape(value)}")
        if shape and np.asarray(value).dtype != np.dtype(column.dtype):
            raise ValueError(f"{planet}: {column.name}: expected {column.dtype}, found {np.asarray(value).dtype}")
    _check_values(row, planet)


def _check_values(row: Mapping[str, Any], planet: str) -> None:
    for name in ("time", "flux", "centroid"):
        if not np.isfinite(row[name]).all():
            raise ValueError(
                f"{planet}: {name}: expected finite values, found {np.sum(~np.isfinite(row[name]))} that are not"
            )
    err = np.asarray(row["flux_err"])[np.asarray(row["valid"])]
    if not (np.isfinite(err).all() and (err > 0).all()):
        raise ValueError(f"{planet}: flux_err: expected positive finite errors in valid bins, found others")
    if row["spectrum"] is not None and not (np.isfinite(row["spectrum"]).all() and (row["spectrum"] > 0).all()):
        raise ValueError(f"{planet}: spectrum: expected positive finite depths, found others")
    if not (np.diff(row["time"]) > 0).all():
        raise ValueError(f"{planet}: time: expected increasing bin centres")
