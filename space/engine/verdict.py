"""What a spectrum says, in numbers: molecules that stand out, how much of its error all channels share.

A molecule stands out by n σ where leaving it out of the best atmosphere raises χ² by n². The atmospheres are those of
Lecavelier des Etangs et al. 2008 (A&A 481, L83): depth = level + size · ln κ(λ), κ = 1 + Σ ratio_m σ_m(λ) over a grey
cloud, with the cross-sections of `hf_dataset.simulation.opacities`. They are fitted to the light curves alone, before
any prior, with the covariance of that fit; where even the best fits badly, χ² is scaled by its excess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares

from engine.spectrum import FGS1_BELOW_UM, Array, Spectrum
from hf_dataset.simulation.opacities import SPECIES, TEMPERATURES, log_cross_sections
from modeling_ariel.status import FITTED

PPM = 1e6
USUAL_K = 1000.0  # of a planet whose star is not known
RANGE = 9.0  # |ln| of a molecule's strongest opacity over the cloud's; beyond it nothing changes
STARTS = (-3.0, 2.0)
STRONG = 4.0  # where a fit starts from one molecule alone
FEWEST_CHANNELS = 40  # for a fit of seven parameters
STANDS_OUT, HINTED = 4.0, 2.5  # [σ]


@dataclass(frozen=True)
class Verdict:
    """molecules: how far each stands out [σ], empty where none can be judged. [ppm]: ``sigma`` the median σ,
    ``offset`` the part that all of AIRS's channels share, ``features`` the range of the spectrum, ``height`` one scale
    height; ``temperature`` [K]; both None where the star is not known.
    """

    molecules: Mapping[str, float]
    sigma: float
    offset: float
    features: float
    height: float | None = None
    temperature: float | None = None

    def between(self, low: float, high: float = np.inf) -> list[str]:
        """Molecules that stand out by ``low`` to ``high`` σ, the surest first."""
        some = [name for name, size in self.molecules.items() if low <= size < high]
        return sorted(some, key=lambda name: -self.molecules[name])

    @property
    def shape(self) -> float:
        """σ [ppm] without what all channels share."""
        return float(np.sqrt(max(self.sigma**2 - self.offset**2, 0.0)))


def verdict(found: Spectrum) -> Verdict:
    """The verdict on a spectrum in channels."""
    airs = found.wavelength_um >= FGS1_BELOW_UM
    covariance = found.covariance[np.ix_(airs, airs)]
    low, high = np.percentile(found.mean[airs], [2, 98])
    height = None
    if found.scale_height_km is not None:
        height = PPM / float(np.median(found.unit_error(np.ones_like(found.mean), "scale_heights")))
    return Verdict(
        molecules=molecules(found) if found.status in FITTED else {},
        sigma=PPM * float(np.median(found.sigma)),
        offset=PPM * float(np.sqrt(max(covariance.mean(), 0.0))),
        features=PPM * float(high - low),
        height=height,
        temperature=None if height is None else _temperature(found),
    )


def _temperature(found: Spectrum) -> float:
    """Equilibrium temperature [K] at zero albedo, NaN where the star is not known."""
    return float(found.star.get("Ts", np.nan)) / float(np.sqrt(2.0 * found.star.get("sma", np.nan)))


def shape_error(found: Spectrum, mean: Array) -> float:
    """Root mean square of mean (C,) less the truth, less what AIRS's channels share [ppm]; NaN without a truth."""
    if found.truth is None:
        return float("nan")
    airs = found.wavelength_um >= FGS1_BELOW_UM
    return PPM * float(np.std((mean - found.truth)[airs]))


def molecules(found: Spectrum) -> dict[str, float]:
    """How far each molecule stands out of the light curves alone [σ]; empty where too few channels have data."""
    return expected(found, found.fit_depth, found.fit_covariance, noiseless=False)


def expected(
    found: Spectrum, depth: Array, covariance: Array, names: Sequence[str] = SPECIES, noiseless: bool = True
) -> dict[str, float]:
    """The same of other depths (C,) and errors (C, C) of this planet; of a true spectrum it is what to expect."""
    used = (found.wavelength_um >= FGS1_BELOW_UM) & found.has_data
    if used.sum() < FEWEST_CHANNELS:
        return {}
    temperature = float(np.clip(np.nan_to_num(_temperature(found), nan=USUAL_K), TEMPERATURES[0], TEMPERATURES[-1]))
    opacity = log_cross_sections(found.wavelength_um, np.array([temperature]))[0][:, used]
    factor = cholesky(covariance[np.ix_(used, used)], lower=True)
    return standing_out(depth[used], factor, opacity - opacity.max(axis=1, keepdims=True), names, noiseless)


