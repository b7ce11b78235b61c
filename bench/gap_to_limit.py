"""The gap between the joint fit and the limit of the score table: star table, drift order.

Run: python bench/gap_to_limit.py ../shared/real/challenge_2024/train_labels.csv. The light curves of `ariel
score-table`, 160 of them, fitted as they are, with the simulator's own star table trusted, with its drift order, and
with both; all with one Gaussian prior of the same folds, beside the limit.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_script

TABLE_SIGMA = (3e-3, 2e-3)  # trust in b and ln speed: the simulated table is exact
ORDER_3 = (5e-3, 3e-3, 1e-3)


def main(
    truths: Annotated[Path, typer.Argument(help="CSV of spectra (train_labels.csv).")],
    planets: Annotated[int, typer.Option(min=40, help="The first N planets.")] = 160,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Score the joint fit with parts of what the limit knows.

    Example: python bench/gap_to_limit.py train_labels.csv --planets 80
    """
    import torch
    from tqdm import tqdm

    from ariel_scripts.opening.truths import read_truth_csv
    from ariel_scripts.prediction.classical import FoldedPriorPredictor, folded_priors
    from ariel_scripts.prediction.limit import LAYOUT, exact_depths, fit_row, simulate
    from hf_dataset.simulation.planets import wavelengths_um
    from modeling_ariel.columns import STAR_IN_FIT
    from modeling_ariel.retrieval import FitSettings
    from modeling_ariel.scoring import align, summary
    from modeling_ariel.spectrum_prior import PLAIN

    spectra = dict(islice(read_truth_csv(truths).items(), planets))
    priors = folded_priors(spectra, PLAIN, 5, seed)
    fits: dict[str, tuple[bool, FitSettings]] = {
        "joint fit": (False, FitSettings()),
        "+ star table": (True, FitSettings(table_sigma=TABLE_SIGMA)),
        "+ drift order": (False, FitSettings(drift_sigma=ORDER_3)),
        "+ both": (True, FitSettings(drift_sigma=ORDER_3, table_sigma=TABLE_SIGMA)),
    }
    judges = {name: FoldedPriorPredictor(priors) for name in (*fits, "limit, free drift")}
    wavelength = torch.as_tensor(wavelengths_um(LAYOUT))
    with torch.no_grad():
        for planet, spectrum in tqdm(spectra.items(), unit="planet"):
            row, truth, system = simulate(planet, spectrum, 375, seed)
            table: dict[str, Any] = {name: getattr(system, name) for name in STAR_IN_FIT}
            for name, (with_table, settings) in fits.items():
                depth, covariance, status = fit_row({**row, **table} if with_table else row, wavelength, settings)
                judges[name].add(planet, depth, covariance, spectrum, status)
            exact = exact_depths(row, truth, system, wavelength, drift_known=False)
            judges["limit, free drift"].add(planet, *exact, spectrum, "ok")
    print("| method | 2024 score | 2025 score | RMSE ppm | median σ ppm | mean z |\n|---|---|---|---|---|---|")
    for name, judge in judges.items():
        found = judge.finish()
        r = summary(*align(spectra, found.planet_id, found.mu, found.sigma)[1:])
        scores = f"{r['score_2024']:.3f} | {r['score_2025']:.3f} | {r['rmse_ppm']:.1f} | {r['sigma_median_ppm']:.1f}"
        print(f"| {name} | {scores} | {np.round(r['z_mean'], 2):+.2f} |")


if __name__ == "__main__":
    run_script(main)
