"""Visits of any telescope with a known transit, by batman, and as files of an observation's own names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from batman_transits import BatmanTransit

from modeling_ariel.any_telescope.observation import HOURS, Observation

DAY0 = 2_459_743.0  # [BJD_TDB]
PERIOD, A, B, TEFF = 3.2, 8.0, 0.3, 5500.0
T0 = DAY0 + 3.0 / HOURS
ORBIT = ["--period", PERIOD, "--a", A, "--b", B, "--teff", TEFF, "--t0", T0, "--t0-err", 0.001]
LIMB = (0.15, 0.2)


@dataclass
class Visit:
    """A visit number of transits after the first, at its due time + ``late`` [h]."""

    number: int = 0
    late: float = 0.0
    depth: np.ndarray = field(default_factory=lambda: 0.014 * (1 + 0.02 * np.sin(np.arange(4))))
    noise: float = 8e-4
    times: int = 90
    instrument: str = "HST WFC3"
    transit: bool = True
    seed: int = 0

    def observation(self) -> Observation:
        time = np.linspace(0.0, 6.0, self.times)
        rng = np.random.default_rng(self.seed + self.number)
        transit = BatmanTransit(time, time[1] - time[0], PERIOD)
        curves = [transit(3.0 + self.late, B, A, k, LIMB) for k in np.sqrt(self.depth)]
        flux = np.stack(curves, 1) if self.transit else np.ones((len(time), len(self.depth)))
        x = rng.standard_normal(len(time))
        flux *= 2e4 * (1 + 2e-4 * (time[:, None] - 3.0) / 3.0) * (1 + self.noise * rng.standard_normal(flux.shape))
        return Observation.of(
            f"visit {self.number}",
            time,
            flux,
            np.full_like(flux, 2e4 * self.noise),
            np.linspace(1.1, 1.7, len(self.depth)) if len(self.depth) > 1 else 0.8,
            half_width=0.05,
            instrument=self.instrument,
            bjd0=DAY0 + PERIOD * self.number,
            regressors={"x": x},
        )

    def write(self, folder: Path) -> Path:
        made, path = self.observation(), folder / f"visit{self.number}.npz"
        names = ("time", "flux", "flux_err", "valid", "wavelength", "half_width", "exposure", "name", "instrument")
        arrays = {name: np.asarray(getattr(made, name)) for name in (*names, "bjd0")}
        np.savez(path, **arrays, **{f"regressors/{name}": one for name, one in made.regressors.items()})
        return path
