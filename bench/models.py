"""What each stage of the model is worth: scores on simulated light curves of given spectra, in folds by planet.

Run: make models (python bench/models.py ../shared/real/challenge_2024/train_labels.csv). Every row is made by the
project's own commands, which this file only calls; finished parts are kept, so a stopped run continues. Nothing trained
on the given spectra leaves the output folder.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json

logger = logging.getLogger("ariel")

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / "configs"
FOLDS = 5
FOLDS_OF_CURVE = (0, 1)  # two of the five, for time
NIGHTS = 300  # visits without labels that a checkpoint is adapted to
SIMULATED = (
    "--fast",
    "--layout",
    "both",
    "--planets",
    800,
    "--test-planets",
    120,
    "--unlike-planets",
    600,
    "--fewest-frames",
    750,
    "--seed",
    2026,
)


def main(
    truths: Annotated[Path, typer.Argument(help="CSV of spectra (train_labels.csv).")],
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = REPOSITORY / "bench/out/models",
    seeds: Annotated[int, typer.Option(min=1, help="Of weights and examples, for the fine-tuned model.")] = 2,
    few: Annotated[list[int], typer.Option(help="Numbers of labelled planets of the learning curve.")] = [50, 150],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="A few steps of everything: does it run?")] = False,
) -> None:
    """Train and score every variant of the model.

    Example: python bench/models.py train_labels.csv --seeds 1
    """
    out = out / "quick" if quick else out
    bench = Bench(truths, out, ("--steps", 3, "--evaluate-every", 3) if quick else ())
    with run_record(out, "models", {"truths": str(truths), "seeds": seeds, "few": few, "quick": quick}, 0) as run:
        with run.timed("training"):
            rows = bench.classical_rows() | bench.all_rows(seeds)
            curve = bench.learning_curve(few)
            for name in (
                "physics residual",
                "physics residual, masked pretraining",
                "adapted and fine-tuned, without masked pretraining",
            ):
                curve[f"all planets, {name}"] = bench.of_curve(rows[name])
            rows |= curve
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

    def classical_rows(self) -> dict[str, Any]:
        """Rows of `ariel score-table`: pooled over the same planets and folds, one sigma factor a fold."""
        folder = self.out / "score-table"
        self.once(folder, "score-table", self.truths, "--out", folder)
        table = json.loads((folder / "table.json").read_text())
        return {name: {"folds": [row], "predictions": []} for name, row in table.items()}

    def all_rows(self, seeds: int) -> dict[str, Any]:
        """Rows of the score table."""
        self.once(self.labelled, "simulate", self.labelled, "--fast", "--spectra", self.truths)
        self.simulated_curves()
        masked = self.trained("masked", "pretrain", "--config", CONFIGS / "pretrain.yaml")
        plain = self.trained("plain-simulated", "finetune", "--config", CONFIGS / "plain.yaml", "--model", masked)
        started = {
            "without masked pretraining": self.supervised("simulated", None),
            "with masked pretraining": self.supervised("masked-simulated", masked),
        }
        rows = {
            "plain transformer, pretrained, simulated, fine-tuned": self.folds(
                "plain-tuned", plain, "--physics", "none", "--draws", 1, "--steps", 600
            ),
            "physics residual": self.folds("residual", None),
            "physics residual, masked pretraining": self.folds("residual-masked", masked),
        }
        rows = {"physics alone": rows["physics residual"]["classical"], **rows}
        for name, checkpoint in started.items():
            folder = checkpoint.parent.name
            adapted = self.adapted(folder, checkpoint)
            rows[f"zero-shot, {name}"] = self.zero_shot(folder, checkpoint)
            rows[f"adapted, {name}"] = self.zero_shot(f"{folder}-adapted", adapted)
            count = seeds if name.startswith("without") else 1
            runs = [self.folds(f"{folder}-tuned-{seed}", adapted, "--seed", seed) for seed in range(count)]
            rows[f"physics alone, telescope adapted, {name}"] = runs[0]["classical"]
            rows[f"adapted and fine-tuned, {name}"] = merged(runs)
        rows["limit, free drift, with the fine-tuned prior and network"] = self.limit(self.out / "simulated-tuned-0")
        return rows

    def simulated_curves(self) -> None:
        """Planets to be supervised on, of both populations."""
        self.once(self.simulated, "simulate", self.simulated, *SIMULATED)

    def learning_curve(self, few: list[int]) -> dict[str, Any]:
        """Rows with fewer labelled planets to learn from."""
        rows = {}
        starts = {"none": None, "masked": self.out / "masked/model", "simulated": self.out / "simulated-adapted"}
        for planets in few:
            for name, checkpoint in starts.items():
                runs = [
                    self.folds(f"{planets}-{name}-{fold}", checkpoint, "--planets", planets, "--fold", fold)
                    for fold in FOLDS_OF_CURVE
                ]
                rows[f"{planets} planets, from {name}"] = merged(runs)
        return rows

    def of_curve(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of all planets in the folds of the learning curve alone."""
        return {"folds": [row["folds"][fold] for fold in FOLDS_OF_CURVE], "predictions": []}

    def once(self, result: Path, *command: Any) -> None:
        """Run a command unless its result is there."""
        from ariel_scripts import cli

        if finished(result):
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
        options = ("--config", CONFIGS / "simulated.yaml", "--fit-workers", 2)
        return self.trained(name, "finetune", self.simulated, *options, *start)

    def adapted(self, name: str, checkpoint: Path) -> Path:
        """A checkpoint adapted to light curves without labels, of other planets by the same telescope."""
        nights, folder = self.out / "nights", self.out / f"{name}-adapted"
        self.once(nights, "simulate", nights, "--fast", "--layout", "2024", "--planets", NIGHTS, "--seed", 4242)
        self.once(folder, "adapt", nights, "--split", "train", "--model", checkpoint, "--out", folder, "--workers", 2)
        return folder

    def folds(self, name: str, checkpoint: Path | None, *options: Any) -> dict[str, Any]:
        """Scores of planets that were held out, by fold; with what physics alone has for the same."""
        start = () if checkpoint is None else ("--model", checkpoint)
        folder = self.trained(
            name, "finetune", self.labelled, "--config", CONFIGS / "labelled.yaml", "--folds", FOLDS, *start, *options
        ).parent
        metrics = json.loads((folder / "run.json").read_text())["metrics"]
        each = [metrics[name] for name in sorted(metrics) if name.startswith("fold-")]
        if len(each) != (1 if "--fold" in options else FOLDS):
            raise RuntimeError(f"{folder}: expected the scores of every fold, found {len(each)}")
        row = {"folds": [one["held out"] for one in each], "predictions": [str(folder / "predictions.parquet")]}
        if "classical on held out" in each[0] and each[0]["classical on held out"]:
            row["classical"] = {"folds": [one["classical on held out"] for one in each], "predictions": []}
        return row

    def zero_shot(self, name: str, checkpoint: Path) -> dict[str, Any]:
        """Scores of a checkpoint that no given spectrum has touched, in the same folds; from the cache of fits."""
        from ariel_scripts.training.spectrum_runs import scores, told_of, write_spectra
        from hf_dataset.splits import grouped_folds

        path = self.out / f"{name}-zero-shot.parquet"
        if not path.exists():
            planets, mean, sigma, distance = self.from_fits(checkpoint)
            told = told_of(self.opened(checkpoint), planets, range(len(planets)), distance)
            write_spectra(path, planets, range(len(planets)), mean, sigma, told)
        y, mu, sigma, ids = self.aligned(path)
        number = grouped_folds(ids, FOLDS, 0)
        each = [scores(y[number == k], mu[number == k], sigma[number == k]) for k in range(FOLDS)]
        return {"folds": each, "predictions": [str(path)]}

    def from_fits(self, checkpoint: Path) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        """The given spectra's planets with a checkpoint's mean and sigma (P, C) and distances (P,).

        They are fitted as it takes its telescope.
        """
        from ariel_scripts.training.spectrum_runs import SpectrumEvaluator

        planets, extractor = self.fitted_planets(checkpoint)
        chosen, model = list(range(len(planets))), self.opened(checkpoint)
        classical = self.classical(planets, chosen, model)
        return planets, *SpectrumEvaluator(planets, chosen, classical, extractor.clip, True).predict(model)

    def fitted_planets(self, checkpoint: Path) -> tuple[Any, Any]:
        """Planets with the given spectra and their fits, from the cache, and a checkpoint's feature extractor."""
        from ariel_scripts.opening.datasets import open_curves, wavelengths_of
        from ariel_scripts.opening.models import open_extractor
        from ariel_scripts.training.fits import fitted
        from ariel_scripts.training.planets import read_planets

        wavelength = wavelengths_of(str(self.labelled), "2024")
        extractor = open_extractor(str(checkpoint), wavelength)
        curves, settings = open_curves(str(self.labelled), "train"), self.opened(checkpoint).physics.fit_settings
        return read_planets(fitted(curves, wavelength, 2, settings), extractor), extractor

    @staticmethod
    def opened(checkpoint: Path) -> Any:
        """A model for prediction."""
        from ariel_scripts.opening.models import open_model
        from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction

        return open_model(ArielForSpectrumPrediction, str(checkpoint), None).eval()

    @staticmethod
    def classical(planets: Any, chosen: list[int], model: Any) -> Any:
        """The classical posterior of planets by a model's own prior and populations."""
        from ariel_scripts.training.planets import Classical

        return Classical.of(planets, chosen, model.physics, [model.physics.spectrum_prior()] * len(chosen), False)

    def limit(self, tuned: Path) -> dict[str, Any]:
        """What fine-tuned folds make of depths that no fit can better: `ariel score-table`'s limit with free drift.

        The exact noise model and the true orbit, limb darkening and drift order replace the fit and the populations;
        the prior and the network stay (it is given the fit's shared parameters). No fit should beat this.
        """
        import torch

        from ariel_scripts.training.spectrum_runs import SpectrumEvaluator, scores

        path, each = self.out / "limit.npz", []
        planets, extractor = self.fitted_planets(tuned / "fold-0/model")
        if not path.exists():
            depth, covariance = self.exact(planets)
            np.savez(path, depth=depth, covariance=covariance)
        exact = {name: torch.as_tensor(value) for name, value in np.load(path).items()}
        planets.fits = replace(planets.fits, **exact)
        for number in range(FOLDS):
            folder = tuned / f"fold-{number}"
            held = set(json.loads((folder / "model/training.json").read_text())["planets"]["held out"])
            chosen = [place for place, planet in enumerate(planets.ids) if planet in held]
            model = self.opened(folder / "model")
            model.physics.population_used.zero_()
            classical = self.classical(planets, chosen, model)
            mean, sigma, _ = SpectrumEvaluator(planets, chosen, classical, extractor.clip, True).predict(model)
            each.append(scores(planets.truths[chosen], mean, sigma))
        return {"folds": each, "predictions": []}

    def exact(self, planets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Depths (P, C) and covariances (P, C, C) of the limit."""
        import torch
        from tqdm import tqdm

        from ariel_scripts.prediction.limit import exact_depths, simulate
        from hf_dataset.simulation.planets import wavelengths_um

        wavelength, found = torch.as_tensor(wavelengths_um("2024")), []
        for planet, spectrum in tqdm(zip(planets.ids, planets.truths, strict=True), total=len(planets), unit="planet"):
            row, truth, system = simulate(planet, spectrum, 375, 0)
            found.append(exact_depths(row, truth, system, wavelength, drift_known=False))
        return tuple(np.stack([one[part].numpy() for one in found]) for part in (0, 1))  # type: ignore[return-value]

    def aligned(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        """Truth, mean, sigma (P, C) of a predictions file, and its planets."""
        from ariel_scripts.opening.truths import read_truth_csv
        from modeling_ariel.predictions import read_predictions
        from modeling_ariel.scoring import align

        found = read_predictions(path)
        planets, y, mu, sigma = align(read_truth_csv(self.truths), found.planet_id, found.mu, found.sigma)
        return y, mu, sigma, planets


def finished(result: Path) -> bool:
    """Whether a command's result is there, and its run record, where it leaves one, does not say otherwise."""
    record = result / "run.json" if result.is_dir() else result
    if record.name != "run.json" or not record.exists():
        return result.exists()
    return json.loads(record.read_text())["status"] == "done"


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Several seeds as one row."""
    return {
        "folds": [fold for run in runs for fold in run["folds"]],
        "predictions": [path for run in runs for path in run["predictions"]],
    }


def as_markdown(rows: dict[str, Any]) -> str:
    """Mean and standard deviation over folds and seeds; rows that are pooled over planets have no deviation."""
    lines = ["| method | runs | 2024 score | 2025 score | RMSE ppm | mean ln likelihood |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        folds = row["folds"]
        cells = [_spread([fold[key] for fold in folds]) for key in ("score_2024", "score_2025")]
        likelihood = np.mean([fold.get("log_likelihood", np.nan) for fold in folds])
        cells += [f"{np.mean([fold['rmse_ppm'] for fold in folds]):.1f}", f"{likelihood:.3f}"]
        lines.append(
            f"| {name} | {len(folds) if len(folds) > 1 else 'pooled'} | {' | '.join(cells)} |".replace("nan", "–")
        )
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    run_script(main)
