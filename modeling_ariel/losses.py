"""What training minimises: Gaussian log-likelihood, the challenge's scores, masked reconstruction.

Depths are of the order of 1e-3 and their errors of 1e-5: sums are taken in float64 (a spectrum is 283 numbers, so this
costs nothing), gradients come back in the dtype of what was given, also under autocast.
"""

import math

import torch
from torch import Tensor

# The scores' constants, in depth: independent of the float64 score, to which a test compares.
REFERENCE = (0.0025517146, 0.0017261974)  # mean and sigma of all training truths of 2024
_IDEAL_SIGMA = {"2024": (1e-5, 1e-5), "2025": (1e-6, 1e-5)}  # FGS1, AIRS
_FGS1_WEIGHT_2025 = 57.846
SIGMA_FLOOR = 1e-15  # as in the scores
HUBER_THRESHOLD = 5.0  # sigma: noise passes it once in two million points, cosmic rays and bad fits more often
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class LossError(ValueError):
    """Tensors of which no loss can be taken."""


def _precise(value: Tensor) -> Tensor:
    """As float64, or float32 on devices without it."""
    return value.float() if value.device.type == "mps" else value.double()


def _result(value: Tensor, like: Tensor) -> Tensor:
    """In the dtype of ``like``, float32 at least."""
    return value.to(torch.promote_types(like.dtype, torch.float32))


def _known(mean: Tensor, sigma: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Error (mean - label), floored sigma, and which labels are known; (P, C). Unknown ones: error 0, sigma 1."""
    if mean.ndim != 2 or sigma.shape != mean.shape or labels.shape != mean.shape:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (mean, sigma, labels))
        raise LossError(f"mean, sigma, labels: expected one shape (P, C), found {shapes}")
    known = ~torch.isnan(labels)
    m, s, y = _precise(mean), _precise(sigma), _precise(labels)
    error = torch.where(known, m, torch.zeros_like(m)) - torch.where(known, y, torch.zeros_like(y))
    return error, torch.where(known, s, torch.ones_like(s)).clamp_min(SIGMA_FLOOR), known


def gaussian_nll(mean: Tensor, sigma: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """-log N(label; mean, sigma) of each planet, averaged over its channels: (P,); 0 for planets without labels.

    Args:
        mean, sigma: (P, C), depth; sigma is floored at SIGMA_FLOOR.
        labels: (P, C), depth, NaN where unknown.
        weight: (C,) or (P, C), 0 or more, of the average.
    """
    error, s, known = _known(mean, sigma, labels)
    nll = 0.5 * (error / s).square() + s.log() + _HALF_LOG_2PI
    share = known.to(nll.dtype) if weight is None else known * _precise(weight)
    total = share.sum(-1)
    per_planet = (share * nll).sum(-1) / torch.where(total > 0, total, torch.ones_like(total))
    return _result(per_planet, mean)


def score_loss(
    mean: Tensor, sigma: Tensor, labels: Tensor, year: str | int, reference: tuple[float, float] = REFERENCE
) -> Tensor:
    """1 - score of the challenge of ``year`` (2024 or 2025) over a batch, unclipped: a scalar.

    The score runs from 0 (``reference``: mean and sigma of all training truths) to 1 (the truth with the ideal sigma),
    so 1 - score is what is lost against the ideal over what the reference loses: of sums in 2024, and the weighted mean
    of the ratios of elements in 2025. ``mean``, ``sigma``, ``labels`` (P, C), depth, channel 0 FGS1; NaN labels are
    left out; without any label it is 0.
    """
    if str(year) not in _IDEAL_SIGMA:
        raise LossError(f"year: expected one of {sorted(_IDEAL_SIGMA)}, found {year!r}")
    error, s, known = _known(mean, sigma, labels)
    ideal = torch.full_like(s[0], _IDEAL_SIGMA[str(year)][1])
    ideal[0] = _IDEAL_SIGMA[str(year)][0]
    lost = 0.5 * (error / s).square() + (s / ideal).log()
    away = (torch.where(known, _precise(labels), torch.zeros_like(s)) - reference[0]) / reference[1]
    reference_lost = 0.5 * away.square() + (reference[1] / ideal).log()
    if str(year) == "2024":
        top, bottom = known * lost, known * reference_lost
    else:
        weight = torch.ones_like(ideal)
        weight[0] = _FGS1_WEIGHT_2025
        bottom = known * weight
        top = bottom * lost / reference_lost
    total = bottom.sum()
    return _result(top.sum() / torch.where(total > 0, total, torch.ones_like(total)), mean)


def masked_patch_loss(
    reconstruction: Tensor, target: Tensor, valid: Tensor, hidden: Tensor, threshold: float = HUBER_THRESHOLD
) -> Tensor:
    """Mean squared error over valid hidden points, in units of their errors: a scalar, 1 for perfect models of noise.

    Beyond ``threshold`` the square continues as its tangent (Huber 1964, Ann. Math. Stat. 35, 73), so that hits do not
    decide. 0 where no valid point is hidden.

    Args:
        reconstruction, target: (B, T, C) in units of the errors.
        valid: (B, T, C) bool.
        hidden: bool, broadcast to (B, T, C).
    """
    if reconstruction.shape != target.shape or valid.shape != target.shape:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (reconstruction, target, valid))
        raise LossError(f"reconstruction, target, valid: expected one shape (B, T, C), found {shapes}")
    counted = valid.bool() & hidden.bool()
    if counted.shape != target.shape:
        raise LossError(f"hidden: expected to broadcast to {tuple(target.shape)}, found {tuple(hidden.shape)}")
    error = torch.where(counted, reconstruction.float() - target.float(), torch.zeros_like(target, dtype=torch.float32))
    size = error.abs()
    square = torch.where(size <= threshold, error.square(), threshold * (2.0 * size - threshold))
    return square.sum() / counted.sum().clamp_min(1)
