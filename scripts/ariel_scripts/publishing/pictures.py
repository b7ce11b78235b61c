"""Pictures of published rows and answers, for cards and the Hub's viewer; the same rows give the same bytes.

Drawn without pyplot. A dataset's pictures are its data: they go where it goes, under its licence.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array = NDArray[Any]
PPM = 1e6
POINTS, LINE, BAND, TRUTH = "#0072B2", "#D55E00", "#E69F00", "#000000"
FGS1_BELOW_UM = 1.0
THUMBNAIL = (3.2, 2.0)  # [inches of 100 px]


def white_curve(row: Mapping[str, Any]) -> Array:
    """Light of all AIRS channels with data (T,), over its median."""
    flux, valid = (np.asarray(row[name])[:, 1:] for name in ("flux", "valid"))
    seen = np.where(valid, flux, np.nan)
    usual = np.zeros(seen.shape[1])
    some = valid.any(axis=0)
    usual[some] = np.nanmedian(seen[:, some], axis=0)
    expected = (usual * valid).sum(axis=1)
    return np.divide(np.nansum(seen, axis=1), expected, out=np.full(len(seen), np.nan), where=expected > 0)


def light_curve_thumbnail(row: Mapping[str, Any]) -> bytes:
    """PNG of a visit's white light curve."""
    figure, (axes,) = _figure(THUMBNAIL, 1, 1)
    _curve(axes, row)
    return _png(figure)


def spectrum_thumbnail(row: Mapping[str, Any], wavelength: Array) -> bytes | None:
    """PNG of a row's true spectrum; None where it has none. wavelength: (C,) [um]."""
    if row["spectrum"] is None:
        return None
    figure, (axes,) = _figure(THUMBNAIL, 1, 1)
    _depths(axes, wavelength, row["spectrum"])
    return _png(figure)


def examples(rows: Sequence[Mapping[str, Any]], wavelength: Array) -> bytes:
    """PNG of the rows side by side: white light curves above, true spectra below where any is known."""
    known = any(row["spectrum"] is not None for row in rows)
    figure, axes = _figure((3.0 * len(rows), 2.3 * (1 + known)), 1 + known, len(rows))
    for row, above in zip(rows, axes, strict=False):
        _curve(above, row)
        above.set_title(f"planet {row['planet_id']}", fontsize=9)
    for row, below in zip(rows, axes[len(rows) :], strict=False):
        if row["spectrum"] is None:
            below.axis("off")
        else:
            _depths(below, wavelength, row["spectrum"])
    axes[0].set_ylabel("white light", fontsize=8)
    if known:
        axes[len(rows)].set_ylabel("depth, ppm", fontsize=8)
    return _png(figure)


def spectrum_with_band(wavelength: Array, mean: Array, sigma: Array, truth: Array) -> bytes:
    """PNG of a prediction with its 1σ and 2σ bands over the truth; all (C,), depths."""
    figure, (axes,) = _figure((9.0, 4.0), 1, 1)
    white = np.asarray(wavelength) < FGS1_BELOW_UM
    x, (mean, sigma, truth) = wavelength[~white], (PPM * part[~white] for part in (mean, sigma, truth))
    for n, alpha in ((2, 0.22), (1, 0.45)):
        axes.fill_between(x, mean - n * sigma, mean + n * sigma, color=BAND, alpha=alpha, lw=0, label=f"model ± {n}σ")
    axes.plot(x, mean, color=LINE, lw=2.2, label="model μ")
    axes.plot(x, truth, color=TRUTH, lw=1.0, label="truth (simulated)")
    axes.set_xlabel("wavelength, µm", fontsize=10)
    axes.set_ylabel("transit depth, ppm", fontsize=10)
    axes.tick_params(labelsize=9)
    axes.legend(fontsize=9, frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _png(figure)


def _figure(size: tuple[float, float], rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.grid(color="#e5e7eb", lw=0.8)
        one.tick_params(labelsize=7, length=0)
        one.yaxis.set_major_locator(MaxNLocator(3))
        one.xaxis.set_major_locator(MaxNLocator(4))
        for spine in one.spines.values():
            spine.set_visible(False)
    return figure, axes


def _curve(axes: Axes, row: Mapping[str, Any]) -> None:
    axes.plot(row["time"], white_curve(row), ".", color=POINTS, ms=2.5, mew=0)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel("h", fontsize=8)


def _depths(axes: Axes, wavelength: Array, depth: Array) -> None:
    airs = np.asarray(wavelength) >= FGS1_BELOW_UM
    axes.plot(np.asarray(wavelength)[airs], PPM * np.asarray(depth)[airs], color=LINE, lw=1.5)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel("µm", fontsize=8)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "ariel-hf"})
    return buffer.getvalue()
