"""Classical retrieval: light curves of all channels to transit depths with errors and their full covariance.

White light gives timing and shape; then all channels are fitted together, everything but the depths marginalised. The
last step is linear in flux and carries the gradient, so the fit can be the front of a network: the gradient is that of
the Gauss-Newton solution, with weights and derivative columns held. Every visit is fitted by itself, on the bins where
it has data; where white light has several solutions each is fitted, and they are weighed. What goes wrong in a visit
becomes its status.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .fit_batch import read_batch
from .joint_fit import FitSettings, expansion_depths, iterate, shared_count
from .least_squares import LinearSolution, solve
from .light_curve_model import B2, LightCurveModel, Parameters
from .noise import Series
from .noise_prior import KINDS
from .status import DOUBTFUL, FAILED
from .telescope import VisitEvidence, without_prior
from .verdict import Unanswered, check_white, faint, judge, memory
from .visit_data import RetrievalError, VisitData, between_places, prepare_visit
from .white_light import ShapePrior, WhiteFit
from .white_stage import check_sense, fit_white, possible, table_prior

# Of a depth that the data say nothing about: even the mean of 283 channels must leave a prior alone.
UNKNOWN_SIGMA = 1.0
_LEAST_SHARE = 1e-3  # of the evidence, below which a solution is not fitted


@dataclass
class ClassicalFit:
    """Retrieval of B visits.

    ``depth``, ``depth_err`` (B, C); ``covariance`` (B, C, C); ``status`` of each, as in ``status.py``, and ``notes``
    that say why, a text each; without a fit the depth is 0 with error UNKNOWN_SIGMA. ``shape`` (B, 3) t0 [h], b^2, ln
    speed [stellar radii / h]; ``white_depth``, ``white_depth_err``, ``snr`` (B,), noise that channels share included;
    ``limb_darkening`` (B, 2, C); ``drift``, ``model``, ``jitter``, ``residual`` (B, C, T) relative to the star's level,
    where data = model + jitter + residual (bins without data: drift and model between neighbours, the others 0);
    ``weight`` (B, C, T) inverse variances used; ``noise_scale`` (B, C) of the given errors; ``jitter_rms`` (B,) of all
    correlated noise in the white curve; ``beta`` (B,) how many times it widens the white depth's error (Pont, Zucker &
    Queloz 2006, MNRAS 373, 231).

    What all channels share, S parameters in the order shape, limb darkening, drift (see ``Parameters``), is given away
    from its prior's mean and in its prior's sigmas: ``shared`` (B, S), ``shared_covariance`` (B, S, S),
    ``cross_covariance`` (B, C, S) with the depths. ``free_b2`` (B, 3): mean and variance of b^2 were it allowed to be
    negative, and where 0 is. ``prior_mean``, ``prior_sigma`` (B, S) are that prior in the parameters' own units, limb
    darkening from that of a Sun-like star. ``table_known`` (B,): whether the star table told the shape's prior;
    ``table_trust`` (B, 2): how many times its sigmas were widened, and the degrees of freedom that this follows from.
    ``evidence`` of each visit for :class:`Telescope`.
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
    beta: Tensor
    shared: Tensor
    shared_covariance: Tensor
    cross_covariance: Tensor
    free_b2: Tensor
    prior_mean: Tensor
    prior_sigma: Tensor
    table_known: Tensor
    table_trust: Tensor
    evidence: list[VisitEvidence]

    def select(self, visits: Tensor) -> "ClassicalFit":
        """These visits, given by their numbers."""
        parts: dict[str, Any] = {}
        for name in self.__annotations__:
            value = getattr(self, name)
            parts[name] = value[visits] if isinstance(value, Tensor) else [value[int(visit)] for visit in visits]
        return ClassicalFit(**parts)


def fit(batch: Mapping[str, Any], wavelength: Any, settings: FitSettings | None = None) -> ClassicalFit:
    """Fit visits, each by itself.

    Args:
        batch: ``time`` (B, T) [h], from any zero that its dtype can hold; ``flux``, ``flux_err`` (B, T, C) [any unit];
            ``valid`` (B, T, C) bool; optionally the star table's ``P`` [d], ``sma`` [stellar radii], ``i`` [deg],
            ``Ts`` [K], each (B,), NaN where unknown, or all of it as ``star`` (B, 8). Tensors, or any library's arrays.
        wavelength: (C,) [um], in any order.
        settings: see :class:`FitSettings`.

    Raises:
        RetrievalError: shapes, dtypes or units that cannot be meant. What is wrong with one visit is its status.
    """
    settings = settings or FitSettings()
    batch, star, wavelength = read_batch(batch, wavelength)
    order = wavelength.argsort()
    answers = []
    for row in range(len(batch["time"])):
        flux, error, good = (batch[name][row][:, order] for name in ("flux", "flux_err", "valid"))
        table = {name: values[row : row + 1] for name, values in star.items()}
        answers.append(_fit_visit(batch["time"][row], flux, error, good, table, wavelength[order], settings))
    return _in_channel_order(concatenate(answers), order.argsort())


