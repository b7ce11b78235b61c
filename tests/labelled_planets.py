"""Labelled planets with made-up fits, so that training is tested without a second a planet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from ariel_scripts.training.fits import classical_fit
from ariel_scripts.training.planets import Curves, Planets

CHANNELS, BINS, SHARED = 283, 30, 23
SMALL = ("hidden_size=16", "num_hidden_layers=1", "num_attention_heads=2", "intermediate_size=16", "patch_bins=5",
         "spectral_hidden_size=16", "spectral_num_hidden_layers=1", "hidden_dropout_prob=0.1")  # fmt: skip


def transit() -> np.ndarray:
    """Light hidden over depth (BINS, CHANNELS): a trapezoid, a little deeper in the blue."""
    along = np.clip((8.0 - np.abs(np.arange(BINS) - 15.0)) / 3.0, 0.0, 1.0)
    return np.outer(along, np.linspace(1.1, 1.0, CHANNELS))


def spectra(n: int, seed: int) -> np.ndarray:
    """Smooth spectra (n, CHANNELS)."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, CHANNELS)
    waves = np.stack([np.sin(2 * np.pi * k * x) for k in range(1, 5)])
    return 0.003 * np.exp(0.4 * rng.standard_normal((n, 1))) + 1e-4 * rng.standard_normal((n, 4)) @ waves


def planets(n: int, seed: int = 0, two_visits: int = 0) -> Planets:
    """``n`` planets, the first ``two_visits`` of them with two visits; fits that err as their covariance says."""
    rng = np.random.default_rng(seed)
    truth, visits, owners = spectra(n, seed), [], []
    for planet in range(n):
        count = 2 if planet < two_visits else 1
        visits.append(list(range(len(owners), len(owners) + count)))
        owners += [planet] * count
    size = len(owners)
    factor = 1e-4 * np.tril(np.full((CHANNELS, CHANNELS), 0.02) + np.eye(CHANNELS))
    depth = truth[owners] + rng.standard_normal((size, CHANNELS)) @ factor.T
    shape = np.broadcast_to(transit(), (size, BINS, CHANNELS))
    error = 1e-3
    light = -depth[:, None] * shape / error + rng.standard_normal((size, BINS, CHANNELS))
    light -= np.median(light, 1, keepdims=True)
    eye = np.tile(np.eye(SHARED), (size, 1, 1))
    fits = classical_fit(
        {
            "fit_depth": depth,
            "fit_covariance": np.tile(factor @ factor.T, (size, 1, 1)),
            "fit_shared": rng.standard_normal((size, SHARED)),
            "fit_shared_covariance": 0.5 * eye,
            "fit_cross_covariance": np.zeros((size, CHANNELS, SHARED)),
            "fit_free_b2": np.tile([0.0, 0.5, -1.0], (size, 1)),
            "fit_prior_mean": np.tile(np.eye(SHARED)[1], (size, 1)),
            "fit_prior_sigma": np.ones((size, SHARED)),
            "fit_table_trust": np.tile([1.0, 3.0], (size, 1)),
            "fit_jitter_rms": np.ones(size),
            "fit_table_known": np.zeros(size, bool),
            "fit_status": ["ok"] * size,
            "fit_note": [""] * size,
        }
    )
    curves = Curves(
        time=np.tile(np.linspace(0, 7.5, BINS, dtype=np.float32), (size, 1)),
        light=light.astype(np.float16),
        inverse_error=np.full(light.shape, 1 / error, np.float16),
        noise=np.full((size, CHANNELS), error, np.float32),
        valid=np.ones(light.shape, bool),
        centroid=np.zeros((size, BINS, 4), np.float32),
        star_features=np.zeros((size, 16), np.float32),
        residual=rng.standard_normal(light.shape).astype(np.float16),
        transit=shape.astype(np.float16),
    )
    return Planets([1000 + planet for planet in range(n)], truth, visits, curves, fits)


class Line(nn.Module):
    """A straight line with dropout, fitted to numbered points: the smallest thing that trains."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return SimpleNamespace(loss=((self.layer(x)[:, 0] - y) ** 2).mean())


class Points:
    """Examples of :class:`Line`, by number."""

    def __getitem__(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        x = np.stack([np.random.default_rng(number).standard_normal(3) for number in numbers])
        return {"x": torch.from_numpy(x).float(), "y": torch.from_numpy(x.sum(-1)).float()}


def judge(model: nn.Module, accelerator: Any) -> dict[str, float]:
    """Error of :class:`Line` on points that are not trained on."""
    return {"error": float(model(**Points()[list(range(10**6, 10**6 + 64))]).loss)}


def save_line(model: nn.Module, folder: Any) -> None:
    """Its weights."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
