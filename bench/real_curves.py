"""Real light curves: depths of the 466 white curves of 2024 against their labels, and planet 1103775's residuals.

    python bench/real_curves.py ../shared/real --figures docs/figures

Prints Markdown for docs/retrieval.md and writes one figure. The curves are the challenge's and are not shipped.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.limb_darkening import limb_darkening_prior
from modeling_ariel.retrieval import ClassicalFit, FitSettings, fit
from modeling_ariel.white_light import WhiteFit, shape_prior, white_solutions

WINDOW_H = 7.5
EXPOSURES, ROWS = 15, 16  # of planet 1103775's curves: exposures a bin, detector rows summed
READ_NOISE = 13.0  # [e-] median of the real read-noise maps of planet 342072318
LABELLED = slice(36, 318)  # labelled channels of the 357 columns


def white_depths(
    real: Path, with_bounds: bool, drift_sigma: tuple[float, ...], every: int = 1
) -> tuple[np.ndarray, WhiteFit]:
    """Depth minus label [relative] of every real white curve of 2024, or every second, …, and the fits."""
    with np.load(real / "light_curves" / "airs_white_2024.npz") as data:
        flux, bounds, label = (data[name][::every] for name in ("flux", "bounds", "label_mean_airs"))
    flux, bounds = flux.astype(float), bounds.astype(float)
    y = torch.as_tensor(flux / np.median(flux, axis=1, keepdims=True))
    n, bins = y.shape
    width = WINDOW_H / 187.5  # 30 of 5,625 exposures
    time = ((torch.arange(bins, dtype=torch.float64) + 0.5) * width).expand(n, bins).contiguous()
    nan = torch.full((n,), torch.nan, dtype=torch.float64)
    prior = shape_prior({"P": nan, "sma": nan, "i": nan}, y, FitSettings().table_sigma)
    if with_bounds:  # start and end of ingress and egress [bins]: the middle, good to a bin
        prior.mean[:, 0] = torch.as_tensor(bounds.mean(1) * width)
        prior.sigma[:, 0] = width
    u = limb_darkening_prior(torch.linspace(1.95, 3.9, 50, dtype=torch.float64), nan)[0][:, :, 1:].mean(-1)
    sigma, good = torch.full_like(y, 2e-5)[:, None], torch.ones_like(y, dtype=torch.bool)[:, None]
    found = []
    for row in torch.arange(n).unsqueeze(1):
        curve = (time[row], y[row, None], sigma[row], good[row], u[row, None], prior.rows(row))
        found.append(white_solutions(*curve, drift_sigma).rows(torch.tensor([0])))
    fitted = WhiteFit(*(torch.cat([getattr(one, name) for one in found]) for name in WhiteFit.__annotations__))
    return fitted.depth[:, 0].numpy() - label, fitted


def real_planet(real: Path) -> tuple[ClassicalFit, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit of planet 1103775: the fit, times [h], fluxes and their stated errors (T, C), wavelengths [um]."""
    with np.load(real / "light_curves" / "planet_1103775_2025.npz") as data:
        flux = data["flux"].astype(float)
    flux = np.concatenate([flux[:, :1], flux[:, LABELLED]], axis=1)
    with (real / "challenge_2025" / "test_star_info.csv").open() as file:
        star = next(row for row in csv.DictReader(file) if int(float(row["planet_id"])) == 1103775)
    wavelength = np.loadtxt(real / "challenge_2025" / "wavelengths.csv", delimiter=",", skiprows=1)
    variance = flux / EXPOSURES + ROWS * 2 * READ_NOISE**2 / EXPOSURES
    # FGS1's aperture is not stated with the file: its noise is what neighbouring points differ by
    second = np.diff(flux[:, 0], n=2)
    variance[:, 0] = (1.4826 * np.median(np.abs(second))) ** 2 / 6
    time = (np.arange(len(flux)) + 0.5) * WINDOW_H / len(flux)
    batch = {
        "time": torch.as_tensor(time)[None],
        "flux": torch.as_tensor(flux)[None],
        "flux_err": torch.as_tensor(np.sqrt(variance))[None],
        "valid": torch.ones(1, *flux.shape, dtype=torch.bool),
        **{name: torch.tensor([float(star[name])], dtype=torch.float64) for name in STAR_IN_FIT},
    }
    with torch.no_grad():
        return fit(batch, torch.as_tensor(wavelength)), time, flux, np.sqrt(variance), wavelength


