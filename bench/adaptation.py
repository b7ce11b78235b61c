"""What adapting a model without labels is worth, by the number of visits.

Run: make adaptation (python bench/adaptation.py). The released model is adapted to the first visits of kinds of
`foreign_curves.py` and predicts others of the same kind; 0: as released. Writes bench/out/adaptation.md.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from foreign_curves import KINDS, Kind, draw, light_curves
from tqdm import tqdm

from ariel_scripts.command_line import run_script

ROOT = Path(__file__).resolve().parents[1]
JUDGED = 1000  # number of the first visit that is predicted; those learned from begin at 0
USUAL = ("clean", "no_table", "high_orders", "night")


def row_of(number: int, kind: Kind) -> tuple[dict[str, Any], np.ndarray]:
    """A visit as a row of a dataset, and its true depths."""
    visit = draw(number, kind)
    flux, error, valid = light_curves(visit)
    curves = {"time": visit.time, "flux": flux, "flux_err": error, "valid": valid}
    return {"planet_id": number, "visit": 0, **curves, **visit.table}, visit.depth


def answer(name: str, learned_from: int, judged: int) -> dict[str, float]:
    """Scores of the released model, adapted to as many visits of a kind, on others."""
    import torch

    from ariel_scripts.opening.hub import locate_model
    from ariel_scripts.prediction.adaptation import learn
    from modeling_ariel.joint_fit import FitSettings
    from modeling_ariel.physics import fit_inputs
    from modeling_ariel.pipeline_ariel import ArielPipeline
    from modeling_ariel.retrieval import ClassicalFit, fit, without_curves
    from modeling_ariel.scoring import log_likelihood

    torch.set_num_threads(1)
    pipeline = ArielPipeline.from_pretrained(locate_model("released", None).location)

    def fit_planets(settings: FitSettings) -> list[ClassicalFit]:
        rows = (row_of(number, KINDS[name])[0] for number in range(learned_from))
        inputs = (fit_inputs(pipeline.features([row])) for row in rows)
        return [without_curves(fit(batch, pipeline.fit_wavelength, settings)) for batch in inputs]

    if learned_from:
        learn(pipeline.model, fit_planets)
    errors, sigmas, likelihoods = [], [], []
    for number in range(JUDGED, JUDGED + judged):
        row, depth = row_of(number, KINDS[name])
        found = pipeline([row])
        errors.append(found.mean[0] - depth)
        sigmas.append(found.sigma[0])
        likelihoods.append(log_likelihood(depth[None], found.mean, found.sigma))
    z = np.array(errors) / np.array(sigmas)
    return {
        "likelihood": float(np.mean(likelihoods)),
        "rmse": float(np.sqrt(np.mean(np.square(errors)))) * 1e6,
        "in_90": float((np.abs(z) < 1.6449).mean()),
        "z": float(np.sqrt(np.mean(z**2))),
    }


def main(
    numbers: Annotated[list[int], typer.Option("--visits", help="Visits learned from.")] = [0, 1, 5, 20, 60],  # noqa: B006
    kinds: Annotated[list[str], typer.Option("--kind", help="Kinds of light curves.")] = list(USUAL),  # noqa: B006
    judged: Annotated[int, typer.Option(min=2, help="Visits predicted.")] = 40,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = ROOT / "bench" / "out",
) -> None:
    """Adapt the released model to more and more visits.

    Example: python bench/adaptation.py --visits 0 --visits 20 --kind clean
    """
    cases = list(product(kinds, numbers))
    with ProcessPoolExecutor(workers) as pool:
        found = pool.map(answer, *zip(*cases, strict=True), [judged] * len(cases))
        results = dict(zip(cases, tqdm(found, total=len(cases)), strict=True))
    lines = ["| light curves | visits | mean ln likelihood | RMSE, ppm | in 90 | z |", "|---|---|---|---|---|---|"]
    for (kind, number), said in results.items():
        scores = f"{said['likelihood']:.3f} | {said['rmse']:.0f} | {100 * said['in_90']:.0f} % | {said['z']:.2f}"
        lines.append(f"| {KINDS[kind].what} | {number} | {scores} |")
    text = "\n".join(lines)
    out.mkdir(parents=True, exist_ok=True)
    (out / "adaptation.md").write_text(text + "\n")
    typer.echo(text)


if __name__ == "__main__":
    run_script(main)
