"""Classical retrieval: light curves of all channels to transit depths with errors and their full covariance.

White light gives timing and shape; then all channels are fitted together, everything but the depths marginalised. The
last step is linear in flux and carries the gradient, so the fit can be the front of a network: the gradient is that of
the Gauss-Newton solution, with weights and derivative columns held. What goes wrong in a visit becomes its status.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .columns import ORBIT_COLUMNS, STAR_IN_FIT
from .joint_fit import (
    FitSettings,
    RetrievalError,
    VisitData,
    band_curves,
    expansion_depths,
    iterate,
    prepare_visit,
    shared_count,
)
from .least_squares import LinearSolution, solve
from .light_curve_model import B2, LightCurveModel, Parameters
from .status import FAILED, NO_TRANSIT, OK, PARTIAL
from .white_light import WhiteFit, fit_white, shape_prior

logger = logging.getLogger(__name__)

# Of a depth that the data say nothing about: even the mean of 283 channels must leave a prior alone.
UNKNOWN_SIGMA = 1.0
_WORST_CHI2 = 5.0  # a point, against the scatter between neighbours: real curves have 0.9, lost fits above 10
_CONTRADICTION = 25.0  # in chi2: 5 sigma between star table and curve
_CHUNK = 2  # visits whose matrices are in memory together


@dataclass
class ClassicalFit:
    """Retrieval of B visits.

    ``depth``, ``depth_err`` (B, C); ``covariance`` (B, C, C); ``status`` of each, as in
    ``status.py``, and ``notes`` that say why; without a fit the depth is 0 ± UNKNOWN_SIGMA. ``shape`` (B, 3) t0
    [h], b^2, ln speed [stellar radii / h]; ``white_depth``, ``white_depth_err``, ``snr`` (B,); ``limb_darkening``
    (B, 2, C); ``drift``, ``model``, ``jitter``, ``residual`` (B, C, T) relative to the star's level, where data = model
    + jitter + residual; ``weight`` (B, C, T) inverse variances used; ``noise_scale`` (B, C) of the given errors;
    ``jitter_rms`` (B,) of the white curve.

    What all channels share, S parameters in the order shape, limb darkening, drift (see ``Parameters``), is given away
    from its prior's mean and in its prior's sigmas: ``shared`` (B, S), ``shared_covariance`` (B, S, S),
    ``cross_covariance`` (B, C, S) with the depths. ``free_b2`` (B, 3): mean and variance of b^2 were it allowed to be
    negative, and where 0 is. ``table_known`` (B,): whether the star table told the shape's prior.
    """

    depth: Tensor
    depth_err: Tensor
    covariance: Tensor
    status: list[str]
    notes: list[str]
    shape: Tensor
    white_depth: Tensor
    white_depth_err: Tensor
    snr: Tensor
    limb_darkening: Tensor
    drift: Tensor
    model: Tensor
    jitter: Tensor
    residual: Tensor
    weight: Tensor
    noise_scale: Tensor
    jitter_rms: Tensor
    shared: Tensor
    shared_covariance: Tensor
    cross_covariance: Tensor
    free_b2: Tensor
    table_known: Tensor

    def select(self, visits: Tensor) -> "ClassicalFit":
        """These visits, given by their numbers."""
        parts: dict[str, Any] = {}
        for name in self.__annotations__:
            value = getattr(self, name)
            parts[name] = value[visits] if isinstance(value, Tensor) else [value[int(visit)] for visit in visits]
        return ClassicalFit(**parts)


def fit(batch: dict[str, Tensor], wavelength: Tensor, settings: FitSettings | None = None) -> ClassicalFit:
    """Fit visits; a visit's result does not depend on its company.

    Args:
        batch: ``time`` (B, T) [h], ``flux``, ``flux_err`` (B, T, C) [any unit], ``valid`` (B, T, C) bool; optionally
            the star table's ``P`` [d], ``sma`` [stellar radii], ``i`` [deg], ``Ts`` [K], each (B,), NaN where unknown.
        wavelength: (C,) [um], channel 0 FGS1, then AIRS ascending.
        settings: see :class:`FitSettings`.
    """
    settings, wavelength = settings or FitSettings(), wavelength.double()
    _check(batch, wavelength)
    size = len(batch["time"])
    nan = torch.full((size,), math.nan, dtype=torch.float64, device=batch["time"].device)
    star = {name: batch.get(name, nan).detach().double().clone() for name in STAR_IN_FIT}
    answers: dict[int, ClassicalFit] = {}
    prepared: dict[int, VisitData] = {}
    for row in range(size):
        try:
            prepared[row] = prepare_visit(*(batch[name][row] for name in ("time", "flux", "flux_err", "valid")))
        except RetrievalError as error:
            answers[row] = _unknown(batch["flux"][row], FAILED, str(error), settings)
    whites = _fit_whites(prepared, star, wavelength, settings) if prepared else {}
    found = []
    for row, white in whites.items():
        if reason := _no_transit(white, settings):
            answers[row] = _unknown(batch["flux"][row], NO_TRANSIT, reason, settings)
        elif float(white.chi2 / white.points) > _WORST_CHI2:
            reason = f"white curves unlike a transit with drift: chi2 {float(white.chi2 / white.points):.1f} a point"
            answers[row] = _unknown(batch["flux"][row], FAILED, reason, settings)
        else:
            found.append(row)
    for start in range(0, len(found), _CHUNK):
        rows = found[start : start + _CHUNK]
        answers.update(_fit_chunk(rows, prepared, whites, star, wavelength, settings, batch["flux"]))
    return concatenate([answers[row] for row in range(size)])


def _check(batch: dict[str, Tensor], wavelength: Tensor) -> None:
    missing = {"time", "flux", "flux_err", "valid"} - set(batch)
    if missing:
        raise RetrievalError(f"batch: expected time, flux, flux_err, valid, missing {sorted(missing)}")
    expected = (*batch["time"].shape, len(wavelength))
    for name in ("flux", "flux_err", "valid"):
        if tuple(batch[name].shape) != expected:
            raise RetrievalError(f"{name}: expected shape (B, T, C) = {expected}, found {tuple(batch[name].shape)}")


def _stack(prepared: dict[int, VisitData], rows: list[int]) -> VisitData:
    parts = [prepared[row] for row in rows]
    return VisitData(*(torch.cat([getattr(p, name) for p in parts]) for name in VisitData.__annotations__))


def _model(
    data: VisitData, star: dict[str, Tensor], rows: list[int], wavelength: Tensor, settings: FitSettings
) -> LightCurveModel:
    table = {name: value[rows] for name, value in star.items()}
    prior = shape_prior(table, data.time, settings.table_sigma)
    return LightCurveModel(
        data.time, wavelength, table["Ts"], prior, settings.drift, settings.drift_sigma, settings.wavelength_sigma
    )


@torch.no_grad()
def _fit_whites(
    prepared: dict[int, VisitData], star: dict[str, Tensor], wavelength: Tensor, settings: FitSettings
) -> dict[int, WhiteFit]:
    """White-light fits of all prepared visits together; rows of ``star`` that the curves contradict become NaN.

    The one real curve with a table row, planet 1103775, passes 1.9 times as fast as its row says.
    """
    rows = list(prepared)
    found = _fit_bands(prepared, star, rows, wavelength, settings)
    doubtful = [row for row in rows if bool(torch.isfinite(star["P"][row])) and _pulled(found[row])]
    if doubtful:
        free = {name: value.clone() for name, value in star.items()}
        for name in ORBIT_COLUMNS:
            free[name][doubtful] = math.nan
        for row, white in _fit_bands(prepared, free, doubtful, wavelength, settings).items():
            if float(found[row].chi2 - white.chi2) > _CONTRADICTION:
                logger.warning("visit %d of the batch: its star table is off: the transit has another duration", row)
                found[row] = white
                for name in ORBIT_COLUMNS:
                    star[name][row] = math.nan
    return found


def _pulled(white: WhiteFit) -> bool:
    """Whether the shape prior or the curve is badly met."""
    return float(white.pull) > _CONTRADICTION / 2 or float(white.chi2 / white.points) > 1.5


def _fit_bands(
    prepared: dict[int, VisitData],
    star: dict[str, Tensor],
    rows: list[int],
    wavelength: Tensor,
    settings: FitSettings,
) -> dict[int, WhiteFit]:
    data = _stack(prepared, rows)
    model = _model(data, star, rows, wavelength, settings)
    u = (model.u_mean * data.channel[:, None]).sum(-1, keepdim=True) / data.channel.sum(-1)[:, None, None]
    if len(wavelength) > 1:
        u = torch.cat([model.u_mean[..., :1], u], -1)
    white = fit_white(data.time, *band_curves(data), u.transpose(1, 2), model.prior, settings.drift_sigma)
    names = WhiteFit.__annotations__
    return {row: WhiteFit(*(getattr(white, name)[i : i + 1] for name in names)) for i, row in enumerate(rows)}


def _no_transit(white: WhiteFit, settings: FitSettings) -> str:
    """Why the white curve shows no transit; empty where it does."""
    depth, error, snr = float(white.depth[0, -1]), float(white.depth_err[0, -1]), float(white.snr)
    if depth > settings.min_snr * error and snr > settings.min_snr and math.isfinite(error):
        return ""
    return f"no transit found: white depth {1e6 * depth:.0f} ± {1e6 * error:.0f} ppm, search signal-to-noise {snr:.1f}"


def _fit_chunk(
    rows: list[int],
    prepared: dict[int, VisitData],
    whites: dict[int, WhiteFit],
    star: dict[str, Tensor],
    wavelength: Tensor,
    settings: FitSettings,
    flux: Tensor,
) -> dict[int, ClassicalFit]:
    """Joint fits of a few visits; where their matrices fail together, each is tried alone."""
    try:
        data = _stack(prepared, rows)
        white = WhiteFit(
            *(torch.cat([getattr(whites[row], name) for row in rows]) for name in WhiteFit.__annotations__)
        )
        return dict(
            zip(rows, _joint(data, _model(data, star, rows, wavelength, settings), white, settings), strict=True)
        )
    except torch.linalg.LinAlgError as error:
        if len(rows) > 1:
            parts = [_fit_chunk([row], prepared, whites, star, wavelength, settings, flux) for row in rows]
            return {row: answer for part in parts for row, answer in part.items()}
        reason = f"the normal equations are singular: {error}"
        return {rows[0]: _unknown(flux[rows[0]], FAILED, reason, settings)}


def _joint(data: VisitData, model: LightCurveModel, white: WhiteFit, settings: FitSettings) -> list[ClassicalFit]:
    with torch.no_grad():
        fitted = iterate(data, model, model.start(white), settings)
    solution = solve(fitted.system, data.y - fitted.linear.model, with_covariance=True)  # the step that gradients see
    depth, covariance = fitted.parameters.depth + solution.own[..., 0], solution.covariance
    with torch.no_grad():
        final = model.step(fitted.parameters, solution.own, solution.shared)
        end = model.linearise(final, expansion_depths(final.depth, solution.variance, white.depth[:, -1]), False).model
        jitter = torch.zeros_like(end)
        if solution.series is not None and fitted.system.series is not None:
            jitter = (fitted.system.series * solution.series[:, :, None]).sum(1)
        residual = torch.where(data.weight > 0, data.y - end - jitter, torch.zeros_like(end))
        limb = model.u_mean + torch.einsum("bl,lac->bac", final.limb, model.u_basis)
        drift = model.drift_curves(final)
        shared, shared_covariance, cross, free_b2 = _standardised(model, fitted.parameters, final, solution)
    rms = fitted.jitter.rms if fitted.jitter else torch.zeros_like(white.snr)
    answers = []
    for i in range(len(depth)):
        if covariance is None or not bool(torch.isfinite(depth[i]).all()) or not bool(solution.variance[i].min() > 0):
            answers.append(_unknown(data.y[i].T, FAILED, "the fit did not end in finite depths", settings))
            continue
        one = slice(i, i + 1)
        status, reason = _window(data.time[i], white.shape[i], float(white.depth[i, -1]))
        answers.append(
            ClassicalFit(
                depth=depth[one],
                depth_err=torch.sqrt(solution.variance[one]),
                covariance=covariance[one],
                status=[status],
                notes=[reason],
                shape=final.shape[one],
                white_depth=white.depth[one, -1],
                white_depth_err=white.depth_err[one, -1],
                snr=white.depth[one, -1] / white.depth_err[one, -1],
                limb_darkening=limb[one],
                drift=drift[one],
                model=end[one],
                jitter=jitter[one],
                residual=residual[one],
                weight=fitted.system.weight[one],
                noise_scale=fitted.noise_scale[one],
                jitter_rms=rms[one],
                shared=shared[one],
                shared_covariance=shared_covariance[one],
                cross_covariance=cross[one],
                free_b2=free_b2[one],
                table_known=model.prior.known[one],
            )
        )
    return answers


def _standardised(
    model: LightCurveModel, before: Parameters, final: Parameters, solution: LinearSolution
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shared parameters away from their prior's mean, their covariances, and b^2 before its bound, in its sigmas."""
    value, mean, sigma = model.shared(final)
    covariance, cross, unbound = solution.shared_covariance, solution.cross_covariance, solution.unbound
    if covariance is None or cross is None or unbound is None:
        raise ValueError("solution: expected one with covariances and a bound")
    free_mean = (before.shape[:, B2] + unbound[:, 0] - mean[:, B2]) / sigma[:, B2]
    return (
        (value - mean) / sigma,
        covariance / (sigma[:, :, None] * sigma[:, None, :]),
        cross / sigma[:, None, :],
        torch.stack([free_mean, unbound[:, 1] / sigma[:, B2] ** 2, -mean[:, B2] / sigma[:, B2]], -1),
    )


