"""Would more transits find a molecule? How far it is expected to stand out, against the number of transits.

The covariance of n transits is that of n visits like those observed, which share orbit and star, put together as the
model does. The molecule's σ in the true spectrum without noise is then the expected one (Cowan et al.
2011, EPJC 71, 1554, "Asimov"). That of one realisation scatters about it by 1 or more, as other molecules can take a
molecule's place: by how much is found from draws of noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
import torch
from scipy.linalg import cholesky
from torch import Tensor

from engine.network import Answer
from engine.spectrum import Array
from engine.verdict import STANDS_OUT, expected
from hf_dataset.simulation.opacities import SPECIES
from modeling_ariel.physics import ArielPhysics
from modeling_ariel.pipeline_ariel import to_numpy
from modeling_ariel.retrieval import ClassicalFit, without_curves
from modeling_ariel.status import FITTED, counted

COUNTS = (1, 2, 4, 8, 20)  # transits that the curve goes through
DRAWS, SEED = 10, 2029  # of noise, for each of them
MOST = COUNTS[-1]
FLOOR, FLOOR_LENGTH = 20e-6, 0.1  # depth, um: of the lower curve


@dataclass(frozen=True, eq=False)
class Forecast:
    """``expected`` (N,) σ of a ``molecule`` in ``transits`` (N,); ``floored`` were there a noise floor of FLOOR.

    The floor is common to all transits and smooth over FLOOR_LENGTH, as no simulated noise is. ``observed``: σ in the
    ``n_observed`` transits that there are; ``spread`` [σ] of draws about the expected. ``truthful``: whether the
    true spectrum was taken, else the model's mean.
    """

    name: str
    molecule: str
    transits: Array
    expected: Array
    floored: Array
    spread: float
    observed: float
    n_observed: int
    truthful: bool

    def at(self, transits: float, floored: bool = False) -> float:
        """Expected σ with so many transits, between the curve's."""
        return float(np.interp(np.sqrt(transits), np.sqrt(self.transits), self.floored if floored else self.expected))

    def chance(self, transits: float, threshold: float = STANDS_OUT) -> float:
        """Probability that so many transits reach the threshold."""
        return 0.5 * (1.0 + erf((self.at(transits) - threshold) / (max(self.spread, 0.1) * sqrt(2.0))))

    def needed(self, threshold: float = STANDS_OUT) -> int | None:
        """The fewest transits in which the threshold is expected to be reached; None where MOST are too few."""
        return next((number for number in range(1, MOST + 1) if self.at(number) >= threshold), None)


def forecast(
    answer: Answer, observed: Mapping[str, float], molecule: str, fits: ClassicalFit, physics: ArielPhysics
) -> Forecast:
    """The forecast for one planet, from the ``fits`` of its visits, their ``answer`` and its verdict's molecules.

    ValueError where nothing was fitted, or too few channels have data.
    """
    spectrum, covariance = answer.spectrum, answer.classical.covariance
    if molecule not in SPECIES:
        raise ValueError(f"molecule: expected one of {', '.join(SPECIES)}, found {molecule!r}")
    if spectrum.status not in FITTED or molecule not in observed or covariance is None:
        raise ValueError(f"{spectrum.name}: expected a fitted transit in most channels, found none to go by")
    truthful = spectrum.truth is not None and bool(np.isfinite(spectrum.truth).all())
    depth = spectrum.truth if truthful and spectrum.truth is not None else spectrum.mean
    floor = FLOOR**2 * np.exp(-0.5 * (np.subtract.outer(*[spectrum.wavelength_um] * 2) / FLOOR_LENGTH) ** 2)
    visits = without_curves(fits.select(torch.tensor(counted(fits.status))))
    own = _covariance(visits, len(visits.depth), physics)
    widened = float((covariance[0].diagonal() / own.diagonal()).mean())  # as it is where channels scatter
    plain, lower, away, rng = [], [], [], np.random.default_rng(SEED)
    for number in COUNTS:
        errors = widened * to_numpy(_covariance(visits, number, physics))
        plain.append(expected(spectrum, depth, errors, [molecule])[molecule])
        lower.append(expected(spectrum, depth, errors + floor, [molecule])[molecule])
        for drawn in depth + rng.standard_normal((DRAWS, len(depth))) @ cholesky(errors):
            away.append(expected(spectrum, drawn, errors, [molecule], noiseless=False)[molecule] - plain[-1])
    return Forecast(
        name=spectrum.name,
        molecule=molecule,
        transits=np.array(COUNTS, np.float64),
        expected=np.array(plain),
        floored=np.array(lower),
        spread=float(np.sqrt(np.mean(np.square(away)))),
        observed=observed[molecule],
        n_observed=spectrum.n_visits,
        truthful=truthful,
    )


def _covariance(visits: ClassicalFit, number: int, physics: ArielPhysics) -> Tensor:
    """(C, C) of the depths from so many visits like these."""
    chosen = torch.arange(number) % len(visits.depth)
    return physics.of_planet(visits.select(chosen), physics.populations()).covariance
