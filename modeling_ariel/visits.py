"""Light curves as people have them: rows of the dataset in any format, arrays, own channels; checked, one by one.

What cannot be meant (wrong shapes, other units, nothing valid) is an error that names the planet, what was expected and
what was found.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, FeatureError, Mask, by_place, error_factor, filled, numbers, plain, unit_of
from .columns import STAR_COLUMNS, STAR_RANGES, wrong_um

Places = NDArray[np.intp]

logger = logging.getLogger(__name__)

_FGS1 = 1.0  # um: channels below it are the photometer's
_SPAN = (0.5, 200.0)  # h of a visit
_BEYOND_NOISE = 10.0  # sigma
_REPEATED = 3  # times the same number: no noise
_FAR = 1000.0  # h: float32 keeps 0.2 s of less


def _is_many(value: Any) -> bool:
    """Whether it is a stack or list of things, rather than a number, a text or None."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | Mapping) and getattr(value, "ndim", 1) > 0


def _with_star_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with a star table given as a mapping, or as (..., 8) numbers, laid out in its eight columns."""
    out = dict(row)
    star = out.get("star")
    if isinstance(star, Mapping):
        unknown = sorted(set(star) - set(STAR_COLUMNS))
        if unknown:
            raise FeatureError(f"star: expected columns {STAR_COLUMNS}, found {unknown}")
        out.update(out.pop("star"))
    elif _is_many(star) and "Rs" not in out and np.asarray(star).dtype.kind == "f":  # the dataset's is an index
        table = filled(out.pop("star"))
        if table.shape[-1] != len(STAR_COLUMNS):
            raise FeatureError(f"star: expected the 8 values {STAR_COLUMNS}, found shape {table.shape}")
        out.update({name: table[..., place] for place, name in enumerate(STAR_COLUMNS)})
    return out


def as_rows(rows: Any) -> list[dict[str, Any]]:
    """One dictionary a visit, of a row, a dictionary of columns, or an iterable of rows."""
    if not isinstance(rows, Mapping):
        if isinstance(rows, str) or not isinstance(rows, Iterable):
            raise FeatureError(f"rows: expected a row, a list of rows or a dictionary of columns, found {type(rows)}")
        listed = list(rows)
        if not all(isinstance(row, Mapping) for row in listed):
            kinds = sorted({type(row).__name__ for row in listed if not isinstance(row, Mapping)})
            raise FeatureError(f"rows: expected dictionaries, found {kinds}; give arrays by name: time=, flux=, ...")
        return [_with_star_columns(row) for row in listed]
    if splits := [name for name, value in rows.items() if hasattr(value, "column_names")]:
        raise FeatureError(f"rows: expected one split, found {', '.join(splits)}: give one, as rows[{splits[-1]!r}]")
    columns = _with_star_columns({name: value for name, value in rows.items() if value is not None})
    columns = {name: by_place(value) for name, value in columns.items()}
    if not _is_many(columns.get("time")) or not len(columns["time"]):
        raise FeatureError(f"time: expected bin centres, found {columns.get('time')!r} among {sorted(columns)}")
    if not _is_many(columns["time"][0]):
        return [columns]
    shared = {name for name, value in columns.items() if not _is_many(value)}
    if "wavelength" in columns and not _is_many(columns["wavelength"][0]):
        shared.add("wavelength")
    size = len(columns["time"])
    for name in columns.keys() - shared:
        if len(columns[name]) != size:
            raise FeatureError(f"{name}: expected {size} visits as in time, found {len(columns[name])}")
    return [{name: value if name in shared else value[i] for name, value in columns.items()} for i in range(size)]


def read_rows(rows: Any, arrays: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary a visit, of ``rows`` (see :func:`as_rows`) or of arrays by name; with rows only ``wavelength``."""
    given = {name: value for name, value in arrays.items() if value is not None}
    if "star" in given and not isinstance(given["star"], Mapping):
        given["star"] = filled(given["star"])
    if rows is None:
        listed = as_rows(given)
    elif extra := sorted(given.keys() - {"wavelength"}):
        raise FeatureError(f"expected rows, or arrays time=, flux=, flux_err=, found rows and {extra}")
    else:
        listed = [given | row for row in as_rows(rows)]
    if not listed:
        raise FeatureError("rows: expected at least one visit, found none")
    return listed


