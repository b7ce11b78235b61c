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
    return expected(found, found.fit_depth, found.fit_covariance)


def expected(
    found: Spectrum, depth: Array, covariance: Array, names: Sequence[str] = SPECIES
) -> dict[str, float]:
    """The same of other depths (C,) and errors (C, C) of this planet; of a true spectrum it is what is to be expected."""
    used = (found.wavelength_um >= FGS1_BELOW_UM) & found.has_data
    if used.sum() < FEWEST_CHANNELS:
        return {}
    temperature = float(np.clip(np.nan_to_num(_temperature(found), nan=USUAL_K), TEMPERATURES[0], TEMPERATURES[-1]))
    opacity = log_cross_sections(found.wavelength_um, np.array([temperature]))[0][:, used]
    factor = cholesky(covariance[np.ix_(used, used)], lower=True)
    return standing_out(depth[used], factor, opacity - opacity.max(axis=1, keepdims=True), names)


def standing_out(depth: Array, factor: Array, opacity: Array, names: Sequence[str] = SPECIES) -> dict[str, float]:
    """σ of ``names`` in depths (C,) with covariance factor @ factor.T; ``opacity`` (M, C) ln of SPECIES, at most 0."""
    white = solve_triangular(factor, np.stack([depth, np.ones_like(depth)], axis=1), lower=True)

    def left(ratios: Array, which: Sequence[int]) -> Array:
        """Whitened residuals (C,) of the best level and size."""
        kappa = np.log1p(np.exp(ratios[:, None] + opacity[list(which)]).sum(0))
        shape = solve_triangular(factor, kappa - kappa.mean(), lower=True, check_finite=False)
        design = np.stack([white[:, 1], shape], axis=1)
        level, size = np.linalg.lstsq(design, white[:, 0], rcond=None)[0]
        if size < 0:  # features do not stand upside down
            return white[:, 0] - white[:, 1] * (white[:, 1] @ white[:, 0]) / (white[:, 1] @ white[:, 1])
        return np.asarray(white[:, 0] - design @ [level, size])

    def best(which: Sequence[int], starts: Sequence[Array]) -> tuple[float, Array]:
        fits = [least_squares(left, np.clip(start, -RANGE, RANGE), bounds=(-RANGE, RANGE), args=(which,),
                              x_scale=1.0, ftol=1e-5, xtol=1e-4) for start in starts]  # fmt: skip
        fit = min(fits, key=lambda one: one.cost)
        return 2.0 * fit.cost, fit.x

    everything = range(len(SPECIES))
    with_all, ratios = best(everything, [np.full(len(SPECIES), start) for start in STARTS])
    without = []
    for gone in (SPECIES.index(name) for name in names):
        others = [one for one in everything if one != gone]
        chi2, fewer = best(others, [ratios[others], np.full(len(others), STARTS[0])])
        without.append(chi2)
        if chi2 < with_all:  # a better atmosphere than the one taken for the best
            with_all, ratios = chi2, np.insert(fewer, gone, -RANGE)
    excess = max(with_all / max(len(depth) - len(SPECIES) - 2, 1), 1.0)
    return {
        name: float(np.sqrt(max(chi2 - with_all, 0.0) / excess)) for name, chi2 in zip(names, without, strict=True)
    }
