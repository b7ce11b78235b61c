"""Quality figures of a reduced visit, and which visits of a run stand out by them.

docs/quality.md defines every figure and gives the ranges of healthy visits. None of them fits a transit model: noise
is measured by second differences, drift outside of the transit, so that a transit of whatever depth moves neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HALF_NORMAL = 0.6744897501960817  # median |x| of a unit Gaussian
MIN_STEPS = 10  # second differences from which a scatter is stated
MIN_OUTSIDE = 0.08  # of the bins, from which the light outside of the transit tells the drift
TRANSIT_MARGIN = 1.2  # first to fourth contact over the width at half depth; up to 1.15 for planets of 15 % radius
MIN_RUN = 8  # visits from which a run has a spread to stand out from
OUTLIER_SIGMA = 5.0


@dataclass(frozen=True)
class Figure:
    """One figure of an instrument: where it is in the report, how tables call it, and what is worse.

    `least` is the smallest distance from the run's median that is worth a flag, in the figure's own unit.
    """

    name: str
    header: str
    unit: str
    worse: Literal["high", "low", "both"]
    least: float
    index: int | None = None  # of a figure that is a list

    @property
    def key(self) -> str:
        """Its name in `distribution` and `stand_out` of report.json."""
        return self.name if self.index is None else f"{self.name}[{self.index}]"


FIGURES: tuple[Figure, ...] = (
    Figure("scatter_over_error", "channel noise", "of predicted", "both", 0.15),
    Figure("worst_scatter_over_error", "worst channel", "of predicted", "high", 0.5),
    Figure("white_scatter_over_error", "white noise", "of predicted", "both", 0.75),
    Figure("snr_per_exposure", "SNR per channel and exposure", "", "low", 10.0),
    Figure("drift_percent", "drift", "% of flux", "high", 0.2),
    Figure("jitter_rms_px", "jitter along rows", "px RMS", "high", 0.01, 0),
    Figure("jitter_rms_px", "jitter along columns", "px RMS", "high", 0.01, 1),
    Figure("hit_samples", "hits", "pixel samples", "high", 20.0),
    Figure("hit_rate", "hit rate", "per pixel and exposure", "high", 1e-6),
    Figure("bad_pixel_fraction", "bad pixels", "fraction", "high", 0.005),
    Figure("filled_light", "light in bad pixels", "fraction", "high", 0.05),
    Figure("saturated_pixel_fraction", "saturated pixels", "fraction", "high", 1e-6),
    Figure("foreground_over_flux", "foreground over flux", "fraction", "both", 0.01),
    Figure("valid_fraction", "valid bins", "fraction", "low", 0.005),
)


# --- noise ---------------------------------------------------------------------------------------------------------


def scatter_over_error(flux: Array, flux_err: Array, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(channel,) white scatter of light curves (bin, channel) over the stated error; NaN where too few bins are valid.

    From second differences of neighbouring bins: drift, the slope of an ingress and outliers leave them alone.
    """
    whole = valid[:-2] & valid[1:-1] & valid[2:]
    difference = np.abs(flux[:-2] - 2 * flux[1:-1] + flux[2:])
    error = np.sqrt(flux_err[:-2] ** 2 + 4 * flux_err[1:-1] ** 2 + flux_err[2:] ** 2)
    ratio = np.full(flux.shape[1], np.nan)
    for channel in np.flatnonzero(whole.sum(axis=0) >= MIN_STEPS):
        at = whole[:, channel]
        ratio[channel] = np.median(difference[at, channel] / error[at, channel]) / HALF_NORMAL
    return ratio


class White(NamedTuple):
    """A white light curve (bin,): relative flux near 1, its error, and whether most of the light was measured."""

    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    good: NDArray[np.bool_]


