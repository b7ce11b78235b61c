"""A spectrum with all that is known of its errors: units, honest binning, a table, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from modeling_ariel.scoring import summary

Array = NDArray[np.float64]

UNITS = ("depth", "ppm", "rp_rs", "scale_heights")
UNIT_LABELS = {
    "depth": "transit depth (Rp/Rs)²",
    "ppm": "transit depth [ppm]",
    "rp_rs": "Rp/Rs",
    "scale_heights": "scale heights about the mean radius",
}
FGS1_BELOW_UM = 1.0  # channels below it are the photometer's

MEAN_MOLECULAR_WEIGHT = 2.3  # of H2 and He in solar proportion [m_H]
_G, _K_B, _M_H = 6.6743e-11, 1.380649e-23, 1.6735575e-27  # SI
_R_SUN, _M_JUP = 6.957e8, 1.89813e27  # IAU 2015 nominal values, SI
_NARROWEST_R, _WIDEST_R = 1.0, 10_000.0


class SpectrumError(ValueError):
    """A unit or resolution that is not available for this spectrum."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The transmission spectrum of one planet; C channels (or bins), FGS1 first, then AIRS-CH0 ascending.

    Everything with the axis (C,) is a transit depth (Rp/Rs)². ``mean`` and ``sigma`` are the model's, the same that
    `ariel predict` writes; ``sigma`` is ``hypot(sigma_aleatoric, sigma_epistemic)``. ``classical_*`` is the
    retrieval without a network: the fit, the populations and the prior over spectra. ``fit_*`` is before that prior:
    what the light curves alone say, channel by channel.
    """

    name: str
    wavelength_um: Array  # (C,)
    mean: Array  # (C,)
    sigma: Array  # (C,), calibrated
    sigma_aleatoric: Array  # (C,) what noise leaves open
    sigma_epistemic: Array  # (C,) what the network has not learned: spread of the mean over dropout
    classical_mean: Array  # (C,)
    classical_sigma: Array  # (C,)
    truth: Array | None  # (C,), NaN where unknown; None where nothing is known
    status: str  # of the fit, as in modeling_ariel.status
    star: Mapping[str, float]  # Rs [R☉], Ms [M☉], Ts [K], Mp [M_J], e, P [d], sma [Rs], i [deg]; NaN unknown
    n_visits: int
    fit_depth: Array  # (C,)
    fit_sigma: Array  # (C,), 1 where the data say nothing
    covariance: Array  # (C, C) of ``mean``; its diagonal is ``sigma``²
    classical_covariance: Array  # (C, C)
    fit_covariance: Array  # (C, C)
    epistemic_covariance: Array  # (C, C)
    has_data: NDArray[np.bool_]  # (C,) false where no visit has valid data: there the answer is the prior's
    notes: tuple[str, ...] = ()  # what a reader should know of fit and data, in sentences
    resolution: float | None = None  # of bins; None for channels
    channels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (C,) in each bin; empty: 1

    # --- units ---------------------------------------------------------------------------------------------------

    @property
    def units(self) -> tuple[str, ...]:
        """The units available for this spectrum."""
        return UNITS if self.scale_height_km is not None else UNITS[:-1]

    @property
    def scale_height_km(self) -> float | None:
        """H = k T / (mu g) [km], None where the star table lacks Rs, Ts, Mp or sma, or the depth is unknown.

        T is the equilibrium temperature at zero albedo with heat spread over the whole planet, Ts / sqrt(2 sma); mu is
        2.3 hydrogen masses; g = G Mp / Rp², with Rp from the mean depth.
        """
        rs, ts, mp, sma = (float(self.star.get(name, np.nan)) for name in ("Rs", "Ts", "Mp", "sma"))
        radius = self._mean_radius() * rs * _R_SUN
        if not all(np.isfinite(x) and x > 0 for x in (rs, ts, mp, sma, radius)):
            return None
        gravity = _G * mp * _M_JUP / radius**2
        return _K_B * ts / np.sqrt(2.0 * sma) / (MEAN_MOLECULAR_WEIGHT * _M_H * gravity) / 1e3

    def _mean_radius(self) -> float:
        """Rp/Rs of the mean depth, each channel weighted by its error."""
        weight = 1.0 / self.sigma**2
        return float(np.sqrt(max((self.mean * weight).sum() / weight.sum(), 0.0)))

    def unit(self, values: ArrayLike, unit: str) -> Array:
        """Depths (...) in ``unit``; negative depths, as a band's lower edge may be, have radius 0.

        "scale_heights" counts from the radius of the mean depth. SpectrumError where the star table does not allow it.
        """
        depth = np.asarray(values, np.float64)
        self._check_unit(unit)
        if unit == "depth":
            return depth
        if unit == "ppm":
            return 1e6 * depth
        radius = np.sqrt(np.maximum(depth, 0.0))
        if unit == "rp_rs":
            return radius
        return (radius - self._mean_radius()) * self._heights_per_radius()

    def unit_error(self, errors: ArrayLike, unit: str) -> Array:
        """1 sigma errors (C,) of depths in ``unit``, by the derivative at ``mean``."""
        sigma = np.asarray(errors, np.float64)
        self._check_unit(unit)
        if unit in ("depth", "ppm"):
            return sigma * (1e6 if unit == "ppm" else 1.0)
        by_radius = sigma / (2.0 * np.sqrt(np.maximum(self.mean, 1e-6)))
        return by_radius if unit == "rp_rs" else by_radius * self._heights_per_radius()

    def _heights_per_radius(self) -> float:
        """Stellar radius in scale heights."""
        height = self.scale_height_km
        if height is None:
            raise SpectrumError("scale_heights: expected Rs, Ts, Mp and sma in the star table, found them unknown")
        return float(self.star["Rs"]) * _R_SUN / 1e3 / height

    def _check_unit(self, unit: str) -> None:
        if unit not in UNITS:
            raise SpectrumError(f"unit: expected one of {', '.join(UNITS)}, found {unit!r}")

    # --- bins ----------------------------------------------------------------------------------------------------

    def binned(self, resolution: float | None) -> Spectrum:
        """The spectrum in bins of this resolving power λ/Δλ; None or 0 leaves the channels as they are.

        A bin is the plain mean of its channels, and its σ follows from their covariance, so that what the channels
        share (timing, limb darkening, drift) does not average out. FGS1 stays by itself; bins without a channel are
        left out.
        """
        if not resolution:
            return self
        if not _NARROWEST_R <= resolution <= _WIDEST_R:
            raise SpectrumError(
                f"resolution: expected {_NARROWEST_R:g} to {_WIDEST_R:g} (0: channels), found {resolution:g}"
            )
        members = bin_members(self.wavelength_um, resolution)
        weights = members / members.sum(1, keepdims=True)  # (bins, C)
        covariances = {
            name: weights @ getattr(self, name) @ weights.T
            for name in ("covariance", "classical_covariance", "fit_covariance", "epistemic_covariance")
        }
        sigma, epistemic = (
            np.sqrt(np.maximum(covariances[name].diagonal(), 0.0)) for name in ("covariance", "epistemic_covariance")
        )
        return replace(
            self,
            wavelength_um=weights @ self.wavelength_um,
            mean=weights @ self.mean,
            sigma=sigma,
            sigma_epistemic=epistemic,
            sigma_aleatoric=np.sqrt(np.maximum(sigma**2 - epistemic**2, 0.0)),
            classical_mean=weights @ self.classical_mean,
            classical_sigma=np.sqrt(covariances["classical_covariance"].diagonal()),
            fit_depth=weights @ self.fit_depth,
            fit_sigma=np.sqrt(covariances["fit_covariance"].diagonal()),
            truth=None if self.truth is None else weights @ self.truth,
            has_data=(members @ self.has_data.astype(float)) > 0,
            resolution=float(resolution),
            channels=members.sum(1).astype(np.int64),
            **covariances,
        )

    # --- tables and scores -----------------------------------------------------------------------------------------

    def table(self, unit: str = "depth") -> pd.DataFrame:
        """A row a channel or bin, ``unit`` in the name of each column of depths."""
        suffix = "" if unit == "depth" else f"_{unit}"
        columns: dict[str, Any] = {"wavelength_um": self.wavelength_um}
        for name, error in (
            ("mean", "sigma"),
            ("sigma_aleatoric", ""),
            ("sigma_epistemic", ""),
            ("classical_mean", "classical_sigma"),
            ("fit_depth", "fit_sigma"),
        ):
            convert = self.unit_error if name.startswith("sigma") else self.unit
            columns[name + suffix] = convert(getattr(self, name), unit)
            if error:
                columns[error + suffix] = self.unit_error(getattr(self, error), unit)
        if self.truth is not None:
            columns["truth" + suffix] = self.unit(self.truth, unit)
        columns["has_data"] = self.has_data
        return pd.DataFrame(columns)

    def scores(self, of: str = "model") -> dict[str, float]:
        """Scores of the "model" or the "classical" answer where the truth is known; else empty.

        As `ariel evaluate`: score_2024, score_2025, rmse_ppm, coverage_50, coverage_90, z_mean, z_spread,
        sigma_median_ppm; of one planet, whose channels err together.
        """
        mean, sigma = {"model": (self.mean, self.sigma), "classical": (self.classical_mean, self.classical_sigma)}[of]
        if self.truth is None or not np.isfinite(self.truth).all():
            return {}
        return summary(self.truth[None], np.maximum(mean, 0.0)[None], sigma[None])


def bin_members(wavelength_um: Array, resolution: float) -> Array:
    """(bins, C) 1 where a channel is in a bin: FGS1 alone, then AIRS in bins of constant λ/Δλ, none empty."""
    members = [
        np.where(np.arange(wavelength_um.size) == c, 1.0, 0.0) for c in np.flatnonzero(wavelength_um < FGS1_BELOW_UM)
    ]
    airs = wavelength_um >= FGS1_BELOW_UM
    if airs.any():
        half = 0.5 / max(resolution, 1.0)
        ratio = np.log((1.0 + half) / (1.0 - half))
        start = wavelength_um[airs].min() * (1.0 - 1e-9)
        label = np.floor(np.log(np.where(airs, wavelength_um, start) / start) / ratio).astype(int)
        members += [((label == b) & airs).astype(float) for b in np.unique(label[airs])]
    return np.stack(members)