def planet_of(row: Mapping[str, Any], place: int) -> tuple[Any, ...]:
    """What the rows of one planet share; a row without ``planet_id`` is a planet of its own."""
    planet = plain(row.get("planet_id"))
    return ("unnamed", place) if planet is None else (row.get("layout"), planet)


def check_time(name: str, time: Array) -> Array:
    """Increasing hours (T,), counted from the first bin where their zero is far away."""
    if time.size < 2:
        raise FeatureError(f"{name}: time: expected 2 bins or more, found {time.size}")
    if not np.isfinite(time).all():
        raise FeatureError(f"{name}: time: expected finite hours, found {np.sum(~np.isfinite(time))} that are not")
    step = np.diff(time)
    if not (step > 0).all():
        at = int(np.argmax(step <= 0))
        raise FeatureError(
            f"{name}: time: expected increasing, found {time[at]} then {time[at + 1]} at bins {at}, {at + 1}"
        )
    span = float(time[-1] - time[0])
    if not _SPAN[0] <= span <= _SPAN[1]:
        unit = "days" if span < _SPAN[0] else "minutes or seconds"
        raise FeatureError(
            f"{name}: time: expected hours, a visit of {_SPAN[0]:g} to {_SPAN[1]:g} h, found {span:g}: {unit}?"
        )
    return time - time[0] if abs(time[0]) > _FAR else time


def read_flux(name: str, row: Mapping[str, Any], bins: int, size: int) -> tuple[Array, Array, Mask]:
    """flux, flux_err and valid (T, C) of a row with so many bins and channels, in one unit."""
    flux = numbers(name, "flux", row["flux"], (bins, "channels"))
    if flux.shape[1] != size:
        expected = f"the extractor's {size} channels, or a wavelength for each"
        if row.get("wavelength") is not None:
            expected = f"{size} channels as in wavelength"
        raise FeatureError(f"{name}: flux: expected {expected}, found {flux.shape[1]} channels")
    flux_err = numbers(name, "flux_err", row["flux_err"], flux.shape)
    flux_err *= error_factor(name, unit_of(row["flux"]), unit_of(row["flux_err"]))
    if row.get("valid") is None:
        return flux, flux_err, np.ones(flux.shape, bool)
    valid = numbers(name, "valid", row["valid"], flux.shape, "biuf")
    if (others := valid[~np.isin(valid, (0.0, 1.0))]).size:
        raise FeatureError(f"{name}: valid: expected true and false, found {others[0]:g}")
    return flux, flux_err, valid > 0


def check_flux(name: str, flux: Array, flux_err: Array, valid: Mask) -> Mask:
    """Which of the ``valid`` points (T, C) can be used; an error where none can, or where units cannot be right."""
    for field, value in (("flux", flux), ("flux_err", flux_err)):
        if (infinite := np.isinf(value) & valid).any():
            bin_, channel = np.argwhere(infinite)[0]
            raise FeatureError(
                f"{name}: {field}: expected finite numbers (NaN where there are none), found "
                f"{value[bin_, channel]} at bin {bin_}, channel {channel}"
            )
    with np.errstate(invalid="ignore"):
        good = valid & np.isfinite(flux) & (flux_err > 0)
    if not good.any():
        raise FeatureError(
            f"{name}: expected valid data, found none in {good.size} points: {np.sum(~valid)} masked, "
            f"{np.sum(valid & np.isnan(flux))} with NaN flux, {np.sum(valid & ~(flux_err > 0))} with no positive error"
        )
    _check_sentinels(name, flux, flux_err, good)
    if (flux_err[good] >= np.abs(flux[good])).all():
        raise FeatureError(
            f"{name}: flux_err: expected errors in the unit of flux, found all larger than flux (medians "
            f"{np.median(flux_err[good]):.3g} and {np.median(flux[good]):.3g}): variances, or ppm?"
        )
    return good


