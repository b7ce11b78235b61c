"""An object as features see it: its light curve behind no dust, its redshift, distances.

Bands are places in `BANDS`, LSST's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import FIELDS, read_curve
from .surveys import SURVEYS, luminosity_distance

Array = NDArray[np.float64]

BANDS = "".join(SURVEYS["lsst"])
WAVELENGTHS = np.array([*SURVEYS["lsst"].values()])  # effective [Å]


@dataclass(frozen=True, eq=False)
class Observed:
    """An object's measurements in ascending time, without the Milky Way's dust.

    time: (measurement,) [d, MJD]; band: (measurement,) places in `BANDS`; flux, error: (measurement,) [µJy];
    redshift: NaN where not known.
    """

    name: str
    time: Array
    band: NDArray[np.int64]
    flux: Array
    error: Array
    redshift: float

    def at(self, redshift: float) -> Observed:
        """The same measurements at another redshift."""
        return replace(self, redshift=redshift)

    def of_band(self, band: int) -> tuple[Array, Array, Array]:
        """(time, flux, error) of a band."""
        own = self.band == band
        return self.time[own], self.flux[own], self.error[own]


def observe(row: Mapping[str, Any]) -> Observed:
    """A row of the dataset as an object, in order of time; an E(B−V) that is not known counts as none.

    CurveError, naming object and field, where a value cannot be meant.
    """
    measured = {name: row["lightcurve"][name] for name in ("band", *FIELDS)}
    curve = read_curve({**row, "lightcurve": measured}, "lsst")
    band = np.searchsorted(WAVELENGTHS, curve.wavelength)
    return Observed(str(row["object_id"]), curve.time, band, curve.flux, curve.flux_err, curve.redshift)


def coadded(observed: Observed, most: int) -> Observed:
    """At most `most` measurements where that can be: those of a band within 0.5, 1, 2 … 32 days become their mean.

    Weights are 1/σ². Fields that a survey visits every night have a thousand measurements, of which a Gaussian process
    needs not all.
    """
    merged, width = observed, 0.5
    while merged.time.size > most and width <= 32:
        _, which = np.unique(np.stack([np.floor(observed.time / width), observed.band]), axis=1, return_inverse=True)
        weight = observed.error**-2
        total = np.bincount(which, weight)
        time, flux = (np.bincount(which, weight * one) / total for one in (observed.time, observed.flux))
        band = np.bincount(which, observed.band) / np.bincount(which)
        order = np.argsort(time, kind="stable")
        merged = replace(
            observed,
            time=time[order],
            band=np.rint(band).astype(np.int64)[order],
            flux=flux[order],
            error=np.asarray(total[order] ** -0.5, np.float64),
        )
        width *= 2
    return merged


def distance_modulus(redshift: float) -> float:
    """m − M without K-correction; NaN where the redshift is not above 0."""
    if not redshift > 0:
        return float("nan")
    return float(5 * np.log10(luminosity_distance(redshift)) + 25)
