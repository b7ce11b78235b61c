"""White light under a star table: how far the table is trusted, and whether the curve makes sense at all."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from .columns import STAR_RANGES
from .joint_fit import FitSettings
from .light_curve_model import LightCurveModel
from .status import FAILED
from .verdict import Unanswered
from .visit_data import VisitData, band_curves
from .white_light import BAND_LIMB_SIGMA, ShapePrior, WhiteFit, shape_prior, white_solutions

_CONTRADICTION = 25.0  # in chi2: 5 sigma between star table and curve
_WIDENINGS = 3
_FIXED = 1e-4  # of limb darkening that is given without an error
_BADLY_FITTED = 1.5  # chi2 a point of the white curve


def possible(star: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """The star table without values that cannot be, which are noted."""
    found = {}
    for name, value in star.items():
        low, high, unit = STAR_RANGES[name]
        wrong = torch.isfinite(value) & ~((value >= low) & (value <= high))
        if bool(wrong):
            expected = f"expected {unit}, {low:g} to {high:g}, found {float(value):g}"
            notes.append(f"the star table's {name} is not used: {expected}")
        found[name] = torch.where(torch.isfinite(value) & ~wrong, value, torch.full_like(value, math.nan))
    return found


def _model(
    data: VisitData, star: dict[str, Tensor], wavelength: Tensor, settings: FitSettings, wider: float = 1.0
) -> LightCurveModel:
    return LightCurveModel(
        data.time,
        wavelength,
        star["Ts"],
        table_prior(star, data, settings, wider * settings.telescope.table_scale),
        settings.drift,
        settings.drift_sigma,
        settings.wavelength_sigma,
        photometer=data.photometer,
        clock_sigma=settings.telescope.clock_sigma,
        design=settings.design,
    )


def table_prior(star: dict[str, Tensor], data: VisitData, settings: FitSettings, wider: float = 1.0) -> ShapePrior:
    """The star table's prior, its sigmas ``wider`` than the settings say."""
    (b_sigma, speed_sigma), design = settings.table_sigma, settings.design
    eccentric = None if design is None else design.eccentric
    prior = shape_prior(star, data.time, (wider * b_sigma, wider * speed_sigma), eccentric)
    if design is None:
        return prior
    mean, sigma = prior.mean.clone(), prior.sigma.clone()
    mean[:, 0], sigma[:, 0] = design.t0 - data.origin, design.t0_sigma
    if design.shape is not None and design.shape_sigma is not None:
        mean[:, 1:], sigma[:, 1:] = design.shape, design.shape_sigma
    return replace(prior, mean=mean, sigma=sigma)


@torch.no_grad()
def fit_white(
    data: VisitData, star: dict[str, Tensor], wavelength: Tensor, settings: FitSettings
) -> tuple[WhiteFit, LightCurveModel]:
    """Solutions of the white curves, the best first, under the star table unless they contradict it, which is noted.

    A table is trusted as by Student's t: one that is off by more than its sigma is given a wider one. The one real
    curve with a table row, planet 1103775, passes 1.9 times as fast as its row says.
    """
    model = _model(data, star, wavelength, settings)
    found = _white_fits(data, model, settings)
    if float(found.pull[0]) > _CONTRADICTION / 2 or float(found.chi2[0] / found.points[0]) > _BADLY_FITTED:
        for columns in (("sma", "i"), ("P", "sma", "i")):
            used = [name for name in columns if bool(torch.isfinite(star[name]))]
            free = {name: value * math.nan if name in columns else value for name, value in star.items()}
            other = _model(data, free, wavelength, settings)
            without = _white_fits(data, other, settings) if used else found
            if float(found.chi2[0] - without.chi2[0]) > _CONTRADICTION:
                data.notes.append(f"of the star table {', '.join(used)} is not used: the curve contradicts it")
                return without, other
    return _less_trusting(data, star, wavelength, settings, found, model)


def _less_trusting(
    data: VisitData,
    star: dict[str, Tensor],
    wavelength: Tensor,
    settings: FitSettings,
    found: WhiteFit,
    model: LightCurveModel,
) -> tuple[WhiteFit, LightCurveModel]:
    """The fit with the star table's sigma as wide as a t distribution has it at this pull, if that is wider."""
    wider, freedom = 1.0, settings.telescope.table_freedom
    for _ in range(_WIDENINGS if bool(model.prior.known[0]) else 0):
        in_table_sigma = float(found.pull[0]) * wider**2
        factor = math.sqrt((freedom + in_table_sigma) / (freedom + 2.0))
        if factor < 1.1 * wider:
            break
        wider = factor
        model = _model(data, star, wavelength, settings, wider)
        found = _white_fits(data, model, settings)
    return found, model


@torch.no_grad()
def check_sense(data: VisitData, model: LightCurveModel, white: WhiteFit, settings: FitSettings) -> None:
    """Unanswered where the white curve is no dip, and turned upside down is one, as magnitudes are."""
    if float(white.chi2[0] / white.points[0]) < _BADLY_FITTED:
        return
    turned = _white_fits(replace(data, y=2.0 - data.y), model, settings)
    better = float(white.chi2[0] - turned.chi2[0]) > _CONTRADICTION
    if better and float(turned.chi2[0] / turned.points[0]) < _BADLY_FITTED and float(turned.depth[0, -1]) > 0:
        raise Unanswered(
            FAILED,
            f"flux: expected a dip, found a rise of {1e6 * float(turned.depth[0, -1]):.0f} ppm: magnitudes?",
        )


def _white_fits(data: VisitData, model: LightCurveModel, settings: FitSettings) -> WhiteFit:
    curves, u, design = band_curves(data), band_limb_darkening(data, model), settings.design
    limb_sigma = band_limb_sigma(data, model)
    return white_solutions(data.time, *curves, u, model.prior, settings.drift_sigma, design, limb_sigma)


def band_limb_darkening(data: VisitData, model: LightCurveModel) -> Tensor:
    """Prior mean (1, N, 2) of the coefficients of the bands that :func:`band_curves` has."""
    u = (model.u_mean * data.channel[:, None]).sum(-1, keepdim=True) / data.channel.sum(-1)[:, None, None]
    if data.photometer:
        u = torch.cat([model.u_mean[..., :1], u], -1)
    return u.transpose(1, 2)


def band_limb_sigma(data: VisitData, model: LightCurveModel) -> tuple[float, float]:
    """Prior standard deviations of u1 and u2 in the white curve."""
    if not model.given_limb:
        return BAND_LIMB_SIGMA
    share = data.channel[0] / data.channel.sum()
    u1, u2 = (model.own_limb_sigma.T @ share).clamp_min(_FIXED).tolist()
    return u1, u2
