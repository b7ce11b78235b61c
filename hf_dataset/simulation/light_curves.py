"""Light curves (`ariel simulate --fast`) straight in the dataset's schema, thousands a minute, every component known.

    flux[t, c] = F[c] transit[t, c] (1 + drift[t, c]) (1 + jitter[t] response[c] + dispersion_jitter[t] ...[c])
                 + N(0, variance[t, c])

It is what plain row sums of the raw frames of `raw_folder.py` give (docs/simulation.md compares the two, and both with
real light curves). Each row depends on the seed, the planet and the visit alone, never on the order or the number of
workers.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset.schema import N_CHANNELS
from hf_dataset.simulation import detector, telescope, transits
from hf_dataset.simulation.planets import Planet
from hf_dataset.simulation.telescope import LABEL_COLUMNS, WINDOW_H, wavelengths_um

Array = NDArray[np.float64]

AIRS_SECONDS, FGS1_SECONDS = 4.5, 0.1  # light of one exposure
FGS1_PER_AIRS_EXPOSURE = telescope.FGS1_EXPOSURES // telescope.AIRS_EXPOSURES


@dataclass(frozen=True)
class NoiseModel:
    """Photon and read noise of a channel summed over an aperture, as the reduction does by default."""

    read_noise: float = (
        13.3  # mean over an aperture [e- rms of one read], two reads a pair; the real maps' median is 13.0
    )
    fgs1_read_noise: float = 15.0  # its larger aperture holds some of the noisy pixels of the map's tail
    airs_half_width: float = 5.0  # rows either side of the trace [px]
    fgs1_radius: float = 6.0  # [px]
    foreground: float = 0.48  # diffuse light and dark under the aperture [e-/s/px]
    airs_exposures: int = telescope.AIRS_EXPOSURES  # of a visit; fewer for raw folders with reduced frames

    def variance(self, flux: Array, n_bins: int) -> Array:
        """Photon and read variance of a bin's mean [(e-/exposure)^2]; flux (time, channel) [e-/exposure], 0 is FGS1."""
        pixels = np.full(N_CHANNELS, airs_aperture(self.airs_half_width).sum())
        pixels[0] = fgs1_aperture(self.fgs1_radius).sum()
        read = np.full(N_CHANNELS, self.read_noise)
        read[0] = self.fgs1_read_noise
        exposures = np.full(N_CHANNELS, self.airs_exposures / n_bins)
        exposures[0] *= FGS1_PER_AIRS_EXPOSURE
        seconds = np.full(N_CHANNELS, AIRS_SECONDS)
        seconds[0] = FGS1_SECONDS
        return (np.maximum(flux, 0) + pixels * (self.foreground * seconds + 2 * read**2)) / exposures


@dataclass(frozen=True)
class LightCurveSettings:
    """What decides a simulated light curve besides planet and seed."""

    noise: NoiseModel = field(default_factory=NoiseModel)
    pointing: telescope.PointingLaw = field(default_factory=telescope.PointingLaw)
    drift: telescope.DriftLaw = field(default_factory=telescope.DriftLaw)
    centroid_noise: tuple[float, float, float, float] = (5e-4, 5e-4, 5e-4, 1e-3)  # measurement error of a bin [px]
    outlier_rate: float = 2e-5  # fraction of (bin, channel) with a cosmic-ray residue that hit rejection left
    outlier_size: float = 5.0  # its mean height, exponential [sigma]

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if not 0 <= self.outlier_rate < 0.5:
            raise ValueError(f"outlier_rate: expected 0 to 0.5, found {self.outlier_rate}")
        if self.noise.read_noise < 0:
            raise ValueError(f"noise: expected a read_noise of 0 or more, found {self.noise.read_noise}")
        if self.noise.airs_exposures < 1:
            raise ValueError(f"airs_exposures: expected 1 or more, found {self.noise.airs_exposures}")


