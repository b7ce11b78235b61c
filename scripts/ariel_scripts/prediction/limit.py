"""The limit of any retrieval on simulated light curves of given spectra: the posterior with everything else known."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hf_dataset.simulation import light_curves
from hf_dataset.simulation.planets import Planet, planet_from_spectrum
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.least_squares import LinearSystem, SeriesColumns, solve
from modeling_ariel.light_curve_model import LightCurveModel
from modeling_ariel.retrieval import fit
from modeling_ariel.white_light import ShapePrior, WhiteFit

logger = logging.getLogger(__name__)

LAYOUT = "2024"  # the spectra are 2024's, where no star table is given

Array = NDArray[np.float64]
Row = dict[str, Any]  # of the dataset


def simulate(planet: int, spectrum: Array, bins: int, seed: int) -> tuple[Row, light_curves.Truth, Planet]:
    """A light curve with its components and its planet."""
    system = planet_from_spectrum(spectrum, seed=seed + planet % 2**31, layout=LAYOUT, planet_id=planet)
    row, truth = light_curves.simulate_with_truth(system, n_bins=bins, seed=seed)
    return row, truth, system


def fit_row(row: Row, wavelength: Tensor, settings: FitSettings) -> tuple[Tensor, Tensor, str]:
    """Depth (C,), covariance (C, C) and status of one row."""
    names = ("time", "flux", "flux_err", "valid", "P", "sma", "i", "Ts")
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in names}
    result = fit(batch, wavelength, settings)
    if result.status[0] != "ok":
        logger.warning("planet %d: %s: %s", row["planet_id"], result.status[0], result.notes[0])
    return result.depth[0], result.covariance[0], result.status[0]


def exact_depths(
    row: Row, truth: light_curves.Truth, system: Planet, wavelength: Tensor, drift_known: bool
) -> tuple[Tensor, Tensor]:
    """Depth (C,) and covariance (C, C) of the exact linear-Gaussian posterior, expanded about the truth.

    Known: timing, orbit, limb darkening, the bins with hits, variances, the jitter's covariance and responses. Unknown:
    depths, levels and, unless ``drift_known``, the coefficients of the separable drift, under flat priors.
    """

    def tensor(array: NDArray[Any] | list[float]) -> Tensor:
        return torch.as_tensor(np.asarray(array, np.float64))[None]

    rate = 2 * math.pi / (24.0 * system.P)
    b2 = (system.sma * math.cos(math.radians(system.i))) ** 2
    shape = tensor([truth.t0, b2, math.log(rate * system.sma)])
    prior = ShapePrior(
        shape,
        torch.ones_like(shape),
        torch.tensor([rate], dtype=torch.float64),
        torch.tensor([True]),
        torch.tensor([True]),
    )
    p, q = truth.drift_law.airs_p, truth.drift_law.airs_wavelength(wavelength[1:].numpy())
    coefficients = np.polynomial.legendre.legfit(_scaled(wavelength[1:].numpy()), q, 2)
    model = LightCurveModel(
        tensor(row["time"]),
        wavelength,
        torch.tensor([5500.0]),
        prior,
        "joint",
        (10.0,) * len(p),
        (10.0, 10.0),
        False,
    )
    model.u_mean = tensor(truth.u.T)
    depth = tensor(system.spectrum)
    empty = torch.zeros(1, 1, dtype=torch.float64)
    start = model.start(
        WhiteFit(
            shape,
            empty,
            empty,
            empty.new_zeros(1, 1, 2),
            empty,
            tensor(p * coefficients[0])[:, None],
            *[empty] * 5,
        )
    )
    start.depth, start.fgs1_time = depth, tensor(truth.drift_law.fgs1_p)
    start.airs_wavelength = tensor(coefficients[1:] / coefficients[0])
    linear = model.linearise(start, depth)
    jitter = np.stack([truth.jitter_response, truth.dispersion_response])
    own_precision, shared_precision, pull = model.priors(start)
    if drift_known:
        linear.mixing, shared_precision, pull = (
            linear.mixing[..., : len(own_precision)],
            shared_precision[:, :0],
            pull[:, :0],
        )
    expected = truth.transit * (1 + truth.drift)
    weight = tensor((truth.star_flux**2 / truth.variance * ~truth.outliers).T)
    precision = torch.as_tensor(np.linalg.inv(truth.jitter_covariance))
    exact = LinearSystem(
        linear.columns,
        linear.mixing,
        weight,
        own_precision,
        shared_precision,
        torch.zeros_like(pull),
        [SeriesColumns(torch.as_tensor(one), None, precision) for one in jitter],
        linear.model,
    )
    solution = solve(exact, tensor((row["flux"] / truth.star_flux - expected).T), with_covariance=True)
    return depth[0] + solution.own[0, :, 0], solution.covariance[0]  # type: ignore[index]


def _scaled(wavelength: Array) -> Array:
    """AIRS wavelengths mapped to -1 ... 1, as the fit's drift has them."""
    return 2 * (wavelength - wavelength.min()) / (wavelength.max() - wavelength.min()) - 1
