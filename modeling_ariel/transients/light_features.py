"""Physics of the light: a black body at epochs after the peak, absolute magnitudes, how the flux declines.

Redshifts are needed for all of it; without one the numbers are NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .band_features import Features
from .observed import BANDS, WAVELENGTHS, Array, Observed, distance_modulus
from .shape_features import magnitudes, sampled
from .smooth import GRID, Smooth

EPOCHS = (-20.0, 0.0, 20.0, 50.0, 100.0)  # d, source's frame, since the peak
LOG_TEMPERATURES = np.linspace(3.4, 4.8, 71)  # [K]
FLOOR = 0.03  # share of a flux that a black body need not fit: lines, and the width of the bands
LEAST_SNR = 3.0  # of all bands together, for an epoch to have a temperature
HC_K = 1.438776877e8  # hc/k [Å K]
GREEN = 4827.0  # Å
BRIGHTNESS = 2 * 6.62607015e-27 * 2.99792458e10 / (GREEN * 1e-8) ** 3  # 2hc/λ³ there [erg/s/cm²/Hz/sr]
REST = {"u": 3671.0, "g": 4827.0, "r": 6223.0}  # wavelengths [Å] of absolute magnitudes
TIMES = np.geomspace(5.0, 400.0, 40)  # d, source's frame, of declines
POWERS = np.linspace(0.5, 4.0, 15)
DISRUPTION = 5 / 3
LATE = 250.0  # d, source's frame, to which a decline is fitted
LEAST = 8  # measurements after the peak


def planck(log_temperature: Array, wavelength: Array) -> Array:
    """(temperature, wavelength) B_ν at rest wavelengths [Å], in units of `BRIGHTNESS`."""
    exponent = HC_K / (10 ** np.asarray(log_temperature)[..., None] * wavelength)
    return np.asarray((GREEN / wavelength) ** 3 / np.expm1(np.minimum(exponent, 300.0)))


def blackbody_posterior(flux: Array, error: Array, redshift: float) -> Array:
    """(4, epoch) mean and spread of log10 T [K] over the likelihood, log10 of the scale of B_ν, least χ² a band.

    flux, error: (epoch, band) [µJy], NaN where not known. The scale is the least-squares one for each temperature,
    and temperatures from 2,500 to 63,000 K are alike before the fluxes are seen. NaN below 3σ in all bands together.
    """
    shape = planck(LOG_TEMPERATURES, WAVELENGTHS / (1 + redshift))  # (temperature, band)
    known = np.isfinite(flux) & np.isfinite(error)
    value = np.where(known, flux, 0.0)
    weight = np.where(known, 1 / (error**2 + (FLOOR * value) ** 2), 0.0)
    square = weight @ (shape**2).T
    scale = np.maximum((weight * value) @ shape.T / np.maximum(square, 1e-300), 0.0)  # (epoch, temperature)
    chi2 = (weight * value**2).sum(-1, keepdims=True) - scale**2 * square
    likelihood = np.exp(-0.5 * (chi2 - chi2.min(-1, keepdims=True)))
    likelihood /= likelihood.sum(-1, keepdims=True)
    mean = likelihood @ LOG_TEMPERATURES
    spread = np.sqrt(np.maximum(likelihood @ LOG_TEMPERATURES**2 - mean**2, 0.0))
    best = chi2.argmin(-1)
    chosen = np.take_along_axis(scale, best[:, None], -1)[:, 0]
    sure = ((weight * value**2).sum(-1) > LEAST_SNR**2) & (chosen > 0) & (known.sum(-1) >= 3)
    size = np.log10(np.where(sure, chosen, 1.0))
    return np.where(sure, np.stack([mean, spread, size, chi2.min(-1) / known.shape[-1]]), np.nan)


def radius(log_scale: Array, redshift: float) -> Array:
    """log10 of the radius [cm] of a sphere that shines with a scale of `planck` [µJy] at a redshift.

    F_ν = (1 + z) π B_ν(ν (1 + z)) R² / D_L².
    """
    distance = 10 ** ((distance_modulus(redshift) + 5) / 5) * 3.0856776e18  # cm
    area = 10 ** np.asarray(log_scale) * 1e-29 / ((1 + redshift) * np.pi * BRIGHTNESS)
    return np.asarray(np.log10(distance) + 0.5 * np.log10(area))


def blackbody(observed: Observed, smooth: Smooth) -> Features:
    """At −20 … 100 days of the peak: log10 of T [K], R [cm] and L [erg/s], 1σ of log10 T, χ² a band; rates [dex/d].

    Tidal disruption events keep 10,000 to 40,000 K for months, supernovae cool in weeks (van Velzen et al. 2021).
    """
    since = np.array(EPOCHS)
    if not observed.redshift > 0:
        return _named(np.full((5, since.size), np.nan), since)
    flux, error = sampled(smooth, since * (1 + observed.redshift))
    temperature, spread, scale, chi2 = blackbody_posterior(flux, error, observed.redshift)
    size = radius(scale, observed.redshift)
    luminosity = np.log10(4 * np.pi * 5.670374419e-5) + 2 * size + 4 * temperature
    return _named(np.stack([temperature, size, luminosity, spread, chi2]), since)


def _named(values: Array, since: Array) -> Features:
    found: Features = {}
    for name, row in zip(("temperature", "radius", "luminosity", "spread", "chi2"), values, strict=True):
        found |= {f"{name}_{when:.0f}": float(one) for when, one in zip(since, row, strict=True)}
        known = np.isfinite(row)
        if name not in ("spread", "chi2"):
            slope = np.polyfit(since[known], row[known], 1)[0] if known.sum() >= 2 else np.nan
            found[f"{name}_rate"] = float(slope)
    return found


def absolute(observed: Observed, smooth: Smooth) -> Features:
    """Absolute magnitudes [mag] at the peak at 3671, 4827 and 6223 Å of the source, K-corrected, and u − g of them.

    The flux at the redshifted wavelength is interpolated between bands in log flux, so that no spectrum is assumed;
    NaN where it is beyond the bands. Also the redshift, and the observed g, r, i with 2.5 log10(1 + z) alone.
    """
    modulus, stretch = distance_modulus(observed.redshift), 2.5 * np.log10(1 + observed.redshift)
    flux, error = sampled(smooth, np.array([0.0]))
    magnitude = magnitudes(flux, error)[0]
    found: Features = {"redshift": observed.redshift}
    for name, wavelength in REST.items():
        at = wavelength * (1 + observed.redshift)
        here = np.interp(at, WAVELENGTHS, magnitude, left=np.nan, right=np.nan)
        found[f"rest_{name}"] = float(here - modulus + stretch)
    found["rest_u_g"] = found["rest_u"] - found["rest_g"]
    for place in (1, 2, 3):
        found[f"observed_{BANDS[place]}"] = float(magnitude[place] - modulus + stretch)
    above = np.nanmax(smooth.flux[:, 2]) / 2
    found["duration"] = float((smooth.flux[:, 2] > above).sum() * (GRID[1] - GRID[0]) / (1 + observed.redshift))
    return found


def decline(observed: Observed, smooth: Smooth) -> Features:
    """How the flux falls after the peak: (1 + t/τ)^(−p) with p = 5/3, with p free, and exp(−t/τ); t, τ in [d].

    All bands share the shape and have amplitudes of their own, so that temperatures are constant. Times from a grid;
    log10 of τ, reduced χ² of the disruption's law (Rees 1988; Phinney 1989), what the others do better a measurement.
    """
    names = ("tau", "chi2", "power", "power_gain", "exponential_tau", "exponential_gain", "constant_gain")
    since = (observed.time - smooth.peak) / (1 + observed.redshift)
    own = (since >= 0) & (since <= LATE)
    if own.sum() < LEAST:
        return dict.fromkeys(names, np.nan)
    time = since[own]
    base = 1 + time / TIMES[:, None]

    def chi2(shapes: Array) -> Array:
        return _chi2(shapes, observed.flux[own], observed.error[own], observed.band[own])

    law = chi2(base**-DISRUPTION)
    free = np.stack([chi2(base**-power) for power in POWERS])
    falling = chi2(np.exp(-time / TIMES[:, None]))
    constant = chi2(np.ones((1, time.size)))
    count = own.sum()
    values = (
        np.log10(TIMES[law.argmin()]),
        law.min() / count,
        POWERS[free.min(1).argmin()],
        (law.min() - free.min()) / count,
        np.log10(TIMES[falling.argmin()]),
        (law.min() - falling.min()) / count,
        (constant.min() - law.min()) / count,
    )
    return dict(zip(names, map(float, values), strict=True))


def _chi2(shapes: Array, flux: Array, error: Array, band: NDArray[np.int64]) -> Array:
    """(shape,) χ² of shapes (shape, measurement), each band with its best amplitude."""
    total = np.zeros(len(shapes))
    weight = error**-2
    for one in np.unique(band):
        own = band == one
        shape, value, sure = shapes[:, own], flux[own], weight[own]
        square = np.maximum((sure * shape**2).sum(1), 1e-300)
        total += (sure * value**2).sum() - (shape @ (sure * value)) ** 2 / square
    return total