@dataclass(frozen=True, eq=False)
class Truth:
    """Every component of a simulated row. Axes: (time,), (channel,) or (time, channel).

    `jitter` (along the rows, common to AIRS) and `dispersion_jitter` (along wavelength, strong where the spectrum is
    steep) are independent, zero-mean Gaussian series with the same covariance `jitter_covariance`.
    """

    star_flux: Array  # F (channel,) [e-/exposure], in the aperture
    transit: Array  # (time, channel), 1 outside transit
    drift: Array  # (time, channel), relative
    drift_law: telescope.Drift
    jitter: Array  # (time,) [px]
    jitter_response: Array  # (channel,) [1/px]; 0 for FGS1
    dispersion_jitter: Array  # (time,) [px]
    dispersion_response: Array  # (channel,) [1/px]; 0 for FGS1
    jitter_covariance: Array  # (time, time) [px2]
    variance: Array  # (time, channel) of the white noise [(e-/exposure)^2]
    outliers: NDArray[np.bool_]  # (time, channel)
    u: Array  # limb darkening (channel, 2)
    t0: float  # [h]

    @property
    def expectation(self) -> Array:
        """Flux without white noise and outliers: (time, channel) [e-/exposure]."""
        jitter = np.outer(self.jitter, self.jitter_response)
        jitter += np.outer(self.dispersion_jitter, self.dispersion_response)
        return self.star_flux * self.transit * (1 + self.drift) * (1 + jitter)


def airs_aperture(half_width: float) -> Array:
    """Weight of each row: (row,), the trace's edge rows in part."""
    return np.clip(half_width + 0.5 - np.abs(np.arange(detector.ROWS) - 15.54), 0, 1)


@cache
def fgs1_centre() -> tuple[float, float]:
    """(row, column) of FGS1's light: its first moment within 4 px of itself."""
    image, (y, x) = detector.fgs1_profile(), np.indices(detector.SHAPES["FGS1"])
    centre = (15.5, 15.5)
    for _ in range(20):
        weight = image * np.clip(4.5 - np.hypot(y - centre[0], x - centre[1]), 0, 1)
        centre = (float((y * weight).sum() / weight.sum()), float((x * weight).sum() / weight.sum()))
    return centre


def fgs1_aperture(radius: float) -> Array:
    """Weight of each pixel: (row, column)."""
    (y, x), centre = np.indices(detector.SHAPES["FGS1"]), fgs1_centre()
    return np.clip(radius + 0.5 - np.hypot(y - centre[0], x - centre[1]), 0, 1)


@cache
def fgs1_response(radius: float) -> float:
    """How FGS1's flux answers a shift of its image [1/px], both axes together: light crosses the aperture's edge."""
    weight, step = fgs1_aperture(radius), 0.05
    light = [(weight * detector.fgs1_profile(*shift)).sum() for shift in ((step, 0), (-step, 0), (0, step), (0, -step))]
    slope = np.array([light[0] - light[1], light[2] - light[3]]) / (2 * step)
    return float(np.hypot(*slope) / (weight * detector.fgs1_profile()).sum())


@cache
def aperture_fraction(airs_half_width: float, fgs1_radius: float) -> Array:
    """Share of a channel's light in the aperture: (channel,)."""
    airs = airs_aperture(airs_half_width) @ detector.airs_profile()
    fgs1 = (fgs1_aperture(fgs1_radius) * detector.fgs1_profile()).sum()
    return np.concatenate([[fgs1], airs[LABEL_COLUMNS][::-1]])


def star_flux(planet: Planet, noise: NoiseModel) -> tuple[Array, Array]:
    """Electrons per exposure in the aperture, and d ln F / d column: two (channel,) arrays, FGS1 first (slope 0)."""
    columns = telescope.airs_column_flux(planet.Ts, planet.brightness)
    slope = np.gradient(columns) / columns
    fgs1 = telescope.fgs1_flux(planet.Ts, planet.brightness)
    flux = np.concatenate([[fgs1], columns[LABEL_COLUMNS][::-1]])
    flux *= aperture_fraction(noise.airs_half_width, noise.fgs1_radius)
    return flux, np.concatenate([[0.0], slope[LABEL_COLUMNS][::-1]])


