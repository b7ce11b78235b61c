"""The detector run forwards: from a star's flux to the uint16 frames of AIRS-CH0 and FGS1.

light on each pixel (PSF, jitter, transit, gain drift, foreground) -> flat -> charge with photon noise, shared by
the two frames of a pair -> dark -> cosmic hits -> non-linearity (the inverse of the stored `linear_corr`) -> read
noise -> ADC.

The order follows ExoSim 2 (Mugnai et al. 2025, Experimental Astronomy), the organisers' simulator;
`hf_dataset.reduction.calibration` undoes it in reverse.
Numbers are read off the calibration frames and the 50 frames of the real planet 342072318, unless said otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from hf_dataset.simulation import telescope
from hf_dataset.simulation.telescope import airs_axis_um

Array = NDArray[np.float64]
Frames = NDArray[np.uint16]

ROWS = 32
SHAPES = {"AIRS-CH0": (32, 356), "FGS1": (32, 32)}
INTEGRATION_S = {"AIRS-CH0": telescope.AIRS_INTEGRATION_S, "FGS1": telescope.FGS1_INTEGRATION_S}

# linear_corr, ascending powers: mean and pixel-to-pixel scatter of the real AIRS maps (FGS1 differs by 30 % in c3-c5).
_LINEARITY_MEAN = (0.15, 1.0, -4e-9, 1.18e-11, -6.0e-17, 1.33e-22)
_LINEARITY_SCATTER = (0.15, 0.005, 6e-8, 1.2e-12, 9e-18, 2e-23)


@dataclass(frozen=True)
class DetectorSettings:
    """What the detector and the pointing do. Fractions are of pixels."""

    flat_mean: float = 1.0135
    flat_scatter: float = 0.0135
    flat_error: float = 5e-4  # relative error of the stored flat
    dark: float = 0.0063  # e-/s
    dark_scatter: float = 0.0015
    hot_fraction: float = 0.0017
    hot_dark: tuple[float, float] = (0.1, 12.0)  # e-/s, log-uniform
    dead_fraction: float = 0.0015
    foreground: float = 0.48  # diffuse light [e-/s/px]: 2.2 e- in an AIRS exposure
    hit_rate: float = 2.8e-7  # cosmic hits [1/px/s]: 41 in 5,625 exposures of 16 rows of the real planet 1103775
    hit_charge: tuple[float, float] = (8e4, 0.25)  # median [e-] and log scatter, from the same planet
    nonlinear: bool = True
    pointing: telescope.PointingLaw = field(default_factory=telescope.PointingLaw)
    drift: telescope.DriftLaw = field(default_factory=telescope.DriftLaw)

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        for name in ("hot_fraction", "dead_fraction"):
            if not 0 <= getattr(self, name) <= 0.2:
                raise ValueError(f"{name}: expected a fraction of pixels from 0 to 0.2, found {getattr(self, name)}")
        for name in ("dark", "foreground", "hit_rate", "flat_scatter", "flat_error"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Detector:
    """One detector's maps as stored with a visit, and the true flat. Axes: (row, column)."""

    dark: Array  # e-/s
    dead: NDArray[np.bool_]
    flat: Array  # as stored
    true_flat: Array  # 0 where dead
    linear_corr: Array  # (6, row, column), ascending powers
    read: Array  # e- rms


def draw_detector(rng: np.random.Generator, shape: tuple[int, int], settings: DetectorSettings) -> Detector:
    """Calibration maps of one visit, with the real maps' distributions."""
    dead = rng.random(shape) < settings.dead_fraction
    dark = rng.normal(settings.dark, settings.dark_scatter, shape)
    hot = rng.random(shape) < settings.hot_fraction
    low, high = (float(np.log(rate)) for rate in settings.hot_dark)
    dark[hot] = np.exp(rng.uniform(low, high, int(hot.sum())))
    flat = rng.normal(settings.flat_mean, settings.flat_scatter, shape)
    stored = flat * (1 + settings.flat_error * rng.standard_normal(shape))
    stored[dead] = rng.normal(0, 0.015, int(dead.sum()))
    # real read maps: 1 % quantile 12.2, median 13.0, 95 % 17.0, 99 % 28, maximum 153 e-
    read = 12.15 + np.minimum(np.exp(rng.normal(-0.19, 1.15, shape)), 140)
    linear = np.array(_LINEARITY_MEAN)[:, None, None] + np.array(_LINEARITY_SCATTER)[
        :, None, None
    ] * rng.standard_normal((6, *shape))
    if not settings.nonlinear:
        linear = np.zeros((6, *shape))
        linear[1] = 1.0
    return Detector(dark, dead, stored, np.where(dead, 0.0, flat), linear, read)


