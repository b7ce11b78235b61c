"""The challenge organisers' published calibration, written plainly in NumPy: the thing to compare with.

It is what the starter notebook of the 2024 challenge does, whole arrays at a time in float64: ADC, mask of hot
and dead pixels, linearity (a polynomial a pixel), dark, correlated double sampling, flat, sum over time bins.
It reads with pandas, as everybody does, and takes none of this project's code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

WIDTHS = {"AIRS-CH0": 356, "FGS1": 32}
CUT = {"AIRS-CH0": slice(39, 321), "FGS1": slice(None)}
EXPOSURES_PER_BIN = {"AIRS-CH0": 15, "FGS1": 180}
N_ROWS = 32


def hot_pixels(dark: np.ndarray, sigma: float = 5.0, iterations: int = 5) -> np.ndarray:
    """Pixels of `dark` (row, column) that iterated sigma clipping about the median rejects."""
    kept = np.ones(dark.shape, bool)
    for _ in range(iterations):
        centre, spread = np.median(dark[kept]), np.std(dark[kept])
        kept_now = np.abs(dark - centre) <= sigma * spread
        if (kept_now == kept).all():
            break
        kept = kept_now
    return ~kept


def calibrate(planet: Path, instrument: str, gain: float, offset: float, seconds: np.ndarray, visit: str) -> np.ndarray:
    """Binned, calibrated frames (bin, row, column) [e-], masked where hot or dead."""
    width, cut = WIDTHS[instrument], CUT[instrument]
    signal = pd.read_parquet(planet / f"{instrument}_signal{visit}.parquet").to_numpy()
    signal = signal.astype(np.float64).reshape(-1, N_ROWS, width)[:, :, cut]
    calibration = planet / f"{instrument}_calibration{visit}"
    flat, dark, dead = (
        pd.read_parquet(calibration / f"{name}.parquet").to_numpy().reshape(N_ROWS, width)[:, cut]
        for name in ("flat", "dark", "dead")
    )
    linear = pd.read_parquet(calibration / "linear_corr.parquet").to_numpy().reshape(6, N_ROWS, width)[:, :, cut]

    signal = signal / gain + offset
    bad = np.tile(hot_pixels(dark) | dead.astype(bool), (len(signal), 1, 1))
    signal = np.ma.masked_where(bad, signal)
    for row in range(signal.shape[1]):
        for column in range(signal.shape[2]):
            polynomial = np.poly1d(linear[::-1, row, column])
            signal[:, row, column] = polynomial(signal[:, row, column])
    signal -= np.tile(dark, (len(signal), 1, 1)) * seconds[:, None, None]
    cds = signal[1::2] - signal[::2]
    per_bin = EXPOSURES_PER_BIN[instrument]
    n_bins = len(cds) // per_bin
    binned = np.ma.stack([cds[k * per_bin : (k + 1) * per_bin].sum(axis=0) for k in range(n_bins)])
    return binned / np.ma.masked_where(dead.astype(bool), flat)


def integration_seconds(axis_info: pd.DataFrame, instrument: str, n_frames: int) -> np.ndarray:
    """Seconds of charge in every frame, as the organisers set them."""
    if instrument == "FGS1":
        seconds = np.full(n_frames, 0.1)
    else:
        seconds = axis_info["AIRS-CH0-integration_time"].dropna().to_numpy()[:n_frames].copy()
    seconds[1::2] += 0.1
    return seconds


def calibrate_planet(root: Path, planet: Path, visit: str = "_0") -> dict[str, np.ndarray]:
    """Both instruments of one visit of a 2025 folder: {instrument: (bin, row, column) [e-]}."""
    adc = pd.read_csv(root / "adc_info.csv").iloc[0]
    axis_info = pd.read_parquet(root / "axis_info.parquet")
    result = {}
    for instrument in WIDTHS:
        n_frames = pq.ParquetFile(planet / f"{instrument}_signal{visit}.parquet").metadata.num_rows
        seconds = integration_seconds(axis_info, instrument, n_frames)
        gain, offset = adc[f"{instrument}_adc_gain"], adc[f"{instrument}_adc_offset"]
        result[instrument] = calibrate(planet, instrument, gain, offset, seconds, visit)
    return result