def visit_rng(seed: int, planet_id: int, visit: int, purpose: int = 0) -> np.random.Generator:
    """The generator of one visit: depends on nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, planet_id, visit, purpose]))


def drift_map(drift: telescope.Drift, time_h: Array, wavelength_um: Array) -> Array:
    """Relative gain drift of every channel: (time, channel)."""
    out = np.empty((time_h.size, wavelength_um.size))
    out[:, 0] = drift.fgs1_time(time_h)
    out[:, 1:] = np.outer(drift.airs_time(time_h), drift.airs_wavelength(wavelength_um[1:]))
    return out


def simulate_with_truth(
    planet: Planet, visit: int = 0, n_bins: int = 375, seed: int = 0, settings: LightCurveSettings | None = None
) -> tuple[dict[str, Any], Truth]:
    """One row of the dataset and the components it was made of."""
    settings = settings or LightCurveSettings()
    rng = visit_rng(seed, planet.planet_id, visit)
    time, step = telescope.bin_centres_h(n_bins), WINDOW_H / n_bins
    drift = settings.drift.draw(rng)
    exposures = settings.noise.airs_exposures / n_bins
    pointing = (n_bins, step, "AIRS-CH0", exposures)
    shifts = settings.pointing.draw(rng, *pointing)
    response = np.full(N_CHANNELS, settings.pointing.airs_response * rng.standard_normal())
    response[0] = 0.0
    flux0, slope = star_flux(planet, settings.noise)
    truth = Truth(
        star_flux=flux0,
        transit=transits.exposure_averaged(
            time, step, planet.t0, planet.P, planet.sma, planet.i, planet.spectrum, planet.u, planet.e
        ),
        drift=drift_map(drift, time, wavelengths_um(planet.layout)),
        drift_law=drift,
        jitter=shifts[:, 0],
        jitter_response=response,
        dispersion_jitter=shifts[:, 1],
        dispersion_response=-slope,
        jitter_covariance=settings.pointing.covariance(*pointing),
        variance=np.empty((n_bins, N_CHANNELS)),
        outliers=rng.random((n_bins, N_CHANNELS), dtype=np.float32) < settings.outlier_rate,
        u=planet.u,
        t0=planet.t0,
    )
    flux = truth.expectation
    truth.variance[:] = settings.noise.variance(flux, n_bins)
    sigma = np.sqrt(truth.variance)
    fgs1_pointing = (n_bins, step, "FGS1", FGS1_PER_AIRS_EXPOSURE * exposures)
    edges, filled = fgs1_response(settings.noise.fgs1_radius), settings.pointing.fgs1_response * rng.standard_normal()
    jitter_noise = np.hypot(edges, filled) * settings.pointing.fast_px("FGS1", fgs1_pointing[3])
    truth.variance[:, 0] += (jitter_noise * flux[:, 0]) ** 2
    noise = np.sqrt(truth.variance) * rng.standard_normal(flux.shape, dtype=np.float32)
    hit = sigma[truth.outliers] * settings.outlier_size * rng.exponential(size=int(truth.outliers.sum()))
    noise[truth.outliers] += hit
    fgs1_shift = settings.pointing.draw(rng, *fgs1_pointing)
    centroid = np.concatenate([fgs1_shift, shifts], axis=1)
    centroid += settings.centroid_noise * rng.standard_normal((n_bins, 4))
    return _row(planet, visit, time, flux + noise, sigma, centroid, seed, settings), truth


def _row(
    planet: Planet,
    visit: int,
    time: Array,
    flux: Array,
    sigma: Array,
    centroid: Array,
    seed: int,
    settings: LightCurveSettings,
) -> dict[str, Any]:
    star = planet.star_table() if planet.layout == "2025" else dict.fromkeys(planet.star_table(), np.nan)
    return {
        "planet_id": planet.planet_id,
        "visit": visit,
        "layout": "given" if planet.given else "simulated",
        "time": time.astype(np.float32),
        "flux": flux.astype(np.float32),
        "flux_err": sigma.astype(np.float32),
        "valid": np.ones(flux.shape, dtype=bool),
        "centroid": (centroid - np.median(centroid, axis=0)).astype(np.float32),
        "star": planet.star,
        **{name: np.float32(value) for name, value in star.items()},
        "spectrum": planet.spectrum.astype(np.float32),
        "calibration": json.dumps([{"step": "simulate_fast", "params": {"seed": seed, **asdict(settings)}}]),
    }


def simulate_row(
    planet: Planet, visit: int = 0, n_bins: int = 375, seed: int = 0, settings: LightCurveSettings | None = None
) -> dict[str, Any]:
    """One row of the dataset (schema.py): NumPy arrays and scalars."""
    return simulate_with_truth(planet, visit, n_bins, seed, settings)[0]


def simulate_rows(
    planets: Iterable[Planet],
    visits: int = 1,
    n_bins: int = 375,
    seed: int = 0,
    settings: LightCurveSettings | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of all planets, visit after visit."""
    for planet in planets:
        for visit in range(visits):
            yield simulate_row(planet, visit, n_bins, seed, settings)
