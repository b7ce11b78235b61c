"""Anybody's tables of transients as checked light curves: an object a row, or a measurement a row."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .surveys import SHORTEST, SURVEYS, extinction

Array = NDArray[np.float64]

FIELDS = ("time", "flux", "flux_err")
SCALARS = ("redshift", "ebv")
MJD = (30_000.0, 100_000.0)  # the years 1941 to 2132: days of another count are outside
LONGEST = 50_000.0  # A
_MOST = {"redshift": 20.0, "ebv": 10.0}
_UNITS = {"wavelength": "AA", "flux": "uJy", "flux_err": "uJy"}  # what astropy calls them
_NO_NAMES = ("", "nan", "None", "<NA>")


class CurveError(ValueError):
    """Light curves that cannot be meant."""


@dataclass(frozen=True)
class Curve:
    """A transient as it is used, in the order of time.

    ``time`` (N,) [MJD]; ``wavelength`` (N,) [A] observed; ``flux``, ``flux_err`` (N,) [uJy], the dust of the Milky Way
    taken off; ``redshift`` and ``ebv`` [mag], NaN where unknown.
    """

    name: str
    time: Array
    wavelength: Array
    flux: Array
    flux_err: Array
    redshift: float = np.nan
    ebv: float = np.nan

    def __len__(self) -> int:
        """Number of measurements."""
        return len(self.time)

    def take(self, which: Any, **changes: Any) -> "Curve":
        """The measurements ``which`` (indices or a mask), with ``changes`` of what is left."""
        arrays = {name: getattr(self, name)[which] for name in (*FIELDS, "wavelength")}
        return replace(self, **(arrays | changes))


def rows_of(table: Any) -> list[dict[str, Any]]:
    """Rows, an object each, of whatever holds them.

    A row, a list of rows or a batch of the dataset (``object_id``, ``lightcurve`` of ``band``, ``time``, ``flux``,
    ``flux_err``), or columns with a measurement a row (``object_id`` where there are several, ``band`` or
    ``wavelength``, ``time``, ``flux``, ``flux_err`` and, the same along an object, ``redshift``, ``ebv``): a mapping or
    a data frame of pandas, Polars or Arrow, or a table of astropy.

    Raises:
        CurveError: no such table, measurements of no object, or an object in two places.
    """
    rows = list(_rows(table))
    for name, count in Counter(str(row["object_id"]) for row in rows if "object_id" in row).most_common(1):
        if count > 1:
            raise CurveError(f"object {name}: expected in one row or table, found in {count}")
    return rows


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    if isinstance(table, list | tuple):
        for one in table:
            yield from _rows(one)
        return
    columns = _columns(table)
    if "lightcurve" in columns:
        batch = isinstance(columns["lightcurve"], list | tuple)
        yield from _unbatched(columns) if batch else (columns,)
        return
    if missing := [name for name in FIELDS if name not in columns]:
        raise CurveError(f"table: expected the columns {', '.join(FIELDS)}, missing {', '.join(missing)}")
    yield from _grouped(columns)


def _columns(table: Any) -> dict[str, Any]:
    if isinstance(table, Mapping):
        return dict(table)
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    if names is None:
        raise CurveError(f"table: expected rows, columns or a data frame, found {type(table).__name__}")
    index = [name for name in getattr(getattr(table, "index", None), "names", ()) if name and name not in names]
    if index:  # of pandas: set_index("object_id")
        table, names = table.reset_index(index), [*index, *names]
    return {str(name): list(table[name]) if name == "lightcurve" else _array(name, table[name]) for name in names}


def _array(name: str, values: Any) -> NDArray[Any]:
    """A column as an array: NaN where it is masked, in our unit where astropy gives it another."""
    if name in _UNITS and getattr(values, "unit", None) is not None:
        try:
            values = getattr(values, "quantity", values).to(_UNITS[name])
        except (TypeError, ValueError) as error:
            raise CurveError(f"table: {name}: expected a unit as {_UNITS[name]}, found {values.unit}") from error
    if np.ma.isMaskedArray(values):
        return np.asarray(np.ma.filled(values.astype(object), np.nan))
    return np.asarray(values)


def _unbatched(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place in range(len(columns["lightcurve"])):
        yield {name: values[place] for name, values in columns.items()}


def _grouped(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects of a table with a measurement a row, in order of appearance."""
    size = np.size(columns["time"])
    arrays = {name: _array(name, values) for name, values in columns.items()}
    for name, values in arrays.items():
        if values.ndim > 1 or (values.ndim == 1 and len(values) != size):
            raise CurveError(f"table: {name}: expected {size} values, as of time, found shape {values.shape}")
    named = "object_id" in arrays
    names = np.broadcast_to(arrays.pop("object_id", np.array("0")), size).astype(str)
    if (unnamed := np.isin(names, _NO_NAMES)).any():
        raise CurveError(f"table: object_id: expected a name in each row, found none in {unnamed.sum()} of {size}")
    _, first, of = np.unique(names, return_index=True, return_inverse=True)
    for group in np.argsort(first):
        mine = np.flatnonzero(of == group)
        own = {key: values if values.ndim == 0 else values[mine] for key, values in arrays.items()}
        scalars = {key: own.pop(key) for key in list(own) if key not in (*FIELDS, "band", "wavelength")}
        for key in SCALARS:
            given = set(map(str, np.ravel(scalars.get(key, ()))))
            if len(given) > 1:
                raise CurveError(f"object {names[mine[0]]}: {key}: expected one value, found {len(given)}")
        alone = {key: values.item() if values.ndim == 0 else values[0] for key, values in scalars.items()}
        yield {**alone, **({"object_id": str(names[mine[0]])} if named else {}), "lightcurve": own}


