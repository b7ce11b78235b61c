"""The six bands of LSST: wavelengths, and what the Milky Way's dust takes from each.

Extinction is Fitzpatrick's (1999, PASP 111, 63) for R_V = 3.1, at the bands' effective wavelengths: the natural cubic
spline through the points of his table 3, which ends at 2600 Å.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from hf_dataset.transients.schema import BANDS

Array = NDArray[np.float64]

# effective wavelengths of the baseline throughputs (lsst.obs.lsst, LsstCam) [Å]
WAVELENGTHS = dict(zip(BANDS, (3671.0, 4827.0, 6223.0, 7546.0, 8691.0, 9710.0), strict=True))

# λ [Å], A(λ)/E(B−V) [mag/mag]; the first is infinity
_ANCHORS = ((np.inf, 0.0), (26500, 0.265), (12200, 0.829), (6000, 2.688), (5470, 3.055), (4670, 3.806), (4110, 4.315))
_ANCHORS_UV = ((2700, 6.265), (2600, 6.591))
_POINTS = np.array(_ANCHORS + _ANCHORS_UV)
_CURVE = CubicSpline(1 / _POINTS[:, 0], _POINTS[:, 1], bc_type="natural")


def extinction(wavelength: Array) -> Array:
    """A(λ)/E(B−V) [mag/mag] at wavelengths [Å] from 2600 on; ValueError below."""
    wavelength = np.asarray(wavelength, np.float64)
    if not (wavelength >= _POINTS[-1, 0]).all():
        raise ValueError(f"wavelength: expected at least {_POINTS[-1, 0]:g} Å, found {wavelength.min():g}")
    return np.asarray(_CURVE(1 / wavelength), np.float64)


def dust_factors(band: NDArray[np.str_], ebv: float) -> Array:
    """(measurement,) share of the light that passes dust of E(B−V) [mag], for the bands (measurement,)."""
    share = {name: float(10 ** (-0.4 * ebv * extinction(np.array(at)))) for name, at in WAVELENGTHS.items()}
    return np.array([share[name] for name in band])
