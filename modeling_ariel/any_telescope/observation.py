"""What anybody's light curves are here: one visit of one instrument, any times, any channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

HOURS = 24.0  # a day


class ObservationError(ValueError):
    """Light curves that cannot be meant; says which, what was expected and what was found."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Light curves of one visit of one instrument: T times, C channels.

    ``time`` (T,) [h], mid-exposure, ascending, from ``bjd0`` [BJD_TDB] on, None where times have no known zero;
    ``flux``, ``flux_err`` (T, C) [any unit]; ``valid`` (T, C); ``wavelength`` (C,) [um], effective, with ``half_width``
    (C,) of the channels, NaN where unknown; ``exposure`` (T,) [h], over which each point averages; ``regressors``:
    columns (T,) that systematics may follow, such as x, y, width, airmass; ``name`` and ``instrument`` as shown;
    ``notes`` on what was read and changed.
    """

    name: str
    time: Array
    flux: Array
    flux_err: Array
    wavelength: Array
    valid: Flags
    half_width: Array
    exposure: Array
    instrument: str = ""
    bjd0: float | None = None
    regressors: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        time: ArrayLike,
        flux: ArrayLike,
        flux_err: ArrayLike | None = None,
        wavelength: ArrayLike | float | None = None,
        *,
        valid: ArrayLike | None = None,
        half_width: ArrayLike | None = None,
        exposure: ArrayLike | float | None = None,
        instrument: str = "",
        bjd0: float | None = None,
        regressors: Mapping[str, ArrayLike] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Observation:
        """From arrays: flux (T,) or (T, C), times in any order.

        Without ``flux_err`` errors are the scatter between neighbours; without ``exposure`` the median time step.
        ObservationError for shapes that do not fit, repeated times, no wavelength of several channels.
        """
        at = np.asarray(time, np.float64)
        values = np.asarray(flux, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if at.ndim != 1 or values.ndim != 2 or len(values) != len(at):
            raise ObservationError(f"{name}: flux: expected (T, C) of {at.size} times, found {np.shape(flux)}")
        size, channels = values.shape
        errors = _scatter(values, at) if flux_err is None else np.asarray(flux_err, np.float64)
        errors = np.broadcast_to(errors[:, None] if errors.ndim == 1 else errors, values.shape)
        waves = np.atleast_1d(np.asarray(np.nan if wavelength is None else wavelength, np.float64))
        if waves.shape != (channels,) or (channels > 1 and not np.isfinite(waves).all()):
            raise ObservationError(f"{name}: wavelength: expected {channels} numbers in um, found {waves.size}")
        good = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
        if valid is not None:
            good &= np.broadcast_to(np.asarray(valid, bool), values.shape)
        order = np.argsort(at, kind="stable")
        steps = np.diff(at[order])
        if size < 2 or not (steps > 0).all() or not np.isfinite(at).all():
            found = "NaN" if not np.isfinite(at).all() else f"{int((steps <= 0).sum())} repeated"
            raise ObservationError(f"{name}: time: expected different, finite times, found {found} of {size}")
        long = float(np.median(steps)) if exposure is None else exposure
        columns = {key: _column(name, key, one, size)[order] for key, one in (regressors or {}).items()}
        widths = np.full(channels, np.nan) if half_width is None else np.broadcast_to(half_width, (channels,))
        by_wave = np.argsort(waves, kind="stable")
        return cls(
            name=name,
            time=at[order],
            flux=np.where(good, values, np.nan)[order][:, by_wave],
            flux_err=np.where(good, errors, np.nan)[order][:, by_wave],
            wavelength=waves[by_wave],
            valid=good[order][:, by_wave],
            half_width=np.asarray(widths, np.float64)[by_wave],
            exposure=np.broadcast_to(np.asarray(long, np.float64), (size,))[order].copy(),
            instrument=instrument,
            bjd0=bjd0,
            regressors=columns,
            notes=notes,
        )

    @classmethod
    def from_lightkurve(cls, curve: Any, wavelength: float = np.nan, name: str = "") -> Observation:
        """From a ``lightkurve.LightCurve`` (or anything with its ``time``, ``flux``, ``flux_err``)."""
        bjd = np.asarray(curve.time.jd, np.float64)
        start = float(np.floor(bjd.min()))
        flux, error = (np.ma.filled(np.ma.asarray(getattr(one, "value", one)).astype(np.float64), np.nan)
                       for one in (curve.flux, curve.flux_err))  # fmt: skip
        meta = getattr(curve, "meta", {})
        return cls.of(
            name or str(meta.get("OBJECT") or meta.get("LABEL") or "light curve"),
            (bjd - start) * HOURS,
            flux,
            error,
            wavelength,
            instrument=str(meta.get("TELESCOP") or meta.get("MISSION") or ""),
            bjd0=start,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Times and channels."""
        return len(self.time), len(self.wavelength)

    def between(self, first: float, last: float) -> Observation:
        """The part from ``first`` to ``last`` [h]."""
        return self.at((self.time >= first) & (self.time <= last))

    def at(self, keep: Flags) -> Observation:
        """Some of the times (T,)."""
        parts = {name: getattr(self, name)[keep] for name in ("time", "flux", "flux_err", "valid", "exposure")}
        return replace(self, **parts, regressors={name: one[keep] for name, one in self.regressors.items()})


def _column(name: str, key: str, values: ArrayLike, size: int) -> Array:
    column = np.asarray(values, np.float64)
    if column.shape != (size,) or not np.isfinite(column).all():
        bad = int((~np.isfinite(column)).sum())
        raise ObservationError(
            f"{name}: regressor {key}: expected {size} finite numbers, found {column.shape}, {bad} not finite"
        )
    return column


def _scatter(flux: Array, time: Array) -> Array:
    """Robust scatter of each channel from second differences, (T, C)."""
    ordered = flux[np.argsort(time, kind="stable")]
    second = np.abs(ordered[2:] - 2 * ordered[1:-1] + ordered[:-2])
    return np.broadcast_to(1.4826 * np.nanmedian(second, axis=0) / np.sqrt(6.0), flux.shape)
