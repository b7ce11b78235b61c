"""Light curves in a data frame, as the rows that the feature extractor takes.

Only methods common to pandas and Polars are used, so neither is imported.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, FeatureError, by_place, hours, refuse_half
from .columns import STAR_COLUMNS

LONG = ("time_h", "wavelength_um", "flux", "flux_err")  # a row a point
WIDE = ("time", "flux", "flux_err")  # a row a visit
_FEWEST_FILLED = 0.2  # of the grid time x wavelength: less is no grid


def unframed(rows: Any) -> Any:
    """A row a visit of a data frame, or of an iterable of them, as `datasets` gives; what is none as it is."""
    if hasattr(rows, "columns") or hasattr(rows, "collect"):
        return rows_of(rows)
    if isinstance(rows, Mapping | str) or not isinstance(rows, Iterable):
        return rows
    listed = list(rows)
    if listed and all(hasattr(row, "columns") for row in listed):
        return [row for frame in listed for row in rows_of(frame)]
    return listed


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """A row a visit, from a long table or from the dataset's own columns; without the truth.

    A long table has LONG, and may have ``planet_id``, ``visit``, ``valid`` and the star table's columns.
    Points that are not there, or not valid, or whose flux or error is NaN, are invalid.
    """
    frame = _eager(frame)
    names = _names(frame)
    if names.issuperset(WIDE) and (not len(frame) or hasattr(by_place(frame["time"])[0], "__len__")):
        values = {name: [_dense(value) for value in frame[name].to_list()] for name in sorted(names)}
        return [{name: column[row] for name, column in values.items()} for row in range(len(frame))]
    if missing := [name for name in LONG if name not in names]:
        raise FeatureError(
            f"frame: expected columns {', '.join(LONG)} (a row a point) or {', '.join(WIDE)} "
            f"(a row a visit), missing {', '.join(missing)}, found {', '.join(sorted(names)) or 'none'}"
        )
    if not len(frame):
        raise FeatureError("frame: expected light curves, found no rows")
    return _rows_of_points(frame, names)


def _eager(frame: Any) -> Any:
    """A Polars query carried out, an Arrow table as pandas', and what is pandas' index among the columns."""
    if hasattr(frame, "collect"):
        frame = frame.collect()
    if hasattr(frame, "column_names") and hasattr(frame, "to_pandas"):
        frame = frame.to_pandas()
    known = {*LONG, *WIDE, *STAR_COLUMNS, "planet_id", "visit", "valid"} - {*map(str, frame.columns)}
    levels = [name for name in getattr(getattr(frame, "index", None), "names", ()) if name in known]
    return frame.reset_index(level=levels) if levels else frame


def _names(frame: Any) -> set[str]:
    """Names of the columns that may be read; FeatureError where they are no columns."""
    found = [str(name) for name in frame.columns if isinstance(name, str)]
    if twice := sorted(name for name in set(found) if found.count(name) > 1):
        raise FeatureError(f"frame: expected each column once, found {twice[0]} {found.count(twice[0])} times")
    if wrong := [name for name in sorted(found) if not hasattr(frame[name], "to_list")]:
        raise FeatureError(
            f"frame: expected a pandas or Polars frame, found {type(frame).__name__}: give its columns by name, "
            f"as {wrong[0]}=table[{wrong[0]!r}]"
        )
    return set(found) - {"spectrum"}


def _rows_of_points(frame: Any, names: set[str]) -> list[dict[str, Any]]:
    """Visits of a long table: planets in order of appearance, each one's visits by number."""
    planets = frame["planet_id"].to_list() if "planet_id" in names else [None] * len(frame)
    kept = [name for name in (*LONG, "valid", "visit", *STAR_COLUMNS) if name in names]
    for name, field in zip(LONG, ("time", "wavelength", "flux", "flux_err"), strict=True):
        if str(frame[name].dtype).lower() == "float16":
            refuse_half(f"column {name}", field, "float16")
    columns = {name: _column(name, by_place(frame[name]), planets) for name in kept}
    for name in ("time_h", "wavelength_um", "visit"):
        values = columns.get(name, np.zeros(1))
        kind = "whole" if name == "visit" else "finite"
        wrong = np.flatnonzero(~np.isfinite(values) | ((kind == "whole") & (values != np.floor(values))))
        if wrong.size:
            found = values[wrong[0]]
            raise FeatureError(
                f"{_named(planets[wrong[0]])}column {name}: expected {kind} numbers, found {found} "
                f"in {wrong.size} rows, the first is row {wrong[0]}"
            )
    places: dict[Any, list[int]] = {}
    for place, planet in enumerate(planets):
        places.setdefault(planet, []).append(place)
    if "planet_id" in names and (unknown := [one for one in places if one is None or one != one]):
        raise FeatureError(f"column planet_id: expected an id in each row, found {unknown[0]}")
    rows = []
    for planet, own in places.items():
        of_planet = {name: values[own] for name, values in columns.items()}
        visits = of_planet.get("visit", np.zeros(len(own)))
        for visit in np.unique(visits):
            points = {name: values[visits == visit] for name, values in of_planet.items()}
            about = _named(planet, visit)
            star = {name: _constant(about, name, points[name]) for name in STAR_COLUMNS if name in points}
            # without ids all rows are of one planet
            rows.append({"planet_id": 0 if planet is None else planet, "visit": int(visit), **star})
            rows[-1] |= _grid(about, points)
    return rows


