"""What a band's measurements say without a model: statistics, significance, what happens far from the peak.

Every function returns named numbers; NaN where there is too little to tell.
"""

from __future__ import annotations

import numpy as np

from .observed import BANDS, Array, Observed
from .smooth import PEAK_BANDS, Smooth

LEAST = 3  # measurements from which a shape is told
SIGNIFICANT = 3.0  # σ
BEFORE, AFTER = 100.0, 300.0  # d, of the observer: beyond them a supernova or disruption has not begun or has faded
Features = dict[str, float]


def statistics(observed: Observed) -> Features:
    """Per band: mean, spread, least, greatest, median absolute deviation [µJy], skew, excess kurtosis, count, span [d].

    As in feats and light-curve packages of the field (Malanchev et al. 2021, MNRAS 502, 5147).
    """
    found: Features = {}
    for place, band in enumerate(BANDS):
        time, flux, _ = observed.of_band(place)
        found[f"count_{band}"] = float(flux.size)
        found |= {f"{name}_{band}": value for name, value in _statistics(time, flux).items()}
    return found


def _statistics(time: Array, flux: Array) -> Features:
    names = ("mean", "spread", "least", "greatest", "mad", "skew", "kurtosis", "span")
    if flux.size < LEAST:
        return dict.fromkeys(names, np.nan)
    mean, spread = flux.mean(), flux.std()
    scaled = (flux - mean) / (spread or np.nan)
    deviation = np.median(np.abs(flux - np.median(flux)))
    moments = (float((scaled**3).mean()), float((scaled**4).mean() - 3))
    values = (mean, spread, flux.min(), flux.max(), deviation, *moments, time[-1] - time[0])
    return dict(zip(names, map(float, values), strict=True))


def significance(observed: Observed) -> Features:
    """Numbers that depend little on how often a field is observed, per band g, r, i and of all measurements.

    Share of measurements beyond +3σ and below −3σ; greatest S/N; reduced χ² of a constant; von Neumann's ratio of
    successive differences to variance (1941), 2 for noise; the share of the flux above half of the greatest.
    """
    found: Features = {}
    for band in PEAK_BANDS:
        _, flux, error = observed.of_band(band)
        found |= {f"{name}_{BANDS[band]}": value for name, value in _significance(flux, error).items()}
    found |= {f"{name}_all": value for name, value in _significance(observed.flux, observed.error).items()}
    return found


def _significance(flux: Array, error: Array) -> Features:
    names = ("bright", "negative", "snr", "chi2", "neumann", "high")
    if flux.size < LEAST:
        return dict.fromkeys(names, np.nan)
    ratio = flux / error
    mean = np.average(flux, weights=error**-2)
    variance = flux.var()
    values = (
        np.mean(ratio > SIGNIFICANT),
        np.mean(ratio < -SIGNIFICANT),
        ratio.max(),
        np.sum(((flux - mean) / error) ** 2) / (flux.size - 1),
        np.mean(np.diff(flux) ** 2) / variance if variance > 0 else np.nan,
        np.mean(flux > flux.max() / 2),
    )
    return dict(zip(names, map(float, values), strict=True))


def baseline(observed: Observed, smooth: Smooth) -> Features:
    """What is there before and after: mean S/N, mean square of it, greatest S/N, share of the peak's flux.

    100 days before the peak and 300 after it, of the observer, a one-time event has no light and an AGN has.
    """
    found: Features = {"second_peak": smooth.second}
    since = observed.time - smooth.peak
    top = float(smooth.flux[:, list(PEAK_BANDS)].max())
    for name, where in (("before", since < -BEFORE), ("after", since > AFTER)):
        ratio, flux = observed.flux[where] / observed.error[where], observed.flux[where]
        enough = ratio.size >= LEAST
        found[f"snr_{name}"] = float(ratio.mean()) if enough else np.nan
        found[f"square_{name}"] = float((ratio**2).mean()) if enough else np.nan
        found[f"snr_greatest_{name}"] = float(ratio.max()) if enough else np.nan
        found[f"share_{name}"] = _share(flux, observed.error[where], top) if enough else np.nan
    return found


def _share(flux: Array, error: Array, top: float) -> float:
    return float(np.average(flux, weights=error**-2) / top) if top > 0 else np.nan
