"""A visit's fitted light curves as people look at them: relative to the star out of transit, white and by channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modeling_ariel.any_telescope.fitting import VisitFit
from modeling_ariel.any_telescope.observation import HOURS, Array
from modeling_ariel.status import FITTED

_SEEN = 0.1  # of the noise of a point


@dataclass(frozen=True, eq=False)
class Curve:
    """``flux``, ``error``, ``model`` = transit x ``systematics``, noise with memory ``correlated``; each (T,).

    Relative to the star. NaN where there are no data, and in the model of a visit without a fit.
    """

    name: str
    flux: Array
    error: Array
    model: Array
    systematics: Array
    correlated: Array

    @property
    def transit(self) -> Array:
        """The model without systematics."""
        return self.model / self.systematics

    @property
    def corrected(self) -> Array:
        """The flux without systematics."""
        return self.flux / self.systematics

    @property
    def has_memory(self) -> bool:
        """Whether the fit found noise with memory of a size that can be seen."""
        return bool(np.std(self.correlated) > _SEEN * np.nanmedian(self.error))

    @property
    def residual(self) -> Array:
        """Flux minus model, with noise that has memory."""
        return self.flux - self.model


@dataclass(frozen=True, eq=False)
class VisitCurves:
    """All channels of a visit (C, T), with ``time`` (T,) [h] as its observation counts, ``middle`` [h] of the transit
    and ``ingress`` [h], NaN without a fit; ``weight`` (C,) of channels in the white curve.
    """

    name: str
    time: Array
    bjd: Array | None
    middle: float
    ingress: float
    wavelength: Array
    flux: Array
    error: Array
    model: Array
    systematics: Array
    correlated: Array
    weight: Array

    @classmethod
    def of(cls, visit: VisitFit) -> VisitCurves:
        """From a fit; the light curves alone where there is none."""
        observation, fit = visit.observation, visit.fit
        fitted = fit.status[0] in FITTED
        weight = fit.weight[0].numpy()
        if fitted:
            systematics = 1.0 + fit.drift[0].numpy()
            level = (fit.model[0].numpy() / systematics).max(-1, keepdims=True)
            model, correlated = fit.model[0].numpy() / level, fit.jitter[0].numpy() / level
            flux = np.where(weight > 0, model + correlated + fit.residual[0].numpy() / level, np.nan)
            error = np.where(weight > 0, np.maximum(weight, 1e-300) ** -0.5 / level, np.nan)
        else:
            flux = np.where(observation.valid, observation.flux, np.nan).T
            level = np.nanmedian(flux, axis=-1, keepdims=True)
            error = np.where(observation.valid, observation.flux_err, np.nan).T / level
            flux = flux / level
            model = systematics = np.full_like(flux, np.nan)
            correlated = np.zeros_like(flux)
        told = np.nan_to_num(np.nanmean(np.where(np.isfinite(error), error**-2, np.nan), axis=-1))
        return cls(
            name=observation.name,
            time=observation.time,
            bjd=None if observation.bjd0 is None else observation.bjd0 + observation.time / HOURS,
            middle=float(fit.shape[0, 0]) if fitted else float("nan"),
            ingress=ingress(visit) if fitted else float("nan"),
            wavelength=observation.wavelength,
            flux=flux,
            error=error,
            model=model,
            systematics=systematics,
            correlated=correlated,
            weight=told / told.sum(),
        )

    @property
    def white(self) -> Curve:
        """The weighted mean of all channels; where some are missing at a time, the others' mean and its model."""
        if len(self.weight) == 1:
            return self.channel(0, "white")
        seen = np.isfinite(self.flux)
        share = self.weight[:, None] * seen
        total = share.sum(0)
        some = total > 0.5
        safe = np.where(some, total, 1.0)
        model = self.weight @ self.model
        fitted = bool(np.isfinite(model).any())
        left = np.where(seen, self.flux - self.model if fitted else self.flux, 0.0)
        mean = (share * left).sum(0) / safe + (model if fitted else 0.0)
        error = np.sqrt((share**2 * np.where(seen, self.error, 0.0) ** 2).sum(0)) / safe
        transit = self.weight @ (self.model / self.systematics)
        return Curve(
            "white",
            np.where(some, mean, np.nan),
            np.where(some, error, np.nan),
            model,
            model / transit,
            self.weight @ self.correlated,
        )

    def channel(self, number: int, name: str = "") -> Curve:
        """One of the channels."""
        parts = (self.flux, self.error, self.model, self.systematics, self.correlated)
        return Curve(name or channel_name(self.wavelength[number]), *(part[number] for part in parts))


def channel_name(wavelength: float) -> str:
    """Such as 1.234 µm."""
    return f"{wavelength:.3f} µm" if np.isfinite(wavelength) else "white"


def ingress(visit: VisitFit) -> float:
    """From first to second contact [h]; half of the transit where it grazes."""
    _, b2, log_speed = visit.fit.shape[0].tolist()
    k = float(np.sqrt(max(float(visit.fit.white_depth[0]), 1e-8)))
    outer, inner = np.sqrt(max((1 + k) ** 2 - b2, 0.0)), np.sqrt(max((1 - k) ** 2 - b2, 0.0))
    return float((outer - inner) / np.exp(log_speed))