def _dense(value: Any) -> Any:
    """A cell: pandas reads nested lists as arrays of arrays, which NumPy takes as lists of arrays."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return list(value)
    return None if isinstance(value, float) and np.isnan(value) else value


def _named(planet: Any, visit: float | None = None) -> str:
    """How an error begins that is about these rows; a table without ids has no planet to name."""
    known = {"planet": planet, "visit": None if visit is None else f"{visit:g}"}
    words = " ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    return f"{words}: " if words else ""


def _column(name: str, column: Any, planets: list[Any]) -> Array:
    """Values as float64, NaN where there are none; dates as hours."""
    column = np.asarray(column)
    if name == "time_h":
        column = hours(column)
    if column.dtype.kind in "cmM":
        raise FeatureError(f"column {name}: expected numbers, found dtype {column.dtype}")
    values = list(column)
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except (TypeError, ValueError):
        pass
    for row, value in enumerate(values):
        try:
            float(np.nan if value is None else value)
        except (TypeError, ValueError):
            raise FeatureError(
                f"{_named(planets[row])}column {name}: expected numbers, found {str(value)[:40]!r} in row {row}"
            ) from None
    raise FeatureError(f"column {name}: expected numbers, found {type(values[0]).__name__}")


def _constant(about: str, name: str, values: Array) -> float:
    """The one known value of the star table; NaN where there is none."""
    known = np.unique(values[np.isfinite(values)])
    if known.size > 1:
        raise FeatureError(f"{about}column {name}: expected one value, found {known[0]:g} and {known[1]:g}")
    return float(known[0]) if known.size else float("nan")


def _grid(about: str, points: dict[str, Array]) -> dict[str, NDArray[Any]]:
    """Arrays (T, C) of one visit, wavelengths ascending."""
    time, at_time = np.unique(points["time_h"], return_inverse=True)
    wavelength, at_channel = np.unique(points["wavelength_um"], return_inverse=True)
    size = time.size * wavelength.size
    if at_time.size < _FEWEST_FILLED * size:
        raise FeatureError(
            f"{about}column time_h: expected the same times for all wavelengths, found "
            f"{at_time.size / size:.0%} of {time.size} times x {wavelength.size} wavelengths: bin them "
            "to common times"
        )
    place = at_time * wavelength.size + at_channel
    times_seen = np.bincount(place, minlength=size)
    if (twice := np.flatnonzero(times_seen > 1)).size:
        at, channel = divmod(int(twice[0]), wavelength.size)
        raise FeatureError(
            f"{about}columns time_h, wavelength_um: expected each pair once, found {time[at]:g} h and "
            f"{wavelength[channel]:g} um {times_seen[twice[0]]} times: are there several visits?"
        )
    flux, flux_err = (np.full(size, np.nan) for _ in range(2))
    flux[place], flux_err[place] = points["flux"], points["flux_err"]
    shape = (time.size, wavelength.size)
    grid = {"time": time, "wavelength": wavelength, "flux": flux.reshape(shape), "flux_err": flux_err.reshape(shape)}
    if "valid" in points:
        valid = np.zeros(size)
        valid[place] = points["valid"]
        grid["valid"] = valid.reshape(shape)
    return grid