def white_curve(flux: Array, flux_err: Array, valid: NDArray[np.bool_]) -> White:
    """The light of all channels (bin, channel) together; a channel's invalid bins leave the others' mean alone."""
    level = np.array(
        [np.median(column[good]) if good.any() else 0.0 for column, good in zip(flux.T, valid.T, strict=True)]
    )
    share = np.where(valid & (level > 0), level, 0.0)
    total = share.sum(axis=1)
    good = total > 0.5 * np.maximum(level, 0).sum()
    scale = np.where(good, total, 1.0)
    relative = np.divide(flux, level, out=np.zeros(flux.shape), where=share > 0)
    error = np.sqrt((np.where(share > 0, flux_err, 0.0) ** 2).sum(axis=1))
    return White(np.where(good, (share * relative).sum(axis=1) / scale, 1.0), error / scale, good)


# --- drift ---------------------------------------------------------------------------------------------------------


def find_transit(time: Array, flux: Array) -> tuple[float, float]:
    """(mid-time, width at half depth) [h] of the box that, on a parabola, lowers a light curve (bin,) the most.

    There is always one; in a curve without a transit it is anywhere.
    """
    span = float(time[-1] - time[0])
    mid = time[0] + span * np.linspace(0, 1, 61)
    width = span * np.geomspace(0.06, 0.9, 40)
    mids, widths = (grid.ravel() for grid in np.meshgrid(mid, width))
    box = (np.abs(time - mids[:, None]) < widths[:, None] / 2).astype(np.float64)
    smooth, _ = np.linalg.qr(np.vander(_scaled(time), 3))
    box -= (box @ smooth) @ smooth.T
    norm = np.linalg.norm(box, axis=1)
    usable = norm > 0.05 * norm.max()  # a box that the parabola mimics decides nothing
    best = int(np.argmax(np.where(usable, -(box @ flux) / np.where(usable, norm, 1.0), -np.inf)))
    return float(mids[best]), float(widths[best])


def drift_percent(time: Array, white: White) -> float | None:
    """Peak to peak of a parabola through the light outside of the transit [% of the flux], from its first to last bin.

    None where too little of the visit is outside.
    """
    time = np.asarray(time, np.float64)
    if white.good.sum() < MIN_STEPS:
        return None
    mid, width = find_transit(time[white.good], white.flux[white.good])
    bin_width = float(np.median(np.diff(time)))
    outside = white.good & (np.abs(time - mid) > TRANSIT_MARGIN * width / 2 + bin_width)
    for _ in range(4):
        if outside.sum() < max(MIN_OUTSIDE * time.size, 4):
            return None
        x = _scaled(time)
        curve = np.polynomial.Polynomial.fit(x[outside], white.flux[outside], 2, domain=(-1, 1))
        residual = np.abs(white.flux - curve(x))
        outside &= residual <= 4 * np.median(residual[outside]) / HALF_NORMAL
    covered = x[(x >= x[outside].min()) & (x <= x[outside].max())]  # beyond them a parabola is a guess
    return float(100 * np.ptp(curve(covered)) / np.median(white.flux[outside]))


def _scaled(time: Array) -> NDArray[np.float64]:
    """Time mapped to −1 … 1."""
    return 2.0 * (time - time[0]) / (time[-1] - time[0]) - 1.0


# --- the figures of a visit ----------------------------------------------------------------------------------------


def light_curve_figures(time: Array, flux: Array, flux_err: Array, valid: NDArray[np.bool_]) -> dict[str, float | None]:
    """What the light curves of one instrument (bin, channel), times (bin,) [h], say of its noise and its drift."""
    figures: dict[str, float | None] = {"valid_fraction": float(valid.mean())}
    if flux.shape[0] < MIN_STEPS + 2:
        return figures
    ratio = scatter_over_error(flux, flux_err, valid)
    white = white_curve(flux, flux_err, valid)
    if np.isfinite(ratio).any():
        figures["scatter_over_error"] = float(np.nanmedian(ratio))
    if np.isfinite(ratio).any() and flux.shape[1] > 1:
        together = scatter_over_error(white.flux[:, None], white.error[:, None], white.good[:, None])[0]
        figures["worst_scatter_over_error"] = float(np.nanmax(ratio))
        figures["white_scatter_over_error"] = float(together) if np.isfinite(together) else None
    return figures | {"drift_percent": drift_percent(time, white)}


