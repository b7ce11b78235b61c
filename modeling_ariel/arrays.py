"""Numbers out of arrays of any library, with what these carry beside them: labels, masks, units, dates.

What they carry is asked of their attributes, so neither astropy nor pandas nor Polars is imported.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNITS = {  # what a field is counted in, as astropy calls it, and what another unit must be
    "time": ("h", "a unit of time"),
    "wavelength": ("um", "a unit of length"),
    "centroid": ("pix", "pixels"),
    "spectrum": ("", "depths without a unit"),
    "Rs": ("solRad", "a unit of length"),
    "Ms": ("solMass", "a unit of mass"),
    "Ts": ("K", "K"),
    "Mp": ("jupiterMass", "a unit of mass"),
    "e": ("", "no unit"),
    "P": ("d", "a unit of time"),
    "sma": ("", "stellar radii, which have no unit"),
    "i": ("deg", "a unit of angle"),
}
_NEVER_MASKED = ("time", "wavelength")
_NEVER_HALF = ("time", "flux", "flux_err")  # float16 ends at 65504, bfloat16 has three digits


class FeatureError(ValueError):
    """Light curves that cannot be meant."""


def plain(value: Any) -> Any:
    """Scalars of NumPy and torch as Python's."""
    return value.item() if hasattr(value, "item") else value


def by_place(value: Any) -> Any:
    """Columns of pandas and Polars as arrays: their labels are no places."""
    return value.to_numpy() if hasattr(value, "to_list") else value


def filled(value: Any) -> Array:
    """Numbers with NaN where they are masked."""
    return np.where(_mask_of(value), np.nan, np.asarray(value, np.float64))


def numbers(name: str, field: str, value: Any, shape: tuple[int | str, ...], kinds: str = "fiu") -> Array:
    """``value`` as float64 of ``shape``, where letters stand for any length.

    It is converted to the unit of UNITS. What is masked is NaN, of ``valid`` 0; of time and wavelength it is an error.
    """
    about = f"{name}: {field}"
    mask, factor = _mask_of(value), unit_factor(about, field, unit_of(value))
    array = _plain_array(about, field, value, shape)
    if array.dtype.kind not in kinds:
        raise FeatureError(f"{about}: expected numbers, found dtype {array.dtype}")
    same = len(shape) == array.ndim and all(
        isinstance(n, str) or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not same:
        raise FeatureError(f"{about}: expected shape {shape}, found {array.shape}")
    if not mask.any():
        return array.astype(np.float64) * factor
    if field in _NEVER_MASKED:
        raise FeatureError(f"{about}: expected all of its values, found {mask.sum()} of {mask.size} masked")
    return np.where(mask, 0.0 if field == "valid" else np.nan, array.astype(np.float64) * factor)


def unit_factor(about: str, field: str, unit: Any) -> float:
    """By which numbers in astropy's ``unit`` are multiplied to be in that of UNITS; 1 where there is none."""
    return 1.0 if unit is None or field not in UNITS else _converted(about, unit, *UNITS[field])


def error_factor(name: str, unit: Any, given: Any) -> float:
    """By which errors in the unit ``given`` are multiplied to have the flux's ``unit``."""
    if str(unit).startswith("mag"):
        raise FeatureError(f"{name}: flux: expected a flux, found magnitudes ({unit})")
    if unit == given:
        return 1.0
    if unit is None or given is None:
        raise FeatureError(f"{name}: flux_err: expected the unit of flux, {_shown(unit)}, found {_shown(given)}")
    return _converted(f"{name}: flux_err", given, unit, f"a unit that converts to that of flux, {_shown(unit)}")


def _shown(unit: Any) -> str:
    return "none" if unit is None else str(unit) or "dimensionless"


def unit_of(value: Any) -> Any:
    """astropy's unit, None where there is none."""
    unit = getattr(value, "unit", None)
    return unit if hasattr(unit, "to") else None


def _converted(about: str, unit: Any, wanted: Any, expected: str) -> float:
    """How many of the wanted unit there are in one of this."""
    try:
        return float(unit.to(wanted))
    except (TypeError, ValueError):
        raise FeatureError(f"{about}: expected {expected}, found {_shown(unit)}") from None


def _mask_of(value: Any) -> Mask:
    """True where masked, of a shape that broadcasts to the value's."""
    mask = getattr(value, "mask", False)
    return np.asarray(False if callable(mask) else mask)  # pandas' is a method


def _plain_array(about: str, field: str, value: Any, shape: tuple[int | str, ...]) -> NDArray[Any]:
    """The numbers alone; an error where this loses precision, a mask or a unit."""
    value = by_place(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            refuse_half(about, field, "bfloat16")
            value = value.float()
    if field == "time" and hasattr(value, "jd1"):
        value = _hours_of_dates(value)
    if isinstance(value, list | tuple):
        for one in value:
            if unit_of(one) is not None or _mask_of(one).any():
                raise FeatureError(f"{about}: expected one array, found a list of {type(one).__name__}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FeatureError(f"{about}: expected shape {shape}, found rows of different lengths") from error
    if array.dtype == np.float16:
        refuse_half(about, field, "float16")
    return hours(array) if field == "time" else array


def refuse_half(about: str, field: str, found: str) -> None:
    """An error where the field does not survive half precision."""
    if field in _NEVER_HALF:
        raise FeatureError(f"{about}: expected float32 or float64, found {found}")


def hours(time: NDArray[Any]) -> NDArray[Any]:
    """Hours after the earliest of NumPy's dates, and of its durations; NaN where there is none. Others as they are."""
    if time.dtype.kind == "M":
        time = time - np.fmin.reduce(time, axis=None)
    return time / np.timedelta64(1, "h") if time.dtype.kind == "m" else time


def _hours_of_dates(dates: Any) -> Array:
    """Hours after the first of astropy's dates, which have two parts so that nothing is lost."""
    days, rest = np.asarray(dates.jd1), np.asarray(dates.jd2)
    return 24.0 * ((days - days[:1]) + (rest - rest[:1]))
