"""How honest predicted sigmas are, before and after calibration: numbers with errors over planets, and two figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ariel_scripts.palette import BLACK, BLUE, ORANGE
from modeling_ariel.scoring import BANDS, SCORES
from modeling_ariel.uncertainty import (
    LEVELS,
    bootstrap_means,
    bounds,
    conformal_quantiles,
    coverage_curve,
    z_histogram,
    z_scores,
)

Array = NDArray[np.float64]
N_SCORE_DRAWS = 300
Intervals = Callable[[Array], Array]  # sigma (P, C) → half-widths (L, P, C) [sigma]


@dataclass
class Judged:
    """Validation planets: ``truth``, ``mean``, ``sigma`` (P, C); ``factor`` (P, C) and ``half_widths`` (L, P, C)
    [calibrated sigma] that calibration on other planets gives each.
    """

    truth: Array
    mean: Array
    sigma: Array
    factor: Array
    half_widths: Array
    wavelength: Array

    @property
    def before(self) -> tuple[Array, Array, Array]:
        """Truth, mean, sigma as the model gave them."""
        return self.truth, self.mean, self.sigma

    @property
    def after(self) -> tuple[Array, Array, Array]:
        """Truth, mean, calibrated sigma."""
        return self.truth, self.mean, self.sigma * self.factor

    def bands(self) -> dict[str, NDArray[np.bool_]]:
        """Channels (C,) bool: all of them, and of each molecular band that holds any."""
        return {"overall": np.ones(len(self.wavelength), bool), **molecular_bands(self.wavelength)}


def molecular_bands(wavelength: Array) -> dict[str, NDArray[np.bool_]]:
    """Channels (C,) of each molecular band that holds any, by name."""
    inside = {name: (wavelength >= low) & (wavelength < high) for name, (low, high) in BANDS.items()}
    return {name: which for name, which in inside.items() if which.any()}


def by_channel(truth: Array, mean: Array, sigma: Array) -> Intervals:
    """Conformal intervals with half-widths of each channel, the same for all planets."""
    quantiles, _ = conformal_quantiles(truth, mean, sigma)
    return lambda own: np.broadcast_to(quantiles[:, None], (len(quantiles), *own.shape))


def cross_fitted(
    truth: Array,
    mean: Array,
    sigma: Array,
    wavelength: Array,
    fold: Array,
    fit: Callable[[Array, Array, Array], Array],
    intervals: Callable[[Array, Array, Array], Intervals] = by_channel,
) -> Judged:
    """Each planet calibrated by the planets of the other folds: what calibration does to planets it hasn't seen."""
    factor = np.empty_like(sigma)
    half_widths = np.empty((len(LEVELS), *sigma.shape))
    for number in np.unique(fold):
        others, own = fold != number, fold == number
        found = fit(truth[others], mean[others], sigma[others])
        factor[own] = found
        half_widths[:, own] = intervals(truth[others], mean[others], sigma[others] * found)(sigma[own] * found)
    return Judged(truth, mean, sigma, factor, half_widths, wavelength)


# --- numbers -------------------------------------------------------------------------------------------------------


def numbers(judged: Judged) -> dict[str, Any]:
    """Before, after and conformal: coverage, z and scores, each as [value, low, high] (90 % over planets)."""
    return {
        "before": _state(judged, judged.before, None),
        "after": _state(judged, judged.after, None),
        "conformal": {"coverage": _coverages(judged, judged.after, judged.half_widths)},
        "gain": {name: score_gain(judged, name) for name in SCORES},
    }


def _state(judged: Judged, values: tuple[Array, Array, Array], half_widths: Array | None) -> dict[str, Any]:
    z = z_scores(*values)
    spread = {name: _spread(z[:, inside]) for name, inside in judged.bands().items()}
    bias = z.mean(1)
    return {
        **{f"score_{name}": score(*values) for name, score in SCORES.items()},
        "coverage": _coverages(judged, values, half_widths),
        "z_spread": spread,
        "z_mean": _interval(bias.mean(), bootstrap_means(bias)),
        "sigma_median_ppm": round(1e6 * float(np.median(values[2])), 2),
    }


def _coverages(
    judged: Judged, values: tuple[Array, Array, Array], half_widths: Array | None
) -> dict[str, dict[str, list[float]]]:
    table = {}
    for name, inside in judged.bands().items():
        widths = None if half_widths is None else half_widths[:, :, inside]
        truth, mean, sigma = (array[:, inside] for array in values)
        curve = coverage_curve(truth, mean, sigma, LEVELS, widths)
        rows = zip(LEVELS, curve.coverage, curve.low, curve.high, strict=True)
        table[name] = {f"{level:g}": [round(float(x), 4) for x in row] for level, *row in rows}
    return table