def _in_channel_order(found: ClassicalFit, order: Tensor) -> ClassicalFit:
    """The fit with its channels in the order in which they were given."""
    if torch.equal(order, torch.arange(len(order), device=order.device)):
        return found
    first = ("depth", "depth_err", "drift", "model", "jitter", "residual", "weight", "noise_scale", "cross_covariance")
    return replace(
        found,
        **{name: getattr(found, name)[:, order] for name in first},
        covariance=found.covariance[:, order][:, :, order],
        limb_darkening=found.limb_darkening[..., order],
    )


def _fit_visit(
    time: Tensor,
    flux: Tensor,
    flux_err: Tensor,
    valid: Tensor,
    star: dict[str, Tensor],
    wavelength: Tensor,
    settings: FitSettings,
) -> ClassicalFit:
    """The fit of one visit, (T,) and (T, C), channels ascending."""
    n_shared = shared_count(wavelength, settings)
    try:
        data = prepare_visit(time, flux, flux_err, valid, settings.with_photometer(wavelength))
        if settings.design is not None:
            settings = replace(settings, design=settings.design.at(data.kept))
        star = possible(star, data.notes)
        solutions, model = fit_white(data, star, wavelength, settings)
        check_sense(data, model, solutions, settings)
        check_white(data, solutions, settings.min_snr)
        share, table = torch.softmax(solutions.evidence, 0), table_prior(star, data, settings)
        chosen = [row for row in range(len(share)) if float(share[row]) > _LEAST_SHARE]
        fits = [_joint(data, model, solutions.rows(torch.tensor([row])), table, settings) for row in chosen]
        return _spread(_unless_faint(weighed(fits, share[chosen])), data, len(time))
    except RetrievalError as error:
        return _unknown(flux, FAILED, str(error), n_shared)
    except Unanswered as error:
        return _unknown(flux, error.status, str(error), n_shared)
    except torch.linalg.LinAlgError as error:
        return _unknown(flux, FAILED, f"the normal equations are singular: {error}", n_shared)


def _joint(
    data: VisitData, model: LightCurveModel, white: WhiteFit, table: ShapePrior, settings: FitSettings
) -> ClassicalFit:
    """All channels, from one solution of the white curves; times from the visit's first bin."""
    with torch.no_grad():
        fitted = iterate(data, model, model.start(white), settings)
    solution = solve(fitted.system, data.y - fitted.linear.model, with_covariance=True)  # the step that gradients see
    depth, covariance = fitted.parameters.depth + solution.own[..., 0], solution.covariance
    finite = bool(torch.isfinite(depth).all()) and bool(solution.variance.min() > 0)
    if covariance is None or not finite:
        raise RetrievalError("the fit did not end in finite depths")
    with torch.no_grad():
        final = model.step(fitted.parameters, solution.own, solution.shared)
        around = expansion_depths(final.depth, solution.variance, white.depth[:, -1], data.photometer)
        end = model.linearise(final, around).model
        jitter = solution.series
        residual = torch.where(data.weight > 0, data.y - end - jitter, torch.zeros_like(end))
        shared, shared_covariance, cross, free_b2 = _standardised(model, fitted.parameters, final, solution)
        prior_mean, prior_sigma = _prior(model, final, shared.shape[-1])
        mean = (data.channel > 0) / solution.variance
        mean = mean / mean.sum(-1, keepdim=True)
        white_depth = (mean * depth).sum(-1)
        white_err = torch.einsum("bc,bcd,bd->b", mean, covariance, mean).sqrt()
        beta = white_err / torch.einsum("bc,bcd,bd->b", mean, solution.certain, mean).sqrt()
        jitter_rms = _white_rms(fitted.noise, mean)
        evidence = _evidence(model, table, fitted.noise, final, solution)
        b2_err = shared_covariance[:, B2, B2].sqrt() * model.prior.sigma[:, B2]
        left, weight = data.y - end, fitted.system.weight
        short = settings.design is not None
        status, notes = judge(data, model.prior, final.shape, b2_err, white_depth, left, residual, weight, short)
    return ClassicalFit(
        depth=depth,
        depth_err=torch.sqrt(solution.variance),
        covariance=covariance,
        status=[status],
        notes=["; ".join(filter(None, [*data.notes, *notes, memory(float(beta), float(jitter_rms))]))],
        shape=final.shape + final.shape.new_tensor([data.origin, 0.0, 0.0]),
        white_depth=white_depth,
        white_depth_err=white_err,
        snr=white_depth / white_err,
        limb_darkening=model.limb_darkening(final),
        drift=model.drift_curves(final),
        model=end,
        jitter=jitter,
        residual=residual,
        weight=fitted.system.weight,
        noise_scale=fitted.noise_scale * data.error_scale,
        jitter_rms=jitter_rms,
        beta=beta,
        shared=shared,
        shared_covariance=shared_covariance,
        cross_covariance=cross,
        free_b2=free_b2,
        prior_mean=prior_mean,
        prior_sigma=prior_sigma,
        table_known=model.prior.known,
        table_trust=_trust(model.prior, table, settings),
        evidence=[evidence],
    )


