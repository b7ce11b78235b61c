"""Planets, atmospheres and telescopes unlike the population, so that a model learns how little it may take for granted.

Nothing here is meant to be likely: shapes and sizes are spread evenly over what a spectrograph might meet. A model that
was trained on the population alone is as sure of itself there as at home.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset.schema import STAR_COLUMNS
from hf_dataset.simulation.planets import Planet
from hf_dataset.simulation.telescope import WINDOW_H

Array = NDArray[np.float64]
Row = dict[str, Any]

PPM = 1e-6
SMALLEST, LARGEST = 10 * PPM, 400 * PPM  # 1 sigma of a spectrum's features, evenly in ln
OFTEN = 0.25  # how often each thing is off
_LONGEST = 5.5  # h, of a transit that leaves something of the window


def unlike_spectra(usual: Array, wavelength_um: Array, rng: np.random.Generator) -> Array:
    """Spectra (n, channel) of other atmospheres, with the mean depths of the ``usual`` ones.

    Evenly: absorbers that nobody has named, rough and smooth curves without any physics, hazes that rise to the blue,
    features upside down as in emission, and hardly anything, as of thick clouds.
    """
    level = usual.mean(1, keepdims=True)
    out = np.empty_like(usual)
    for row, (own, kind) in enumerate(zip(usual, rng.integers(0, 5, len(usual)), strict=True)):
        own = own - own.mean()
        if kind == 0:
            shape = _absorbers(wavelength_um, rng)
        elif kind == 1:
            shape = _curve(wavelength_um, rng)
        elif kind == 2:
            shape = -np.log(wavelength_um) + rng.uniform(0, 1) * own / max(own.std(), PPM)
        else:
            shape = -own if kind == 3 else own
        size = 0.1 * SMALLEST if kind == 4 else np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
        shape = shape - shape.mean()
        shape[0] += rng.choice([0.0, rng.normal()]) * shape.std()  # a photometer apart, as spots and hazes make it
        out[row] = level[row] + min(size, 0.3 * float(level[row, 0])) * shape / max(float(shape.std()), 1e-12)
    return np.clip(out, 0.1 * level, None)


def _absorbers(wavelength_um: Array, rng: np.random.Generator) -> Array:
    """ln of an opacity (channel,): bands of one to six anywhere, each with wings, above a floor."""
    opacity = np.full(len(wavelength_um), np.exp(rng.uniform(-6, 0)))
    for _ in range(rng.integers(1, 7)):
        centre, width = rng.uniform(0.5, 4.2), np.exp(rng.uniform(np.log(0.02), np.log(0.4)))
        away = np.abs(wavelength_um - centre) / width
        opacity += np.exp(rng.uniform(-3, 3) - away ** rng.uniform(1, 2))
    return np.log(opacity)


def _curve(wavelength_um: Array, rng: np.random.Generator) -> Array:
    """A Gaussian process (channel,) of correlation exp(-|d| / l), or smooth, of any length l."""
    away = np.abs(wavelength_um[:, None] - wavelength_um) / np.exp(rng.uniform(np.log(0.05), np.log(1.5)))
    correlation = np.exp(-(away ** rng.choice([1.0, 2.0])))
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(vectors @ (np.sqrt(values.clip(0.0)) * rng.standard_normal(len(values))))


def unlike_planet(planet: Planet, rng: np.random.Generator) -> Planet:
    """The planet on any chord of a star of another density, depth, light and limb darkening."""
    spectrum = planet.spectrum * min(np.exp(rng.normal(0, 0.5)), 0.03 / planet.spectrum.mean())
    k = float(np.sqrt(spectrum.mean()))
    sma, b = planet.sma * np.exp(rng.normal(0, 0.25)), rng.uniform(0, 0.95 - k)
    hours = planet.P * 24 / np.pi * (1 + k) / sma
    u = planet.u + rng.normal(0, 0.12, 2) + np.linspace(-1, 1, len(planet.u))[:, None] * rng.normal(0, 0.05, 2)
    return replace(
        planet,
        spectrum=spectrum,
        sma=sma,
        i=float(np.degrees(np.arccos(b / sma))),
        P=planet.P * min(1.0, _LONGEST / hours),
        brightness=planet.brightness * float(np.exp(rng.uniform(-2.0, 0.2))),
        u=np.clip(u, -0.1, 0.9),
        atmosphere=None,  # its features are scaled with its depth, as no scale height does
    )


def disturb(row: Row, wavelength_um: Array, rng: np.random.Generator) -> list[str]:
    """Change a row of the dataset as another telescope would, and say how; most rows in one to three ways."""
    chosen = [name for name in CHANGES if rng.random() < OFTEN]
    for name in chosen:
        CHANGES[name](row, wavelength_um, rng)
    return chosen


def _x(row: Row) -> Array:
    return np.asarray(2 * row["time"].astype(np.float64) / WINDOW_H - 1)


def _across(wavelength_um: Array, rng: np.random.Generator) -> Array:
    """How much channels take part in something (channel,): AIRS by a parabola or a part of it, FGS1 on its own."""
    x = (wavelength_um - 2.925) / 0.975
    x[0] = 0.0
    loading = 1 + rng.normal(0, 0.4) * x + rng.normal(0, 0.2) * (x**2 - 1 / 3)
    if rng.random() < 0.3:
        loading = loading * (np.abs(x - rng.uniform(-1, 1)) < rng.uniform(0.1, 1))
    loading[0] = rng.choice([0.0, 1.0, rng.normal()])
    return np.asarray(loading)


def _multiply(row: Row, factor: Array) -> None:
    row["flux"] = (row["flux"] * (1.0 + factor)).astype(np.float32)


def _size(rng: np.random.Generator, low: float, high: float) -> float:
    return float(PPM * np.exp(rng.uniform(np.log(low), np.log(high))))


def _larger_drift(row: Row, wavelength_um: Array, rng: np.random.Generator) -> None:
    """Drift of Legendre orders 1 to 6, falling with the order."""
    size = _size(rng, 100, 2000) * rng.standard_normal(6) * rng.uniform(0.3, 1) ** np.arange(6)
    shape = np.polynomial.legendre.legval(_x(row), np.concatenate([[0.0], size]))
    _multiply(row, np.outer(shape, _across(wavelength_um, rng)))


def _twisted_drift(row: Row, wavelength_um: Array, rng: np.random.Generator) -> None:
    """Drift whose shape in time changes along the spectrum."""
    x = (wavelength_um - 2.925) / 0.975
    x[0] = 0.0
    shape = np.polynomial.legendre.legval(_x(row), np.concatenate([[0.0], rng.standard_normal(3)]))
    _multiply(row, _size(rng, 30, 400) * np.outer(shape, x))


def _memory(row: Row, wavelength_um: Array, rng: np.random.Generator) -> None:
    """Noise with memory of a few minutes to hours, rough or smooth."""
    hours = np.exp(rng.uniform(np.log(0.1), np.log(3.0)))
    away = np.abs(row["time"][:, None] - row["time"]).astype(np.float64) / hours
    kernel = np.exp(-away) if rng.random() < 0.5 else np.exp(-0.5 * away**2)
    values, vectors = np.linalg.eigh(kernel)
    series = vectors @ (np.sqrt(values.clip(0.0)) * rng.standard_normal(len(values)))
    _multiply(row, _size(rng, 20, 400) * np.outer(series, _across(wavelength_um, rng)))


def _ramp(row: Row, wavelength_um: Array, rng: np.random.Generator) -> None:
    """A detector that settles, from the beginning or from some moment on."""
    start = rng.choice([0.0, rng.uniform(0, WINDOW_H)])
    since = row["time"].astype(np.float64) - start
    shape = np.where(since < 0, 0.0, np.exp(-since / np.exp(rng.uniform(np.log(0.1), np.log(3.0)))))
    _multiply(row, rng.choice([-1, 1]) * _size(rng, 50, 1000) * np.outer(shape, _across(wavelength_um, rng)))


def _stated_errors(row: Row, _: Array, rng: np.random.Generator) -> None:
    """Errors that are stated too large or too small."""
    row["flux_err"] = (row["flux_err"] * np.exp(rng.normal(0, 0.3))).astype(np.float32)


def _gap(row: Row, _: Array, rng: np.random.Generator) -> None:
    """Up to an hour without data."""
    start = rng.uniform(0, WINDOW_H)
    row["valid"] = row["valid"] & ~((row["time"] > start) & (row["time"] < start + rng.uniform(0, 1)))[:, None]


def _no_table(row: Row, _: Array, __: np.random.Generator) -> None:
    """Nothing known of star and orbit."""
    row.update(dict.fromkeys(STAR_COLUMNS, np.float32(np.nan)))


def _wrong_table(row: Row, _: Array, rng: np.random.Generator) -> None:
    """A star table that is off in orbit and chord."""
    sma = float(row["sma"]) * np.exp(rng.normal(0, 0.1))
    if np.isfinite(sma):
        b = abs(float(row["sma"]) * np.cos(np.radians(float(row["i"]))) + rng.normal(0, 0.1))
        row.update(sma=np.float32(sma), i=np.float32(np.degrees(np.arccos(min(b / sma, 1.0)))))


CHANGES: dict[str, Callable[[Row, Array, np.random.Generator], None]] = {
    "larger drift": _larger_drift,
    "twisted drift": _twisted_drift,
    "noise with memory": _memory,
    "ramp": _ramp,
    "stated errors": _stated_errors,
    "gap": _gap,
    "wrong star table": _wrong_table,
    "no star table": _no_table,
}