def _check_sentinels(name: str, flux: Array, flux_err: Array, good: Mask) -> None:
    """Refuse one number that stands for missing flux: given again and again, beyond the noise, not positive or huge.

    The noise of a faint channel may be negative too, and a channel that never has flux is left out as dead.
    """
    with np.errstate(invalid="ignore"):
        bright = channel_level(flux, good & (flux > 0))
        lost = good & ((flux <= 0) | (flux > 2.0 * bright)) & (np.abs(flux - bright) > _BEYOND_NOISE * flux_err)
    found, times = np.unique(flux[lost], return_counts=True)
    if times.size and times.max() >= _REPEATED:
        value = found[times.argmax()]
        bins = (lost & (flux == value)).any(1).sum()
        raise FeatureError(
            f"{name}: flux: expected a star's flux, found {value:g} in {bins} bins: mark missing bins as NaN or invalid"
        )


def channel_level(flux: Array, good: Mask) -> Array:
    """Median of each channel's good bins: (C,), NaN where there are none."""
    ordered = np.sort(np.where(good, flux, np.nan), axis=0)  # NaN last
    count = good.sum(0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(flux) - 1)])
    return np.take_along_axis(ordered, middle, 0).mean(0)


def match_channels(
    name: str, wavelength: Any, own: Array, tolerance: tuple[float, float]
) -> tuple[int, Places, Places]:
    """How many channels are given; which of them are used; and which of ``own`` (C,) [um] they are.

    ``tolerance`` [um] of channels below 1 um, and of the others. Without ``wavelength`` they are the same.
    """
    if wavelength is None:
        return len(own), np.arange(len(own)), np.arange(len(own))
    lam = numbers(name, "wavelength", wavelength, ("channels",))
    if not lam.size or (wrong := lam[~(np.isfinite(lam) & (lam > 0))]).size:
        raise FeatureError(f"{name}: wavelength: expected positive um, found {wrong[0] if lam.size else 'none'}")
    middle = float(np.median(lam))
    if reason := wrong_um(middle):
        raise FeatureError(f"{name}: {reason}")
    distance = np.abs(lam[:, None] - own)
    nearest = distance.argmin(1)
    allowed = np.where(own < _FGS1, *tolerance)[nearest]
    given = np.flatnonzero(distance[np.arange(lam.size), nearest] <= allowed)
    if not given.size:
        raise FeatureError(
            f"{name}: wavelength: expected channels within {tolerance[1]:g} um of the extractor's, {own[0]:g} to "
            f"{own[-1]:g} um, found none in {lam.min():g} to {lam.max():g} um"
        )
    found, times = np.unique(nearest[given], return_counts=True)
    if times.max() > 1:
        twice = own[found[times.argmax()]]
        raise FeatureError(f"{name}: wavelength: expected one channel near {twice:.4f} um, found {times.max()}")
    if given.size < lam.size:
        logger.warning("%s: %d of %d channels left out: no channel near them", name, lam.size - given.size, lam.size)
    return lam.size, given, nearest[given]


def check_star(name: str, row: Mapping[str, Any]) -> Array:
    """(8,) of the star table, NaN unknown."""
    if "star" in row and not any(column in row for column in STAR_COLUMNS):
        raise FeatureError(
            f"{name}: expected the star table's {', '.join(STAR_COLUMNS)} beside the column star, found none of them: "
            "a Trainer drops them unless remove_unused_columns=False"
        )
    star = np.full(len(STAR_COLUMNS), np.nan)
    for place, column in enumerate(STAR_COLUMNS):
        if row.get(column) is None:
            continue
        value = float(numbers(name, column, row[column], ()))
        low, high, unit = STAR_RANGES[column]
        if not np.isnan(value) and not low <= value <= high:
            raise FeatureError(f"{name}: {column}: expected {unit}, {low:g} to {high:g}, found {value:g}")
        star[place] = value
    return star


def check_spectrum(name: str, value: Any, size: int) -> Array | None:
    """True depths (channels,), NaN where unknown; None without any."""
    if value is None or not len(value):
        return None
    depth = numbers(name, "spectrum", value, (size,))
    if np.isnan(depth).all():
        return None
    if (wrong := ~np.isnan(depth) & ~((depth >= 0) & (depth < 1))).any():
        raise FeatureError(
            f"{name}: spectrum: expected depths (Rp/Rs)^2 of 0 to 1, found {depth[wrong][0]:g}: ppm or percent?"
        )
    return depth
