"""What a visit of another telescope brings to the fit: its systematics, exposures, limb darkening and orbit."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class VisitDesign:
    """One visit of T times and C channels, ascending in wavelength.

    ``basis`` (P, T) columns that the baseline of every channel follows, F (1 + sum a basis), with normal priors on a of
    mean 0 and ``sigma`` (P,); ``exposure`` (T,) [h] over which each point averages. ``limb`` (2, C) quadratic
    coefficients with normal errors ``limb_sigma`` (2, C), 0 where they are fixed; without them the fit's own.
    ``eccentricity`` and ``omega`` [rad] of the orbit. ``t0``, ``t0_sigma`` [h] of mid-transit, as the times count.
    ``shape``, ``shape_sigma`` (2,) of b^2 and ln speed in place of the star table's.
    """

    basis: Tensor
    sigma: Tensor
    exposure: Tensor
    limb: Tensor | None = None
    limb_sigma: Tensor | None = None
    eccentricity: float = 0.0
    omega: float = 0.5 * torch.pi
    t0: float = 0.0
    t0_sigma: float = 1e3
    shape: Tensor | None = None
    shape_sigma: Tensor | None = None

    def at(self, kept: Tensor) -> "VisitDesign":
        """The design at some of its times, (T,) bool."""
        return replace(self, basis=self.basis[:, kept], exposure=self.exposure[kept])

    @property
    def own_limb_sigma(self) -> Tensor:
        """(2, C) errors of the limb darkening that is given; ValueError where there is none."""
        if self.limb is None:
            raise ValueError("design: expected limb darkening, found none")
        return torch.zeros_like(self.limb) if self.limb_sigma is None else self.limb_sigma

    @property
    def eccentric(self) -> Tensor | None:
        """(1, 2) eccentricity and omega; None for a circular orbit."""
        return self.basis.new_tensor([[self.eccentricity, self.omega]]) if self.eccentricity else None
