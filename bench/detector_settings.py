"""Effect of each detector setting on transit depth and noise, on two simulated planets: docs/calibration.md's table.

Run: python bench/detector_settings.py (about 10 minutes on one core). One planet is typical, the other faint with four
times the diffuse foreground. Depths are fitted with the true transit shape and a cubic baseline a channel, so that only
the reduction is on trial.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "foreground: edge": {"foreground": "edge"},
    "foreground: none": {"foreground": "none"},
    "AIRS extraction: optimal": {"extraction": "optimal"},
    "FGS1 extraction: plain": {"fgs1_extraction": "plain"},
    "FGS1 jitter: kept": {"fgs1_dejitter": False},
    "FGS1 extraction: plain, jitter: kept": {"fgs1_extraction": "plain", "fgs1_dejitter": False},
    "AIRS half-width 4 px": {"airs_half_width": 4.0},
    "AIRS half-width 3 px": {"airs_half_width": 3.0},
    "AIRS half-width 8 px": {"airs_half_width": 8.0},
    "AIRS half-width 8 px, optimal": {"airs_half_width": 8.0, "extraction": "optimal"},
    "FGS1 radius 6 px": {"fgs1_radius": 6.0},
    "FGS1 radius 10 px": {"fgs1_radius": 10.0, "fgs1_annulus": (11.0, 16.0)},
    "hot pixels: all of the clip filled": {"hot_noise": 0.0},
    "hot pixels: all of the clip masked": {"hot_noise": 0.0, "hot_pixels": "mask"},
    "hot pixels: used as measured": {"hot_pixels": "use"},
    "hits: kept": {"hit_threshold": 0.0},
    "ADC offset's sign flipped": {"adc": "divide_minus_offset"},
    "ADC: multiply": {"adc": "multiply"},
    "linearity: off": {"linearity": False},
    "dark: off": {"dark": False},
    "flat: off": {"flat": False},
    "last exposure: drop": {"last_exposure": "drop"},
}


COLUMNS = {  # of the table: heading, form
    "AIRS depth bias %": "{airs_bias_percent:+.3f} ± {airs_bias_error_percent:.3f}",
    "error of a channel's depth ppm": "{airs_depth_error_ppm:.0f}",
    "z rms": "{airs_z_rms:.2f}",
    "scatter / error": "{airs_scatter_over_error:.2f}",
    "white scatter / error": "{airs_white_scatter_over_error:.2f}",
    "FGS1 depth bias %": "{fgs1_bias_percent:+.2f}",
    "FGS1 depth error ppm": "{fgs1_depth_error_ppm:.1f}",
    "FGS1 scatter / error": "{fgs1_scatter_over_error:.2f}",
}


def make_planets(root: Path) -> dict[str, tuple[Path, Any]]:
    """Two full-size planets with deep transits, simulated once: folder and `Planet` of each."""
    from hf_dataset.simulation import detector, planets, raw_folder

    sampled = planets.sample_planets(6, 3, "2025")
    chosen = {
        "typical": (sampled[5], detector.DetectorSettings(), 5),
        "faint": (replace(sampled[3], brightness=0.3), detector.DetectorSettings(foreground=2.0), 6),
    }
    for name, (planet, settings, seed) in chosen.items():
        if not (root / name / "simulation.json").exists():
            raw_folder.write_folder(root / name, [planet], "2025", seed=seed, settings=settings)
    return {name: (root / name, planet) for name, (planet, _, _) in chosen.items()}


def fit_depths(row: dict[str, Any], curve: Any) -> tuple[Any, Any]:
    """(channel,) fitted depth over the true one and its error; curve (time, channel) is the true transit."""
    time = np.linspace(-1, 1, len(row["time"]))
    ratio, error = np.full(curve.shape[1], np.nan), np.full(curve.shape[1], np.nan)
    for channel in range(curve.shape[1]):
        good = row["valid"][:, channel]
        if good.mean() < 0.5:
            continue
        flux, sigma = row["flux"][good, channel].astype(float), row["flux_err"][good, channel].astype(float)
        dip = 1 - curve[good, channel]
        powers = np.polynomial.legendre.legvander(time[good], 3)
        baseline = np.full(good.sum(), np.median(flux[dip == 0]))
        for _ in range(4):  # flux = baseline · (1 − s · dip), the baseline from the iteration before
            design = np.concatenate([powers * (1 - dip)[:, None], (baseline * dip)[:, None]], axis=1) / sigma[:, None]
            solution, *_ = np.linalg.lstsq(design, flux / sigma, rcond=None)
            baseline = powers @ solution[:4]
        ratio[channel] = 1 - solution[4]
        error[channel] = np.sqrt(np.linalg.inv(design.T @ design)[4, 4])
    return ratio, error


def measure(visit: Any, planet: Any, changes: dict[str, Any]) -> dict[str, float]:
    """Bias of the depth [% of it] and noise of one setting on one planet."""
    from hf_dataset.reduction.options import ReductionOptions
    from hf_dataset.reduction.visit import reduce_visit
    from hf_dataset.simulation import transits

    row, report = reduce_visit(visit, ReductionOptions(**changes))
    time = row["time"].astype(float)
    curve = transits.exposure_averaged(
        time, 7.5 / len(time), planet.t0, planet.P, planet.sma, planet.i, planet.spectrum, planet.u, planet.e
    )
    ratio, error = fit_depths(row, curve)
    weight = np.where(np.isfinite(error), 1 / error**2, 0.0)[1:]
    usable = row["valid"][:, 1:].all(axis=0)
    flux, sigma = row["flux"][:, 1:][:, usable].astype(float), row["flux_err"][:, 1:][:, usable].astype(float)
    share = (np.median(flux, axis=0) / np.median(sigma, axis=0)) ** 2
    white = ((flux / np.median(flux, axis=0) / curve[:, 1:][:, usable]) @ share) / share.sum()
    jumps = np.diff(white, n=2) / np.sqrt(6)  # free of the drift's slope
    white_scatter = float(np.median(np.abs(jumps)) / 0.6745 * np.sqrt(share.sum()))
    mean = float(np.nansum(weight * ratio[1:]) / weight.sum())
    return {
        "airs_bias_percent": 100 * (mean - 1),
        "airs_bias_error_percent": 100 / float(np.sqrt(weight.sum())),
        "airs_z_rms": float(np.sqrt(np.nanmean(((ratio - 1) / error)[1:] ** 2))),
        "airs_depth_error_ppm": float(np.nanmedian((error * planet.spectrum)[1:]) * 1e6),
        "airs_white_scatter_over_error": white_scatter,
        "airs_scatter_over_error": report["quality"]["AIRS-CH0"]["scatter_over_error"],
        "fgs1_bias_percent": 100 * float(ratio[0] - 1),
        "fgs1_depth_error_ppm": float(error[0] * planet.spectrum[0] * 1e6),
        "fgs1_scatter_over_error": report["quality"]["FGS1"]["scatter_over_error"],
        "foreground_e_per_px": report["quality"]["AIRS-CH0"]["foreground_e_per_px"],
    }


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown table of the results: planet by planet."""
    lines = []
    for name, rows in results.items():
        lines += ["", name, "", "| " + " | ".join(("setting", *COLUMNS)) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for setting, r in rows.items():
            cells = [form.format(**r) for form in COLUMNS.values()]
            lines.append("| " + " | ".join((setting, *cells)) + " |")
    return "\n".join(lines)


def main(
    root: Annotated[Path, typer.Argument(help="Folder of the two planets, simulated if not there.")] = HERE
    / "out"
    / "settings",
    only: Annotated[str, typer.Option(help="Only settings whose name contains this (and the defaults).")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = HERE / "out",
) -> None:
    """Measure what each detector setting does to transit depth and noise.

    Example: python bench/detector_settings.py --only foreground
    """
    from hf_dataset.raw import layouts

    results: dict[str, dict[str, dict[str, float]]] = {}
    with run_record(out, "bench-detector-settings", {"only": only}, name="detector_settings_run.json") as run:
        for name, (folder, planet) in make_planets(root).items():
            visit = layouts.open_folder(folder).visit("train", planet.planet_id, 0)
            chosen = {key: value for key, value in SETTINGS.items() if only in key or key == "defaults"}
            results[name] = {}
            for key, changes in chosen.items():
                results[name][key] = measure(visit, planet, changes)
                print(table({name: {key: results[name][key]}}).splitlines()[-1], flush=True)
        run.metrics.update(results)
    (out / "detector_settings.json").write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    run_script(main)
