"""Transits by batman (Kreidberg 2015, PASP 127, 1161), averaged over bins: a judge that shares no code with the fit.

batman is GPL: it is imported in bench and tests alone. Its times must be float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class BatmanTransit:
    """Transits at fixed ``time`` (T,) [h], bin ``width`` [h] and ``period`` [d], on circular orbits."""

    def __init__(self, time: Array, width: float, period: float) -> None:
        import batman

        self.parameters = p = batman.TransitParams()
        p.t0, p.per, p.rp, p.a, p.inc, p.ecc, p.w = float(np.mean(time)) / 24, period, 0.1, 10.0, 90.0, 0.0, 90.0
        p.limb_dark, p.u = "quadratic", [0.2, 0.2]
        days = np.asarray(time, np.float64) / 24
        self.model = batman.TransitModel(p, days, max_err=0.1, supersample_factor=7, exp_time=width / 24)

    def __call__(self, t0: float, b: float, a: float, k: float, u: Sequence[float] | Array) -> Array:
        """Relative flux (T,): mid-time [h], impact parameter, a / R*, Rp / R*, limb darkening (u1, u2)."""
        p = self.parameters
        p.t0, p.a, p.inc = t0 / 24, a, float(np.degrees(np.arccos(np.clip(b / a, -1, 1))))
        p.rp, p.u = k, [float(value) for value in u]
        return np.asarray(self.model.light_curve(p))