def _spread(z: Array) -> list[float]:
    each = (z**2).mean(1)
    return _interval(np.sqrt(each.mean()), np.sqrt(bootstrap_means(each)))


def _interval(value: float, draws: Array) -> list[float]:
    return [round(float(x), 4) for x in (value, *bounds(draws))]


def score_gain(judged: Judged, name: str, seed: int = 0) -> list[float]:
    """Score after calibration less before, with its bootstrap over planets."""
    rng, score = np.random.default_rng(seed), SCORES[name]

    def gain(planets: NDArray[np.integer]) -> float:
        before, after = (tuple(array[planets] for array in state) for state in (judged.before, judged.after))
        return score(*after) - score(*before)

    count = len(judged.truth)
    draws = np.array([gain(rng.integers(0, count, count)) for _ in range(N_SCORE_DRAWS)])
    return [round(float(x), 5) for x in (gain(np.arange(count)), *bounds(draws))]


def as_text(found: Mapping[str, Any]) -> str:
    """The numbers as a plain table."""
    lines = [f"{'':<16}{'90 % interval holds, %':^36}{'spread of z':^24}"]
    lines.append(f"{'':<16}{'before':>12}{'after':>12}{'conformal':>12}{'before':>12}{'after':>12}")
    for name in found["before"]["coverage"]:
        cells = [100 * found[state]["coverage"][name]["0.9"][0] for state in ("before", "after", "conformal")]
        spreads = [found[state]["z_spread"][name][0] for state in ("before", "after")]
        lines.append(f"{name:<16}" + "".join(f"{x:>12.1f}" for x in cells) + "".join(f"{x:>12.3f}" for x in spreads))
    for name in SCORES:
        value, low, high = found["gain"][name]
        before = found["before"][f"score_{name}"]
        lines.append(f"score {name}: {before:.4f}, with calibration {value:+.4f} ({low:+.4f} to {high:+.4f})")
    return "\n".join(lines)


# --- figures -------------------------------------------------------------------------------------------------------


def coverage_figure(judged: Judged, found: Mapping[str, Any]) -> Figure:
    """Left: share of truths inside against the stated probability. Right: the same in each band, a level a column."""
    figure = Figure(figsize=(14, 5), layout="constrained")
    axes = figure.subplots(1, 1 + len(LEVELS), width_ratios=(2.6, *(1,) * len(LEVELS)))
    left = axes[0]
    for name, values, colour, style in (
        ("as the model gives it", judged.before, ORANGE, "--"),
        ("calibrated", judged.after, BLUE, "-"),
    ):
        curve = coverage_curve(*values)
        left.fill_between(100 * curve.levels, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.2, lw=0)
        left.plot(100 * curve.levels, 100 * curve.coverage, style, color=colour, lw=1.8, label=name)
    rows = 100 * np.array(list(found["conformal"]["coverage"]["overall"].values()))
    stated = [100 * level for level in LEVELS]
    left.errorbar(stated, rows[:, 0], _errors(rows), fmt="D", ms=4.5, lw=1, color=BLACK, label="conformal intervals")
    left.plot([0, 100], [0, 100], color="0.4", lw=1, ls=":", label="honest")
    left.set(xlim=(0, 100), ylim=(0, 100), xlabel="stated probability of the interval, %", aspect="equal")
    left.set_ylabel("truths inside, % (bands and bars: 90 % over planets)")
    left.set_title(
        f"all channels of {len(judged.truth)} planets, each calibrated by the others", fontsize=10, loc="left"
    )
    left.legend(fontsize=8.5, loc="upper left")
    for axis, level in zip(axes[1:], LEVELS, strict=True):
        _level_panel(axis, found, level)
        axis.tick_params(labelleft=level == LEVELS[0])
    return figure


def _errors(rows: Array) -> Array:
    """Lengths (2, n) of error bars from rows of [value, low, high]."""
    return np.maximum([rows[:, 0] - rows[:, 1], rows[:, 2] - rows[:, 0]], 0.0)


