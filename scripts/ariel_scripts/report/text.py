"""Numbers as the report writes them, and what it calls them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ariel_scripts.report.statistics import Estimate

NAMES = {
    "score_2024": "score 2024",
    "score_2025": "score 2025",
    "rmse_ppm": "RMSE, ppm",
    "median_rmse_ppm": "RMSE, median planet, ppm",
    "sigma_ppm": "σ (rms), ppm",
    "median_sigma_ppm": "σ, median planet, ppm",
    "bias_ppm": "bias, ppm",
    "coverage_50": "in 50 % interval, %",
    "coverage_90": "in 90 % interval, %",
    "z_mean": "mean z",
    "z_spread": "spread of z",
}
PENALTY_NAMES = {"cut_at_0": "cut at 0", "roughness": "roughness", "sigma_below_floor": "σ below 1 ppm"}
DIGITS = {"score_2024": 3, "score_2025": 3, "z_mean": 2, "z_spread": 2}  # of the others 1


def with_interval(one: Estimate, digits: int, scale: float = 1.0) -> str:
    """A number and its interval in brackets."""
    if abs(scale * one.value) >= 1000:
        digits = 0
    value, low, high = (f"{scale * x:.{digits}f}" for x in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})".replace("-", "−")


def named_estimate(key: str, found: Mapping[str, Estimate]) -> str:
    """The estimate of one of NAMES with its interval, in the name's unit."""
    return with_interval(found[key], DIGITS.get(key, 1), 100.0 if key.startswith("coverage") else 1.0)


def number(value: float, digits: int = 1) -> str:
    """A number, – where there is none."""
    return "–" if not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")
