"""Light curves as they might have been seen: from farther away, less often, with more noise.

Pure functions of a curve and random numbers. Shifts in time are none of them, as no model here sees a date.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ariel_scripts.training.transients.process import LightCurveProcess
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.surveys import luminosity_distance

BEYOND = 1.1  # factor in wavelength beyond the bands to which a process is believed
UNKNOWN = 0.5  # share of its amplitude: where it is less sure than that, a process says nothing
FEWEST = 8  # measurements that are left of a curve, or it stays as it was


@dataclass(frozen=True)
class TransientAugmentation:
    """How much is changed.

    Args:
        redshift: share of examples that are moved to another redshift.
        redshift_spread: 1σ of ln(1 + z) by which they are.
        thinning: least share of measurements that is kept.
        noise: largest factor on the errors.
        redshift_error: 1σ of photometric redshifts in units of 1 + z; those of the challenge's test are 0.02.
    """

    redshift: float = 0.5
    redshift_spread: float = 0.1
    thinning: float = 0.6
    noise: float = 1.5
    redshift_error: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0.0 <= self.redshift <= 1.0 or not 0.0 < self.thinning <= 1.0:
            raise ValueError(f"redshift, thinning: expected shares, found {self.redshift} and {self.thinning}")
        if not self.noise >= 1.0:
            raise ValueError(f"noise: expected a factor of 1 or more, found {self.noise}")
        for name in ("redshift_spread", "redshift_error"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")

    def draw(self, curve: Curve, process: LightCurveProcess | None, rng: np.random.Generator) -> Curve:
        """Another curve of the same object; it stays at its redshift where there is no ``process``."""
        if process is not None and curve.redshift > 0 and rng.random() < self.redshift:
            factor = np.exp(rng.normal(0.0, self.redshift_spread))
            moved = (1.0 + curve.redshift) * factor - 1.0
            if moved > 0.5 * curve.redshift:  # nearer it would be brighter than anything its survey has seen
                curve = redshifted(curve, process, moved, rng)
        if self.thinning < 1.0:
            curve = thinned(curve, rng.uniform(self.thinning, 1.0), rng)
        if self.noise > 1.0:
            curve = noisier(curve, rng.uniform(1.0, self.noise), rng)
        return with_redshift_error(curve, self.redshift_error, rng)


def redshifted(curve: Curve, process: LightCurveProcess, redshift: float, rng: np.random.Generator) -> Curve:
    """The object at another redshift, observed at the same times in the same bands with the same errors.

    With s = (1 + z')/(1 + z), what is seen at t and λ was emitted as what the curve shows at t/s, about its most
    significant measurement, and λ/s; it is fainter by s (d(z)/d(z'))². That is read off the process: its own error is
    added to the measurement's. Measurements whose light the curve does not show, by time, by wavelength or because the
    process is unsure, are left out. Fewer than FEWEST left, the curve stays as it is.
    """
    stretch = (1.0 + redshift) / (1.0 + curve.redshift)
    middle = curve.time[np.argmax(curve.flux / curve.flux_err)]
    time, wavelength = middle + (curve.time - middle) / stretch, curve.wavelength / stretch
    mean, sigma = process.predict(time, wavelength)
    shown = (time >= curve.time.min()) & (time <= curve.time.max()) & (sigma < UNKNOWN * process.amplitude)
    shown &= (wavelength >= curve.wavelength.min() / BEYOND) & (wavelength <= curve.wavelength.max() * BEYOND)
    if shown.sum() < FEWEST:
        return curve
    dimming = stretch * (luminosity_distance(curve.redshift) / luminosity_distance(redshift)) ** 2
    flux = dimming * mean[shown] + rng.normal(0.0, curve.flux_err[shown])
    error = np.hypot(curve.flux_err[shown], dimming * sigma[shown])
    return curve.take(shown, redshift=float(redshift), flux=flux, flux_err=error)


def thinned(curve: Curve, share: float, rng: np.random.Generator) -> Curve:
    """A random ``share`` of the measurements, at least FEWEST of them."""
    kept = min(max(round(share * len(curve)), FEWEST), len(curve))
    return curve.take(np.sort(rng.permutation(len(curve))[:kept]))


def noisier(curve: Curve, factor: float, rng: np.random.Generator) -> Curve:
    """Errors larger by ``factor``, with the noise that makes them so."""
    flux = curve.flux + rng.normal(0.0, curve.flux_err * np.sqrt(factor**2 - 1.0))
    return curve.take(slice(None), flux=flux, flux_err=factor * curve.flux_err)


def with_redshift_error(curve: Curve, error: float, rng: np.random.Generator) -> Curve:
    """The redshift as photometry would have it, 1σ of ``error`` (1 + z), not below 0."""
    if not curve.redshift > 0:
        return curve
    moved = curve.redshift + rng.normal(0.0, error * (1.0 + curve.redshift))
    return curve.take(slice(None), redshift=float(max(moved, 1e-3)))
