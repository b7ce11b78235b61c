"""Light curves of a visit beside their fit: white and band curves, drift, residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.records import BandCurve, LightCurves
from engine.spectrum import FGS1_BELOW_UM, Array
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.scoring import BANDS
from modeling_ariel.status import FITTED


def light_curves(
    name: str,
    visit: int,
    features: Mapping[str, Any],
    fit: ClassicalFit,
    wavelength_um: Array,
    bins: int,
    centroid: Any = None,
) -> LightCurves:
    """Records of one visit.

    Args:
        name, visit: for titles.
        features: of the feature extractor, this visit: time (T,), flux, flux_err, valid (T, C).
        fit: of this visit alone.
        wavelength_um: (C,).
        bins: time bins of the visit, without the extractor's padding.
        centroid: (T, 4) [px] or None.
    """
    time = np.asarray(features["time"], np.float64)[:bins]
    flux, error, valid = (np.asarray(features[key])[:bins] for key in ("flux", "flux_err", "valid"))
    level = _levels(flux.astype(np.float64), valid)
    known = valid & np.isfinite(level)
    relative = np.where(known, flux / level, np.nan)
    noise = np.where(known, error / level, np.nan)
    fitted = fit.status[0] in FITTED
    model = fit.model[0].numpy().T[:bins] if fitted else np.ones_like(relative)
    drift = fit.drift[0].numpy().T[:bins] if fitted else np.zeros_like(relative)
    if fitted:  # relative to the star out of transit, not to the median bin
        star = _star_level(model, drift)
        relative, noise, model = relative / star, noise / star, model / star
    curves = [
        _band(label, edges, inside, relative, noise, model, drift, fitted)
        for label, edges in _bands().items()
        if (inside := (wavelength_um >= edges[0]) & (wavelength_um < edges[1])).any()
    ]
    return LightCurves(
        name=name,
        visit=visit,
        status=fit.status[0],
        note=fit.notes[0],
        time_h=time,
        wavelength_um=wavelength_um,
        bands=tuple(curves),
        flux=relative.astype(np.float32),
        error=noise.astype(np.float32),
        model=model.astype(np.float32),
        drift=drift.astype(np.float32),
        centroid_px=np.full((bins, 4), np.nan) if centroid is None else np.asarray(centroid, np.float64)[:bins],
        parameters=_parameters(fit) if fitted else {},
    )


def _bands() -> dict[str, tuple[float, float]]:
    """AIRS-CH0's white light, FGS1, and the bands of the scores."""
    return {"AIRS-CH0 white light": (FGS1_BELOW_UM, np.inf), **BANDS}


def _levels(flux: Array, valid: Any) -> Array:
    """Median of each channel's valid bins (C,), the lower of two middle ones as in the fit; NaN without valid bins."""
    ordered = np.sort(np.where(valid, flux, np.inf), axis=0)
    count = valid.sum(0)
    level = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    return np.where((count > 0) & (level > 0), level, np.nan)


def _star_level(model: Array, drift: Array) -> Array:
    """The star's light (C,) in units of the channel's median bin: the fit's model where nothing is hidden."""
    return (model / (1.0 + drift)).max(axis=0)


def _band(
    label: str,
    edges: tuple[float, float],
    inside: Any,
    flux: Array,
    error: Array,
    model: Array,
    drift: Array,
    fitted: bool,
) -> BandCurve:
    """Means over the channels inside, weighted by each channel's typical error."""
    part, noise = flux[:, inside], error[:, inside]
    good = np.isfinite(part) & (noise > 0)
    typical = np.array([np.median(e[g] ** -2.0) if g.any() else 0.0 for e, g in zip(noise.T, good.T, strict=True)])
    weight = np.where(good, typical, 0.0)
    total = weight.sum(1)
    known, safe = total > 0, np.where(total > 0, total, 1.0)

    def mean(values: Array) -> Array:
        return np.where(known, (weight * np.where(good, values, 0.0)).sum(1) / safe, np.nan)

    spread = np.sqrt((weight**2 * np.where(good, noise, 0.0) ** 2).sum(1)) / safe
    return BandCurve(
        name=label,
        range_um=(edges[0], min(edges[1], 10.0)),
        flux=mean(part),
        error=np.where(known, spread, np.nan),
        model=mean(model[:, inside]) if fitted else np.full(len(flux), np.nan),
        drift=1.0 + np.where(known, mean(drift[:, inside]), 0.0),
    )


def _parameters(fit: ClassicalFit) -> dict[str, float]:
    """The fit in numbers: mid-transit [h], impact parameter, white depth and error, signal over noise, jitter [ppm]."""
    t0, b2, _ = fit.shape[0].tolist()
    return {
        "mid_transit_h": t0,
        "impact_parameter": max(b2, 0.0) ** 0.5,
        "white_depth": float(fit.white_depth[0]),
        "white_depth_err": float(fit.white_depth_err[0]),
        "signal_to_noise": float(fit.snr[0]),
        "jitter_ppm": 1e6 * float(fit.jitter_rms[0]),
    }
