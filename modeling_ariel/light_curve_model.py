"""The light curves of all channels of a visit as a function of their parameters, with analytic derivatives.

    flux[c, t] = F[c] (1 - D(t; depth[c], u[c], shape)) (1 + drift[c, t])

The transit D is linear in the three intensity coefficients, and its dependence on the planet's radius, which differs
little between channels, is interpolated between three radii: all channels cost three transits and one small matrix
product. The drift is separable over AIRS, p(t) q(lambda), with p a sum of Legendre polynomials in time without a
constant and q = 1 + polynomials in wavelength; FGS1, another detector, has a p(t) of its own. Or every channel has its
own p(t) (``drift="channel"``).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .least_squares import Bound
from .limb_darkening import channel_basis, limb_darkening_prior, limb_darkening_shift
from .transit import binned_moments, intensity_coefficients, intensity_gradients
from .visit_design import VisitDesign
from .white_light import LARGEST_B2, ShapePrior, WhiteFit, baseline_polynomials

B2 = 1  # where b^2 stands in the shape, and in the shared parameters


@dataclass
class Parameters:
    """Parameters of B visits.

    ``level`` ln F (B, C); ``depth`` (B, C); ``shape`` (B, 3) t0 [h], b^2, ln speed; ``clock`` (B, 1) [h] by which the
    photometer's transit is late; ``limb`` (B, L) along the columns of the limb-darkening prior; ``airs_time``,
    ``fgs1_time`` (B, P) and ``airs_wavelength`` (B, Q) of the drift; or ``channel_time`` (B, C, P) where every channel
    drifts by itself. ``own_limb`` (B, C, 2): u1, u2 of each channel, in sigmas of a prior of its own.
    """

    level: Tensor
    depth: Tensor
    shape: Tensor
    limb: Tensor
    airs_time: Tensor
    fgs1_time: Tensor
    airs_wavelength: Tensor
    channel_time: Tensor
    clock: Tensor
    own_limb: Tensor


@dataclass
class Linearised:
    """``model`` (B, C, T) with derivatives as :class:`LinearSystem` takes them.

    ``columns`` (B, C, N, T): by depth, level and, where the shape is free, t0, b^2, ln speed, u1, u2; then the drift's
    polynomials. ``mixing`` (B, C, N, n + S) makes the derivatives of the parameters of it: own, then shared.
    """

    model: Tensor
    columns: Tensor
    mixing: Tensor


class LightCurveModel:
    """The model of one batch of visits: constants of the batch, and the linearisation at given parameters."""

    def __init__(
        self,
        time: Tensor,
        wavelength: Tensor,
        temperature: Tensor,
        prior: ShapePrior,
        drift: str,
        drift_sigma: tuple[float, ...],
        wavelength_sigma: tuple[float, ...],
        fit_shape: bool = True,
        photometer: bool = True,
        clock_sigma: float = 0.03,
        design: VisitDesign | None = None,
    ):
        self.clock_sigma = clock_sigma  # h, between two instruments' clocks
        self.time, self.prior, self.drift, self.fit_shape = time, prior, drift, fit_shape
        self.width = time.diff(dim=-1).median(-1).values if design is None else design.exposure[None]
        self.wavelength, self.photometer = wavelength, photometer
        self.has_clock = photometer and fit_shape
        self.u_mean, self.u_basis, self.limb_sigma = limb_darkening_prior(wavelength, temperature, photometer)
        self.limb_shift = limb_darkening_shift(wavelength, temperature, photometer)
        self.own_limb_sigma = torch.zeros_like(self.u_mean[0].T)  # (C, 2)
        self.given_limb = design is not None and design.limb is not None
        if design is not None and design.limb is not None:
            self.u_mean, self.own_limb_sigma = design.limb[None], design.own_limb_sigma.T
            self.u_basis, self.limb_sigma = self.u_basis[:0], self.limb_sigma[:0]
            self.limb_shift = self.limb_shift[:, :0]
        self.has_own_limb = bool((self.own_limb_sigma > 0).any())
        self.n_time, self.n_wavelength = len(drift_sigma), len(wavelength_sigma)
        self.polynomials = baseline_polynomials(time, self.n_time) if design is None else design.basis[None]
        basis = channel_basis(wavelength, self.n_wavelength, photometer)
        self.is_fgs1 = basis[0] if photometer else torch.zeros_like(wavelength)
        self.is_airs = 1.0 - self.is_fgs1
        self.slopes = basis[-self.n_wavelength :]  # (Q, C)
        self.drift_sigma = wavelength.new_tensor(drift_sigma)
        self.wavelength_sigma = wavelength.new_tensor(wavelength_sigma)

    def start(self, white: WhiteFit) -> Parameters:
        """Parameters from the bands' solution, white AIRS last."""
        batch, channels = len(white.shape), self.u_mean.shape[-1]
        depth = white.depth[:, -1:].expand(-1, channels).clone()
        limb = white.shape.new_zeros(batch, len(self.limb_sigma))
        airs_time, fgs1_time = white.baseline[:, -1], torch.zeros_like(white.baseline[:, -1])
        channel_time = airs_time[:, None].expand(-1, channels, -1).clone()
        if self.photometer:
            depth[:, 0], fgs1_time, channel_time[:, 0] = white.depth[:, 0], white.baseline[:, 0], white.baseline[:, 0]
        bands, half = white.limb.shape[1], limb.shape[-1] // 2  # the first columns: of FGS1, and the level of AIRS
        if half:
            limb[:, :bands], limb[:, half : half + bands] = white.limb[:, :, 0], white.limb[:, :, 1]
        return Parameters(
            level=torch.zeros_like(depth),
            depth=depth,
            shape=white.shape,
            limb=limb,
            airs_time=airs_time,
            fgs1_time=fgs1_time,
            airs_wavelength=white.shape.new_zeros(batch, self.n_wavelength),
            channel_time=channel_time,
            clock=white.shape.new_zeros(batch, 1),
            own_limb=white.shape.new_zeros(batch, channels, 2),
        )

    def _groups(self, p: Parameters) -> list[tuple[slice, Tensor]]:
        """Channels that share a shape (B, 3), and that shape."""
        if not self.photometer:
            return [(slice(None), p.shape)]
        late = torch.cat([p.shape[:, :1] + p.clock, p.shape[:, 1:]], -1)
        return [(slice(1), late), (slice(1, None), p.shape)]

    def _transit(self, p: Parameters, around: Tensor) -> Tensor:
        """The transit's derivative by depth, itself and, where the shape is free, its derivatives by shape and by u1,
        u2: (B, C, 2 or 7, T).

        ``around`` (B, C): positive depths at which the shape of the transit is taken; ``p.depth`` may be any number,
        and the transit follows it along the tangent.
        """
        groups = self._groups(p)
        k = torch.sqrt(around)
        ends = [(k[:, some].amin(-1) * 0.995, k[:, some].amax(-1) * 1.005) for some, _ in groups]
        nodes = torch.stack([torch.stack([low, 0.5 * (low + high), high], -1) for low, high in ends])  # (group, B, 3)
        rows = (len(groups), *self.time.shape)
        moments, by_shape, _ = binned_moments(  # groups as if they were visits
            self.time.expand(rows).flatten(0, 1),
            self.width.expand(len(groups), *self.width.shape).flatten(0, 1),
            torch.cat([shape for _, shape in groups]),
            self.prior.rate.expand(rows[:2]).flatten(),
            nodes.flatten(0, 1),
            self.prior.repeats.expand(rows[:2]).flatten(),
            None if self.prior.eccentric is None else self.prior.eccentric.repeat(len(groups), 1),
        )
        moments = moments.unflatten(0, rows[:2]).transpose(-1, -2).flatten(2, 3)  # (group, B, node and moment, T)
        by_shape = by_shape.unflatten(0, rows[:2]).permute(0, 1, 2, 4, 5, 3).flatten(2, 3).flatten(3)
        curves = k.new_empty(*k.shape, 7 if self.fit_shape else 2, self.time.shape[-1])
        for group, (some, _) in enumerate(groups):
            self._transit_of(some, p, around, nodes[group], moments[group], by_shape[group], curves[:, some])
        return curves

    def _transit_of(
        self,
        some: slice,
        p: Parameters,
        around: Tensor,
        nodes: Tensor,
        moments: Tensor,
        by_shape: Tensor,
        curves: Tensor,
    ) -> None:
        """:meth:`_transit` of some channels, into ``curves``, from moments (B, 9, T) of three ``nodes`` (B, 3) and
        their derivatives (B, 9, 3 T).
        """
        k = torch.sqrt(around[:, some])
        u = self.limb_darkening(p, some)
        coefficients = intensity_coefficients(u[:, 0], u[:, 1])  # (B, C, 3)
        value, slope = (weights[..., None] for weights in _lagrange(k, nodes))  # (B, C, 3, 1)
        by_depth = slope * (coefficients / (2.0 * k[..., None]))[:, :, None]
        hidden = value * coefficients[:, :, None]
        weights = [by_depth, hidden + (p.depth[:, some] - around[:, some])[..., None, None] * by_depth]
        if self.fit_shape:
            weights += [value * gradient[:, :, None] for gradient in intensity_gradients(u[:, 0], u[:, 1])]
            curves[:, :, 2:5] = (-hidden.flatten(2) @ by_shape).unflatten(-1, (3, -1))
        lost = -torch.stack(weights, 2).flatten(3).flatten(1, 2) @ moments
        lost = lost.unflatten(1, (-1, len(weights)))
        curves[:, :, :2], curves[:, :, 5:] = lost[:, :, :2], lost[:, :, 2:]
        curves[:, :, 1] += 1.0

    def limb_darkening(self, p: Parameters, some: slice = slice(None)) -> Tensor:
        """Coefficients u1, u2 (B, 2, C) of some channels."""
        u = self.u_mean[..., some] + torch.einsum("bl,lac->bac", p.limb, self.u_basis[..., some])
        return u + (self.own_limb_sigma * p.own_limb).mT[..., some] if self.has_own_limb else u

    def common_drift(self, p: Parameters) -> Tensor:
        """p(t) of a spectrograph (T,), of unit size."""
        drift = p.airs_time[0] @ self.polynomials[0]
        return drift / drift.norm().clamp_min(1e-12)

    def drift_curves(self, p: Parameters, first: int = 0) -> Tensor:
        """Drift (B, C, T), relative; without the ``first`` orders."""
        polynomials = self.polynomials[:, first:]
        if self.drift == "channel":
            return p.channel_time[..., first:] @ polynomials
        airs, fgs1 = ((time[:, None, first:] @ polynomials) for time in (p.airs_time, p.fgs1_time))
        return self._profile(p)[..., None] * airs + self.is_fgs1[:, None] * fgs1

    def _profile(self, p: Parameters) -> Tensor:
        """q of every channel (B, C), 0 for FGS1."""
        return self.is_airs + p.airs_wavelength @ self.slopes

    def linearise(self, p: Parameters, around: Tensor) -> Linearised:
        """Model and derivatives at ``p``; relative flux, so the level's derivative is the model itself."""
        level = p.level.exp()[..., None]
        gain = level * (1.0 + self.drift_curves(p))
        curves = self._transit(p, around)
        lit = curves[:, :, 1:2] * level[..., None] * self.polynomials[:, None]
        columns = torch.cat([curves.mul_(gain[:, :, None]), lit], 2)
        return Linearised(columns[:, :, 1].contiguous(), columns, self._mixing(p))

    def _mixing(self, p: Parameters) -> Tensor:
        """Columns to parameters (B, C, N, n + S)."""
        channels, n_drift = self.is_airs.shape[0], self.n_time
        first = 7 if self.fit_shape else 2  # of the drift's columns
        one = self.is_airs.new_ones(channels)
        drift = [(first + n, one) for n in range(n_drift)]
        entries: list[list[tuple[int, Tensor]]] = [[(0, one)], [(1, one)]]  # of each parameter: column and its factor
        if self.has_own_limb:
            entries += [[(5 + n, self.own_limb_sigma[:, n])] for n in range(2)]
        if self.drift == "channel":
            entries += [[entry] for entry in drift]
        if self.fit_shape:
            entries += [[(2 + n, one)] for n in range(3)]
            entries += [[(5, u1), (6, u2)] for u1, u2 in self.u_basis]
        if self.drift != "channel":
            profile = self._profile(p)[0]
            entries += [[(column, profile)] for column, _ in drift]
            entries += [[(column, self.is_fgs1)] for column, _ in drift]
            entries += [
                [(column, slope * p.airs_time[0, n]) for n, (column, _) in enumerate(drift)] for slope in self.slopes
            ]
        if self.has_clock:
            entries.append([(2, self.is_fgs1)])
        mixing = p.depth.new_zeros(1, channels, first + n_drift, len(entries))
        for parameter, parts in enumerate(entries):
            for column, factor in parts:
                mixing[0, :, column, parameter] = factor
        return mixing

    def bound(self, p: Parameters) -> Bound | None:
        """b^2 >= 0, as a bound on its step; flat in b where the star table does not tell it, as orbits are oriented."""
        return Bound(B2, -p.shape[:, B2], ~self.prior.known) if self.fit_shape else None

    def own_pull(self, p: Parameters) -> Tensor | None:
        """Pull (B, C, n) of the prior on own parameters; None where it leaves all but free what there is."""
        parts = [torch.zeros_like(p.depth)[..., None].expand(-1, -1, 2)]
        if self.has_own_limb:
            parts.append(-p.own_limb)
        if self.drift == "channel":
            parts.append(-p.channel_time / self.drift_sigma**2)
        return torch.cat(parts, -1) if len(parts) > 1 else None

    def priors(self, p: Parameters) -> tuple[Tensor, Tensor, Tensor]:
        """Precision of own (n,) and shared (B, S) parameters, and the pull (B, S) of the shared prior."""
        own = [1.0, 1e-2]  # depth and ln F: all but free
        own += [1.0, 1.0] if self.has_own_limb else []
        if self.drift == "channel":
            own += (self.drift_sigma**-2).tolist()
        value, mean, sigma = self.shared(p)
        precision = sigma**-2
        return value.new_tensor(own), precision, precision * (mean - value)

    def shared(self, p: Parameters) -> tuple[Tensor, Tensor, Tensor]:
        """Values (B, S) of the shared parameters, and the mean and sigma of their priors; the clock's is the last."""
        batch = len(p.shape)
        parts = []
        if self.fit_shape:
            parts.append((p.shape, self.prior.mean, self.prior.sigma))
            parts.append((p.limb, torch.zeros_like(p.limb), self.limb_sigma.expand(batch, -1)))
        if self.drift != "channel":
            for value, sigma in (
                (p.airs_time, self.drift_sigma),
                (p.fgs1_time, self.drift_sigma),
                (p.airs_wavelength, self.wavelength_sigma),
            ):
                parts.append((value, torch.zeros_like(value), sigma.expand(batch, -1)))
        if self.has_clock:
            parts.append((p.clock, torch.zeros_like(p.clock), torch.full_like(p.clock, self.clock_sigma)))
        if not parts:
            empty = p.shape.new_zeros(batch, 0)
            return empty, empty, empty
        value, mean, sigma = (torch.cat(group, -1) for group in zip(*parts, strict=True))
        return value, mean, sigma

    def step(self, p: Parameters, own: Tensor, shared: Tensor) -> Parameters:
        """Parameters moved by a solution's ``own`` (B, C, n) and ``shared`` (B, S), kept within physical bounds."""
        p = replace(p, depth=p.depth + own[..., 0], level=p.level + own[..., 1])
        first = 2
        if self.has_own_limb:
            p, first = replace(p, own_limb=p.own_limb + own[..., 2:4]), 4
        if self.drift == "channel":
            p = replace(p, channel_time=p.channel_time + own[..., first:])
        sizes = [3, len(self.limb_sigma)] if self.fit_shape else []
        sizes += [] if self.drift == "channel" else [self.n_time, self.n_time, self.n_wavelength]
        sizes += [1] if self.has_clock else []
        parts = list(torch.split(shared, sizes, -1)) if sizes else []
        if self.fit_shape:
            move, limb = parts.pop(0), parts.pop(0)
            shape = p.shape + move.clamp(-0.3, 0.3)
            shape = torch.cat([shape[:, :1], shape[:, 1:2].clamp(0.0, LARGEST_B2), shape[:, 2:]], -1)
            p = replace(p, shape=shape, limb=p.limb + limb)
        if self.has_clock:
            p = replace(p, clock=(p.clock + parts.pop()).clamp(-4 * self.clock_sigma, 4 * self.clock_sigma))
        if parts:
            airs, fgs1, wavelength = parts
            p = replace(
                p,
                airs_time=p.airs_time + airs,
                fgs1_time=p.fgs1_time + fgs1,
                airs_wavelength=p.airs_wavelength + wavelength.clamp(-1.0, 1.0),
            )
        return p


def _lagrange(x: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Quadratic interpolation weights (B, C, 3) of x (B, C) between nodes (B, 3), and their derivatives by x."""
    a, b, c = (nodes[:, None, i] for i in range(3))
    na, nb, nc = (a - b) * (a - c), (b - a) * (b - c), (c - a) * (c - b)
    value = torch.stack([(x - b) * (x - c) / na, (x - a) * (x - c) / nb, (x - a) * (x - b) / nc], -1)
    slope = torch.stack([(2 * x - b - c) / na, (2 * x - a - c) / nb, (2 * x - a - b) / nc], -1)
    return value, slope
