"""What each stage of the model is worth: scores on simulated light curves of given spectra, in folds by planet.

Run: make models (python bench/models.py ../shared/real/challenge_2024/train_labels.csv). Every row is made by the
project's own commands, which this file only calls; what is finished is kept, so a stopped run goes on. Nothing trained
on the given spectra leaves the output folder.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts._common import run_record, run_script, write_json

logger = logging.getLogger("ariel")

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / "configs"
FOLDS = 5
SIMULATED = (
    "--fast",
    "--layout",
    "both",
    "--planets",
    800,
    "--test-planets",
    120,
    "--fewest-frames",
    750,
    "--seed",
    2026,
)


def main(
    truths: Annotated[Path, typer.Argument(help="CSV of spectra (train_labels.csv).")],
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = REPOSITORY / "bench/out/models",
    seeds: Annotated[int, typer.Option(min=1, help="Of weights and examples, for the rows that matter most.")] = 2,
    few: Annotated[list[int], typer.Option(help="Numbers of labelled planets of the learning curve.")] = [50, 150],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="A few steps of everything: does it run?")] = False,
) -> None:
    """Train and score every variant of the model.

    Example: python bench/models.py train_labels.csv --seeds 1
    """
    bench = Bench(truths, out, ("--steps", 3, "--evaluate-every", 3) if quick else ())
    with run_record(out, "models", {"truths": str(truths), "seeds": seeds, "few": few, "quick": quick}, 0) as run:
        with run.timed("training"):
            rows = bench.all_rows(seeds) | bench.learning_curve(few)
        run.metrics.update(rows)
        write_json(out / "models.json", rows)
        text = as_markdown(rows)
        (out / "models.md").write_text(text, encoding="utf-8")
    print(text)


class Bench:
    """The stages, each a command of the project that is run once."""

    def __init__(self, truths: Path, out: Path, extra: tuple[Any, ...]):
        self.truths, self.out, self.extra = truths, out, extra
        self.labelled, self.simulated = out / "labels", out / "both"

    def all_rows(self, seeds: int) -> dict[str, Any]:
        """Rows of the score table."""
        self.once(self.labelled, "simulate", self.labelled, "--fast", "--spectra", self.truths)
        self.once(self.simulated, "simulate", self.simulated, *SIMULATED)
        masked = self.trained("masked", "pretrain", "--config", CONFIGS / "pretrain.yaml")
        plain = self.trained("plain-simulated", "finetune", "--config", CONFIGS / "plain.yaml", "--model", masked)
        started = {
            "without masked pretraining": self.supervised("simulated", None),
            "with masked pretraining": self.supervised("masked-simulated", masked),
        }
        rows = {
            "plain transformer": self.folds("plain", None, "--physics", "none", "--draws", 1),
            "plain transformer, pretrained and simulated": self.folds(
                "plain-tuned", plain, "--physics", "none", "--draws", 1
            ),
            "physics residual": self.folds("residual", None),
            "physics residual, masked pretraining": self.folds("residual-masked", masked),
        }
        rows = {"physics alone": rows["physics residual"]["classical"], **rows}
        for name, checkpoint in started.items():
            folder = checkpoint.parent.name
            rows[f"zero-shot, {name}"] = self.zero_shot(folder, checkpoint)
            runs = [self.folds(f"{folder}-tuned-{seed}", checkpoint, "--seed", seed) for seed in range(seeds)]
            rows[f"fine-tuned, {name}"] = merged(runs)
        return rows

    def learning_curve(self, few: list[int]) -> dict[str, Any]:
        """Rows with fewer labelled planets to learn from."""
        rows = {}
        starts = {"none": None, "masked": self.out / "masked/model", "simulated": self.out / "simulated/model",
                  "masked-simulated": self.out / "masked-simulated/model"}  # fmt: skip
        for planets in few:
            for name, checkpoint in starts.items():
                runs = self.folds(f"{planets}-{name}", checkpoint, "--planets", planets)
                rows[f"{planets} planets, from {name}"] = runs
        return rows

    def once(self, result: Path, *command: Any) -> None:
        """Run a command unless its result is there."""
        from ariel_scripts import cli

        if result.exists():
            return
        start = time.perf_counter()
        print("$ ariel", *command, flush=True)
        if code := cli.call(*command):
            raise RuntimeError(f"ariel {command[0]} ended with exit code {code}")
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)

    def trained(self, name: str, command: str, *options: Any) -> Path:
        """Checkpoint of a training run."""
        folder = self.out / name
        self.once(folder / "run.json", command, *options, "--out", folder, *self.extra)
        return folder / "model"

    def supervised(self, name: str, checkpoint: Path | None) -> Path:
        """Checkpoint trained on simulated planets with their fits."""
        start = () if checkpoint is None else ("--model", checkpoint)
        return self.trained(name, "finetune", self.simulated, "--config", CONFIGS / "simulated.yaml", *start)

    def folds(self, name: str, checkpoint: Path | None, *options: Any) -> dict[str, Any]:
        """Scores of planets that were held out, by fold; with what physics alone has for the same."""
        start = () if checkpoint is None else ("--model", checkpoint)
        folder = self.trained(
            name, "finetune", self.labelled, "--config", CONFIGS / "labelled.yaml", "--folds", FOLDS, *start, *options
        ).parent
        metrics = json.loads((folder / "run.json").read_text())["metrics"]
        each = [metrics[f"fold-{number}"] for number in range(FOLDS)]
        row = {"folds": [one["held out"] for one in each], "predictions": [str(folder / "predictions.parquet")]}
        if "classical on held out" in each[0] and each[0]["classical on held out"]:
            row["classical"] = {"folds": [one["classical on held out"] for one in each], "predictions": []}
        return row

    def zero_shot(self, name: str, checkpoint: Path) -> dict[str, Any]:
        """Scores of a checkpoint that no given spectrum has touched, in the same folds; from the cache of fits."""
        from ariel_scripts._spectrum_runs import scores, write_spectra
        from hf_dataset.splits import grouped_folds

        path = self.out / f"{name}-zero-shot.parquet"
        if not path.exists():
            planets, mean, sigma = self.from_fits(checkpoint)
            write_spectra(path, planets, range(len(planets)), mean, sigma)
        y, mu, sigma, ids = self.aligned(path)
        number = grouped_folds(ids, FOLDS, 0)
        each = [scores(y[number == k], mu[number == k], sigma[number == k]) for k in range(FOLDS)]
        return {"folds": each, "predictions": [str(path)]}

    def from_fits(self, checkpoint: Path) -> tuple[Any, np.ndarray, np.ndarray]:
        """The given spectra's planets with a checkpoint's mean and sigma (P, C)."""
        from ariel_scripts._fits import fitted, open_curves
        from ariel_scripts._models import open_extractor, open_model
        from ariel_scripts._planets import Classical, read_planets
        from ariel_scripts._spectrum_runs import Spectra
        from ariel_scripts.retrieve import wavelengths_of
        from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction

        wavelength = wavelengths_of(str(self.labelled), "2024")
        extractor = open_extractor(str(checkpoint), wavelength)
        model = open_model(ArielForSpectrumPrediction, str(checkpoint), wavelength).eval()
        planets = read_planets(fitted(open_curves(str(self.labelled), "train"), wavelength), extractor)
        chosen = list(range(len(planets)))
        priors = [model.physics.spectrum_prior()] * len(chosen)
        classical = Classical.of(planets, chosen, model.physics, priors, with_errors=False)
        return planets, *Spectra(planets, chosen, classical, extractor.clip, True).predict(model)

    def aligned(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        """Truth, mean, sigma (P, C) of a predictions file, and its planets."""
        from ariel_scripts.evaluate import read_truth_csv
        from modeling_ariel.predictions_ariel import read_predictions
        from modeling_ariel.scoring_ariel import align

        found = read_predictions(path)
        planets, y, mu, sigma = align(read_truth_csv(self.truths), found.planet_id, found.mu, found.sigma)
        return y, mu, sigma, planets


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Several seeds as one row."""
    return {
        "folds": [fold for run in runs for fold in run["folds"]],
        "predictions": [path for run in runs for path in run["predictions"]],
    }


def as_markdown(rows: dict[str, Any]) -> str:
    """Mean and standard deviation over folds and seeds."""
    lines = ["| method | runs | 2024 score | 2025 score | RMSE ppm |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        columns = {
            key: np.array([fold[key] for fold in row["folds"]]) for key in ("score_2024", "score_2025", "rmse_ppm")
        }
        cells = [f"{columns[key].mean():.3f} ± {columns[key].std(ddof=1):.3f}" for key in ("score_2024", "score_2025")]
        lines.append(f"| {name} | {len(row['folds'])} | {' | '.join(cells)} | {columns['rmse_ppm'].mean():.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
