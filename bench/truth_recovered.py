"""Are depths unbiased and their errors right, from raw frames through the whole chain?

Run: python bench/truth_recovered.py. Simulates raw planets of both layouts (48 with reduced frames, 4 full-size),
reduces and fits them without any prior over spectra, and compares the depths with the truth: z = (depth − truth) / σ of
each channel, the same of the weighted mean depth, and errors whitened by the full covariance, which are independent and
should have spread 1.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record

HERE = Path(__file__).resolve().parent
FULL_FRAMES = 11_250
LAYOUTS = ("2024", "2025")


@dataclass(frozen=True)
class Case:
    """One planet to simulate: number `index` of the population of its layout."""

    layout: str
    index: int
    frames: int
    seed: int


def recover(case: Case) -> dict[str, object]:
    """Simulate, reduce and fit one planet; errors of its depths in σ."""
    import torch

    from hf_dataset.raw import layouts
    from hf_dataset.reduction.options import ReductionOptions
    from hf_dataset.reduction.visit import reduce_visit
    from hf_dataset.simulation import planets, raw_folder
    from modeling_ariel.columns import STAR_IN_FIT
    from modeling_ariel.retrieval import fit

    torch.set_num_threads(1)
    planet = planets.sample_planets(case.index + 1, case.seed, case.layout)[case.index]
    with tempfile.TemporaryDirectory() as root:
        raw_folder.write_folder(root, [planet], case.layout, case.frames, seed=case.seed)
        folder = layouts.open_folder(root)
        visit = folder.visit("train", planet.planet_id, 0)
        row, _ = reduce_visit(visit, ReductionOptions())
        wavelengths = torch.as_tensor(folder.wavelengths)
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in ("time", "flux", "flux_err", "valid")}
    batch |= {name: torch.tensor([float(row[name])], dtype=torch.float64) for name in STAR_IN_FIT}
    with torch.no_grad():
        result = fit(batch, wavelengths)
    return {**errors(result, planet.spectrum), "layout": case.layout, "frames": case.frames, "planet": planet.planet_id}


def errors(result: object, truth: np.ndarray) -> dict[str, object]:
    """z of channels and of the weighted mean depth, whitened errors, and the sizes of the errors [ppm]."""
    covariance = result.covariance[0].numpy()  # type: ignore[attr-defined]
    difference = result.depth[0].numpy() - truth  # type: ignore[attr-defined]
    sigma = np.sqrt(np.diagonal(covariance))
    weight = sigma**-2 / (sigma**-2).sum()
    mean_sigma = float(np.sqrt(weight @ covariance @ weight))
    return {
        "status": result.status[0],  # type: ignore[attr-defined]
        "z": (difference / sigma).tolist(),
        "z_white": float(weight @ difference) / mean_sigma,
        "whitened": np.linalg.solve(np.linalg.cholesky(covariance), difference).tolist(),
        "sigma_ppm": 1e6 * float(np.median(sigma)),
        "sigma_white_ppm": 1e6 * mean_sigma,
    }


def table(results: list[dict[str, object]]) -> str:
    """Markdown: a row for each group of planets."""
    groups = {
        "all, reduced frames": [r for r in results if r["frames"] != FULL_FRAMES],
        **{
            f"{layout}, reduced": [r for r in results if r["frames"] != FULL_FRAMES and r["layout"] == layout]
            for layout in LAYOUTS
        },
        "full size": [r for r in results if r["frames"] == FULL_FRAMES],
    }
    lines = [
        "| planets | n | channel σ, ppm | mean-depth σ, ppm | mean z ± its error | z spread "
        "| mean-depth z: mean, spread | FGS1 z: mean, spread | whitened spread |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        if not group:
            continue
        z = np.array([r["z"] for r in group], float)
        white = np.array([r["z_white"] for r in group], float)
        per_planet = z.mean(axis=1)
        error = per_planet.std(ddof=1) / np.sqrt(len(group)) if len(group) > 1 else np.nan
        lines.append(
            f"| {name} | {len(group)} | {np.median([r['sigma_ppm'] for r in group]):.0f} "
            f"| {np.median([r['sigma_white_ppm'] for r in group]):.0f} | {z.mean():+.3f} ± {error:.3f} "
            f"| {np.sqrt((z**2).mean()):.3f} | {white.mean():+.2f}, {np.sqrt((white**2).mean()):.2f} "
            f"| {z[:, 0].mean():+.2f}, {np.sqrt((z[:, 0] ** 2).mean()):.2f} "
            f"| {np.sqrt((np.array([r['whitened'] for r in group], float) ** 2).mean()):.3f} |"
        )
    return "\n".join(lines)


def main(
    planets: Annotated[int, typer.Option(min=0, help="Planets with reduced frames, half of each layout.")] = 48,
    frames: Annotated[int, typer.Option(help="AIRS frames of a reduced planet.")] = 1500,
    full: Annotated[int, typer.Option(min=0, help="Full-size planets, half of each layout.")] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 100,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Compare depths recovered from raw simulated frames with the truth.

    Example: python bench/truth_recovered.py --planets 24 --full 2
    """
    cases = [Case(LAYOUTS[i % 2], i // 2, frames, seed) for i in range(planets)]
    cases += [Case(LAYOUTS[i % 2], i // 2, FULL_FRAMES, seed + 1) for i in range(full)]
    with run_record(HERE / "out", "truth-recovered", {"planets": planets, "frames": frames, "full": full}, seed) as run:
        with ProcessPoolExecutor(workers) as pool:
            results = list(pool.map(recover, cases))
        if failed := [r for r in results if r["status"] != "ok"]:
            print(f"not ok: {[(r['planet'], r['status']) for r in failed]}")
        text = table(results)
        run.metrics["table"] = text
    (HERE / "out" / "truth_recovered.json").write_text(json.dumps(results) + "\n")
    print(text)


if __name__ == "__main__":
    run_script(main)