def _window(time: Tensor, shape: Tensor, depth: float) -> tuple[str, str]:
    """Whether the whole transit lies in the window of observation."""
    t0, b2, log_speed = shape.tolist()
    half = math.sqrt(max((1.0 + math.sqrt(max(depth, 0.0))) ** 2 - b2, 0.0)) * math.exp(-log_speed)
    start, end = float(time[0]), float(time[-1])
    if t0 - half < start or t0 + half > end:
        return PARTIAL, f"transit from {t0 - half:.2f} to {t0 + half:.2f} h, window from {start:.2f} to {end:.2f} h"
    return OK, ""


def _unknown(flux: Tensor, status: str, reason: str, settings: FitSettings) -> ClassicalFit:
    """The answer of a visit (T, C) where there is none: depth 0 with an error wider than any label."""
    n_shared = shared_count(flux.shape[-1], settings)
    flux = flux.detach().double().T[None]
    zero, one = torch.zeros_like(flux[..., 0]), torch.zeros_like(flux[:, 0, 0])
    error = torch.full_like(zero, UNKNOWN_SIGMA)
    return ClassicalFit(
        depth=zero,
        depth_err=error,
        covariance=torch.diag_embed(error**2),
        status=[status],
        notes=[reason],
        shape=flux.new_full((1, 3), math.nan),
        white_depth=one,
        white_depth_err=one + UNKNOWN_SIGMA,
        snr=one,
        limb_darkening=torch.stack([zero, zero], 1),
        drift=torch.zeros_like(flux),
        model=torch.ones_like(flux),
        jitter=torch.zeros_like(flux),
        residual=torch.zeros_like(flux),
        weight=torch.zeros_like(flux),
        noise_scale=torch.ones_like(zero),
        jitter_rms=one,
        shared=flux.new_zeros(1, n_shared),
        shared_covariance=torch.eye(n_shared, dtype=flux.dtype, device=flux.device)[None],
        cross_covariance=flux.new_zeros(1, flux.shape[1], n_shared),
        free_b2=flux.new_tensor([[0.0, 1.0, -1.0]]),
        table_known=torch.zeros(1, dtype=torch.bool, device=flux.device),
    )


def concatenate(fits: list[ClassicalFit]) -> ClassicalFit:
    """Fits of many visits as one."""
    merged: dict[str, Any] = {}
    for name in ClassicalFit.__annotations__:
        values = [getattr(one, name) for one in fits]
        merged[name] = torch.cat(values) if isinstance(values[0], Tensor) else [item for v in values for item in v]
    return ClassicalFit(**merged)
