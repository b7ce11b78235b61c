"""The telescope, shared by simulated frames and light curves: flux per channel, cadence, drift and jitter laws.

The throughput is a smooth curve through points read off the stellar spectrum of one real planet of the challenge
(342072318) over a black body at its star's temperature; the real planet 1103775, whose star is 740 K hotter, gives the
same curve within 3 %. The cadence is the challenge's `axis_info.parquet`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.linalg import toeplitz
from scipy.signal import lfilter

Array = NDArray[np.float64]

WINDOW_H = 7.5
AIRS_COLUMNS = 356
# The AIRS wavelength axis is an exact parabola in the column's number, to 1e-14 um.
AIRS_AXIS_UM = (3.073675512434198, -1.2226052102268359, -0.2178175817621592)
LABEL_COLUMNS = slice(39, 321)  # columns 320 ... 39 are wl_2 ... wl_283
FGS1_UM = {"2024": 0.705, "2025": 0.7}

AIRS_EXPOSURES, FGS1_EXPOSURES = 5625, 67500  # pairs of frames in 7.5 h
AIRS_CADENCE_S, FGS1_CADENCE_S = 4.8, 0.4
AIRS_INTEGRATION_S, FGS1_INTEGRATION_S = (0.1, 4.6), (0.1, 0.2)  # start and end frame of a pair
READ_NOISE = 13.0  # e- rms of one read; medians of the real read maps are 13.0 (AIRS) and 13.3 (FGS1)

# wavelength [um], relative throughput (instrument response per photon)
_THROUGHPUT_POINTS = """
    1.633:0.005 1.661:0.017 1.70:0.105 1.735:0.132 1.80:0.152 1.88:0.178 1.915:0.28 1.952:0.544
    1.985:0.80 2.022:0.957 2.06:0.90 2.092:0.878 2.16:0.985 2.228:0.966 2.295:0.915 2.361:0.88
    2.426:0.79 2.49:0.845 2.554:0.85 2.616:0.868 2.678:0.912 2.738:0.936 2.798:0.902 2.857:0.837
    2.915:0.787 2.972:0.75 3.03:0.722 3.084:0.729 3.138:0.753 3.20:0.78 3.30:0.775 3.50:0.781
    3.60:0.783 3.68:0.776 3.723:0.755 3.766:0.712 3.808:0.616 3.85:0.467 3.89:0.285 3.93:0.125
    3.968:0.041 4.006:0.012 4.043:0.007 4.08:0.005
"""
_THROUGHPUT = np.array([point.split(":") for point in _THROUGHPUT_POINTS.split()], dtype=float)
_throughput = PchipInterpolator(_THROUGHPUT[:, 0], _THROUGHPUT[:, 1], extrapolate=True)

_REFERENCE_TS = 4797.6  # star of 342072318 [K]
_AIRS_REFERENCE = 167_400.0  # e- per exposure of its column at 2.022 um, summed over the rows
_FGS1_REFERENCE = 221_000.0  # e- per FGS1 exposure of the same star
_FGS1_LIMIT = 250_000.0  # a quarter of it falls on one pixel when start and end frame are added up


def airs_axis_um() -> Array:
    """Wavelength of each AIRS detector column [um]: (356,), 4.078 down to 1.633."""
    x = (np.arange(AIRS_COLUMNS) - 177.5) / 177.5
    return np.polynomial.polynomial.polyval(x, AIRS_AXIS_UM)


def wavelengths_um(layout: str = "2025") -> Array:
    """Wavelength of each channel [um]: (283,), FGS1 first, then AIRS ascending, as in wavelengths.csv."""
    return np.concatenate([[FGS1_UM[layout]], airs_axis_um()[LABEL_COLUMNS][::-1]])


def photon_radiance(wavelength_um: Array | float, ts_k: Array | float) -> Array:
    """Photons of a black body per unit wavelength, arbitrary unit."""
    x = 14387.77 / (np.asarray(wavelength_um, dtype=float) * ts_k)
    return 1e4 / np.asarray(wavelength_um) ** 4 / np.expm1(x)


def airs_column_flux(ts_k: float, brightness: float) -> Array:
    """Star's electrons per exposure in each detector column, summed over the rows: (356,)."""
    wavelength = airs_axis_um()
    width = -np.gradient(wavelength)
    reference = 2.0216
    shape = photon_radiance(wavelength, ts_k) * width * _throughput(wavelength)
    norm = photon_radiance(reference, _REFERENCE_TS) * np.interp(reference, wavelength[::-1], width[::-1]) * 0.957
    return _AIRS_REFERENCE * brightness * shape / norm


def fgs1_band_ratio(ts_k: Array | float) -> Array:
    """Surface brightness of a star in FGS1's band relative to that of 342072318's star."""
    band = np.linspace(0.60, 0.80, 21)[:, None]
    reference = photon_radiance(band, _REFERENCE_TS).mean()
    return photon_radiance(band, np.atleast_1d(ts_k)[None]).mean(axis=0) / reference


def fgs1_flux(ts_k: float, brightness: float) -> float:
    """Star's electrons per FGS1 exposure, kept below what would saturate its brightest pixels."""
    return min(_FGS1_REFERENCE * brightness * float(fgs1_band_ratio(ts_k)[0]), _FGS1_LIMIT)


def bin_centres_h(n_bins: int) -> Array:
    """Centres of `n_bins` equal parts of the visit [h]."""
    return (np.arange(n_bins) + 0.5) * WINDOW_H / n_bins


