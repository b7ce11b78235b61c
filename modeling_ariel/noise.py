"""Correlated noise of a visit, estimated from the residuals of a fit: series in time that channels share.

A pointing excursion moves all AIRS channels together where the aperture loses light, and by the slope of the stellar
spectrum where it runs along the dispersion; a drift whose time shape changes with wavelength tilts the spectrum; a
photometer has noise of its own. Each is a response of the channels times a series in time, which does not average down
over the spectrum and must be in the covariance.

A series has two parts, told apart by their timescale. Jitter, of bins: its amplitude and correlation time maximise the
restricted likelihood (REML, Patterson & Thompson 1971, Biometrika 58, 545) of the residual projected on the response,
which accounts for what the fitted transit and drift have swallowed. Slow noise, of hours: a visit hardly holds a few
correlation times of it, so that its size is not picked but averaged over, by the same likelihood, under a prior that
doubts it; what enters the fit is the mean covariance. Slow noise lives on cosines over the window, with jitter beside
it on bins: a fit that trusts what is fast more than it is worth takes a slow swing for a transit.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from .bands import unexpected
from .limb_darkening import channel_basis, legendre
from .noise_prior import DRIFT_PPM, KINDS, WINDOWS, Evidence, SlowNoise, first_cell, sizes_of
from .transit_search import orthonormal, scaled_time
from .visit_data import VisitData, averaged

_CORRELATION_BINS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_FAST = 300.0  # jitter lasts for a bin, or this part of the window: what is slower is slow noise's
_AMPLITUDE_RATIOS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0, 13.0)  # jitter over white sigma
_FEWEST_BINS, _MOST_BINS = 10, 600
_COSINES = 40  # of the slow noise: down to a 20th of the window
_DRIFT_ORDERS = (1.0, 0.6, 0.25, 0.1, 0.1)  # the others over it, as in real white curves
WIDE_ORDERS = 3  # of the fit's own drift: their prior is wide, and they are as they are
_SMALL = 1e-14  # variance, relative flux squared: keeps covariances invertible
_NO_SHAPE = 1e-3  # of d ln F / d channel: less is the noise of levels in a flux that was divided by the star's
_SOME = 3.0  # ln likelihood by which slow noise of the best size fits better than none
_SHARED = 5.0  # ln odds from which slow noise of photometer and spectrograph is one series
_MANY_CHANNELS, _SOME_CHANNELS = 30, 8  # from which responses to the stellar spectrum, and to wavelength, are told


@dataclass
class Series:
    """Correlated noise as ``response`` (C,) times a series in time, basis a, with a Gaussian prior on a.

    ``basis`` (T, R), or None where a has a value for each bin; ``precision`` (R, R) [relative flux^-2] of a; ``rms`` of
    the series [relative flux]; ``kind``, of KINDS, and ``evidence`` of its slow part.
    """

    response: Tensor
    basis: Tensor | None
    precision: Tensor
    rms: float
    kind: str
    evidence: Evidence


@dataclass(frozen=True)
class _Response:
    """What channels (C,) answer, and its ``kind``; ``drifts``: whether it has a drift that the fit does not model
    otherwise; ``jitters``: whether it has fast noise too; ``alone`` (C,): what of it no other response has, where that
    is not all.
    """

    kind: str
    channels: Tensor
    drifts: bool = False
    jitters: bool = False
    alone: Tensor | None = None


def _responses(data: VisitData, wavelength: Tensor) -> list[_Response]:
    """The common loss of light in a spectrograph, the slope of the stellar spectrum d ln F / d channel, orders 1 and 2
    in wavelength, each orthogonal to those before it; and the photometer, another detector, unless it is all there is.
    """
    weight, level = data.channel[0], data.level[0]
    used = (data.weight[0] > 0).any(-1)
    first = int(data.photometer and bool(used[1:].any()))
    spectrograph = torch.ones_like(level)
    spectrograph[:first] = 0.0
    shapes = [("common", spectrograph, False, True)]
    count = int((used[first:]).sum())
    if len(level) >= _MANY_CHANNELS:
        slope = torch.gradient(level[first:].log())[0].clamp(-0.1, 0.1)  # a dead neighbour is not a slope
        shapes.append(("dispersion", torch.cat([level.new_zeros(first), slope]), True, True))
    if count >= _SOME_CHANNELS:
        tilt, curvature = channel_basis(wavelength, 2, bool(first))[-2:]
        shapes += [("tilt", tilt, True, False), ("curvature", curvature, True, False)]
    found: list[_Response] = []
    for kind, shape, drifts, jitters in shapes:
        for other in found:
            shape = (
                shape - other.channels * (weight * shape * other.channels).sum() / (weight * other.channels**2).sum()
            )
        size = shape[used].abs().max()
        if float(size) > _NO_SHAPE:
            found.append(_Response(kind, shape * spectrograph / size, drifts, jitters))
    if first and bool(used[0]):
        found.append(_Response("photometer", 1.0 - spectrograph))
    return found


@dataclass(frozen=True)
class _Projection:
    """A residual along one response.

    ``time`` (T,) [h]; ``values`` (T,) relative flux, with ``white`` variance, where ``informed`` (T,). What may be in
    them: ``taken`` (T, X) columns that the fit has used, a ``drift`` (T, P) of unit size beyond them, of which the fit
    knows the variance ``usual`` (P,), slow noise on ``cosines`` (T, R).
    """

    time: Tensor
    values: Tensor
    informed: Tensor
    white: float
    taken: Tensor
    drift: Tensor
    usual: Tensor
    cosines: Tensor


def estimate_noise(
    data: VisitData,
    wavelength: Tensor,
    residual: Tensor,
    weight: Tensor,
    transit: Tensor,
    separable: Tensor | None,
    high: Tensor,
    drift_sigma: Tensor,
    prior: tuple[SlowNoise, ...],
    basis: Tensor | None = None,
) -> list[Series]:
    """Correlated noise of a visit from residuals of a fit without it.

    Args:
        data: the visit; ``wavelength`` (C,) [um].
        residual: (1, C, T) relative flux; ``weight`` (1, C, T) inverse variance, 0 where invalid.
        transit: (T, X) columns of level, depth and shape that the fit has used.
        separable: (T,) drift of a spectrograph where the fit has one shape in time for all of its channels.
        high: (1, C, T) drift beyond WIDE_ORDERS that the fit has found under its prior ``drift_sigma`` (P,).
        prior: of slow noise, for each of KINDS.
        basis: (P, T) what the baselines of all channels follow by themselves, in place of drifts.
    """
    time, found, parts = data.time[0], list[Series](), dict[str, _Slow]()
    drift = legendre(scaled_time(time[None])[0], len(_DRIFT_ORDERS))[1:].T * time.new_tensor(_DRIFT_ORDERS)
    told = torch.zeros_like(drift[0, WIDE_ORDERS:])  # in units of the drift's columns
    told[: max(len(drift_sigma) - WIDE_ORDERS, 0)] = drift_sigma[WIDE_ORDERS : len(_DRIFT_ORDERS)]
    told = told / time.new_tensor(_DRIFT_ORDERS[WIDE_ORDERS:])
    seen_alike = drift[:, :WIDE_ORDERS] if separable is None else separable[:, None]
    if basis is not None:
        transit, seen_alike = orthonormal(torch.cat([transit, basis.T], -1)), drift[:, :0]
        drift, told = drift[:, :0], told[:0]
    for response, left in _with_bands(data, wavelength, residual[0], weight[0], torch.cat([transit, seen_alike], -1)):
        shape, probe = response.channels, response.channels if response.alone is None else response.alone
        answered, information = (probe * shape) @ weight[0], probe**2 @ weight[0]
        informed = _informed(answered)
        if int(informed.sum()) < _FEWEST_BINS:
            continue
        white = float((information / answered**2)[informed].median())
        cosines = _cosines(time, min(_COSINES, int(informed.sum()) // 4))
        if response.drifts and separable is not None:  # of which the fit has used its own part at any wavelength
            taken, own, usual = torch.cat([transit, separable[:, None]], -1), drift, torch.zeros_like(drift[0])
        elif basis is not None:
            taken, own, usual = transit, drift, told
        else:  # it has used all but the orders that are told their size
            left = left + high[0]
            taken, own = torch.cat([transit, drift[:, :WIDE_ORDERS]], -1), drift[:, WIDE_ORDERS:]
            scale = drift[:, 0].norm() / own.norm(dim=0)
            own, usual = own * scale, (told / scale) ** 2
        values = (probe[:, None] * weight[0] * left).sum(0) / answered.clamp_min(_SMALL)
        seen = _Projection(time, values, informed, white, taken, own, usual, cosines)
        jitter = _jitter(seen, None) if response.jitters else None
        before = prior[KINDS.index(response.kind)]
        slow = _slow_noise(seen, jitter, before)
        if response.jitters:  # each again, now that the other is known
            jitter = _jitter(seen, slow.covariance)
            slow = _slow_noise(seen, jitter, before)
        parts[response.kind] = slow
        found.append(Series(shape, *_both(cosines, slow.covariance, jitter), response.kind, slow.told))
    return _with_shared(found, parts, prior)


def _with_bands(
    data: VisitData, wavelength: Tensor, residual: Tensor, weight: Tensor, taken: Tensor
) -> list[tuple[_Response, Tensor]]:
    """All responses, each with the residual (C, T) that it is to be told from: bands are not for the expected ones."""
    expected, first = _responses(data, wavelength), int(data.photometer)
    known = [one.channels for one in expected if bool(one.channels[first:].any())]
    bands, left = unexpected(residual, weight, taken, known, first)
    found = [_Response("band", band, drifts=True, alone=alone) for band, alone in bands]
    return [(one, left) for one in expected] + [(one, residual) for one in found]


def _both(cosines: Tensor, slow: Tensor, jitter: Tensor | None) -> tuple[Tensor | None, Tensor, float]:
    """Slow noise and jitter as one: basis, precision, rms. On the cosines, or on bins, where jitter is at home."""
    if jitter is None:
        basis, covariance = cosines, slow
        variance = ((cosines @ slow) * cosines).sum(-1)
    else:
        basis, covariance = None, cosines @ slow @ cosines.T + jitter
        variance = covariance.diagonal()
    precision = torch.linalg.inv(covariance + _SMALL * torch.eye(len(covariance)).to(covariance))
    return basis, 0.5 * (precision + precision.T), float(variance.mean().sqrt())


# --- what both detectors see ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slow:
    """Slow noise of a response: what it was ``seen`` in, beside which ``jitter``; its ``covariance`` (R, R), what the
    visit ``told`` of it, and the ln ``evidence`` of what was seen.
    """

    seen: _Projection
    jitter: Tensor | None
    covariance: Tensor
    told: Evidence
    evidence: float

    @property
    def some(self) -> bool:
        """Whether a visit says that there is any, rather than none."""
        return float(self.told.log_likelihood[:, 0].max()) < -_SOME

    def series(self, beside: Tensor) -> tuple[Tensor, Tensor]:
        """Most probable slow noise (T,), and how much of columns ``beside`` (T, X) there is in what was seen."""
        seen, informed = self.seen, self.seen.informed
        root = torch.linalg.cholesky(self.covariance + _SMALL * torch.eye(len(self.covariance)).to(self.covariance))
        noise = seen.white * torch.eye(int(informed.sum())).to(root)
        if self.jitter is not None:
            noise = noise + self.jitter[informed][:, informed]
        columns = torch.cat([seen.taken, beside, seen.cosines @ root], -1)[informed]
        weighted, own = torch.linalg.solve(noise, columns), root.shape[-1]
        information = columns.T @ weighted
        information[-own:, -own:] += torch.eye(own).to(root)
        found = torch.linalg.pinv(information, hermitian=True) @ (weighted.T @ seen.values[informed])
        return seen.cosines @ (root @ found[-own:]), found[seen.taken.shape[-1] : -own]


def _with_shared(found: list[Series], parts: dict[str, _Slow], prior: tuple[SlowNoise, ...]) -> list[Series]:
    """The same where photometer and spectrograph have noise of their own; else one slow series that both answer.

    An atmosphere dims all light. Two series in its place would let the detectors' depths confirm each other.
    """
    if not {"common", "photometer"} <= set(parts):
        return found
    common, photometer = parts["common"], parts["photometer"]
    if not (common.some and photometer.some):
        return found
    seen, before = photometer.seen, prior[KINDS.index("photometer")]
    series, _ = common.series(seen.drift[:, :0])
    drift, usual = torch.cat([seen.drift, series[:, None]], -1), torch.cat([seen.usual, seen.usual.new_ones(1)])
    alike = _slow_noise(replace(seen, drift=drift, usual=usual), None, before)
    if alike.evidence - photometer.evidence < _SHARED:
        return found
    gain = float(alike.series(series[:, None])[1])
    left = replace(
        seen,
        values=seen.values - gain * common.seen.values,
        informed=seen.informed & common.seen.informed,
        white=seen.white + gain**2 * common.seen.white,
    )
    own = _both(left.cosines, _slow_noise(left, None, before).covariance, None)
    shared, result = _both(common.seen.cosines, common.covariance, None), list[Series]()
    for one in found:
        if one.kind == "common":
            answer = one.response.clone()
            answer[0] = gain
            result.append(Series(answer, *shared, one.kind, one.evidence))
            if common.jitter is not None:  # the spectrograph's own
                fast = _both(common.seen.cosines, torch.zeros_like(common.covariance), common.jitter)
                result.append(Series(one.response, *fast, one.kind, one.evidence))
        else:
            result.append(Series(one.response, *own, one.kind, one.evidence) if one.kind == "photometer" else one)
    return result


def _informed(information: Tensor) -> Tensor:
    """Bins (T,) that say something of a series: an empty one would count as an exact zero."""
    some = information > 0
    return some & (information > 0.1 * information[some].median()) if bool(some.any()) else some


# --- jitter --------------------------------------------------------------------------------------------------------


@dataclass
class _Spectra:
    """Eigenvalues (L, T) and eigenvectors (L, T, T) of the candidate correlations on one time grid."""

    values: Tensor
    vectors: Tensor


def exponential_correlation(time: Tensor, length: Tensor) -> Tensor:
    """exp(-|dt| / length): (..., T, T) for times (..., T) and lengths (...)."""
    return torch.exp(-(time[..., :, None] - time[..., None, :]).abs() / length[..., None, None])


@lru_cache(maxsize=4)
def _spectra(grid: tuple[float, ...], step: float, lengths: tuple[float, ...], device: torch.device) -> _Spectra:
    time = torch.tensor(grid, dtype=torch.float64, device=device)
    correlation_times = step * time.new_tensor(lengths)
    return _Spectra(*torch.linalg.eigh(exponential_correlation(time.expand(len(lengths), -1), correlation_times)))


def _grid(time: Tensor, step: Tensor) -> tuple[tuple[float, ...], float]:
    """First arguments of :func:`_spectra`, in 1e-5 h: float32 hours carry some 1e-6 h of rounding, and visits share
    grids.
    """
    counted = ((time - time[0]) * 1e5).round()
    return tuple(counted.tolist()), round(float(step) * 1e5, 1)


def _jitter(seen: _Projection, slow: Tensor | None) -> Tensor | None:
    """Covariance (T, T) of noise that lasts for bins, beside ``slow`` noise on cosines, by default of any size.

    None where there is none.
    """
    time, cosines, informed = seen.time, seen.cosines, seen.informed
    design = torch.cat([seen.taken, seen.drift], -1)
    step = time.diff().median()
    longest = max(1.0, float((time[-1] - time[0]) / step) / _FAST)
    faster = tuple(bins for bins in _CORRELATION_BINS if bins <= longest)
    # all but free, as columns may repeat each other
    precision = time.new_ones(1, design.shape[-1] + cosines.shape[-1])
    if slow is not None:
        values, vectors = torch.linalg.eigh(slow)
        cosines, precision[0, design.shape[-1] :] = cosines @ vectors, 1.0 / values.clamp_min(_SMALL)
    columns = torch.cat([seen.values[:, None], design, cosines], -1)
    at, columns = averaged(_MOST_BINS, time[informed], columns[informed])
    if len(at) < _FEWEST_BINS or len(at) < 2 * columns.shape[-1]:
        return None
    white = seen.white * len(at) / int(informed.sum())
    spectra = _spectra(*_grid(at, step), faster, time.device)
    rotated = spectra.vectors.transpose(-1, -2) @ columns  # (L, T, 1 + X)
    ratios = time.new_tensor(_AMPLITUDE_RATIOS)
    total = white * (ratios[:, None, None] ** 2 * spectra.values + 1.0)  # (R, L, T)
    best = int(_deviance(rotated, total, precision)[0].argmin())
    ratio, length = _AMPLITUDE_RATIOS[best // len(faster)], faster[best % len(faster)]
    return ratio**2 * white * exponential_correlation(time, step * length) if ratio else None


def _deviance(rotated: Tensor, total: Tensor, precision: Tensor) -> Tensor:
    """-2 ln of the restricted likelihood (S, R, L), but for a constant.

    Args:
        rotated: (L, T, 1 + X) residual and design in the eigenvectors of L correlations.
        total: (R, L, T) variances there, for R amplitudes.
        precision: (S, X) of the design's columns, 0 where they are free; S priors.
    """
    gram = torch.einsum("lti,rlt,ltj->rlij", rotated, 1.0 / total, rotated)
    information = gram[..., 1:, 1:] + torch.diag_embed(precision)[:, None, None]  # (S, R, L, X, X)
    cross = gram[..., 1:, :1].expand(*information.shape[:-1], 1)
    fitted = (cross * torch.linalg.solve(information, cross)).sum((-2, -1))
    volume = (
        torch.linalg.slogdet(information).logabsdet
        - precision.clamp_min(1e-300).log().where(precision > 0, torch.zeros_like(precision)).sum(-1)[:, None, None]
    )
    return total.log().sum(-1) + volume + gram[..., 0, 0] - fitted


# --- slow noise ----------------------------------------------------------------------------------------------------


def _cosines(time: Tensor, number: int) -> Tensor:
    """The first ones (T, R) over the window, but for the constant."""
    x = (time - time[0]) / (time[-1] - time[0])
    order = torch.arange(1, 1 + number, dtype=time.dtype, device=time.device)
    return torch.cos(math.pi * x[:, None] * order)


@lru_cache(maxsize=8)
def _slow_covariances(size: int, device: torch.device) -> Tensor:
    """Covariances (L, R, R) of the cosines' coefficients: rough and smooth unit noise with each correlation time."""
    x = torch.linspace(0.0, 1.0, 8 * _COSINES, dtype=torch.float64, device=device)
    inverse = torch.linalg.pinv(torch.cat([torch.ones_like(x)[:, None], _cosines(x, size)], -1))[1:]
    lengths = x.new_tensor(WINDOWS)
    rough = exponential_correlation(x.expand(len(lengths), -1), lengths)
    smooth = torch.exp(-0.5 * ((x[:, None] - x) / lengths[:, None, None]) ** 2)
    return inverse @ torch.cat([rough, smooth]) @ inverse.T


