"""A light curve as a Gaussian process in time and wavelength, exact, for augmentation alone.

The kernel is a product of Matérn 3/2 in time and in wavelength, the latter's length 6000 Å, as in avocado (Boone 2019,
AJ 158, 257); amplitude and length in time are the likeliest of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from modeling_ariel.transients.curves import Curve

Array = NDArray[np.float64]

WAVELENGTH_LENGTH = 6000.0  # Å
TIME_LENGTHS = (6.0, 18.0, 54.0, 160.0, 480.0)  # d
AMPLITUDES = (1.0, 2.0)  # in the root mean square of the flux
MOST = 120  # measurements that a process is conditioned on: the time goes with their cube


def matern32(distance: Array, length: float) -> Array:
    """(1 + √3 d/l) exp(−√3 d/l) of distances of any shape."""
    scaled = np.sqrt(3.0) * np.abs(distance) / length
    return np.asarray((1.0 + scaled) * np.exp(-scaled))


@dataclass(frozen=True)
class LightCurveProcess:
    """A process conditioned on a curve.

    ``time`` (N,) [d] and ``wavelength`` (N,) [Å] of what it is conditioned on; ``amplitude`` [µJy] and ``length`` [d];
    ``factor`` (N, N), Cholesky's, of the covariance; ``weights`` (N,), its inverse times the fluxes.
    """

    time: Array
    wavelength: Array
    amplitude: float
    length: float
    factor: Array
    weights: Array

    @classmethod
    def of(cls, curve: Curve) -> LightCurveProcess:
        """The likeliest process of the grid; of a long curve evenly many measurements count."""
        if len(curve) > MOST:
            curve = curve.take(np.linspace(0, len(curve) - 1, MOST).round().astype(int))
        rms = float(np.sqrt(np.mean(curve.flux**2)))
        best: tuple[float, LightCurveProcess] | None = None
        in_wavelength = matern32(curve.wavelength[:, None] - curve.wavelength, WAVELENGTH_LENGTH)
        for length in TIME_LENGTHS:
            shape = matern32(curve.time[:, None] - curve.time, length) * in_wavelength
            for amplitude in (rms * share for share in AMPLITUDES):
                covariance = amplitude**2 * shape + np.diag(curve.flux_err**2)
                factor: Array = np.asarray(np.linalg.cholesky(covariance), np.float64)
                white = solve_triangular(factor, curve.flux, lower=True)
                likelihood = -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum())
                if best is None or likelihood > best[0]:
                    weights = np.asarray(solve_triangular(factor, white, lower=True, trans="T"), np.float64)
                    best = likelihood, cls(curve.time, curve.wavelength, amplitude, length, factor, weights)
        if best is None:
            raise ValueError(f"{curve.name}: expected finite fluxes, found others")
        return best[1]

    def predict(self, time: Array, wavelength: Array) -> tuple[Array, Array]:
        """Mean and 1σ (M,) [µJy] at times (M,) [d] and wavelengths (M,) [Å]."""
        cross = matern32(time[:, None] - self.time, self.length)
        cross = self.amplitude**2 * cross * matern32(wavelength[:, None] - self.wavelength, WAVELENGTH_LENGTH)
        white = solve_triangular(self.factor, cross.T, lower=True)
        variance = self.amplitude**2 - (white**2).sum(0)
        return cross @ self.weights, np.sqrt(np.maximum(variance, 0.0))
