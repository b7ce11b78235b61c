"""Prior on quadratic limb darkening, smooth in wavelength and stellar temperature.

The mean interpolates rounded coefficients of the ATLAS grids of Claret & Bloemen (2011, A&A 529, A75), solar
metallicity, log g 4.5, least-squares method, in the bands R/I, J, H, K and Spitzer 3.6 and 4.5 um. Rounding, the
unknown gravity and metallicity, and the difference between grids (Espinoza & Jordan 2015, MNRAS 450, 1879) are of the
order 0.05. The prior's standard deviations are two to three times that, because the real 2024 curves show no limb
darkening at all (docs/retrieval.md) and must stay within reach. The fit moves the coefficients along a few smooth
columns: one for FGS1, and level, slope and curvature over AIRS, for u1 and for u2.
"""

import torch
from torch import Tensor

_WAVELENGTH = (0.7, 1.25, 1.65, 2.16, 3.6, 4.5)  # um
_U1 = (0.38, 0.23, 0.14, 0.12, 0.085, 0.07)  # at 5500 K
_U2 = (0.25, 0.28, 0.30, 0.26, 0.19, 0.16)
_U1_PER_1000K = (-0.09, -0.05, -0.03, -0.025, -0.015, -0.01)
_U2_PER_1000K = (0.03, 0.02, 0.01, 0.005, 0.0, 0.0)
_WIDE = 2.5  # longest over shortest wavelength; 2.0 in AIRS
_SUN_LIKE = 5500.0  # K, where no temperature is known
_SIGMA_U1 = (0.12, 0.12, 0.04, 0.015)  # FGS1; AIRS level, slope, curvature
_SIGMA_U2 = (0.15, 0.16, 0.04, 0.015)


def _interpolate(x: Tensor, values: tuple[float, ...]) -> Tensor:
    """Piecewise linear in wavelength, constant beyond the table."""
    nodes, table = x.new_tensor(_WAVELENGTH), x.new_tensor(values)
    right = torch.searchsorted(nodes, x.contiguous()).clamp(1, len(nodes) - 1)
    weight = ((x - nodes[right - 1]) / (nodes[right] - nodes[right - 1])).clamp(0.0, 1.0)
    return table[right - 1] * (1.0 - weight) + table[right] * weight


def limb_darkening_prior(
    wavelength: Tensor, temperature: Tensor, photometer: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean coefficients and the smooth columns along which they may move.

    Args:
        wavelength: (C,) [um], ascending.
        temperature: (B,) stellar effective temperature [K], NaN where unknown.
        photometer: whether channel 0 is one, as FGS1 is, beside a spectrograph's.

    Returns:
        ``mean`` (B, 2, C) of u1, u2; ``basis`` (S, 2, C); ``sigma`` (S,) prior standard deviations of the columns.
    """
    hotter = _hotter(temperature)[:, None]
    u1 = _interpolate(wavelength, _U1) + hotter * _interpolate(wavelength, _U1_PER_1000K)
    u2 = _interpolate(wavelength, _U2) + hotter * _interpolate(wavelength, _U2_PER_1000K)
    columns = _columns(wavelength, photometer)
    zero = torch.zeros_like(columns)
    basis = torch.cat([torch.stack([columns, zero], 1), torch.stack([zero, columns], 1)])
    size = len(columns)
    return torch.stack([u1, u2], 1), basis, wavelength.new_tensor(_SIGMA_U1[-size:] + _SIGMA_U2[-size:])


def limb_darkening_shift(wavelength: Tensor, temperature: Tensor, photometer: bool = True) -> Tensor:
    """How far (B, S) the prior's mean is from that of a Sun-like star along the prior's columns, by least squares.

    Arguments as of :func:`limb_darkening_prior`.
    """
    columns = _columns(wavelength, photometer)
    slopes = torch.stack([_interpolate(wavelength, slope) for slope in (_U1_PER_1000K, _U2_PER_1000K)])
    # few channels may not tell all columns apart
    return _hotter(temperature)[:, None] * (slopes @ torch.linalg.pinv(columns)).flatten()


def _hotter(temperature: Tensor) -> Tensor:
    """Than the Sun [1000 K]."""
    return ((torch.nan_to_num(temperature, nan=_SUN_LIKE) - _SUN_LIKE) / 1000.0).clamp(-2.0, 2.0)


def _columns(wavelength: Tensor, photometer: bool) -> Tensor:
    """(FGS1,) level, slope, curvature over wavelength (S / 2, C)."""
    return channel_basis(wavelength, 2, photometer)


def channel_basis(wavelength: Tensor, order: int, photometer: bool = True) -> Tensor:
    """Smooth functions of channel: Legendre polynomials 0..order in wavelength, or its logarithm (order + 1, C).

    A ``photometer`` is another instrument, far from the others in wavelength: it has a column of its own before them.
    """
    if photometer:
        own = torch.zeros_like(wavelength)
        own[0] = 1.0
        spectrograph = channel_basis(wavelength[1:], order, photometer=False)
        return torch.cat([own[None], torch.cat([spectrograph.new_zeros(order + 1, 1), spectrograph], 1)])
    if float(wavelength.max()) > _WIDE * float(wavelength.min()):  # most of what changes does so at the blue end
        wavelength = wavelength.log()
    span = wavelength.max() - wavelength.min()
    x = 2.0 * (wavelength - wavelength.min()) / span - 1.0 if float(span) > 0 else torch.zeros_like(wavelength)
    return legendre(x, order)


def legendre(x: Tensor, order: int) -> Tensor:
    """Legendre polynomials 0..order at x (...): (order + 1, ...)."""
    rows = [torch.ones_like(x), x]
    for n in range(1, order):
        rows.append(((2 * n + 1) * x * rows[-1] - n * rows[-2]) / (n + 1))
    return torch.stack(rows[: order + 1])