def exposure_figures(
    flux: Array, variance: Array, bad_share: Array, n_lost: int, n_samples: int, saturated: NDArray[np.bool_]
) -> dict[str, float]:
    """What the single exposures of one instrument say.

    flux (exposure, channel), variance (channel,) of one exposure; bad_share (channel,) of the light in filled or masked
    pixels; `n_lost` of `n_samples` pixel samples hit; saturated (row, column).
    """
    level, known = flux.mean(axis=0), variance > 0
    snr = level[known] / np.sqrt(variance[known])
    return {
        "snr_per_exposure": float(np.median(snr)) if snr.size else 0.0,
        "hit_rate": n_lost / n_samples,
        "filled_light": float(bad_share.mean()),
        "saturated_pixel_fraction": float(saturated.mean()),
    }


# --- the figures of a run ------------------------------------------------------------------------------------------


def value(report: Mapping[str, Any], instrument: str, figure: Figure) -> float | None:
    """A figure in a visit's report; None where it is not there."""
    found = report.get("quality", {}).get(instrument, {})
    found = found.get(figure.name) if isinstance(found, Mapping) else None
    if figure.index is not None:
        found = found[figure.index] if isinstance(found, list) and len(found) > figure.index else None
    return None if found is None else float(found)


def table(reports: Iterable[Mapping[str, Any]], instrument: str) -> dict[Figure, NDArray[np.float64]]:
    """(visit,) values of each figure that any of the reports has; NaN where one has not."""
    reports = list(reports)
    columns = {
        figure: np.array([np.nan if (v := value(report, instrument, figure)) is None else v for report in reports])
        for figure in FIGURES
    }
    return {figure: column for figure, column in columns.items() if np.isfinite(column).any()}


class Spread(NamedTuple):
    """How a figure is distributed over a run: median, 5 % and 95 % quantile, and σ from the median deviation."""

    median: float
    low: float
    high: float
    sigma: float


def spread(values: NDArray[np.float64]) -> Spread:
    """The distribution of the finite ones of (visit,) values."""
    finite = values[np.isfinite(values)]
    low, median, high = np.percentile(finite, [5, 50, 95])
    sigma = np.median(np.abs(finite - median)) / HALF_NORMAL
    return Spread(float(median), float(low), float(high), float(sigma))


def badness(figure: Figure, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(visit,) distance from the run's median in the direction that is worse; −∞ where there is no value."""
    distance = values - spread(values).median
    distance = {"high": distance, "low": -distance, "both": np.abs(distance)}[figure.worse]
    return np.where(np.isfinite(values), distance, -np.inf)


def worst(figure: Figure, values: NDArray[np.float64], count: int = 3) -> list[int]:
    """Indices of the visits that are furthest on the worse side of the median, worst first."""
    away = badness(figure, values)
    return [int(i) for i in np.argsort(-away, kind="stable")[:count] if away[i] > 0]


def outliers(figure: Figure, values: NDArray[np.float64]) -> list[int]:
    """Indices of the visits that stand out: worse than the run's median by over 5 σ, and by `least` or more."""
    if np.isfinite(values).sum() < MIN_RUN:
        return []
    limit = max(OUTLIER_SIGMA * spread(values).sigma, figure.least)
    return [int(i) for i in np.flatnonzero(badness(figure, values) > limit)]


def stand_out(
    reports: list[Mapping[str, Any]], instruments: Iterable[str]
) -> Iterator[tuple[int, str, Figure, float, Spread]]:
    """(visit's index, instrument, figure, value, the run's spread) of everything that stands out."""
    for instrument in instruments:
        for figure, values in table(reports, instrument).items():
            for i in outliers(figure, values):
                yield i, instrument, figure, float(values[i]), spread(values)
