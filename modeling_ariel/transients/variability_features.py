"""Variability as of AGN: the structure function, and damped random walks of g, r and i."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .band_features import Features
from .observed import BANDS, Observed
from .smooth import PEAK_BANDS, Smooth

LAGS = (0.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # d, source's frame: edges
LEAST_PAIRS = 5


def structure(observed: Observed) -> Features:
    """Structure function: log10 of the rms flux difference, noise taken off, in units of the spread, by lag [d].

    Of pairs in r and i together, in the source's frame; log10 slope of it (MacLeod et al. 2010, ApJ 721, 1014).
    """
    gaps, squares = [], []
    for band in (2, 3):
        time, flux, error = observed.of_band(band)
        first, second = np.triu_indices(time.size, 1)
        spread = flux.std() if flux.size > 1 else 0.0
        if spread > 0:
            gaps.append((time[second] - time[first]) / (1 + observed.redshift))
            noise = error[second] ** 2 + error[first] ** 2
            squares.append(((flux[second] - flux[first]) ** 2 - noise) / spread**2)
    gap, square = (np.concatenate(one) if one else np.empty(0) for one in (gaps, squares))
    found: Features = {}
    for least, most in pairwise(LAGS):
        own = square[(gap > least) & (gap <= most)]
        level = own.mean() if own.size >= LEAST_PAIRS else np.nan
        found[f"lag_{most:.0f}"] = float(0.5 * np.log10(max(level, 1e-4))) if np.isfinite(level) else np.nan
    found["slope"] = found["lag_300"] - found["lag_30"]
    return found


def random_walk(observed: Observed, smooth: Smooth) -> Features:
    """Damped random walks: log10 of σ as a share of the band's spread, of τ [d, source's frame], and of the gain.

    The gain is that in log-likelihood a measurement over a constant (Kelly et al. 2009, ApJ 698, 895).
    """
    found: Features = {}
    for band in PEAK_BANDS:
        walk, name = smooth.walks.get(band), BANDS[band]
        _, flux, _ = observed.of_band(band)
        known = walk is not None and flux.std() > 0
        found[f"sigma_{name}"] = float(np.log10(walk.spread / flux.std())) if walk and known else np.nan
        found[f"tau_{name}"] = float(np.log10(walk.timescale / (1 + observed.redshift))) if walk and known else np.nan
        found[f"gain_{name}"] = float(np.log10(max(walk.gain, 1e-3) / flux.size)) if walk and known else np.nan
    return found
