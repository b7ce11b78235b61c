"""The columns of the `transients` dataset: the one source of the Features, the card's table and row checks.

Names and nesting are those of PLAsTiCC in the Multimodal Universe (arXiv:2412.02527) where it has the column. Times are
float64: in float32 an MJD has steps of 6 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hf_dataset.schema import Column

if TYPE_CHECKING:
    from datasets import Features

    from hf_dataset.store.parquet import RowFormat

BANDS = "ugrizy"  # of LSST, in ascending wavelength
LAYOUTS = ("mallorn", "simulated")
ROWS_PER_GROUP = 512  # about 2 MB decoded

CURVE: tuple[Column, ...] = (
    Column("band", "string", ("N",), "", "`u`, `g`, `r`, `i`, `z` or `y` of LSST"),
    Column("time", "float64", ("N",), "d", "MJD of the observation; in ascending order"),
    Column("flux", "float32", ("N",), "µJy", "flux in the difference image: negative where fainter than the reference"),
    Column("flux_err", "float32", ("N",), "µJy", "1σ of `flux`"),
)
COLUMNS: tuple[Column, ...] = (
    Column("object_id", "string", (), "", "name of the object"),
    Column("layout", "string", (), "", "`mallorn`: of the challenge; `simulated`: by this project"),
    Column("redshift", "float32", (), "", "spectroscopic in train, photometric in test", nullable=True),
    Column("redshift_err", "float32", (), "", "1σ of `redshift`; null for a spectroscopic one", nullable=True),
    Column("ebv", "float32", (), "mag", "E(B−V) of the Milky Way's dust, still in the fluxes", nullable=True),
    Column("spec_type", "string", (), "", "`TDE`, `AGN`, `SN Ia`, …; null where not known", nullable=True),
    Column("target", "int8", (), "", "1 for a tidal disruption event, else 0; null in test", nullable=True),
)


def features() -> Features:
    """`datasets.Features` of a row."""
    from datasets import Features, List, Value

    curve = {column.name: List(Value(column.dtype)) for column in CURVE}
    scalars = {column.name: Value(column.dtype) for column in COLUMNS}
    return Features({"object_id": scalars.pop("object_id"), "lightcurve": curve, **scalars})


def row_format() -> RowFormat:
    """How rows are checked and stored."""
    from hf_dataset.store.parquet import RowFormat

    schema = features().arrow_schema
    return RowFormat(
        schema=schema,
        check=check_row,
        to_table=lambda rows: to_table(rows, schema),
        rows_per_group=ROWS_PER_GROUP,
        floats=tuple(f"lightcurve.{column.name}.list.element" for column in CURVE if column.dtype != "string"),
    )


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table."""
    return pa.Table.from_arrays(
        [pa.array([row[field.name] for row in rows], type=field.type) for field in schema], schema=schema
    )


def check_row(row: Mapping[str, Any]) -> None:
    """Raise ValueError naming object, column, expected and found where `row` breaks the schema.

    A row is a dict of scalars, None where null, and of `lightcurve`, a dict of NumPy arrays (measurement,).
    """
    name = f"object {row.get('object_id')}"
    names = {column.name for column in COLUMNS} | {"lightcurve"}
    if set(row) != names:
        missing, extra = sorted(names - set(row)), sorted(set(row) - names)
        raise ValueError(f"{name}: expected the columns of the schema, missing {missing}, unknown {extra}")
    if row["layout"] not in LAYOUTS:
        raise ValueError(f"{name}: layout: expected one of {', '.join(LAYOUTS)}, found {row['layout']!r}")
    for column in COLUMNS:
        value = row[column.name]
        if value is None and not column.nullable:
            raise ValueError(f"{name}: {column.name}: expected a value, found none")
        if value is not None and column.dtype != "string" and not np.isfinite(value):
            raise ValueError(f"{name}: {column.name}: expected a finite number or None, found {value}")
    if row["target"] not in (None, 0, 1):
        raise ValueError(f"{name}: target: expected 0, 1 or None, found {row['target']}")
    _check_curve(row["lightcurve"], name)


def _check_curve(curve: Mapping[str, np.ndarray], name: str) -> None:
    if list(curve) != [column.name for column in CURVE]:
        raise ValueError(f"{name}: lightcurve: expected band, time, flux, flux_err, found {', '.join(curve)}")
    if len(lengths := {len(values) for values in curve.values()}) != 1 or lengths == {0}:
        raise ValueError(f"{name}: lightcurve: expected arrays of one length above 0, found {sorted(lengths)}")
    if wrong := sorted(set(map(str, curve["band"])) - set(BANDS)):
        raise ValueError(f"{name}: band: expected one of {', '.join(BANDS)}, found {', '.join(wrong)}")
    for column in CURVE[1:]:
        if not np.isfinite(curve[column.name]).all():
            raise ValueError(f"{name}: {column.name}: expected finite values, found others")
    if not (curve["flux_err"] > 0).all():
        raise ValueError(f"{name}: flux_err: expected positive errors, found others")
    if not (np.diff(curve["time"]) >= 0).all():
        raise ValueError(f"{name}: time: expected ascending times, found others")
