"""Shapes of the smooth light curve: the process itself, peaks, rise and fade, colours, relations between bands.

Times are of the source's frame, so that most of it is NaN where no redshift is known. A flux below 2σ of the process is
no flux: colours of it would be noise.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .band_features import Features
from .observed import BANDS, Array, Observed
from .smooth import GRID, Smooth

SURE = 2.0  # σ of a flux that counts
SINCE = (0.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0)  # d, source's frame, since the peak
COLOURS = (("u", "g"), ("g", "r"), ("r", "i"), ("i", "z"))
NEAR = 3  # least measurements near the peak for a band to have one
WIDE = (-40.0, 120.0)  # d, of the observer: what is near the peak
MOST_LAG = 12  # steps of the grid: 30 days


def process(observed: Observed, smooth: Smooth) -> Features:
    """The Gaussian process: log10 of amplitude [µJy] and lengths [d] (observer's and source's), [Å]; what it leaves."""
    return {
        "amplitude": np.log10(smooth.amplitude),
        "length_time": np.log10(smooth.length_time),
        "length_time_rest": np.log10(smooth.length_time / (1 + observed.redshift)),
        "length_wavelength": np.log10(smooth.length_wavelength),
        "log_likelihood": smooth.log_likelihood,
        "residual": smooth.residual,
    }


def sampled(smooth: Smooth, since: Array) -> tuple[Array, Array]:
    """(time, band) flux and 1σ [µJy] at times [d] of the observer since the peak; NaN beyond the process's grid."""
    flux, error = (
        np.stack([np.interp(since, GRID, one, left=np.nan, right=np.nan) for one in values.T], axis=1)
        for values in (smooth.flux, smooth.error)
    )
    return flux, error


def magnitudes(flux: Array, error: Array) -> Array:
    """AB magnitudes of fluxes [µJy]; NaN where they are not above 2σ."""
    sure = np.where(flux > SURE * error, flux, np.nan)
    return np.asarray(23.9 - 2.5 * np.log10(sure))


def peaks(observed: Observed, smooth: Smooth) -> Features:
    """Per band: greatest magnitude [mag], its time since the common peak, rise and fade to a half [d], asymmetry.

    Asymmetry: (fade − rise) / (fade + rise). Only bands that were measured 3 times from 40 days before the peak to 120
    after it, in the observer's frame.
    """
    found: Features = {}
    since, stretch = observed.time - smooth.peak, 1 + observed.redshift
    near = (since > WIDE[0]) & (since < WIDE[1])
    for place, band in enumerate(BANDS):
        enough = (near & (observed.band == place)).sum() >= NEAR
        values = _peak(smooth.flux[:, place], smooth.error[:, place]) if enough else (np.nan,) * 4
        magnitude, when, rise, fade = values
        found |= {
            f"magnitude_{band}": magnitude,
            f"delay_{band}": when / stretch,
            f"rise_{band}": rise / stretch,
            f"fade_{band}": fade / stretch,
            f"asymmetry_{band}": (fade - rise) / (fade + rise),
        }
    return found


def _peak(flux: Array, error: Array) -> tuple[float, float, float, float]:
    """Magnitude, time since the common peak, days from and to a half of it, of the observer, within the window."""
    window = (GRID > -100) & (GRID < 200)
    best = int(np.where(window, flux, -np.inf).argmax())
    magnitude = float(magnitudes(flux[best : best + 1], error[best : best + 1])[0])
    if np.isnan(magnitude):
        return (np.nan,) * 4
    return magnitude, float(GRID[best]), _to_half(flux[best::-1]), _to_half(flux[best:])


def _to_half(flux: Array) -> float:
    """Days until a flux on the grid's steps is a half of its first value; NaN where it never is."""
    below = np.flatnonzero(flux <= flux[0] / 2)
    if not below.size:
        return np.nan
    upper, lower = flux[below[0] - 1], flux[below[0]]
    steps = below[0] - 1 + (upper - flux[0] / 2) / (upper - lower)
    return float(steps * (GRID[1] - GRID[0]))


def colours(observed: Observed, smooth: Smooth) -> Features:
    """u−g, g−r, r−i and i−z [mag] at the peak and 10 … 150 days after it, their mean, spread and slope [mag/d].

    Tidal disruption events stay blue, supernovae redden (van Velzen et al. 2021, ApJ 908, 4).
    """
    magnitude = magnitudes(*sampled(smooth, np.array(SINCE) * (1 + observed.redshift)))
    found: Features = {}
    for blue, red in COLOURS:
        colour = magnitude[:, BANDS.index(blue)] - magnitude[:, BANDS.index(red)]
        name = f"{blue}_{red}"
        found |= {f"{name}_{since:.0f}": float(one) for since, one in zip(SINCE, colour, strict=True)}
        known = np.isfinite(colour)
        enough = known.sum() >= 3
        found[f"{name}_mean"] = float(colour[known].mean()) if enough else np.nan
        found[f"{name}_spread"] = float(colour[known].std()) if enough else np.nan
        found[f"{name}_slope"] = float(np.polyfit(np.array(SINCE)[known], colour[known], 1)[0]) if enough else np.nan
    return found


def relations(observed: Observed, smooth: Smooth) -> Features:
    """Neighbouring bands: lag [d] of greatest correlation, correlation at no lag, ratio of fluxes over the event.

    From the process, 60 days before the peak to 200 after it, of the observer; lags of the source's frame, up to 30
    days of the observer's, positive where the redder band follows.
    """
    window = (GRID >= -60) & (GRID <= 200)
    flux = smooth.flux[window]
    found: Features = {}
    for blue, red in pairwise(range(len(BANDS))):
        name = f"{BANDS[blue]}_{BANDS[red]}"
        middle = flux[MOST_LAG:-MOST_LAG, blue]
        shifted = sliding_window_view(flux[:, red], middle.size)  # (lag, time)
        strength = _correlations(middle, shifted)
        lag = float(strength.argmax() - MOST_LAG) if np.isfinite(strength).all() else np.nan
        found[f"lag_{name}"] = lag * (GRID[1] - GRID[0]) / (1 + observed.redshift)
        found[f"correlation_{name}"] = float(strength[MOST_LAG])
        total = flux[:, red].sum()
        found[f"ratio_{name}"] = float(flux[:, blue].sum() / total) if total > 0 else np.nan
    return found


def _correlations(one: Array, others: Array) -> Array:
    """(other,) Pearson's correlations of (time,) with (other, time); NaN where something does not vary."""
    one, others = one - one.mean(), others - others.mean(-1, keepdims=True)
    size = np.sqrt((one**2).sum() * (others**2).sum(-1))
    return np.asarray(others @ one / np.where(size > 0, size, np.nan))