def whiteness(series: np.ndarray) -> dict[str, Any]:
    """Autocorrelation at lags 1-5 with the Ljung-Box p of 20 lags, and the RMS binned down over 1/sqrt(n)."""
    from scipy.stats import chi2

    n = len(series)
    centred = series - series.mean()
    acf = np.array([(centred[lag:] * centred[: n - lag]).sum() for lag in range(1, 21)]) / (centred**2).sum()
    q = n * (n + 2) * (acf**2 / (n - np.arange(1, 21))).sum()
    ratio = {}
    for size in (2, 4, 8, 16, 32):
        blocks = centred[: n // size * size].reshape(-1, size).mean(1)
        ratio[size] = float(blocks.std() * np.sqrt(size) / centred.std())
    return {"acf": acf[:5].round(3).tolist(), "ljung_box_p": float(chi2.sf(q, 20)), "binned_rms_over_white": ratio}


def planet_statistics(
    result: ClassicalFit, flux_err: np.ndarray, flux: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Whiteness of planet 1103775's residuals, jitter left in; and its white AIRS residual (T,)."""
    left = (result.residual + result.jitter)[0].numpy()
    stated = (np.median(flux, axis=0) / flux_err).T ** 2
    used = result.weight[0].numpy() * result.noise_scale[0].numpy()[:, None] ** 2
    kept = used > 0.5 * stated  # hits are down-weighted
    z = np.where(kept, left * np.sqrt(stated), np.nan)
    weight = np.where(kept, stated, 0.0)[1:]
    white = (weight * left[1:]).sum(0) / weight.sum(0)
    acf1 = [np.corrcoef(row[1:], row[:-1])[0, 1] for row in left[1:]]
    channels = left[1:][:, : 375 // 16 * 16]
    down = channels.reshape(len(channels), -1, 16).mean(-1).std(-1) * 4 / channels.std(-1)
    scale = np.nanstd(z, axis=1)
    return {
        "status": result.status[0],
        "white_rms_ppm": 1e6 * float(white.std()),
        "white_photon_and_read_ppm": 1e6 * float(np.sqrt(1 / weight.sum(0)).mean()),
        "jitter_rms_ppm": 1e6 * float(result.jitter_rms),
        "white": whiteness(white),
        "fgs1": whiteness(left[0]),
        "channel_noise_over_stated": np.quantile(scale[1:], (0.05, 0.5, 0.95)).round(3).tolist(),
        "channel_acf1": {"mean": float(np.mean(acf1)), "spread": float(np.std(acf1)), "expected_spread": 375**-0.5},
        "channel_binned_16_over_white": float(np.mean(down)),
        "hits_down_weighted": float(1 - kept.mean()),
        "t0_h": float(result.shape[0, 0]),
        "impact_parameter": float(result.shape[0, 1]) ** 0.5,
        "mean_depth_ppm": 1e6 * float(result.depth[0, 1:].mean()),
        "depth_err_median_ppm": 1e6 * float(result.depth_err[0, 1:].median()),
    }, white


def plot_planet(path: Path, result: ClassicalFit, time: np.ndarray, wavelength: np.ndarray, white: np.ndarray) -> None:
    """White curve and fit, residuals, their binning down, and the spectrum."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    weight = result.weight[0].numpy()[1:]
    model = (weight * result.model[0].numpy()[1:]).sum(0) / weight.sum(0)
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    axes[0, 0].plot(time, 1e6 * (model + white - 1), ".", ms=3, color="0.6", label="white AIRS, 72 s bins")
    axes[0, 0].plot(time, 1e6 * (model - 1), color="C3", label="fit with drift")
    axes[0, 0].set(xlabel="time [h]", ylabel="relative flux − 1 [ppm]", title="Planet 1103775 (2025), white AIRS")
    axes[0, 0].legend()
    axes[0, 1].plot(time, 1e6 * white, ".", ms=3, color="0.6")
    blocks = white[:368].reshape(-1, 16).mean(1)
    axes[0, 1].errorbar(
        time[:368].reshape(-1, 16).mean(1), 1e6 * blocks, 1e6 * white.std() / 4, fmt="o", ms=4, color="C0"
    )
    axes[0, 1].axhline(0, color="k", lw=0.5)
    axes[0, 1].set(xlabel="time [h]", ylabel="residual [ppm]", title="Residual; blue: means of 16 bins")
    left = (result.residual + result.jitter)[0].numpy()
    sizes = np.unique(np.logspace(0, np.log10(40), 12).astype(int))
    for series, label, colour in ((white, "white AIRS", "C0"), (left[0], "FGS1", "C1")):
        rms = [series[: 375 // s * s].reshape(-1, s).mean(1).std() for s in sizes]
        axes[1, 0].loglog(sizes, 1e6 * np.array(rms), "o-", color=colour, label=label)
        axes[1, 0].loglog(sizes, 1e6 * series.std() / np.sqrt(sizes), "--", color=colour, lw=0.8)
    axes[1, 0].set(xlabel="bins averaged", ylabel="RMS [ppm]", title="Binning down; dashed: white noise")
    axes[1, 0].legend()
    depth, error = 1e6 * result.depth[0].numpy(), 1e6 * result.depth_err[0].numpy()
    axes[1, 1].errorbar(wavelength, depth, error, fmt=".", ms=3, lw=0.5, color="0.6")
    smooth = np.convolve(depth[1:] / error[1:] ** 2, np.ones(15), "valid") / np.convolve(
        1 / error[1:] ** 2, np.ones(15), "valid"
    )
    axes[1, 1].plot(wavelength[8:-7], smooth, color="C3", label="15-channel mean")
    axes[1, 1].set(xlabel="wavelength [µm]", ylabel="depth [ppm]", title="Depths of the channels, 1 σ")
    axes[1, 1].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def main() -> None:
    """Print the tables and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder of real samples")
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| 466 white curves of 2024 | median error | median abs. error | RMS error | mid-time within 0.3 h |")
    print("|---|---|---|---|---|")
    default = FitSettings().drift_sigma
    for name, bounds, sigma in (
        ("drift order 5 (default), no bounds", False, default),
        ("drift order 5 (default), mid-time from bounds", True, default),
        ("drift order 3, no bounds", False, default[:3]),
        ("drift order 2, no bounds", False, default[:2]),
    ):
        error, fitted = white_depths(options.real, bounds, sigma)
        with np.load(options.real / "light_curves" / "airs_white_2024.npz") as data:
            middle = data["bounds"].astype(float).mean(1) * WINDOW_H / 187.5
        found = int((np.abs(fitted.shape[:, 0].numpy() - middle) < 0.3).sum())
        ppm = 1e6 * error
        print(
            f"| {name} | {np.median(ppm):.1f} | {np.median(np.abs(ppm)):.1f} | "
            f"{np.sqrt((ppm**2).mean()):.1f} | {found} |"
        )
    result, time, flux, flux_err, wavelength = real_planet(options.real)
    statistics, white = planet_statistics(result, flux_err, flux)
    plot_planet(options.figures / "real_planet_1103775.png", result, time, wavelength, white)
    print(json.dumps(statistics, indent=1))


if __name__ == "__main__":
    main()