def _evidence(
    model: LightCurveModel, table: ShapePrior, noise: list[Series], final: Parameters, solution: LinearSolution
) -> VisitEvidence:
    """What a visit says of its telescope; ``table`` as it stands."""
    if solution.shared_covariance is None:
        raise ValueError("solution: expected one with covariances")
    covariance = solution.shared_covariance[0]
    value, mean, sigma = (part[0] for part in model.shared(final))
    by_kind = {one.kind: one.evidence for one in reversed(noise)}
    found = VisitEvidence(tuple(by_kind.get(kind) for kind in KINDS))

    def told(place: slice) -> tuple[Tensor, Tensor]:
        return without_prior(value[place], covariance[place, place], mean[place], sigma[place])

    if model.has_clock:
        late, variance = told(slice(-1, None))
        found.clock = float(late), float(variance)
    if bool(table.known[0]):
        place = slice(B2, 3)
        shape, error = told(place)
        unit = table.sigma[0, place]
        found.table = ((shape - table.mean[0, place]) / unit).cpu().numpy()
        found.table_covariance = (error / (unit[:, None] * unit)).cpu().numpy()
    return found


def _prior(model: LightCurveModel, final: Parameters, told: int) -> tuple[Tensor, Tensor]:
    """Mean and sigma (1, S) of the prior of the first ``told`` shared parameters, limb darkening from a Sun's."""
    _, mean, sigma = model.shared(final)
    limb = slice(3, 3 + model.limb_shift.shape[-1])
    mean[:, limb] = mean[:, limb] + model.limb_shift
    return mean[:, :told], sigma[:, :told]


def _trust(prior: ShapePrior, table: ShapePrior, settings: FitSettings) -> Tensor:
    """How many times the ``table``'s sigmas were widened in ``prior``, and with how many degrees of freedom (1, 2)."""
    wider = prior.sigma[:, 2] / (settings.telescope.table_scale * table.sigma[:, 2])
    wider = torch.where(prior.known, wider, torch.ones_like(wider))
    return torch.stack([wider, torch.full_like(wider, settings.telescope.table_freedom)], -1)


def _white_rms(noise: list[Series], mean: Tensor) -> Tensor:
    """Root mean square (B,) of correlated noise in a mean (B, C) of the channels."""
    squares = [(mean @ one.response * one.rms) ** 2 for one in noise]
    return torch.stack([torch.zeros_like(mean[:, 0]), *squares]).sum(0).sqrt()


def weighed(fits: list[ClassicalFit], share: Tensor, what: str = "the light curve has {} solutions") -> ClassicalFit:
    """Fits of one visit as one, by the moments of their mixture; curves and shape are the first one's.

    ``share`` (N,) of each fit; the note says ``what`` they are.
    """
    best = fits[0]
    if len(fits) == 1:
        return best
    share = share / share.sum()
    value = torch.stack([torch.cat([one.depth[0], one.shared[0]]) for one in fits])  # (N, C + S)
    covariance = torch.stack([_joint_covariance(one) for one in fits])
    mean = share @ value
    away = value - mean
    spread = torch.einsum("n,nij->ij", share, covariance) + torch.einsum("n,ni,nj->ij", share, away, away)
    channels = best.depth.shape[-1]
    free = torch.cat([one.free_b2 for one in fits])
    b2 = share @ free[:, 0]
    b2_variance = share @ (free[:, 1] + (free[:, 0] - b2) ** 2)
    others = ", ".join(
        f"{1e6 * float(one.white_depth):.0f} ppm ({100 * float(p):.0f} %)" for one, p in zip(fits, share, strict=True)
    )
    note = f"{what.format(len(fits))}, weighed by their evidence: white depths {others}"
    white = torch.cat([one.white_depth for one in fits])
    white_depth = share @ white
    white_err = (share @ (torch.cat([one.white_depth_err for one in fits]) ** 2 + (white - white_depth) ** 2)).sqrt()
    return replace(
        best,
        depth=mean[None, :channels],
        depth_err=spread.diagonal()[None, :channels].sqrt(),
        covariance=spread[None, :channels, :channels],
        notes=["; ".join(filter(None, [best.notes[0], note]))],
        white_depth=white_depth[None],
        white_depth_err=white_err[None],
        snr=(white_depth / white_err)[None],
        shared=mean[None, channels:],
        shared_covariance=spread[None, channels:, channels:],
        cross_covariance=spread[None, :channels, channels:],
        free_b2=torch.stack([b2, b2_variance, free[0, 2]])[None],
    )


