"""Depths straight from light curves, without a fit: the dip of the white curve, then out of it less in it by channel.

A trapezoid is found by matched filter, as in box least squares (Kovacs, Zucker & Mazeh 2002, A&A 391, 369); each
channel is that trapezoid and a quadratic baseline, by least squares. No limb darkening: depths are means over the
transit. All of it is tensors of a fixed size, so that a model that begins with it can be exported.
"""

import torch
from torch import Tensor

_MIDS, _LENGTHS = (-0.8, 0.8, 41), (0.12, 1.2, 9)  # of the window, which is -1 ... 1: from, to, steps
_INGRESS = (0.05, 0.15, 0.3, 0.6)  # of half the duration
_RIDGE = 1e-6  # of a bin: where nothing is valid there is an answer, 0


@torch.no_grad()
def depths(light: Tensor, valid: Tensor, time: Tensor, error: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Depth and 1 sigma (B, C) of the star's light out of transit, in ``unit``; of channels without data 0 and inf.

    Args:
        light: (B, T, C) flux about its level, relative, in ``unit``; 0 where not ``valid`` (B, T, C).
        time: (B, T) [h].
        error: (B, C) 1 sigma of a bin, in ``unit``.
        unit: depth.
    """
    at, place = find_dip(light, valid, time, error)
    shape, used = dip_shape(at, place), valid.double()
    columns = torch.stack([torch.ones_like(at), at, at.square(), -shape], -1)  # (B, T, 4)
    products = (columns[..., None] * columns[..., None, :]).flatten(2)
    curvature = (used.mT @ products).unflatten(-1, (4, 4))  # (B, C, 4, 4)
    inverse = torch.linalg.inv(curvature + _RIDGE * torch.eye(4, dtype=at.dtype, device=at.device))
    fitted = (inverse @ (light.double().mT @ columns)[..., None])[..., 0]
    inside = shape * valid.any(-1)
    middle = (inside * at).sum(-1) / inside.sum(-1).clamp_min(1e-12)
    powers = torch.stack([torch.ones_like(middle), middle, middle.square()], -1)
    level = (1.0 + unit * (fitted[..., :3] @ powers[..., None])[..., 0]).clamp_min(0.1)
    sigma = error.double() * inverse[..., 3, 3].sqrt() / level
    return fitted[..., 3] / level, sigma.masked_fill(~valid.any(1), torch.inf)


@torch.no_grad()
def find_dip(light: Tensor, valid: Tensor, time: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Time (B, T) as -1 ... 1 over the window, and middle, duration and ingress (B, 3) of the dip, in it.

    Arguments as of :func:`depths`; the ingress is a share of half the duration.
    """
    at = _window_time(time.double(), valid)
    weight = error.double().clamp_min(1e-12)[:, None].square().reciprocal() * valid.double()  # (B, T, C)
    total = weight.sum(-1)
    white = (weight * light.double()).sum(-1) / total.clamp_min(1e-300)
    return at, _dip(at, white, (total / total.amax(-1, keepdim=True).clamp_min(1e-300)).sqrt())


def dip_shape(at: Tensor, place: Tensor) -> Tensor:
    """The trapezoid (B, T) of a dip's ``place`` (B, 3) at times ``at`` (B, T): 1 in transit."""
    return _trapezoids(at, place[:, None])[:, 0]


def _window_time(time: Tensor, valid: Tensor) -> Tensor:
    """Time (B, T) as -1 ... 1 over the bins with data, 0 elsewhere."""
    seen = valid.any(-1)
    low = torch.where(seen, time, torch.full_like(time, torch.inf)).amin(-1, keepdim=True)
    high = torch.where(seen, time, torch.full_like(time, -torch.inf)).amax(-1, keepdim=True)
    scaled = 2.0 * (time - low) / (high - low).clamp_min(1e-12) - 1.0
    return torch.where(seen, scaled, torch.zeros_like(scaled))


def _dip(at: Tensor, white: Tensor, root: Tensor) -> Tensor:
    """The trapezoid (B, 3) that is seen best in a ``white`` curve (B, T) of ``root`` weights (B, T)."""
    mids = torch.linspace(*_MIDS, dtype=at.dtype, device=at.device)
    lengths = torch.linspace(0.0, 1.0, _LENGTHS[2], dtype=at.dtype, device=at.device)
    lengths = _LENGTHS[0] * (_LENGTHS[1] / _LENGTHS[0]) ** lengths
    middle = at.new_tensor(_INGRESS[1])
    mid, length, ingress = (one.flatten() for one in torch.meshgrid(mids, lengths, middle[None], indexing="ij"))
    basis = torch.linalg.qr(root[..., None] * torch.stack([torch.ones_like(at), at, at.square()], -1)).Q
    rough = _best(at, white, root, basis, torch.stack([mid, length, ingress], -1).expand(len(at), -1, -1))
    steps = torch.linspace(-1.0, 1.0, 5, dtype=at.dtype, device=at.device)
    mid, length, ingress = (
        one.flatten()
        for one in torch.meshgrid(0.8 * (mids[1] - mids[0]) * steps, 1.3**steps, at.new_tensor(_INGRESS), indexing="ij")
    )
    near = torch.stack(
        [rough[:, :1] + mid, rough[:, 1:2] * length, ingress.expand(len(at), -1)],
        -1,
    )
    return _best(at, white, root, basis, near)


def _best(at: Tensor, white: Tensor, root: Tensor, basis: Tensor, tried: Tensor) -> Tensor:
    """Mid-time, duration and ingress (B, 3), of those ``tried`` (B, N, 3), by signal-to-noise."""
    shapes = root[:, None] * _trapezoids(at, tried)
    shapes = shapes - (shapes @ basis) @ basis.mT
    size = shapes.norm(dim=-1)
    score = -(shapes @ (root * white)[..., None])[..., 0] / size.clamp_min(1e-12)
    told = size > 0.1 * size.amax(-1, keepdim=True)  # what the baseline can mimic decides nothing
    place = torch.where(told, score, torch.full_like(score, -torch.inf)).argmax(-1)
    return tried.gather(1, place[:, None, None].expand(-1, 1, 3))[:, 0]


def _trapezoids(at: Tensor, tried: Tensor) -> Tensor:
    """(B, N, T) of mid-times, durations and ingresses (B, N, 3)."""
    mid, length, ingress = tried.unbind(-1)
    phase = 2.0 * (at[:, None] - mid[..., None]).abs() / length[..., None]
    return ((1.0 - phase) / ingress[..., None]).clamp(0.0, 1.0)
