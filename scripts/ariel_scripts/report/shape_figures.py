"""The report's figures of spectra as shapes: bends, power and its kinds, errors that neighbours share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from ariel_scripts.report import statistics
from ariel_scripts.report.maps import Shade, planet_map
from ariel_scripts.report.plots import (
    Array,
    Figure,
    area_of,
    axis_of,
    label,
    line_of,
    line_style,
)
from modeling_ariel.uncertainty import bootstrap_means, bounds

PERIODS = [2, 5, 10, 20, 50, 100, 200]  # channels
CLUSTERS = 3
FEWEST = 4 * CLUSTERS  # planets that are told apart by kinds of residuals
Arrays = tuple[Array, Array, Array]  # truth, mean, sigma


def bend_map(wavelength: Array, planets: NDArray[np.int64], spectra: Mapping[str, Arrays]) -> Figure:
    """Second differences of mu over sigma, roughest planets first; ``spectra`` {name: (anything, mu, sigma)}."""
    bends = {}
    for name, (_, mu, sigma) in spectra.items():
        found = np.full(mu.shape, np.nan)
        found[:, 2:-1] = (mu[:, 2:-1] - 0.5 * (mu[:, 1:-2] + mu[:, 3:])) / sigma[:, 2:-1]
        bends[name] = found
    order = np.argsort(-np.nanmean(next(iter(bends.values())) ** 2, 1), kind="stable")
    caption = (
        "How far each channel lies from the middle of its neighbours, in σ, roughest planets first; pale is smooth, "
        "speckle is noise taken for a spectrum, and a coloured column is one channel that is off in every planet."
    )
    shown = {name: found[order] for name, found in bends.items()}
    shade = Shade("σ from neighbours", 1.5, 0.002, signed=True)
    return planet_map("Second derivative", caption, wavelength, planets[order], shown, shade, "planets, roughest first")


def power_spectra(frequency: Array, curves: Sequence[tuple[str, Array, int | None, str]], shown: str) -> Figure:
    """Power (K,) [ppm^2] over frequency (K,) [1/channel]: (name, power, place of its colour or None, dash)."""
    data = [
        line_of(
            frequency,
            np.maximum(values, 1e-12),
            name=label(name),
            line={"color": "§ink", "width": 4} if place is None else line_style(place, dash=dash),
            hovertemplate="%{x:.3f} per channel: %{y:.3g} ppm²",
        )
        for name, values, place, dash in curves
    ]
    layout = {
        "xaxis": axis_of(
            "period, channels",
            type="log",
            tickvals=[1 / period for period in PERIODS],
            ticktext=[str(period) for period in PERIODS],
        ),
        "yaxis": axis_of("power, ppm²", type="log", exponentformat="power", dtick=1),
    }
    title, caption = _POWER[shown]
    return Figure(title, caption, {"": {"data": data, "layout": layout}}, 420)


_POWER = {
    "spectra": (
        "Power of AIRS spectra",
        "Broad features are left, fine ones right, white noise of 10 ppm is level at 100 ppm²: a prediction above the "
        "truth there is noisy, one far below smoother than spectra are, residuals above the truth are lost features.",
    ),
    "kinds": (
        "Kinds of residuals, by their power",
        "Planets grouped by the FFT of μ − truth (k-means of its logarithm): a small group far above the others, or "
        "one that rises where others fall, is a kind of error of its own.",
    ),
}


def residual_kinds(planets: NDArray[np.int64], error: Array, seed: int) -> Figure:
    """Mean power of residuals (P, N) [ppm] of each of CLUSTERS kinds of planets, the weakest first."""
    each = np.stack([statistics.power(row[None])[1] for row in error])
    frequency, _ = statistics.power(error[:1])
    edges = np.unique(np.geomspace(1, len(frequency), 9).round().astype(int)) - 1
    bands = np.stack([each[:, first:last].mean(1) for first, last in itertools.pairwise(edges)], 1)
    coarse = np.log10(np.maximum(bands, 1e-9))
    _, kind = kmeans2(coarse, CLUSTERS, minit="++", seed=seed)
    curves = []
    found = sorted(np.unique(kind), key=lambda one: float(coarse[kind == one].mean()))
    for place, one in enumerate(found):
        some = ", ".join(str(planet) for planet in planets[kind == one][:3])
        more = f": {some}" if (kind == one).sum() <= 3 else f": {some} …"
        curves.append((f"{int((kind == one).sum())} planets{more}", each[kind == one].mean(0), place, "solid"))
    return power_spectra(frequency, curves, "kinds")


def shared_errors(judged: Mapping[str, Arrays]) -> Figure:
    """Autocorrelation of what is left along wavelength, in units of sigma."""
    data = []
    for place, (entry, (truth, mu, sigma)) in enumerate(judged.items()):
        lag, found, low, high = autocorrelation((mu - truth)[:, 1:] / sigma[:, 1:])
        data.append(area_of(lag, low, high, place))
        hover = "%{x} channels apart: %{y:.2f}"
        data.append(line_of(lag, found, name=label(entry), line=line_style(place), hovertemplate=hover))
    layout = {"xaxis": axis_of("distance, channels"), "yaxis": axis_of("correlation of z", zeroline=True)}
    caption = (
        "How alike the errors of channels so far apart are, mean over planets with 90 % interval: what stays above 0 "
        "is an error that neighbours share, which averaging over channels does not take away."
    )
    return Figure("Autocorrelation of residuals", caption, {"": {"data": data, "layout": layout}})


def autocorrelation(z: Array, farthest: int = 80) -> tuple[Array, Array, Array, Array]:
    """Distances (K,) [channels], the mean product of z (P, C) so far apart over that of z with itself, and the ends of
    its 90 % interval over planets.

    The mean is not taken out: an offset that all channels share is a correlation of errors too.
    """
    lag = np.arange(min(farthest, z.shape[1] // 2) + 1)
    products = np.stack([(z[:, : z.shape[1] - k] * z[:, k:]).mean(1) for k in lag], 1)
    draws = bootstrap_means(products, 500)
    low, high = bounds(draws / draws[:, :1])
    mean = products.mean(0)
    return lag.astype(np.float64), mean / mean[0], np.asarray(low), np.asarray(high)
