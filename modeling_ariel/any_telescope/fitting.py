"""One visit of any telescope: from an observation to depths with their covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from modeling_ariel.any_telescope.evidence import likeliest_step, log_evidence
from modeling_ariel.any_telescope.limb_darkening import FREE, LimbDarkening
from modeling_ariel.any_telescope.observation import Observation
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.scan import without_scan
from modeling_ariel.any_telescope.systematics import AUTO, Systematics, candidates
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.light_curve_model import LightCurveModel
from modeling_ariel.limb_darkening import limb_darkening_prior
from modeling_ariel.retrieval import ClassicalFit, fit, weighed
from modeling_ariel.status import DOUBTFUL, FAILED, FITTED, NO_TRANSIT
from modeling_ariel.verdict import Unanswered
from modeling_ariel.visit_data import RetrievalError, VisitData, prepare_visit
from modeling_ariel.visit_design import VisitDesign
from modeling_ariel.white_light import WhiteFit
from modeling_ariel.white_stage import fit_white

FREE_LIMB = "free"
_LEAST_SHARE, _MOST = 0.02, 4  # of the evidence, and of models that are fitted
_NO_FIT = (RetrievalError, Unanswered, torch.linalg.LinAlgError)
_STEP_GAIN = 2.5  # of ln evidence, from which on a step is a doubt: 82 curves without one have up to 1.4
_WIDE, _PRECISE = 2.5, 250.0  # longest over shortest wavelength, depth over error: limb darkening's shape may show
_PROBABLE = 0.5  # of the evidence of these, that the ones with a fit should have


@dataclass(frozen=True)
class FitChoices:
    """What one chooses for a visit.

    systematics: ``auto``, or terms such as ``polynomial(2) + ramp + x``; ``sizes`` of their priors [relative flux] by
    name. limb: a table, ``free``, or None for the fit's own, smooth in wavelength and temperature. memory: whether
    noise may have memory.
    """

    systematics: str = AUTO
    sizes: Mapping[str, float] | None = None
    limb: LimbDarkening | str | None = None
    memory: bool = True


@dataclass(frozen=True, eq=False)
class Tried:
    """Systematics that were tried: ln ``evidence``, NaN if nothing was compared, and ``share`` of those that count.

    ``step``: what is noted on a step that the light curve has beside the most probable ones.
    """

    systematics: Systematics
    evidence: float
    share: float
    step: str = ""


@dataclass(frozen=True, eq=False)
class VisitFit:
    """A visit with its fit, and the systematics that were tried, the most probable first."""

    observation: Observation
    fit: ClassicalFit
    tried: tuple[Tried, ...]


@dataclass(frozen=True, eq=False)
class Shape:
    """``mean`` and ``sigma`` (2,) of b^2 and ln speed [stellar radii / h], in place of an orbit's."""

    mean: torch.Tensor
    sigma: torch.Tensor


def fit_visit(
    observation: Observation,
    orbit: Orbit,
    choices: FitChoices | None = None,
    shape: Shape | None = None,
    tried: tuple[Tried, ...] = (),
) -> VisitFit:
    """Fit one visit; several systematics that explain it are weighed by their evidence.

    Those that were ``tried`` before are not compared anew. What is wrong with the light curves is the fit's status,
    with a note; ObservationError where the choices do not fit.
    """
    choices, observation = choices or FitChoices(), without_scan(observation)
    tried = tried or _compare(observation, orbit, choices, shape)
    kept = [one for one in tried[:_MOST] if one.share > _LEAST_SHARE]
    fits = [_fit(observation, orbit, _settings(observation, orbit, choices, one.systematics, shape)) for one in kept]
    good = [place for place, one in enumerate(fits) if one.status[0] in FITTED] or [0]
    probable = sum(kept[place].share for place in good) / sum(one.share for one in kept)
    if probable < _PROBABLE and fits[0].status[0] == NO_TRANSIT:
        good, probable = [0], 1.0  # what finds a transit is the less probable
    what = "{} models of the systematics, " + " | ".join(kept[place].systematics.name for place in good)
    share = torch.tensor([kept[place].share for place in good], dtype=torch.float64)
    found = weighed([fits[place] for place in good], share, what)
    said = [*observation.notes, *found.notes, _smooth_limb(observation, found, choices)]
    if (probable < _PROBABLE or tried[0].step) and found.status[0] in FITTED:
        found = replace(found, status=[DOUBTFUL])
        said.append(tried[0].step)
    if probable < _PROBABLE:
        said.append(f"systematics of {100 * (1 - probable):.0f} % of the evidence do not fit: {fits[0].notes[0]}")
    if found.status[0] == FAILED and isinstance(choices.limb, LimbDarkening) and not choices.limb.u_err.any():
        said.append("limb darkening is held fixed: has it errors?")
    if len(tried) > 1 and len(good) == 1:
        best = kept[good[0]]
        said.append(f"systematics: {best.systematics.name}, {100 * best.share:.0f} % of the evidence")
    return VisitFit(observation, replace(found, notes=["; ".join(filter(None, said))]), tried)


