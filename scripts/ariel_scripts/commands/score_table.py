"""`ariel score-table TRUTHS`: what each retrieval scores on simulated light curves of given spectra, and the limit."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from tqdm import tqdm

from ariel_scripts.opening.truths import read_truth_csv
from ariel_scripts.options.score_table import ScoreTableOptions
from ariel_scripts.prediction.classical import FoldedPriorPredictor, PerChannelPredictor, folded_priors
from ariel_scripts.prediction.limit import LAYOUT, exact_depths, fit_row, simulate
from ariel_scripts.run_record import Run, run_record, write_json
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.scoring import SCORES, align, summary
from modeling_ariel.spectrum_prior import MIXTURE, PLAIN
from modeling_ariel.status import count_statuses
from modeling_ariel.surprise import Surprise

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

METHODS = {
    "naive": "training mean and spread of every channel",
    "per-channel fit": "every channel by itself: transit, cubic drift, white noise",
    "per-channel fit + prior": "the same, then the Gaussian prior",
    "joint drift fit + prior": "all channels together: separable drift, jitter, shared limb darkening; Gaussian prior",
    "joint drift fit + mixture prior": "the same fit, prior with unknown feature size",
    "limit, free drift": "exact noise, known limb darkening and timing, drift coefficients free; Gaussian prior",
    "limit, free drift, mixture prior": "the same, prior with unknown feature size",
    "limit, known drift": "the same with the drift known; Gaussian prior",
}


def main(options: ScoreTableOptions) -> None:
    """Run every method on every spectrum, and write the table."""
    out, folds, seed = options.out, options.folds, options.seed
    spectra = dict(list(read_truth_csv(options.truths).items())[: options.planets])
    logger.info("%d spectra, %d methods, %d folds", len(spectra), len(METHODS), folds)
    if options.dry_run:
        return
    config = {
        "truths": str(options.truths),
        "planets": len(spectra),
        "folds": folds,
        "bins": options.bins,
        "seed": seed,
    }
    with run_record(out, "score-table", config, seed) as run:
        judges = _run(spectra, folds, options.bins, seed, run)
        with run.timed("bootstrap"):
            table = {name: _row(judge, spectra, seed) for name, judge in judges.items()}
        run.metrics.update(table)
        write_json(out / "table.json", table)
        text = as_markdown(table)
        (out / "table.md").write_text(text, encoding="utf-8")
    typer.echo(text)


def _run(spectra: dict[int, Array], folds: int, bins: int, seed: int, run: Run) -> dict[str, FoldedPriorPredictor]:
    """Every method's predictions of every planet."""
    wavelength = torch.as_tensor(wavelengths_um(LAYOUT))
    with run.timed("priors"):
        plain = folded_priors(spectra, PLAIN, folds, seed)
        mixture = folded_priors(spectra, MIXTURE, folds, seed, Surprise.of(wavelength))
    naive = PerChannelPredictor(plain)
    judges: dict[str, FoldedPriorPredictor] = {
        name: FoldedPriorPredictor(mixture if "mixture" in name else plain)
        for name in METHODS
        if "prior" in name or "limit" in name
    }
    judges |= {"naive": naive, "per-channel fit": PerChannelPredictor(plain)}
    alone = FitSettings(drift="channel", drift_sigma=(5e-3, 3e-3, 1e-3))
    with torch.no_grad():
        for planet, spectrum in tqdm(spectra.items(), unit="planet"):
            with run.timed("simulate"):
                row, truth, system = simulate(planet, spectrum, bins, seed)
            with run.timed("per-channel fit"):
                fitted = fit_row(row, wavelength, alone)
                naive.add_naive(planet)
                judges["per-channel fit"].add(planet, *fitted[:2], spectrum, fitted[2])
                judges["per-channel fit + prior"].add(planet, *fitted[:2], spectrum, fitted[2])
            with run.timed("joint fit"):
                fitted = fit_row(row, wavelength, FitSettings())
            with run.timed("prior"):
                judges["joint drift fit + prior"].add(planet, *fitted[:2], spectrum, fitted[2])
                judges["joint drift fit + mixture prior"].add(planet, *fitted[:2], spectrum, fitted[2])
            with run.timed("limit"):
                free = exact_depths(row, truth, system, wavelength, drift_known=False)
                known = exact_depths(row, truth, system, wavelength, drift_known=True)
                judges["limit, free drift"].add(planet, *free, spectrum, "ok")
                judges["limit, free drift, mixture prior"].add(planet, *free, spectrum, "ok")
                judges["limit, known drift"].add(planet, *known, spectrum, "ok")
    return {name: judges[name] for name in METHODS}


def _row(judge: FoldedPriorPredictor, spectra: dict[int, Array], seed: int, n_bootstrap: int = 500) -> dict[str, Any]:
    """Scores with 90 % bootstrap intervals over planets, and diagnostics."""
    predictions = judge.finish()
    _, y, mu, sigma = align(spectra, predictions.planet_id, predictions.mu, predictions.sigma)
    result: dict[str, Any] = dict(summary(y, mu, sigma))
    picks = np.random.default_rng(seed).integers(0, len(y), (n_bootstrap, len(y)))
    for name, score in SCORES.items():
        samples = [score(y[pick], mu[pick], sigma[pick]) for pick in picks]
        result[f"interval_{name}"] = [float(x) for x in np.quantile(samples, (0.05, 0.95))]
    per_planet = np.sqrt(((mu - y) ** 2 / sigma**2).mean(1))
    result["sigma_factors"] = [round(factor, 4) for factor in judge.factors]
    result["worst_planet_z"] = float(per_planet.max())
    result["status"] = count_statuses(predictions.extra["status"])
    return result


def as_markdown(table: dict[str, dict[str, Any]], notes: Iterable[str] = ()) -> str:
    """The table as Markdown."""
    lines = [
        "| method | 2024 score (90 %) | 2025 score (90 %) | RMSE ppm | median σ ppm | 90 % coverage | z spread |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        scores = [
            f"{row[f'score_{year}']:.3f} ({row[f'interval_{year}'][0]:.3f}–{row[f'interval_{year}'][1]:.3f})"
            for year in ("2024", "2025")
        ]
        lines.append(
            f"| {name} | {scores[0]} | {scores[1]} | {row['rmse_ppm']:.0f} | {row['sigma_median_ppm']:.0f} | "
            f"{row['coverage_90']:.3f} | {row['z_spread']:.2f} |"
        )
    return "\n".join([*lines, *notes]) + "\n"
