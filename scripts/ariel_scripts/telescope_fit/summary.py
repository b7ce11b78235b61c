"""A fit in a few numbers and sentences: white depths, systematics that were taken, what its status means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from modeling_ariel.any_telescope.fitting import VisitFit
from modeling_ariel.any_telescope.observation import Array
from modeling_ariel.any_telescope.together import TelescopeFit
from modeling_ariel.status import DOUBTFUL, FAILED, FITTED, NO_TRANSIT, OK, PARTIAL, counted

PPM = 1e6
_MEANS = {
    OK: "The error bars can be believed (ok).",
    PARTIAL: "A contact lies outside the window, which the errors know (partial).",
    DOUBTFUL: "There is an answer, but the light curves are not as the fit assumes (doubtful).",
    NO_TRANSIT: "No transit is found (no_transit): there is no depth.",
    FAILED: "The light curves cannot be fitted (failed): there is no depth.",
}
_FEATURES = 3.0  # σ from which a spectrum is said to change along wavelength
_LEAST = 3  # channels of such a spectrum


@dataclass(frozen=True)
class WhiteDepth:
    """The weighted mean of a spectrum's channels, with the errors that they share."""

    instrument: str
    depth: float
    error: float
    channels: int
    visits: int


def white_depths(found: TelescopeFit) -> list[WhiteDepth]:
    """Of each instrument, or visit where visits have depths of their own; none without a fit."""
    if found.status not in FITTED:
        return []
    spectrum = found.spectrum
    depths = []
    for part, name in zip(parts(found), labels(found), strict=True):
        depth, error = white_depth(spectrum.depth[part], spectrum.covariance[part, part])
        depths.append(WhiteDepth(name, depth, error, part.stop - part.start, spectrum.visits[part.start]))
    return depths


def white_depth(depth: Array, covariance: Array) -> tuple[float, float]:
    """Mean of depths (C,), weighted by their own variances, and its error by all of their covariance."""
    share = shares(covariance)
    return float(share @ depth), math.sqrt(float(share @ covariance @ share))


def shares(covariance: Array) -> Array:
    """Weights (C,) of channels in a white depth."""
    share = 1.0 / np.diagonal(covariance)
    return np.asarray(share / share.sum())


def parts(found: TelescopeFit) -> list[slice]:
    """Where each spectrum is in the whole: wavelengths ascend within one."""
    names, waves = found.spectrum.instrument, found.spectrum.wavelength
    starts = [
        place
        for place in range(len(names))
        if not place or names[place] != names[place - 1] or not waves[place] > waves[place - 1]
    ]
    return [slice(first, last) for first, last in zip(starts, [*starts[1:], len(names)], strict=True)]


def labels(found: TelescopeFit) -> list[str]:
    """A name of each spectrum: its instrument, with its visit where visits of one have depths of their own."""
    names = [found.spectrum.instrument[part.start] for part in parts(found)]
    states = [visit.fit.status[0] for visit in found.visits]
    members = [place for place in counted(states) if states[place] in FITTED] or [0]
    if len(members) != len(names) or len(set(names)) == len(names):
        return names
    visits = [found.visits[place].observation.name for place in members]
    return [
        name if names.count(name) == 1 or visit == name else f"{name}, {visit}"
        for name, visit in zip(names, visits, strict=True)
    ]


def verdict(found: TelescopeFit) -> str:
    """What a page says first."""
    said = [_MEANS[found.status]]
    depths = [
        f"{PPM * one.depth:,.0f} ± {PPM * one.error:,.0f} ppm" + (f" ({one.instrument})" if one.instrument else "")
        for one in white_depths(found)
    ]
    if depths:
        said.append(f"White transit depth {', '.join(depths)}.")
        said += [flatness_text(one) for one in flatness(found)]
    if found.status == OK:
        texts = {systematics_text(visit) for visit in found.visits if visit.fit.status[0] in FITTED}
        said.append(f"Systematics: {texts.pop() if len(texts) == 1 else 'of each visit its own, listed below'}.")
    elif found.notes:
        said.append(f"{found.notes[0].upper()}{found.notes[1:]}.")
    return " ".join(said)


@dataclass(frozen=True)
class Flatness:
    """How far a spectrum's depths are from one depth at all wavelengths, errors that channels share included."""

    instrument: str
    chi2: float
    freedom: int

    @property
    def sigma(self) -> float:
        """Of a Gaussian, as improbable on one side; infinite beyond some 37."""
        return float(stats.norm.isf(stats.chi2.sf(self.chi2, self.freedom)))


def flatness(found: TelescopeFit) -> list[Flatness]:
    """Of each spectrum with channels enough."""
    spectrum = found.spectrum
    return [
        Flatness(name, _flat_chi2(spectrum.depth[part], spectrum.covariance[part, part]), part.stop - part.start - 1)
        for part, name in zip(parts(found), labels(found), strict=True)
        if part.stop - part.start >= _LEAST
    ]


def _flat_chi2(depth: Array, covariance: Array) -> float:
    """χ² of depths (C,) about their generalised mean."""
    solved = np.linalg.solve(covariance, np.stack([depth, np.ones_like(depth)], axis=1))
    mean = solved[:, 0].sum() / solved[:, 1].sum()
    return float((depth - mean) @ (solved[:, 0] - mean * solved[:, 1]))


def flatness_text(one: Flatness) -> str:
    """Whether there is something to see: "The spectrum changes along wavelength, 8.1 σ from flat (…)."."""
    whose = f"The spectrum of {one.instrument}" if one.instrument else "The spectrum"
    about = f"χ² {one.chi2:.{1 if one.chi2 < 10 else 0}f} for {one.freedom} degrees of freedom"
    if one.sigma < _FEATURES:
        return f"{whose} is flat within its errors ({about})."
    away = f"{one.sigma:.0f} σ" if math.isfinite(one.sigma) else "over 37 σ"
    return f"{whose} changes along wavelength, {away} from flat ({about})."


def systematics_text(visit: VisitFit) -> str:
    """Which were taken, and how sure: "polynomial(1) + ramp, 97 % of the evidence of 5 models"."""
    tried = visit.tried
    if len(tried) == 1:
        return f"{tried[0].systematics.name}, as chosen"
    taken = [one for one in tried if one.share > 0.02][:4]
    if len(taken) == 1:
        return f"{taken[0].systematics.name}, {100 * taken[0].share:.0f} % of the evidence of {len(tried)} models"
    shares = ", ".join(f"{one.systematics.name} ({100 * one.share:.0f} %)" for one in taken)
    return f"weighed by their evidence: {shares}"
