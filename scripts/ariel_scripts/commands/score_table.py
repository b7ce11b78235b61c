"""`ariel score-table TRUTHS`: what each retrieval scores on simulated light curves of given spectra, and the limit."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import Run, run_record, run_script, write_json
from modeling_ariel.columns import STAR_IN_FIT

logger = logging.getLogger(__name__)

LAYOUT = "2024"  # the spectra are 2024's, where no star table is given
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


def main(
    truths: Annotated[Path, typer.Argument(help="CSV of spectra, planet_id, wl_1 … wl_283 (train_labels.csv).")],
    out: Annotated[Path, typer.Option(help="Folder for table.md, table.json, run.json.")] = Path("score-table"),
    planets: Annotated[int | None, typer.Option(help="Only the first so many.")] = None,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    bins: Annotated[int, typer.Option(help="Time bins a visit.")] = 375,
    seed: Annotated[int, typer.Option(help="Of the simulation, the folds and the bootstrap.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run; write nothing.")] = False,
) -> None:
    """Score retrievals on simulated light curves, one for each given spectrum, in folds by planet.

    The limit rows use the simulator's own noise and drift, so no fit that does not know them should beat them.

    Example: ariel score-table ariel-data-challenge-2024/train_labels.csv --out score-table
    """
    from ariel_scripts.commands.evaluate import read_truth_csv

    spectra = dict(list(read_truth_csv(truths).items())[:planets])
    logger.info("%d spectra, %d methods, %d folds", len(spectra), len(METHODS), folds)
    if dry_run:
        return
    config = dict(truths=str(truths), planets=len(spectra), folds=folds, bins=bins, seed=seed)
    with run_record(out, "score-table", config, seed) as run:
        judges = _run(spectra, folds, bins, seed, run)
        with run.timed("bootstrap"):
            table = {name: _row(judge, spectra, seed) for name, judge in judges.items()}
        run.metrics.update(table)
        write_json(out / "table.json", table)
        text = as_markdown(table)
        (out / "table.md").write_text(text, encoding="utf-8")
    typer.echo(text)


def _run(spectra: dict[int, np.ndarray], folds: int, bins: int, seed: int, run: Run) -> dict[str, Any]:
    """Every method's predictions of every planet."""
    import torch
    from tqdm import tqdm

    from ariel_scripts.prediction.classical import FoldedPriorPredictor, PerChannelPredictor, folded_priors
    from hf_dataset.simulation import planets as population
    from modeling_ariel.retrieval import FitSettings
    from modeling_ariel.spectrum_prior import MIXTURE, PLAIN

    with run.timed("priors"):
        plain, mixture = (folded_priors(spectra, scales, folds, seed) for scales in (PLAIN, MIXTURE))
    judges: dict[str, Any] = {
        name: FoldedPriorPredictor(mixture if "mixture" in name else plain)
        for name in METHODS
        if "prior" in name or "limit" in name
    }
    judges = {"naive": PerChannelPredictor(plain), "per-channel fit": PerChannelPredictor(plain), **judges}
    wavelength = torch.as_tensor(population.wavelengths_um(LAYOUT))
    alone = FitSettings(drift="channel", drift_sigma=(5e-3, 3e-3, 1e-3))
    with torch.no_grad():
        for planet, spectrum in tqdm(spectra.items(), unit="planet"):
            with run.timed("simulate"):
                row, truth, system = simulate(planet, spectrum, bins, seed)
            with run.timed("per-channel fit"):
                fitted = fit_row(row, wavelength, alone)
                judges["naive"].add_naive(planet)
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


def simulate(planet: int, spectrum: np.ndarray, bins: int, seed: int) -> tuple[dict[str, Any], Any, Any]:
    """A light curve with its components and its planet."""
    from hf_dataset.simulation import fast
    from hf_dataset.simulation.planets import planet_from_spectrum

    system = planet_from_spectrum(spectrum, seed=seed + planet % 2**31, layout=LAYOUT, planet_id=planet)
    row, truth = fast.simulate_with_truth(system, n_bins=bins, seed=seed)
    return row, truth, system