def _slow_noise(seen: _Projection, jitter: Tensor | None, prior: SlowNoise) -> _Slow:
    """Mean covariance of the cosines' coefficients over sizes and correlation times, and sizes of drift."""
    cosines, informed, white = seen.cosines, seen.informed, seen.white
    size, device = cosines.shape[-1], cosines.device
    frame, scale = torch.linalg.qr(cosines[informed])
    columns = torch.cat([seen.taken, seen.drift], -1)[informed]
    if jitter is not None:  # seen slowly it is white noise too
        white += float(((frame.T @ jitter[informed][:, informed]) * frame.T).sum(-1).mean())
    slow = _slow_covariances(size, device)
    values, vectors = torch.linalg.eigh(scale @ slow @ scale.T)
    rotated = vectors.transpose(-1, -2) @ (frame.T @ torch.cat([seen.values[informed, None], columns], -1))
    first = first_cell(white)
    sizes = sizes_of(first, cosines)
    total = sizes[:, None, None] ** 2 * values.clamp_min(0.0) + white
    drifts = cosines.new_tensor(DRIFT_PPM) * 1e-6
    precision = cosines.new_zeros(len(drifts), columns.shape[-1])
    precision[:, seen.taken.shape[-1] :] = 1.0 / (drifts[:, None] ** 2 + seen.usual).clamp_min(_SMALL)
    log_likelihood = -0.5 * _deviance(rotated, total, precision)
    log_weight = log_likelihood + prior.log_prior(first, cosines)
    weight = torch.softmax(log_weight.flatten(), 0).reshape(log_weight.shape)
    noise = torch.einsum("srl,r,lij->ij", weight, sizes**2, slow)
    along = torch.linalg.pinv(cosines) @ seen.drift
    covariance = noise + (weight.sum((1, 2)) * drifts**2).sum() * along @ along.T
    told = Evidence((log_likelihood - log_likelihood.max()).float().cpu().numpy(), first)
    return _Slow(seen, jitter, covariance, told, float(torch.logsumexp(log_weight.flatten(), 0)))
