"""The organisers' calibration recipe, written again plainly in float64: what the project's steps are checked against.

It follows the starter notebooks of the challenge step by step, knows nothing of the package, and keeps each step's
output. Whole arrays (frame, row, column); slow and hungry on purpose.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def read_calibration(folder: Path) -> dict[str, np.ndarray]:
    """The five calibration frames of one instrument and visit; linear_corr as (6, row, column), ascending powers."""
    frames = {
        path.stem: pd.read_parquet(path).to_numpy().astype(np.float64) for path in sorted(folder.glob("*.parquet"))
    }
    n_rows, n_columns = frames["dark"].shape
    frames["linear_corr"] = frames["linear_corr"].reshape(6, n_rows, n_columns)
    return frames


def hot_pixels(dark: np.ndarray, sigma: float = 5.0, iterations: int = 5) -> np.ndarray:
    """astropy.stats.sigma_clip(dark, sigma=5, maxiters=5).mask, written out."""
    values = list(dark.ravel())
    for _ in range(iterations):
        low = np.median(values) - sigma * np.std(values)
        high = np.median(values) + sigma * np.std(values)
        kept = [value for value in values if low <= value <= high]
        if len(kept) == len(values):
            break
        values = kept
    return ~np.isin(dark, values)


def plain_calibration(
    counts: np.ndarray, calibration: dict[str, np.ndarray], gain: float, offset: float, integration: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Output of every step, float64; `variance` is of the exposures, `bad` (row, column) the dead and hot pixels."""
    steps = {"adc": counts.astype(np.float64) / gain + offset}
    steps["bad"] = (calibration["dead"] != 0) | hot_pixels(calibration["dark"])

    steps["linearity"] = np.zeros_like(steps["adc"])
    slope = np.zeros_like(steps["adc"])
    for power, coefficient in enumerate(calibration["linear_corr"]):
        steps["linearity"] += coefficient * steps["adc"] ** power
        if power:
            slope += power * coefficient * steps["adc"] ** (power - 1)

    steps["dark"] = steps["linearity"].copy()
    steps["dark"][0::2] -= calibration["dark"] * integration[0]
    steps["dark"][1::2] -= calibration["dark"] * integration[1]

    steps["cds"] = steps["dark"][1::2] - steps["dark"][0::2]
    quantisation = 1.0 / gain**2 / 12.0
    readout = (calibration["read"] ** 2 + quantisation) * slope**2
    collected = steps["linearity"][1::2] - steps["linearity"][0::2]  # the dark's electrons are counted too
    variance = readout[1::2] + readout[0::2] + np.where(collected > 0, collected, 0.0)

    with np.errstate(divide="ignore", invalid="ignore"):
        steps["flat"] = steps["cds"] / calibration["flat"]
        steps["variance"] = variance / calibration["flat"] ** 2
    return steps
