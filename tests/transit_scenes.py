"""Light curves for the retrieval's tests, made with exoplanet-core alone: nothing of the code under test is in them."""

from __future__ import annotations

from dataclasses import dataclass, field

import exoplanet_core
import numpy as np
import torch

AIRS = np.linspace(1.95, 3.89, 40)


@dataclass
class Scene:
    """One visit with few channels, FGS1 first. Depths per channel, noise relative per bin."""

    depth: np.ndarray = field(default_factory=lambda: 0.01 + 3e-4 * np.sin(np.arange(41) / 6))
    noise: float = 3e-4
    t0: float = 3.6
    b: float = 0.3
    a: float = 10.0
    period: float = 4.0  # d
    window: float = 7.5
    bins: int = 150
    drift: tuple[float, ...] = (6e-4, -3e-4, 1e-4)
    slope: float = 0.3
    jitter: float = 0.0
    seed: int = 0

    @property
    def wavelength(self) -> torch.Tensor:
        return torch.as_tensor(np.concatenate([[0.7], AIRS]))

    def limb_darkening(self) -> np.ndarray:
        """(channel, 2), near the prior's mean but not on it."""
        lam = self.wavelength.numpy()
        return np.stack([0.06 + 0.2 / lam**1.2, 0.3 - 0.03 * lam], -1)

    def clean(self) -> np.ndarray:
        """Flux (time, channel) without noise, averaged over bins, around 1e5."""
        width = self.window / self.bins
        time = self.time[:, None] + width * (np.arange(9) - 4) / 9
        phase = 2 * np.pi * (time - self.t0) / (24 * self.period)
        z = self.a * np.hypot(np.sin(phase), self.b / self.a * np.cos(phase))
        curves = [
            1 + exoplanet_core.quad_limbdark_light_curve(*u, z.ravel(), np.full(z.size, k)).reshape(z.shape).mean(1)
            for u, k in zip(self.limb_darkening(), np.sqrt(self.depth), strict=True)
        ]
        x = 2 * (np.arange(self.bins) / (self.bins - 1)) - 1
        p = np.polynomial.legendre.legval(x, [0.0, *self.drift])
        q = np.concatenate([[-0.5], 1 + self.slope * np.linspace(-1, 1, len(AIRS))])
        return 1e5 * np.stack(curves, 1) * (1 + np.outer(p, q))

    @property
    def time(self) -> np.ndarray:
        return (np.arange(self.bins) + 0.5) * self.window / self.bins

    def batch(self, n: int = 1, table: bool = True) -> dict[str, torch.Tensor]:
        """``n`` noise realisations as the fit takes them."""
        rng = np.random.default_rng(self.seed)
        clean = self.clean()
        jitter = self.jitter * rng.standard_normal((n, self.bins, 1)) * np.r_[0.0, np.ones(len(AIRS))]
        sigma = self.noise * clean
        flux = clean * (1 + jitter) + sigma * rng.standard_normal((n, *clean.shape))
        star = (self.period, self.a, np.degrees(np.arccos(self.b / self.a)), 5500.0) if table else (np.nan,) * 4
        batch = {
            "time": torch.as_tensor(self.time).repeat(n, 1),
            "flux": torch.as_tensor(flux),
            "flux_err": torch.as_tensor(sigma).repeat(n, 1, 1),
            "valid": torch.ones(n, *clean.shape, dtype=torch.bool),
        }
        for name, value in zip(("P", "sma", "i", "Ts"), star, strict=True):
            batch[name] = torch.full((n,), value, dtype=torch.float64)
        return batch