@dataclass(frozen=True, eq=False)
class Drift:
    """Gain drift A p(t) q(lambda), one for each instrument; `p`: Legendre coefficients of orders 1, 2, 3 in time."""

    airs_p: Array  # A included, so p has the unit of relative flux
    airs_q: Array  # (2,) slope and curvature over the AIRS channels; q = 1 + q1 x + q2 (x^2 - 1/3)
    fgs1_p: Array

    def as_dict(self) -> dict[str, list[float]]:
        """Plain lists, for tables."""
        return {name: getattr(self, name).tolist() for name in ("airs_p", "airs_q", "fgs1_p")}

    def airs_time(self, time_h: Array) -> Array:
        """A p(t) of AIRS at times [h]."""
        return np.polynomial.legendre.legval(2 * time_h / WINDOW_H - 1, np.concatenate([[0.0], self.airs_p]))

    def fgs1_time(self, time_h: Array) -> Array:
        """A p(t) of FGS1 at times [h]."""
        return np.polynomial.legendre.legval(2 * time_h / WINDOW_H - 1, np.concatenate([[0.0], self.fgs1_p]))

    def airs_wavelength(self, wavelength_um: Array) -> Array:
        """q(lambda) at AIRS wavelengths [um]."""
        x = (wavelength_um - 2.925) / 0.975
        return 1 + self.airs_q[0] * x + self.airs_q[1] * (x**2 - 1 / 3)


@dataclass(frozen=True)
class DriftLaw:
    """How large drifts are: 1 sigma of the Legendre orders 1, 2, 3 [relative flux], which are correlated.

    From the 466 real white curves of 2024 (1 sigma 690, 434, 161 ppm; 620, 300, 114 ppm by the median deviation; the
    white curve, mostly blue, drifts 1.25 times as much as the middle of AIRS, to which these refer), and for q(lambda)
    from the one real planet with all channels, 1103775, whose drift falls from 1.5 to 0.6 times its mean between 2 and
    3.9 um. FGS1's drift has the same size there, and another shape.
    """

    airs: tuple[float, float, float] = (540e-6, 320e-6, 125e-6)
    fgs1: tuple[float, float, float] = (660e-6, 370e-6, 140e-6)
    correlation: tuple[float, float, float] = (0.53, 0.31, 0.84)  # of orders 1-2, 1-3, 2-3
    q_slope: tuple[float, float] = (-0.3, 0.25)  # mean, 1 sigma
    q_curvature: tuple[float, float] = (0.0, 0.15)
    amplitude_scatter: float = 0.4  # log-normal, of a visit's whole drift, which keeps the variance: the tails are real

    def covariance(self, instrument: str = "AIRS-CH0") -> Array:
        """Of the Legendre coefficients: (3, 3)."""
        sigma = np.array(self.fgs1 if instrument == "FGS1" else self.airs)
        c12, c13, c23 = self.correlation
        return np.outer(sigma, sigma) * np.array([[1, c12, c13], [c12, 1, c23], [c13, c23, 1]])

    def draw(self, rng: np.random.Generator) -> Drift:
        """One visit's drift."""
        s = self.amplitude_scatter
        airs, fgs1 = np.exp(s * rng.standard_normal(2) - s**2)
        zero = np.zeros(3)
        return Drift(
            airs_p=airs * rng.multivariate_normal(zero, self.covariance(), method="svd"),
            airs_q=np.array([rng.normal(*self.q_slope), rng.normal(*self.q_curvature)]),
            fgs1_p=fgs1 * rng.multivariate_normal(zero, self.covariance("FGS1"), method="svd"),
        )


@dataclass(frozen=True)
class PointingLaw:
    """Pointing jitter, and how AIRS's flux answers it beyond what the image's shift does.

    Fast jitter is white from one exposure to the next: 0.12 px rms in the real FGS1 exposures of 0.1 s, 0.013 px in
    AIRS's of 4.5 s. The slow part is too small to see there. The response stands for the 31 +- 7 ppm of noise that all
    AIRS channels of the real planet 1103775 share in 72 s bins.
    """

    fgs1_px: float = 0.12
    airs_px: float = 0.013
    slow_px: float = 0.003
    slow_h: float = 0.02
    airs_response: float = 5.5e-3  # 1 sigma from visit to visit [1/px], along the rows
    fgs1_response: float = 8e-3  # light curves only: what dead pixels filled from their neighbours leave [1/px]

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if min(self.fgs1_px, self.airs_px, self.slow_px, self.airs_response) < 0 or self.slow_h <= 0:
            raise ValueError(f"pointing: expected sizes of 0 or more and a slow_h above 0, found {self}")

    def fast_px(self, instrument: str, exposures: float = 1.0) -> float:
        """Rms of the fast part in the mean of some exposures [px]."""
        return (self.fgs1_px if instrument == "FGS1" else self.airs_px) / float(np.sqrt(exposures))

    def draw(
        self, rng: np.random.Generator, n: int, spacing_h: float, instrument: str, exposures: float = 1.0
    ) -> Array:
        """Shifts along rows and columns of `n` exposures, or bins of `exposures` each: (n, 2) [px]."""
        fast = self.fast_px(instrument, exposures) * rng.standard_normal((n, 2))
        rho = float(np.exp(-spacing_h / self.slow_h))
        return fast + self.slow_px * np.stack([ar1(rng, n, rho) for _ in range(2)], axis=1)

    def covariance(self, n: int, spacing_h: float, instrument: str, exposures: float = 1.0) -> Array:
        """Of the shifts along one axis: (n, n) [px2]."""
        by_lag = self.slow_px**2 * np.exp(-np.arange(n) * spacing_h / self.slow_h)
        by_lag[0] += self.fast_px(instrument, exposures) ** 2
        return toeplitz(by_lag)


def ar1(rng: np.random.Generator, n: int, correlation: float) -> Array:
    """Unit-variance stationary first-order autoregression: (n,), covariance correlation^|i - j|."""
    shocks = rng.standard_normal(n)
    shocks[1:] *= np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], shocks)