# --- images --------------------------------------------------------------------------------------------------------


def _gauss(y: Array, centre: float | Array, sigma: float | Array) -> Array:
    """A Gaussian integrated over pixels."""
    s = sigma * np.sqrt(2)
    return 0.5 * (erf((y + 0.5 - centre) / s) - erf((y - 0.5 - centre) / s))


def _lorentz(y: Array, centre: float | Array, gamma: float | Array) -> Array:
    """A Lorentzian integrated over pixels: diffraction wings fall as 1/y^2."""
    return (np.arctan((y + 0.5 - centre) / gamma) - np.arctan((y - 0.5 - centre) / gamma)) / np.pi


def airs_profile(shift: float = 0.0) -> Array:
    """Cross-dispersion profile: (row, column); part of the wings falls off the detector.

    Fitted to the mean of 25 real exposures: centre 15.54, core and wings that widen with wavelength.
    """
    x = airs_axis_um() - 3.0
    y = np.arange(ROWS, dtype=float)[:, None]
    wings = 0.720 - 0.076 * x
    centre = 15.54 + shift
    return (1 - wings) * _gauss(y, centre, 1.348 - 0.086 * x) + wings * _lorentz(y, centre, 0.987 + 0.394 * x)


def _bell(u: Array, sigma: float) -> Array:
    return np.exp(-0.5 * (u / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def _arm(u: Array, length: float) -> Array:
    """An exponential over u > 0 [px] with a short rise before it."""
    return np.where(u > 0, np.exp(-np.maximum(u, 0) / length), np.exp(np.minimum(u, 0) / 0.7))


def fgs1_profile(dy: float = 0.0, dx: float = 0.0, oversampling: int = 8) -> Array:
    """FGS1's image of the star: (row, column), its sum about 1.

    Fitted to the mean of 25 real exposures: a core and a three-armed pattern (trefoil), longest to the left.
    """
    rows, columns = SHAPES["FGS1"]
    fine = (np.arange(rows * oversampling) + 0.5) / oversampling - 0.5
    y, x = fine[:, None] - dy, fine - dx
    left, up = 16.33 - x, y - 15.23
    across = 15.78 - x
    light = 0.414 * _bell(y - 15.155 + 0.458 * across, 0.638) * _bell(across, 1.03)
    light += 0.189 * _bell(y - 16.79, 1.633) * _bell(x - 15.77, 1.064)
    light += 0.029 * _arm(left, 4.31) * _bell(up + 0.254 * left + 0.311, 0.89)
    light += 0.034 * _arm(-left, 1.414) * _bell(up - 0.85 * left + 0.311, 0.89)
    light += 0.042 * _arm(up, 1.633) * _bell(left - 1.812, 0.502)
    light += 2.75e-4 * (1 + (up**2 + left**2) / 39.0) ** -1.5
    return light.reshape(rows, oversampling, columns, oversampling).mean(axis=(1, 3))


@dataclass(frozen=True, eq=False)
class Scene:
    """The star's image and its derivatives to second order in shifts: (5, pixel) [e-/exposure]."""

    instrument: str
    basis: Array  # image, d/dy, d/dx, d2/dy2 / 2, d2/dx2 / 2
    foreground: float  # e-/px/exposure

    def light(self, gain: Array, dy: Array, dx: Array, true_flat: Array) -> Array:
        """Expected electrons per exposure: (exposure, pixel). gain: (exposure, column) or (exposure, 1)."""
        n, shape = dy.size, SHAPES[self.instrument]
        terms = np.stack([np.ones(n), dy, dx, dy**2, dx**2], axis=1)
        image = (terms @ self.basis).reshape(n, *shape)
        image *= gain[:, None, :]
        image += self.foreground
        image *= true_flat
        return np.maximum(image, 0, out=image).reshape(n, -1)


def _derivatives(image: Array, step: float, up: Array, down: Array, right: Array, left: Array) -> Array:
    first = [(up - down) / (2 * step), (right - left) / (2 * step)]
    second = [(up - 2 * image + down) / (2 * step**2), (right - 2 * image + left) / (2 * step**2)]
    return np.stack([image, *first, *second]).reshape(5, -1)


def airs_scene(column_flux: Array, settings: DetectorSettings) -> Scene:
    """AIRS-CH0's scene from the electrons per exposure of each column: (356,)."""
    step, x = 0.05, np.arange(column_flux.size, dtype=float)
    right, left = (np.interp(x - s, x, column_flux) for s in (step, -step))
    image = airs_profile() * column_flux
    shifted = (airs_profile(step) * column_flux, airs_profile(-step) * column_flux)
    basis = _derivatives(image, step, *shifted, airs_profile() * right, airs_profile() * left)
    basis[4] = 0.0  # linear interpolation has no curvature between columns
    start, end = telescope.AIRS_INTEGRATION_S
    return Scene("AIRS-CH0", basis, settings.foreground * (end - start))


def fgs1_scene(flux: float, settings: DetectorSettings) -> Scene:
    """FGS1's scene from the star's electrons per exposure."""
    step = 0.05
    shifted = (fgs1_profile(step), fgs1_profile(-step), fgs1_profile(0, step), fgs1_profile(0, -step))
    basis = flux * _derivatives(fgs1_profile(), step, *shifted)
    start, end = telescope.FGS1_INTEGRATION_S
    return Scene("FGS1", basis, settings.foreground * (end - start))


# --- read-out ------------------------------------------------------------------------------------------------------


def delinearise(electrons: Array, linear_corr: Array, bright: NDArray[np.bool_]) -> Array:
    """What the detector reports for a true charge: the inverse of `linear_corr`, (exposure, pixel) [e-], in place.

    Newton's method; pixels that are never `bright` use the two lowest powers only (error under 0.03 e- below 500 e-).
    """
    charge = electrons[:, bright]
    electrons -= linear_corr[0].astype(electrons.dtype)
    electrons /= linear_corr[1].astype(electrons.dtype)
    c = linear_corr[:, bright].astype(electrons.dtype)
    reported = electrons[:, bright]
    for _ in range(3):
        value, slope = c[5] * reported, 5 * c[5] * reported
        for power in (4, 3, 2):
            value = (value + c[power]) * reported
            slope = (slope + power * c[power]) * reported
        value = (value + c[1]) * reported + c[0]
        slope += c[1]
        reported -= (value - charge) / slope
    electrons[:, bright] = reported
    return electrons


def add_hits(rng: np.random.Generator, charge: Array, exposure_s: float, settings: DetectorSettings) -> int:
    """Add cosmic hits' electrons to (exposure, pixel) in place; the number of hits."""
    n_hits = int(rng.poisson(settings.hit_rate * exposure_s * charge.size))
    where = rng.integers(0, charge.size, n_hits)
    size = settings.hit_charge[0] * np.exp(settings.hit_charge[1] * rng.standard_normal(n_hits))
    flat_view = charge.reshape(-1)
    np.add.at(flat_view, where, size)
    shared = rng.random(n_hits) < 0.1  # one in ten also crosses the next pixel
    np.add.at(flat_view, np.minimum(where[shared] + 1, charge.size - 1), 0.5 * size[shared])
    return n_hits


def encode(electrons: Array, adc_gain: float, adc_offset: float) -> Frames:
    """The converter: floor((e - offset) gain), kept in uint16."""
    counts = np.floor((electrons - adc_offset) * adc_gain)
    return np.clip(counts, 0, 65535).astype(np.uint16)


def read_out(
    rng: np.random.Generator,
    scene: Scene,
    detector: Detector,
    gain: Array,
    shifts: Array,
    adc: tuple[float, float],
    settings: DetectorSettings,
    chunk: int = 0,
) -> Iterator[Frames]:
    """Frames of a visit in time order, a chunk of (2 exposures, pixel) at a time: start, end, start, end, ...

    gain: (exposure, column) relative light, transit and drift; shifts: (exposure, 2) [px]; adc: (gain, offset).
    """
    start, end = INTEGRATION_S[scene.instrument]
    interval = end - start
    n_pixels = detector.dark.size
    chunk = chunk or max(1, 2_000_000 // n_pixels)
    dark = detector.dark.ravel()
    read = detector.read.ravel().astype(np.float32)
    linear = detector.linear_corr.reshape(6, -1)
    bright = scene.basis[0] > 200 * interval / end
    for first in range(0, shifts.shape[0], chunk):
        part = slice(first, first + chunk)
        light = scene.light(gain[part], shifts[part, 0], shifts[part, 1], detector.true_flat)
        light += np.maximum(dark, 0) * interval
        charge = np.empty((2, *light.shape), dtype=np.float32)
        charge[0] = rng.poisson(light * (start / interval))
        charge[1] = rng.poisson(light)
        add_hits(rng, charge[1], interval, settings)
        charge[1] += charge[0]
        flat_charge = charge.reshape(-1, n_pixels)
        reported = delinearise(flat_charge, linear, bright) if settings.nonlinear else flat_charge
        reported += read * rng.standard_normal(reported.shape, dtype=np.float32)
        counts = encode(reported, *adc).reshape(charge.shape)
        yield np.stack([counts[0], counts[1]], axis=1).reshape(-1, n_pixels)