def read_curve(row: Mapping[str, Any], survey: str, place: int = 0) -> Curve:
    """A row as a checked curve; measurements without a flux (NaN) are left out.

    Args:
        row: of :func:`rows_of`. ``wavelength`` [A] goes before ``band``.
        survey: of SURVEYS, whose bands are meant.
        place: by which errors name it where it has no ``object_id``.

    Raises:
        CurveError: what cannot be meant, by object and field.
    """
    name = f"object {row.get('object_id', place)}"
    measured = row["lightcurve"]
    if not isinstance(measured, Mapping):
        raise CurveError(f"{name}: lightcurve: expected band, time, flux and flux_err, found {type(measured).__name__}")
    if missing := [field for field in FIELDS if measured.get(field) is None]:
        raise CurveError(f"{name}: lightcurve: expected time, flux and flux_err, missing {', '.join(missing)}")
    time, flux, error = (_numbers(name, field, measured[field]) for field in FIELDS)
    wavelength = _wavelength(name, measured, survey)
    if len(lengths := {len(values) for values in (time, flux, error, wavelength)}) != 1:
        raise CurveError(f"{name}: lightcurve: expected as many values of each field, found {sorted(lengths)}")
    kept = ~np.isnan(flux)
    time, flux, error, wavelength = (values[kept] for values in (time, flux, error, wavelength))
    _check(name, time, flux, error)
    redshift, ebv = (_scalar(name, field, row.get(field)) for field in SCALARS)
    dust = 10 ** (0.4 * np.nan_to_num(ebv) * extinction(wavelength))
    order = np.lexsort((flux, wavelength, time))
    return Curve(name, time, wavelength, flux * dust, error * dust, redshift, ebv).take(order)


def _numbers(name: str, field: str, values: Any) -> Array:
    try:
        found = np.asarray(_array(field, values), np.float64)
    except (TypeError, ValueError) as error:
        raise CurveError(f"{name}: {field}: expected numbers, found others: {error}") from error
    if found.ndim != 1:
        raise CurveError(f"{name}: {field}: expected one value a measurement, found shape {found.shape}")
    return found


def _wavelength(name: str, measured: Mapping[str, Any], survey: str) -> Array:
    """(N,) [A] of the measurements."""
    if measured.get("wavelength") is not None:
        found = _numbers(name, "wavelength", measured["wavelength"])
        if not ((found >= SHORTEST) & (found <= LONGEST)).all():
            raise CurveError(f"{name}: wavelength: expected {SHORTEST:g} to {LONGEST:g} Angstrom, found others")
        return found
    if survey not in SURVEYS:
        raise CurveError(f"survey: expected one of {', '.join(SURVEYS)}, or a column wavelength, found {survey!r}")
    if measured.get("band") is None:
        raise CurveError(f"{name}: lightcurve: expected a band or a wavelength, found neither")
    known = SURVEYS[survey]
    bands = [str(band).strip() for band in measured["band"]]
    if unknown := sorted(set(bands) - set(known)):
        raise CurveError(
            f"{name}: band: expected one of {', '.join(known)} ({survey}), found {', '.join(unknown[:3])}; other bands "
            "need a column wavelength [A]"
        )
    return np.array([known[band] for band in bands])


def _check(name: str, time: Array, flux: Array, error: Array) -> None:
    if not len(time):
        raise CurveError(f"{name}: flux: expected measurements, found none")
    if (outside := time[~((time >= MJD[0]) & (time <= MJD[1]))]).size:
        hint = " (JD - 2400000.5)" if 2.4e6 < outside[0] < 2.5e6 else ""
        raise CurveError(f"{name}: time: expected MJD of {MJD[0]:g} to {MJD[1]:g}{hint}, found {outside[0]:g}")
    if np.isinf(flux).any():
        raise CurveError(f"{name}: flux: expected finite uJy, found infinite ones")
    if not (np.isfinite(error) & (error > 0)).all():
        raise CurveError(f"{name}: flux_err: expected errors above 0, found others")


def _scalar(name: str, field: str, value: Any) -> float:
    """A number, NaN where it is unknown."""
    try:
        found = np.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise CurveError(f"{name}: {field}: expected a number, found {value!r}") from error
    if found < 0 or found > _MOST[field]:
        raise CurveError(f"{name}: {field}: expected 0 to {_MOST[field]:g}, found {found:g}")
    return found


def feature_rows(names: Sequence[str], features: Any, objects: Sequence[str]) -> Array:
    """(B, F) features of objects: rows of an array as they are, or of a mapping from object_id, NaN where it has none.

    Raises:
        CurveError: another number of rows or of features, or a mapping from other objects alone.
    """
    if isinstance(features, Mapping):
        known = {str(name): values for name, values in features.items()}
        if known and known.keys().isdisjoint(objects):
            raise CurveError(f"features: expected those of object {objects[0]} …, found object {next(iter(known))} …")
        missing = np.full(len(names), np.nan)
        features = [known.get(name, missing) for name in objects]
    found = np.asarray(features, np.float64)
    if found.shape != (len(objects), len(names)):
        raise CurveError(f"features: expected shape {(len(objects), len(names))}, found {found.shape}")
    return found
