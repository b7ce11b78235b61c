"""Bands of surveys by wavelength, the Milky Way's dust in them, and distances: what a measured flux is corrected by.

Dust is Fitzpatrick's (1999, PASP 111, 63) for R_V = 3.1: the natural cubic spline through the points of his table 3,
which ends at 2600 A.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# effective wavelengths [A]: lsst.obs.lsst's baseline throughputs (LsstCam); the SVO filter profile service for ZTF
SURVEYS: dict[str, dict[str, float]] = {
    "lsst": {"u": 3671.0, "g": 4827.0, "r": 6223.0, "i": 7546.0, "z": 8691.0, "y": 9710.0},
    "ztf": {"g": 4722.74, "r": 6339.61, "i": 7886.13},
}
H0, OMEGA_M, C_KM_S = 70.0, 0.3, 299_792.458  # km/s/Mpc; flat LambdaCDM
AB_ZERO_POINT = 23.9  # magnitude of 1 uJy
MAGNITUDES = (-30.0, 40.0)  # the Sun, and fainter than anything: 99 and -999 say that nothing was found

# lambda [A], A(lambda)/E(B-V) [mag/mag]; the first is infinity
_POINTS = np.array(
    [(np.inf, 0.0), (26500, 0.265), (12200, 0.829), (6000, 2.688), (5470, 3.055), (4670, 3.806), (4110, 4.315),
     (2700, 6.265), (2600, 6.591)]
)  # fmt: skip


def _second_derivatives(x: Array, y: Array) -> Array:
    """(P,) second derivatives of the natural cubic spline through points (P,) at its knots."""
    step, size = np.diff(x), len(x)
    slope = np.diff(y) / step
    matrix, right = np.eye(size), np.zeros(size)
    for k in range(1, size - 1):
        matrix[k, k - 1 : k + 2] = step[k - 1], 2 * (step[k - 1] + step[k]), step[k]
        right[k] = 6 * (slope[k] - slope[k - 1])
    return np.asarray(np.linalg.solve(matrix, right))


_KNOTS, _VALUES = 1 / _POINTS[:, 0], _POINTS[:, 1]
_CURVATURE = _second_derivatives(_KNOTS, _VALUES)
SHORTEST = float(_POINTS[-1, 0])


def extinction(wavelength: Array) -> Array:
    """A(lambda)/E(B-V) [mag/mag] at wavelengths [A] from SHORTEST on."""
    x = 1 / np.asarray(wavelength, np.float64)
    k = np.clip(np.searchsorted(_KNOTS, x) - 1, 0, len(_KNOTS) - 2)
    step = _KNOTS[k + 1] - _KNOTS[k]
    a, b = (_KNOTS[k + 1] - x) / step, (x - _KNOTS[k]) / step
    bend = ((a**3 - a) * _CURVATURE[k] + (b**3 - b) * _CURVATURE[k + 1]) * step**2 / 6
    return np.asarray(a * _VALUES[k] + b * _VALUES[k + 1] + bend)


def luminosity_distance(redshift: float) -> float:
    """Luminosity distance [Mpc] at a redshift."""
    z = np.linspace(0.0, redshift, 1001)
    rate = 1 / np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    return float((1 + redshift) * C_KM_S / H0 * np.trapezoid(rate, z))


def absolute_magnitude(flux: float, redshift: float) -> float:
    """AB magnitude at 10 pc of a flux density [uJy], as if it were all flat in frequency (the K-correction's
    2.5 log10(1 + z) alone)."""
    distance = 5 * np.log10(luminosity_distance(redshift) * 1e5)  # 1 Mpc is 1e5 times 10 pc
    return float(AB_ZERO_POINT - 2.5 * np.log10(flux) - distance + 2.5 * np.log10(1 + redshift))


def flux_of_magnitude(magnitude: Any, magnitude_err: Any) -> tuple[Array, Array]:
    """Flux density and its 1 sigma [uJy] of AB magnitudes and theirs, as ZTF's alerts have them; NaN where they are.

    ValueError beyond MAGNITUDES: 99 would be a flux of 0 that is all too sure.
    """
    given = np.ravel(np.asarray(magnitude, np.float64))
    if (wrong := given[(given < MAGNITUDES[0]) | (given > MAGNITUDES[1])]).size:
        raise ValueError(
            f"magnitude: expected {MAGNITUDES[0]:g} to {MAGNITUDES[1]:g}, nothing where nothing was found, found "
            f"{wrong[0]:g}"
        )
    flux = 10 ** (-0.4 * (np.asarray(magnitude, np.float64) - AB_ZERO_POINT))
    return flux, flux * np.log(10) / 2.5 * np.asarray(magnitude_err, np.float64)