def fit_row(row: dict[str, Any], wavelength: Any, settings: Any) -> tuple[Any, Any, str]:
    """Depth (C,), covariance (C, C) and status of one row."""
    import torch

    from modeling_ariel.retrieval import fit

    names = ("time", "flux", "flux_err", "valid", *STAR_IN_FIT)
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in names}
    result = fit(batch, wavelength, settings)
    if result.status[0] != "ok":
        logger.warning("planet %d: %s: %s", row["planet_id"], result.status[0], result.reasons[0])
    return result.depth[0], result.covariance[0], result.status[0]


def exact_depths(row: dict[str, Any], truth: Any, system: Any, wavelength: Any, drift_known: bool) -> tuple[Any, Any]:
    """Depth (C,) and covariance (C, C) of the exact linear-Gaussian posterior, expanded about the truth.

    Known: timing, orbit, limb darkening, the bins with hits, variances, the jitter's covariance and responses. Unknown:
    depths, levels and, unless ``drift_known``, the coefficients of the separable drift, under flat priors.
    """
    import torch

    from modeling_ariel.least_squares import LinearSystem, solve
    from modeling_ariel.light_curve_model import LightCurveModel
    from modeling_ariel.white_light import ShapePrior, WhiteFit

    def tensor(array: Any) -> Any:
        return torch.as_tensor(np.asarray(array, np.float64))[None]

    rate = 2 * math.pi / (24.0 * system.P)
    b2 = (system.sma * math.cos(math.radians(system.i))) ** 2
    shape = tensor([truth.t0, b2, math.log(rate * system.sma)])
    prior = ShapePrior(shape, torch.ones_like(shape), torch.tensor([rate], dtype=torch.float64), torch.tensor([True]))
    p, q = truth.drift_law.airs_p, truth.drift_law.airs_wavelength(wavelength[1:].numpy())
    coefficients = np.polynomial.legendre.legfit(_scaled(wavelength[1:].numpy()), q, 2)
    model = LightCurveModel(
        tensor(row["time"]), wavelength, torch.tensor([5500.0]), prior, "joint", (10.0,) * len(p), (10.0, 10.0), False
    )
    model.u_mean = tensor(truth.u.T)
    depth = tensor(system.spectrum)
    empty = torch.zeros(1, 1, dtype=torch.float64)
    start = model.start(
        WhiteFit(shape, empty, empty, empty[..., None], tensor(p * coefficients[0])[:, None], *[empty] * 4)
    )
    start.depth, start.fgs1_time = depth, tensor(truth.drift_law.fgs1_p)
    start.airs_wavelength = tensor(coefficients[1:] / coefficients[0])
    linear = model.linearise(start, depth)
    jitter = np.stack([truth.jitter_response, truth.dispersion_response])
    own_precision, shared_precision, pull = model.priors(start)
    if drift_known:
        linear.shared, shared_precision, pull = linear.shared[..., :0], shared_precision[:, :0], pull[:, :0]
    expected = truth.transit * (1 + truth.drift)
    weight = tensor((truth.star_flux**2 / truth.variance * ~truth.outliers).T)
    exact = LinearSystem(
        linear.own,
        linear.shared,
        weight,
        own_precision,
        shared_precision,
        torch.zeros_like(pull),
        tensor(jitter)[..., None] * linear.model[:, None],
        torch.linalg.inv(tensor(truth.jitter_covariance))[:, None].expand(-1, 2, -1, -1),
    )
    solution = solve(exact, tensor((row["flux"] / truth.star_flux - expected).T), with_covariance=True)
    return depth[0] + solution.own[0, :, 0], solution.covariance[0]  # type: ignore[index]


def _scaled(wavelength: np.ndarray) -> np.ndarray:
    """AIRS wavelengths mapped to -1 ... 1, as the fit's drift has them."""
    return 2 * (wavelength - wavelength.min()) / (wavelength.max() - wavelength.min()) - 1


def _row(judge: Any, spectra: dict[int, np.ndarray], seed: int, n_bootstrap: int = 500) -> dict[str, Any]:
    """Scores with 90 % bootstrap intervals over planets, and diagnostics."""
    from modeling_ariel.scoring import SCORES, align, summary

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
    result["status"] = {s: predictions.extra["status"].count(s) for s in sorted(set(predictions.extra["status"]))}
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


if __name__ == "__main__":
    run_script(main)