def standing_out(
    depth: Array, factor: Array, opacity: Array, names: Sequence[str] = SPECIES, noiseless: bool = False
) -> dict[str, float]:
    """σ of ``names`` in depths (C,) with covariance factor @ factor.T; ``opacity`` (M, C) ln of SPECIES, at most 0.

    ``noiseless``: depths without noise, of which the excess lacks the noise's own χ².
    """
    fits = _Atmospheres(depth, factor, opacity)
    everything = list(range(len(SPECIES)))
    with_all, ratios = fits.best(everything, [np.full(len(SPECIES), start) for start in STARTS])
    with_one = STRONG * np.eye(len(SPECIES) - 1) - RANGE * (1.0 - np.eye(len(SPECIES) - 1))
    without = []
    for gone in (SPECIES.index(name) for name in names):
        others = [one for one in everything if one != gone]
        nearest = min([np.full(len(others), STARTS[0]), *with_one], key=lambda start: fits.chi2(start, others))
        chi2, fewer = fits.best(others, [ratios[others], nearest])
        without.append(chi2)
        if chi2 < with_all:  # a better atmosphere than the one taken for the best
            with_all, ratios = chi2, np.insert(fewer, gone, -RANGE)
    excess = with_all / max(len(depth) - len(SPECIES) - 2, 1)
    excess = 1.0 + excess if noiseless else max(excess, 1.0)
    return {name: float(np.sqrt(max(chi2 - with_all, 0.0) / excess)) for name, chi2 in zip(names, without, strict=True)}


class _Atmospheres:
    """Atmospheres fitted to one spectrum, of which level and size are solved for (variable projection)."""

    def __init__(self, depth: Array, factor: Array, opacity: Array) -> None:
        self.opacity = opacity
        self.whiten = solve_triangular(factor, np.eye(len(depth)), lower=True)
        level = self.whiten.sum(1)
        self.level = level / np.sqrt(level @ level)
        self.depth = self._above(self.whiten @ depth)

    def _above(self, values: Array) -> Array:
        """Without the level, (C,) or (C, n)."""
        return np.asarray(values - np.multiply.outer(self.level, self.level @ values))

    def best(self, which: Sequence[int], starts: Sequence[Array]) -> tuple[float, Array]:
        """χ² and ratios of the molecules ``which`` of the best fit from any of the starts."""
        fits = [least_squares(self._left, np.clip(start, -RANGE, RANGE), self._slopes, bounds=(-RANGE, RANGE),
                              args=(list(which),), x_scale=1.0, ftol=1e-5, xtol=1e-4) for start in starts]  # fmt: skip
        fit = min(fits, key=lambda one: one.cost)
        return 2.0 * fit.cost, fit.x

    def chi2(self, ratios: Array, which: list[int]) -> float:
        """That of such an atmosphere; where it stands upside down, that of none, and no fit leads away from there."""
        return float((self._left(ratios, which) ** 2).sum())

    def _shape(self, ratios: Array, which: list[int]) -> tuple[Array, Array, float, float]:
        """Opacities (M, C) of the molecules, whitened ln of all (C,) without the level, its square, the best size."""
        each = np.exp(ratios[:, None] + self.opacity[which])
        shape = self._above(self.whiten @ np.log1p(each.sum(0)))
        square = max(float(shape @ shape), 1e-30)
        return each, shape, square, max(float(shape @ self.depth) / square, 0.0)  # features do not stand upside down

    def _left(self, ratios: Array, which: list[int]) -> Array:
        """Whitened residuals (C,) of the best level and size."""
        _, shape, _, size = self._shape(ratios, which)
        return np.asarray(self.depth - size * shape)

    def _slopes(self, ratios: Array, which: list[int]) -> Array:
        """Their derivatives (C, M), less what a change of the size takes back (Kaufman 1975, BIT 15, 49)."""
        each, shape, square, size = self._shape(ratios, which)
        change = self._above(self.whiten @ (each / (1.0 + each.sum(0))).T)
        return np.asarray(-size * (change - np.multiply.outer(shape, shape @ change / square)))
