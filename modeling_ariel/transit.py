"""Transit light curves of a quadratically limb-darkened star, in torch: batched and differentiable.

The planet's disc (radius ``k``, centre at distance ``z``, both in stellar radii) hides the light

    B_n = integral of mu^n over the hidden area,   n = 0, 1, 2,   mu = sqrt(1 - rho^2),

and any quadratic law, I(mu) = 1 - u1 (1 - mu) - u2 (1 - mu)^2, is a sum of the three. Green's theorem turns each area
integral into one along the edge of the hidden area, as in Pal (2012, MNRAS 420, 1630) and Agol, Luger & Foreman-Mackey
(2020, AJ 159, 123). With the radial field G = g(rho) (x, y), div G = mu^n, the star's edge gives an angle and the
planet's edge a smooth integral, taken by Gauss-Legendre quadrature as jaxoplanet does; a change of variable removes the
square root at the contact points, so that N_NODES nodes give 1e-11.

Derivatives are line integrals of the intensity over the planet's edge: moving an edge by ds adds I ds to what is
hidden. They are written out rather than traced, so they stay finite at contact points, at z = 0 and at z = k.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

N_NODES = 16
_BLOCK = 4096  # points at a time: the nodes of a block stay in cache
_TINY = 1e-30
_FAR, _MOST_POINTS = 0.025, 25  # stellar radii in a bin that one point more is for, and points
HIDDEN = 10.0  # stellar radii: far outside of any transit


@lru_cache(maxsize=16)
def _quadrature(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes s in (0, 1) with weights: Gauss-Legendre in theta, s = sin(theta), theta in (0, pi/2).

    Near the end, 1 - s ~ (1 - theta)^2: sqrt(1 - s), which mu is at the star's edge, becomes smooth.
    """
    roots, weights = np.polynomial.legendre.leggauss(N_NODES)
    theta = 0.25 * math.pi * (roots + 1.0)
    nodes = torch.as_tensor(np.sin(theta), dtype=dtype, device=device)
    return nodes, torch.as_tensor(0.25 * math.pi * weights * np.cos(theta), dtype=dtype, device=device)


