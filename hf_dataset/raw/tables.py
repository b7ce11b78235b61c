"""The values of a raw folder's tables, each checked for its possible range. No file names or layouts here.

An impossible value (a negative radius, a time axis in seconds) is refused: an error in a file then shows here, and not
as an odd light curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hf_dataset.raw.files import PlanetTable, RawDataError, column_values, numbers, open_parquet, read_csv, row_of
from hf_dataset.schema import N_CHANNELS, STAR_COLUMNS

CHANNELS = [f"wl_{k + 1}" for k in range(N_CHANNELS)]
# (least, most) of each, far beyond any planet of the challenge: what is outside is an error of the table
STAR_RANGES = ((1e-3, 1e3), (1e-3, 1e3), (500, 1e5), (0, 1e5), (0, 0.999), (1e-2, 1e6), (1, 1e6), (0, 180))
GAIN_RANGE, MOST_OFFSET = (1e-2, 1e2), 1e5  # the challenges' gains are 0.44 to 1.5, their offsets −1200 to −300
MOST_HOURS = 240.0  # a visit is hours long: more are seconds, or garbage


_DEEPEST_TYPICAL = 0.1  # median depth of a table of truths: in percent the challenge's is 0.3


def read_wavelengths(path: Path) -> NDArray[np.float64]:
    """(channel,) [µm]: FGS1, then the AIRS-CH0 channels ascending."""
    header, rows = read_csv(path)
    if len(rows) != 1:
        raise RawDataError(f"{path}: expected 1 row of wavelengths, found {len(rows)}")
    values = numbers(path, "wavelengths", row_of(path, "wavelengths", header, rows[0]), CHANNELS)
    if len(header) != N_CHANNELS:
        raise RawDataError(f"{path}: expected {N_CHANNELS} columns wl_…, found {len(header)}")
    if not (np.isfinite(values).all() and values[0] > 0 and (np.diff(values) > 0).all()):
        wrong = int(np.argmin(np.r_[values[0] > 0, np.diff(values) > 0]))
        raise RawDataError(
            f"{path}: expected {N_CHANNELS} ascending wavelengths, found {values[wrong]} at {CHANNELS[wrong]}"
        )
    return values


def read_axes(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of axis_info.parquet without the padding at their ends."""
    file = open_parquet(path)
    try:
        table = file.read(use_threads=False)
        columns = {name: column_values(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RawDataError(f"{path}: expected columns of numbers, found {error}") from error
    finally:
        file.close()
    return {name: _without_padding(path, name, values) for name, values in columns.items()}


def _without_padding(path: Path, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shorter axes end in NaN; one before the end would shift all that follows."""
    finite = np.isfinite(values)
    length = int(np.flatnonzero(finite)[-1]) + 1 if finite.any() else 0
    if not finite[:length].all():
        raise RawDataError(f"{path}: expected finite {name}, found {values[~finite][0]} in row {int(finite.argmin())}")
    return values[:length]


def spectrum(table: PlanetTable, planet: int) -> NDArray[np.float64]:
    """(channel,) true transit depths (Rp/Rs)², by the names of their columns."""
    values = numbers(table.path, f"planet {planet}", table.row(planet), CHANNELS)
    good = (values >= 0) & (values < 1)
    if not good.all():
        raise RawDataError(
            f"{table.path}: planet {planet}: expected {N_CHANNELS} finite wl_… from 0 to 1, found "
            f"{values[~good][0]} at {CHANNELS[int(good.argmin())]}"
        )
    if (typical := table.median(CHANNELS[0])) > _DEEPEST_TYPICAL:
        raise RawDataError(
            f"{table.path}: expected depths (Rp/Rs)², found a median of {typical:g} at wl_1: in percent?"
        )
    return values


def star_parameters(table: PlanetTable, planet: int) -> dict[str, float]:
    """Rs Ms Ts Mp e P sma i in the table's units; NaN where a field is empty."""
    values = numbers(table.path, f"planet {planet}", table.row(planet), STAR_COLUMNS)
    for name, value, (least, most) in zip(STAR_COLUMNS, values, STAR_RANGES, strict=True):
        if not (np.isnan(value) or least <= value <= most):
            raise RawDataError(
                f"{table.path}: planet {planet}: expected {name} from {least:g} to {most:g}, found {value:g}; an empty "
                f"field says that it is not known"
            )
    return dict(zip(STAR_COLUMNS, values.tolist(), strict=True))


def star_index(table: PlanetTable, planet: int) -> int:
    """The 2024 layout's `star`, −1 where there is none."""
    row = table.row(planet)
    value = float(numbers(table.path, f"planet {planet}", row, ["star"])[0]) if row.get("star") else -1.0
    if not (value.is_integer() and -1 <= value < 2**31):
        raise RawDataError(f"{table.path}: planet {planet}: expected star to be an index, found {row['star']!r}")
    return int(value)


def adc(path: Path, what: str, row: dict[str, str], names: Sequence[str]) -> tuple[float, float]:
    """(gain [counts/e-], offset [e-]) from the columns `names`."""
    gain, offset = numbers(path, what, row, names).tolist()
    if not GAIN_RANGE[0] <= gain <= GAIN_RANGE[1]:
        raise RawDataError(
            f"{path}: {what}: expected {names[0]} positive, from {GAIN_RANGE[0]:g} to {GAIN_RANGE[1]:g}, found {gain:g}"
        )
    if not abs(offset) <= MOST_OFFSET:
        raise RawDataError(f"{path}: {what}: expected {names[1]} within ±{MOST_OFFSET:g}, found {offset:g}")
    return gain, offset


def frame_times(path: Path, name: str, stamps: NDArray[np.float64], exposure_s: float) -> NDArray[np.float64]:
    """(frame,) [h] time stamps, checked: increasing, in hours, and exposures of `exposure_s` apart by that or more."""
    if stamps.size and not (np.diff(stamps) > 0).all():
        at = int(np.argmin(np.diff(stamps) > 0))
        raise RawDataError(f"{path}: expected increasing {name}, found {stamps[at + 1]:g} after {stamps[at]:g}")
    if stamps.size and not np.abs(stamps[[0, -1]]).max() <= MOST_HOURS:
        raise RawDataError(
            f"{path}: expected {name} in hours, up to {MOST_HOURS:g}, found {stamps[0]:g} to {stamps[-1]:g}"
        )
    apart = float(np.median(np.diff(stamps[::2]))) * 3600 if stamps.size > 3 else np.inf
    if apart < exposure_s:
        raise RawDataError(
            f"{path}: expected exposures of {exposure_s:g} s to begin that far apart in {name} [h], found {apart:.3g} s"
        )
    return stamps


def integration_times(path: Path, name: str, seconds: NDArray[np.float64]) -> tuple[float, float]:
    """(start, end) [s] between which the values of an exposure's two frames alternate."""
    start, end = (np.unique(seconds[k::2]) for k in (0, 1))
    if start.size != 1 or end.size != 1 or not 0 < start[0] < end[0] <= 3600:
        raise RawDataError(
            f"{path}: expected {name} alternating between two values, a shorter and a longer, found "
            f"{start[:3].tolist()} and {end[:3].tolist()}"
        )
    return float(start[0]), float(end[0])