def _level_panel(axis: Axes, found: Mapping[str, Any], level: float) -> None:
    """Coverage of the intervals of one level in every band; 3 % about it shaded."""
    names = list(found["before"]["coverage"])
    styles: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("before", -0.22, {"color": ORANGE, "fmt": "o", "mfc": "white"}),
        ("after", 0.0, {"color": BLUE, "fmt": "o"}),
        ("conformal", 0.22, {"color": BLACK, "fmt": "D"}),
    )
    for row in range(0, len(names), 2):
        axis.axhspan(row - 0.5, row + 0.5, color="0.94", lw=0, zorder=0)
    axis.axvspan(100 * level - 3, 100 * level + 3, color="0.82", lw=0, zorder=1)
    axis.axvline(100 * level, color="0.4", lw=1, ls=":", zorder=2)
    for state, shift, style in styles:
        rows = 100 * np.array([found[state]["coverage"][name][f"{level:g}"] for name in names])
        axis.errorbar(rows[:, 0], np.arange(len(names)) + shift, xerr=_errors(rows), ms=4.5, lw=1, zorder=3, **style)
    axis.set_yticks(range(len(names)), [name.replace("overall", "all channels") for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    low, high = axis.get_xlim()
    reach = max(100 * level - low, high - 100 * level, 5)
    axis.set_xlim(100 * level - reach, min(100 * level + reach, 101))
    axis.set_xlabel("truths inside, %")
    axis.set_title(f"{100 * level:g} % intervals", fontsize=10, loc="left")


def z_figure(judged: Judged) -> Figure:
    """Histogram of z against the unit normal, on a linear and a logarithmic scale; its spread along wavelength."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    linear, logarithmic, along = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for axis in (linear, logarithmic):
        for name, values, colour in (("before", judged.before, ORANGE), ("after", judged.after, BLUE)):
            found = z_histogram(*values)
            text = "as the model gives it" if name == "before" else "calibrated"
            axis.stairs(
                found.density,
                found.edges,
                color=colour,
                lw=1.8,
                ls="--" if name == "before" else "-",
                label=f"{text}: spread {found.spread[0]:.2f} ({found.spread[1]:.2f}–{found.spread[2]:.2f})",
            )
        z = np.linspace(-5, 5, 201)
        axis.plot(z, np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi), color=BLACK, lw=1.2, ls=":", label="unit normal")
        axis.set(xlabel="z = (μ − truth)/σ", xlim=(-5, 5))
    linear.set_ylim(0, 1.35 * linear.get_ylim()[1])
    linear.set_ylabel("density")
    linear.legend(fontsize=8.5, loc="upper left")
    linear.set_title("all channels", fontsize=10, loc="left")
    logarithmic.set_yscale("log")
    logarithmic.set_ylim(1e-4, 1)
    logarithmic.set_title("the same, tails (|z| > 5 in the last bins)", fontsize=10, loc="left")
    _spread_panel(along, judged)
    return figure


def _spread_panel(axis: Axes, judged: Judged) -> None:
    order = np.arange(1, len(judged.wavelength)) if len(judged.wavelength) > 1 else np.arange(1)
    for values, colour, style in ((judged.before, ORANGE, "--"), (judged.after, BLUE, "-")):
        z2 = z_scores(*values) ** 2
        low, high = np.sqrt(bounds(bootstrap_means(z2)))
        spread = np.sqrt(z2.mean(0))
        axis.fill_between(judged.wavelength[order], low[order], high[order], color=colour, alpha=0.2, lw=0)
        axis.plot(judged.wavelength[order], spread[order], style, color=colour, lw=1.5)
        fgs1 = judged.wavelength[order][0] - 0.12  # FGS1 at 0.7 um would leave most of the axis empty
        error = np.array([[spread[0] - low[0]], [high[0] - spread[0]]]).clip(0)
        axis.errorbar([fgs1], [spread[0]], yerr=error, fmt="o", ms=4.5, color=colour)
        axis.annotate("FGS1", (fgs1, 0.02), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    for name, (start, end) in BANDS.items():
        if start < judged.wavelength[order][0] - 0.1 or "continuum" in name:
            continue
        axis.axvspan(start, end, color="0.94", lw=0, zorder=0)
        place, middle = axis.get_xaxis_transform(), (start + end) / 2
        axis.text(middle, 0.97, name.split()[0], transform=place, ha="center", va="top", fontsize=8)
    axis.axhline(1, color=BLACK, lw=1.2, ls=":")
    axis.set_ylim(0, max(2.0, axis.get_ylim()[1]))
    axis.set(xlabel="wavelength, µm", ylabel="spread of z (band: 90 % over planets)")
    axis.set_title("by channel", fontsize=10, loc="left")