def _smooth_limb(observation: Observation, fit: ClassicalFit, choices: FitChoices) -> str:
    """What is noted where channels tell more of limb darkening than its smooth columns can follow."""
    first, last = float(observation.wavelength.min()), float(observation.wavelength.max())
    if choices.limb is not None or fit.status[0] not in FITTED or not last > _WIDE * first:
        return ""
    precision = float((fit.depth[0] / fit.covariance[0].diagonal().sqrt()).median())
    if precision < _PRECISE:
        return ""
    return (
        f"limb darkening is smooth from {first:.2f} to {last:.2f} um, and depths are known to 1 in {precision:.0f}: "
        "compare limb darkening free or of a table"
    )


def _compare(observation: Observation, orbit: Orbit, choices: FitChoices, shape: Shape | None) -> tuple[Tried, ...]:
    """Systematics with their shares of the evidence, the most probable first."""
    if choices.systematics.strip() != AUTO:
        model = Systematics.parse(choices.systematics, choices.sizes)
        return (Tried(model, math.nan, 1.0, _step(observation, orbit, choices, model, shape)),)
    models = candidates(observation, choices.sizes)
    found = [_evidence(observation, orbit, _settings(observation, orbit, choices, one, shape)) for one in models]
    if max(found) == -math.inf:  # none can be fitted: the simplest says why
        found[0] = 0.0
    share = torch.softmax(torch.tensor(found, dtype=torch.float64), 0)
    order = share.argsort(descending=True, stable=True).tolist()
    first = _step(observation, orbit, choices, models[order[0]], shape)
    return tuple(
        Tried(models[row], found[row], float(share[row]), "" if place else first) for place, row in enumerate(order)
    )


def _settings(
    observation: Observation, orbit: Orbit, choices: FitChoices, systematics: Systematics, shape: Shape | None
) -> FitSettings:
    columns, sizes, _ = systematics.design(observation)
    due, error, _ = orbit.due(observation)
    design = VisitDesign(
        basis=torch.as_tensor(columns),
        sigma=torch.as_tensor(sizes),
        exposure=torch.as_tensor(observation.exposure),
        eccentricity=orbit.e,
        omega=math.radians(orbit.omega),
        t0=due,
        t0_sigma=error,
        shape=None if shape is None else shape.mean,
        shape_sigma=None if shape is None else shape.sigma,
    )
    return FitSettings(
        drift="channel",
        drift_sigma=tuple(sizes.tolist()),
        table_sigma=(orbit.b_err, orbit.log_a_err),
        jitter=choices.memory,
        photometer=False,
        design=_with_limb(design, observation, orbit, choices.limb),
    )


def _with_limb(
    design: VisitDesign, observation: Observation, orbit: Orbit, limb: LimbDarkening | str | None
) -> VisitDesign:
    if limb is None:
        return design
    if isinstance(limb, LimbDarkening):
        u, error = map(torch.as_tensor, limb.of(observation))
        return replace(design, limb=u, limb_sigma=error)
    mean = limb_darkening_prior(_wavelength(observation), orbit.star["Ts"], photometer=False)[0][0]
    return replace(design, limb=mean, limb_sigma=torch.full_like(mean, FREE))


def _wavelength(observation: Observation) -> torch.Tensor:
    """(C,) [um]; a white curve of unknown wavelength counts as visible light."""
    return torch.as_tensor(observation.wavelength).nan_to_num(0.7)


def _evidence(observation: Observation, orbit: Orbit, settings: FitSettings) -> float:
    """ln evidence of one model of the systematics; -inf where it cannot be fitted."""
    try:
        return log_evidence(*_white(observation, orbit, settings))
    except _NO_FIT:
        return -math.inf


def _step(
    observation: Observation, orbit: Orbit, choices: FitChoices, systematics: Systematics, shape: Shape | None
) -> str:
    """What is noted on a step that explains the light curve better; empty where none does."""
    try:
        found = likeliest_step(*_white(observation, orbit, _settings(observation, orbit, choices, systematics, shape)))
    except _NO_FIT:
        return ""
    if found is None or found.gain < _STEP_GAIN:
        return ""
    return (
        f"a step of {1e6 * found.size:.0f} ppm at {found.time:.2f} h (a mirror's tilt, a flare, a spot?) explains the "
        f"light curve better (ln evidence {found.gain:.1f} larger)"
    )


def _white(
    observation: Observation, orbit: Orbit, settings: FitSettings
) -> tuple[VisitData, LightCurveModel, WhiteFit, FitSettings]:
    """The white curve's fit with what it is of; raises one of _NO_FIT where it cannot be fitted."""
    curves = (observation.time, observation.flux, observation.flux_err, observation.valid)
    time, flux, error, valid = map(torch.as_tensor, curves)
    data = prepare_visit(time, flux, error, valid, photometer=False)
    if settings.design is not None:
        settings = replace(settings, design=settings.design.at(data.kept))
    white, model = fit_white(data, orbit.star, _wavelength(observation), settings)
    return data, model, white, settings


@torch.no_grad()
def _fit(observation: Observation, orbit: Orbit, settings: FitSettings) -> ClassicalFit:
    batch = {
        "time": torch.as_tensor(observation.time)[None],
        "flux": torch.as_tensor(observation.flux).nan_to_num(0.0)[None],
        "flux_err": torch.as_tensor(observation.flux_err).nan_to_num(1.0)[None],
        "valid": torch.as_tensor(observation.valid)[None],
        **orbit.star,
    }
    return fit(batch, _wavelength(observation), settings)
