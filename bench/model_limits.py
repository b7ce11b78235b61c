"""The model where it was not trained: deeper transits, other noise, other drift, a wrong star table.

Run: python bench/model_limits.py MODEL. Simulated planets, a hundred a case by default, none of them seen in training;
sigma should grow with the errors, so that coverage holds. Physics alone is the same posterior before the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json

HERE = Path(__file__).resolve().parent
RELEASED = HERE.parent / "modeling_ariel/released"
LEVELS = (0.5, 0.68, 0.9, 0.95)
_BATCH = 8


def cases(count: int, seed: int) -> dict[str, tuple[list[Any], Callable[[dict[str, Any]], None] | None, Any]]:
    """Planets, a change of their rows, and settings of the light curves, by name."""
    from hf_dataset.simulation import light_curves
    from hf_dataset.simulation.planets import sample_layouts, sample_planets

    usual = light_curves.LightCurveSettings()
    planets = sample_layouts(count, seed, "both")
    with_table = sample_planets(count, seed + 2, "2025")

    def features(factor: float) -> list[Any]:
        return [
            replace(p, spectrum=np.clip(p.spectrum.mean() + factor * (p.spectrum - p.spectrum.mean()), 1e-5, None))
            for p in planets
        ]

    tables = {p.planet_id: q for p, q in zip(with_table, with_table[1:] + with_table[:1], strict=True)}

    def wrong_table(row: dict[str, Any]) -> None:
        row.update(tables[row["planet_id"]].star_table())

    def high_order(row: dict[str, Any]) -> None:
        x = np.linspace(-1.0, 1.0, len(row["time"]))
        size = np.random.default_rng(row["planet_id"]).normal(0.0, (46e-6, 17e-6))
        wave = size @ np.stack([np.polynomial.legendre.Legendre.basis(order)(x) for order in (4, 5)])
        row["flux"] = (row["flux"] * (1.0 + wave[:, None])).astype(np.float32)

    law = usual.drift
    large = replace(law, airs=tuple(3 * a for a in law.airs), fgs1=tuple(3 * a for a in law.fgs1))
    return {
        "as trained": (planets, None, usual),
        "depths times 2": ([replace(p, spectrum=2.0 * p.spectrum) for p in planets], None, usual),
        "features times 3": (features(3.0), None, usual),
        "no features": (features(0.0), None, usual),
        "a 40th of the light": (planets, None, replace(usual, noise=light_curves.NoiseModel(airs_exposures=140))),
        "drift times 3": (planets, None, replace(usual, drift=large)),
        "drift of order 4 and 5 (46, 17 ppm)": (planets, high_order, usual),
        "star table of another planet": (with_table, wrong_table, usual),
    }


def main(
    model: Annotated[str, typer.Argument(help="Checkpoint.")] = str(RELEASED),
    planets: Annotated[int, typer.Option(min=8, help="Of each case.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the planets; the released model trained on another.")] = 909,
    out: Annotated[Path, typer.Option(help="Folder for limits.json.")] = HERE / "out",
) -> None:
    """Coverage and width of the model's errors on unusual planets.

    Example: python bench/model_limits.py modeling_ariel/released --planets 40
    """
    from tqdm import tqdm

    from modeling_ariel import ArielFeatureExtractor, ArielForSpectrumPrediction

    extractor = ArielFeatureExtractor.from_pretrained(model)
    network = ArielForSpectrumPrediction.from_pretrained(model).eval()
    rows = {}
    with run_record(
        out, "model-limits", {"model": model, "planets": planets}, seed, name="model_limits.run.json"
    ) as run:
        for name, case in tqdm(cases(planets, seed).items(), unit="case"):
            rows[name] = judge(extractor, network, *case, seed)
        run.metrics.update(rows)
    write_json(out / "model_limits.json", rows)
    print(as_markdown(rows))


def judge(
    extractor: Any,
    network: Any,
    planets: list[Any],
    change: Callable[[dict[str, Any]], None] | None,
    settings: Any,
    seed: int,
) -> dict[str, Any]:
    """Numbers of one case, of the model and of physics alone."""
    import torch

    from hf_dataset.simulation import light_curves

    rows = [light_curves.simulate_row(planet, seed=seed, settings=settings) for planet in planets]
    for row in rows:
        if change is not None:
            change(row)
    parts: dict[str, list[Any]] = {"mean": [], "sigma": [], "classical_mean": [], "classical_sigma": []}
    status: list[str] = []
    with torch.no_grad():
        for start in range(0, len(rows), _BATCH):
            inputs = extractor(rows[start : start + _BATCH])
            inputs.pop("labels", None)
            found = network(**inputs)
            status += found.status
            for name in parts:
                parts[name].append(getattr(found, name).double().numpy())
    truth = np.stack([planet.spectrum for planet in planets])
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return {
        "status": {state: status.count(state) for state in sorted(set(status))},
        "model": numbers(truth, arrays["mean"], arrays["sigma"]),
        "physics alone": numbers(truth, arrays["classical_mean"], arrays["classical_sigma"]),
    }


def numbers(truth: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """RMSE and median sigma [ppm], coverage, spread of z."""
    from modeling_ariel.scoring import coverage, rmse, z_scores

    mean = mean.clip(0.0)
    return {
        "rmse_ppm": 1e6 * rmse(truth, mean),
        "sigma_median_ppm": 1e6 * float(np.median(sigma)),
        "z_spread": float(np.sqrt((z_scores(truth, mean, sigma) ** 2).mean())),
        **{f"coverage_{round(100 * level)}": coverage(truth, mean, sigma, level) for level in LEVELS},
    }


def as_markdown(rows: dict[str, Any]) -> str:
    """A line for each case: the model, and in brackets physics alone."""
    names = ("rmse_ppm", "sigma_median_ppm", "coverage_50", "coverage_68", "coverage_90", "coverage_95", "z_spread")
    lines = [
        "| case | RMSE ppm | median σ ppm | 50 % | 68 % | 90 % | 95 % | z spread |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = []
        for number in names:
            digits = 0 if number.endswith("ppm") else 2
            cells.append(f"{row['model'][number]:.{digits}f} ({row['physics alone'][number]:.{digits}f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