def _edge_angles(z: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Half-angles of the hidden area's edge: of the planet's arc (from the star's direction) and the star's."""
    partial = (z > (1.0 - k).abs()) & (z < 1.0 + k)
    zs, ks = torch.where(partial, z, torch.ones_like(z)), torch.where(partial, k, torch.ones_like(k))
    sixteen_area2 = (zs + ks + 1.0) * (zs + ks - 1.0) * (1.0 + zs - ks) * (1.0 + ks - zs)
    area = torch.sqrt(sixteen_area2.clamp_min(0.0))
    planet = torch.atan2(area, zs**2 + (ks - 1.0) * (ks + 1.0))
    star = torch.atan2(area, zs**2 - (ks - 1.0) * (ks + 1.0))
    inside = z <= 1.0 - k
    planet = torch.where(partial, planet, torch.where(inside, torch.full_like(z, math.pi), torch.zeros_like(z)))
    star = torch.where(partial, star, torch.where(z <= k - 1.0, torch.full_like(z, math.pi), torch.zeros_like(z)))
    return planet, star


def _moments_of_points(z: Tensor, k: Tensor) -> Tensor:
    """:func:`hidden_moments` of a flat list of points: (n, 3, 3), value and derivatives first.

    They are means over the planet's arc of f(mu) and of cos(phi) f(mu), phi from the star's direction: closed forms
    where f is 1 or mu^2, which is linear in cos(phi).
    """
    planet, star = _edge_angles(z, k)
    nodes, weights = _quadrature(z.dtype, z.device)
    sin2 = torch.sin(0.5 * planet[:, None] * nodes).square_()  # sin^2(phi / 2), phi = planet * node
    mu2 = torch.addcmul(((1.0 - z + k) * (1.0 + z - k))[:, None], sin2, (-4.0 * z * k)[:, None]).clamp_(_TINY, 1.0)
    mu = mu2.sqrt_()
    cos = sin2.mul_(-2.0).add_(1.0)
    rest = (1.0 + mu).reciprocal_()  # mu + rest is 3 g(rho) of the intensity mu; the others are 1/2, (1 + mu^2) / 4
    mean_mu, mean_rest = mu @ weights, rest @ weights
    cos_mu, cos_rest = mu.mul_(cos) @ weights, rest.mul_(cos) @ weights
    mean_cos = torch.sinc(planet / math.pi)
    mean_cos2 = 0.5 + 0.5 * mean_cos * torch.cos(planet)
    constant, slope = 1.0 - z**2 - k**2, 2.0 * z * k  # of mu^2 in cos(phi)
    mean_mu2, cos_mu2 = constant + slope * mean_cos, constant * mean_cos + slope * mean_cos2
    scale = 2.0 * k * planet  # both halves of the arc
    result = torch.stack(
        [
            0.5 * (k - z * mean_cos),
            (k * (mean_mu + mean_rest) - z * (cos_mu + cos_rest)) / 3.0,
            0.25 * (k * (1.0 + mean_mu2) - z * (mean_cos + cos_mu2)),
            -mean_cos,
            -cos_mu,
            -cos_mu2,
            torch.ones_like(z),
            mean_mu,
            mean_mu2,
        ],
        -1,
    )
    result = (result * scale[:, None]).unflatten(-1, (3, 3))
    result[:, 0] += star[:, None] * z.new_tensor([1.0, 2.0 / 3.0, 0.5])
    return result


def hidden_moments(z: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Light behind the planet for the intensities 1, mu, mu^2, and its derivatives.

    Args:
        z: (...) distance between the centres [stellar radii], >= 0.
        k: (...) planet radius [stellar radii], > 0; broadcasts with z.

    Returns:
        ``moments``, ``d moments / dz``, ``d moments / dk``: each (..., 3) [stellar radii^2; stellar radii].
    """
    z, k = torch.broadcast_tensors(z, k)
    hidden = torch.nonzero((z < 1.0 + k).reshape(-1)).squeeze(-1)
    flat_z, flat_k = z.reshape(-1)[hidden], k.reshape(-1)[hidden]
    result = z.new_zeros(z.numel(), 3, 3)
    for some, some_z, some_k in zip(*(values.split(_BLOCK) for values in (hidden, flat_z, flat_k)), strict=True):
        result[some] = _moments_of_points(some_z, some_k)
    moments, by_z, by_k = result.reshape(*z.shape, 3, 3).unbind(-2)
    return moments, by_z, by_k


def intensity_coefficients(u1: Tensor, u2: Tensor) -> Tensor:
    """Quadratic law as coefficients (..., 3) of 1, mu, mu^2, divided by the star's whole light."""
    total = math.pi * (1.0 - u1 / 3.0 - u2 / 6.0)
    return torch.stack([1.0 - u1 - u2, u1 + 2.0 * u2, -u2], -1) / total.unsqueeze(-1)


def intensity_gradients(u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of :func:`intensity_coefficients` by u1 and by u2, each (..., 3)."""
    c = intensity_coefficients(u1, u2)
    total = (math.pi * (1.0 - u1 / 3.0 - u2 / 6.0)).unsqueeze(-1)
    by_u1 = (c.new_tensor([-1.0, 1.0, 0.0]) + c * (math.pi / 3.0)) / total
    by_u2 = (c.new_tensor([-1.0, 2.0, -1.0]) + c * (math.pi / 6.0)) / total
    return by_u1, by_u2


class _HiddenMoments(torch.autograd.Function):
    """:func:`hidden_moments` with its analytic gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, k: Tensor) -> Tensor:
        moments, by_z, by_k = hidden_moments(z, k)
        ctx.save_for_backward(by_z, by_k)
        return moments

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        by_z, by_k = ctx.saved_tensors
        return (grad * by_z).sum(-1), (grad * by_k).sum(-1)


def quadratic_transit(z: Tensor, k: Tensor, u1: Tensor, u2: Tensor) -> Tensor:
    """Relative flux of a star with quadratic limb darkening, transited by an opaque disc.

    Args:
        z: (...) sky-projected distance between the centres [stellar radii]; its sign does not matter.
        k: (...) planet radius [stellar radii], >= 0.
        u1, u2: (...) coefficients of I(mu) = 1 - u1 (1 - mu) - u2 (1 - mu)^2.

    All four broadcast. Returns (...) flux, 1 out of transit. Differentiable once in each argument.
    """
    z, k, u1, u2 = torch.broadcast_tensors(z, k, u1, u2)
    if not z.dtype.is_floating_point:
        raise ValueError(f"quadratic_transit: expected floating-point tensors, found {z.dtype}")
    moments = _HiddenMoments.apply(z.abs(), k)
    return 1.0 - (moments * intensity_coefficients(u1, u2)).sum(-1)


def separation(
    time: Tensor, t0: Tensor, b2: Tensor, speed: Tensor, rate: Tensor, repeats: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sky-projected distance on a circular orbit while the planet is in front of the star, with its derivatives.

    Behind the star, where the distance does not tell a transit from an eclipse, ``HIDDEN`` is added.

    Args:
        time: (..., T) [h].
        t0: (..., 1) mid-transit time [h].
        b2: (..., 1) impact parameter squared; slightly negative values are taken as 0.
        speed: (..., 1) sky speed at mid-transit [stellar radii / h], 2 pi a / P.
        rate: (..., 1) orbital angular rate [rad / h], 2 pi / P; 0 gives a straight line.
        repeats: (..., 1) whether transits come back every period; by default the one at t0 is alone.

    Returns:
        ``z`` (..., T) [stellar radii] and its derivatives (..., T, 3) by t0, b2 and ln(speed).
    """
    b2 = b2.clamp_min(0.0)
    phase = rate * (time - t0)
    sinc = torch.sinc(phase / math.pi)
    x = speed * (time - t0) * sinc
    cos = torch.cos(phase)
    z = torch.sqrt(x**2 + b2 * cos**2).clamp_min(1e-9)
    x_dot = speed * cos
    front = phase.abs() < 0.5 * math.pi
    if repeats is not None:
        front = front | (repeats & (cos > 0.0))
    z = torch.where(front, z, z + HIDDEN)
    by_t0 = (-x * x_dot + b2 * cos * torch.sin(phase) * rate) / z
    by_b2 = 0.5 * cos**2 / z
    by_speed = x**2 / z
    return z, torch.stack([by_t0, by_b2, by_speed], -1)


def eccentric_separation(
    time: Tensor,
    t0: Tensor,
    b2: Tensor,
    speed: Tensor,
    rate: Tensor,
    e: Tensor,
    omega: Tensor,
    repeats: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`separation` on an orbit of eccentricity ``e`` and argument of periastron ``omega`` [rad], each (..., 1).

    ``t0`` is the conjunction, where the true anomaly is pi / 2 - omega; b and speed are those there (Winn 2010,
    arXiv:1001.2010, equations 5 and 7), so that a circular orbit is the limit.
    """
    b2 = b2.clamp_min(0.0)
    half = torch.atan(torch.sqrt((1.0 - e) / (1.0 + e)) * torch.tan(0.25 * math.pi - 0.5 * omega))
    middle = 2.0 * half - e * torch.sin(2.0 * half)  # mean anomaly of the conjunction
    since = rate * (time - t0)
    anomaly = eccentric_anomaly(middle + since, e)
    radius = 1.0 - e * torch.cos(anomaly)  # in semi-major axes
    cos_f, root = (torch.cos(anomaly) - e) / radius, torch.sqrt(1.0 - e**2)
    sin_f = root * torch.sin(anomaly) / radius
    along = cos_f * torch.cos(omega) - sin_f * torch.sin(omega)  # cosine and sine of f + omega
    towards = sin_f * torch.cos(omega) + cos_f * torch.sin(omega)
    axis = speed * root / (rate * (1.0 + e * torch.sin(omega)))  # semi-major [stellar radii]
    nearest = (1.0 - e**2) / (1.0 + e * torch.sin(omega))  # radius at conjunction, in semi-major axes
    x, y = -axis * radius * along, radius * towards / nearest
    x_dot = axis * rate / root * (towards + e * torch.sin(omega))
    y_dot = rate / (root * nearest) * (along + e * torch.cos(omega))
    z = torch.sqrt(x**2 + b2 * y**2).clamp_min(1e-9)
    front = towards > 0.0
    if repeats is None or not bool(repeats.all()):
        near = since.abs() < math.pi
        front = front & (near if repeats is None else near | repeats)
    by_t0 = -(x * x_dot + b2 * y * y_dot) / z
    by_b2 = 0.5 * y**2 / z
    return torch.where(front, z, z + HIDDEN), torch.stack([by_t0, by_b2, x**2 / z], -1)


def eccentric_anomaly(mean: Tensor, e: Tensor) -> Tensor:
    """Solution E of Kepler's equation, mean anomaly = E - e sin E, by Newton's method; both broadcast, e < 0.95."""
    mean = torch.remainder(mean + math.pi, 2.0 * math.pi) - math.pi
    anomaly = mean + 0.85 * e * torch.sign(mean)  # from here Newton's steps do not leave (Danby 1987)
    for _ in range(20):
        step = (anomaly - e * torch.sin(anomaly) - mean) / (1.0 - e * torch.cos(anomaly))
        anomaly = anomaly - step
        if float(step.abs().max()) < 1e-13:
            break
    return anomaly


def binned_moments(
    time: Tensor,
    width: Tensor,
    shape: Tensor,
    rate: Tensor,
    k: Tensor,
    repeats: Tensor | None = None,
    eccentric: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden moments of a transit averaged over time bins, at several planet radii.

    Args:
        time: (B, T) bin centres [h]; ``width`` (B,) or (B, T) of a bin [h].
        shape: (B, 3) t0 [h], b^2, ln(speed [stellar radii / h]); ``rate`` (B,) [rad / h], as in :func:`separation`.
        k: (B, J) planet radii [stellar radii].
        repeats: (B,) whether transits come back every period.
        eccentric: (B, 2) eccentricity and argument of periastron [rad]; without it orbits are circular.

    Returns:
        ``moments`` (B, J, T, 3), their derivatives by shape (B, J, T, 3, 3; the last axis is t0, b^2, ln speed) and by
        k (B, J, T, 3). The average takes 3 Gauss-Legendre points a bin: ingress bends within one. Where bins have
        widths of their own it takes more, if the planet moves far in them.
    """
    offsets = math.sqrt(0.15) * time.new_tensor([-1.0, 0.0, 1.0])[:, None]
    weights = time.new_tensor([5.0, 8.0, 5.0])[:, None, None] / 18.0
    if width.dim() > 1 and (far := float((width * shape[:, 2:].exp()).max())) > _FAR:
        roots, shares = np.polynomial.legendre.leggauss(min(3 + math.ceil(far / _FAR), _MOST_POINTS))
        offsets = 0.5 * torch.as_tensor(roots).to(time)[:, None]
        weights = 0.5 * torch.as_tensor(shares).to(time)[:, None, None]
    fine = time[:, None] + offsets * width.reshape(len(width), 1, -1)  # (B, 3, T)
    orbit = (shape[:, None, :1], shape[:, None, 1:2], shape[:, None, 2:].exp(), rate[:, None, None])
    again = None if repeats is None else repeats[:, None, None]
    if eccentric is None:
        z, by_shape = separation(fine, *orbit, again)
    else:
        e, omega = eccentric[:, None, None].unbind(-1)
        z, by_shape = eccentric_separation(fine, *orbit, e, omega, again)
    moments, by_z, by_k = hidden_moments(z[:, None], k[:, :, None, None])  # (B, J, 3, T, 3)
    by_shape = by_z[..., None] * (weights * by_shape)[:, None, :, :, None]
    return (weights * moments).sum(2), by_shape.sum(2), (weights * by_k).sum(2)