def _unless_faint(one: ClassicalFit) -> ClassicalFit:
    """Doubtful where the white depth may be noise."""
    note = faint(float(one.white_depth), float(one.white_depth_err))
    return replace(one, status=[DOUBTFUL], notes=["; ".join(filter(None, [one.notes[0], note]))]) if note else one


def _joint_covariance(one: ClassicalFit) -> Tensor:
    """Of depths and shared parameters together (C + S, C + S)."""
    cross = one.cross_covariance[0]
    return torch.cat([torch.cat([one.covariance[0], cross], 1), torch.cat([cross.T, one.shared_covariance[0]], 1)], 0)


def _spread(one: ClassicalFit, data: VisitData, bins: int) -> ClassicalFit:
    """The fit with its curves on all bins of the visit."""
    if bins == data.time.shape[-1]:
        return one
    left, right, along = between_places(torch.nonzero(data.kept).squeeze(-1), bins)

    def between(values: Tensor) -> Tensor:
        return torch.lerp(values[..., left], values[..., right], along)

    def zero(values: Tensor) -> Tensor:
        return between(values) * data.kept

    return replace(
        one,
        drift=between(one.drift),
        model=between(one.model),
        jitter=zero(one.jitter),
        residual=zero(one.residual),
        weight=zero(one.weight),
    )


def _standardised(
    model: LightCurveModel, before: Parameters, final: Parameters, solution: LinearSolution
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shared parameters away from their prior's mean, their covariances, and b^2 before its bound, in its sigmas."""
    value, mean, sigma = model.shared(final)
    covariance, cross, unbound = solution.shared_covariance, solution.cross_covariance, solution.unbound
    if covariance is None or cross is None or unbound is None:
        raise ValueError("solution: expected one with covariances and a bound")
    told = value.shape[-1] - model.has_clock  # the clock is for the fit alone
    value, mean, sigma = value[:, :told], mean[:, :told], sigma[:, :told]
    covariance, cross = covariance[:, :told, :told], cross[..., :told]
    free_mean = (before.shape[:, B2] + unbound[:, 0] - mean[:, B2]) / sigma[:, B2]
    return (
        (value - mean) / sigma,
        covariance / (sigma[:, :, None] * sigma[:, None, :]),
        cross / sigma[:, None, :],
        torch.stack([free_mean, unbound[:, 1] / sigma[:, B2] ** 2, -mean[:, B2] / sigma[:, B2]], -1),
    )


def _unknown(flux: Tensor, status: str, note: str, n_shared: int) -> ClassicalFit:
    """The answer of a visit (T, C) where there is none: depth 0 with an error wider than any label."""
    flux = flux.detach().double().T[None]
    zero, one = torch.zeros_like(flux[..., 0]), torch.zeros_like(flux[:, 0, 0])
    error = torch.full_like(zero, UNKNOWN_SIGMA)
    return ClassicalFit(
        depth=zero,
        depth_err=error,
        covariance=torch.diag_embed(error**2),
        status=[status],
        notes=[note],
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
        beta=one + 1.0,
        shared=flux.new_zeros(1, n_shared),
        shared_covariance=torch.eye(n_shared, dtype=flux.dtype, device=flux.device)[None],
        cross_covariance=flux.new_zeros(1, flux.shape[1], n_shared),
        free_b2=flux.new_tensor([[0.0, 1.0, -1.0]]),
        prior_mean=flux.new_zeros(1, n_shared),
        prior_sigma=flux.new_ones(1, n_shared),
        table_known=torch.zeros(1, dtype=torch.bool, device=flux.device),
        table_trust=flux.new_ones(1, 2),
        evidence=[VisitEvidence()],
    )


def without_curves(fits: ClassicalFit) -> ClassicalFit:
    """The same with no bins in its curves, which take nearly all of the memory."""
    curves = ("drift", "model", "jitter", "residual", "weight")
    return replace(fits, **{name: getattr(fits, name)[..., :0] for name in curves})


def concatenate(fits: list[ClassicalFit]) -> ClassicalFit:
    """Fits of many visits as one."""
    merged: dict[str, Any] = {}
    for name in ClassicalFit.__annotations__:
        values = [getattr(one, name) for one in fits]
        merged[name] = torch.cat(values) if isinstance(values[0], Tensor) else [item for v in values for item in v]
    return ClassicalFit(**merged)
