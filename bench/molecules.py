"""Molecules held out: a model that never met one, scored on planets that have it, as labels of such planets come in.

Run: make molecules (python bench/molecules.py). Every row is made by the project's own commands; finished parts are
kept, so a stopped run continues. Judged and labelled are planets in whose spectrum the molecule shows: of those of the
population 36 % by CH4, 20 % by H2O, 4 % by CO2. CO and NH3 are traces that show in none; with a lower --ppm they can
be asked for. Writes molecules.md and molecules.json.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
import yaml
from models import CONFIGS, REPOSITORY, Bench, finished
from numpy.typing import NDArray

from ariel_scripts.command_line import run_script
from ariel_scripts.opening.datasets import read_truths
from ariel_scripts.opening.hub import locate_dataset
from ariel_scripts.run_record import run_record, write_json
from hf_dataset.simulation.dataset import Observation, write_dataset
from hf_dataset.simulation.planets import Planet, sample_layouts, spectra, wavelengths_um
from modeling_ariel.predictions import read_predictions
from modeling_ariel.scoring import align, coverage, summary, z_scores
from modeling_ariel.spectrum_prior import MIXTURE, SpectrumPrior
from modeling_ariel.status import OK
from modeling_ariel.surprise import Surprise

Array = NDArray[np.float64]

# Where a molecule adds most to the spectra of simulated planets that show it, or would: at least half of its largest
# rms [um].
BANDS = {"CH4": (3.15, 3.55), "H2O": (2.50, 2.90), "CO2": (2.65, 2.86), "CO": (2.30, 2.45), "NH3": (2.90, 3.10)}
USUAL, FEW = ("CH4", "H2O", "CO2"), (10, 50, 400)  # molecules; numbers of labels
TRAINED_SEED, JUDGED_SEED, PRIOR_SEED = 2026, 5_000_000, 1
_DRAWN, _MOST_DRAWN = 1000, 100_000  # planets drawn at a time, and before it is given up


@dataclass(frozen=True)
class Sizes:
    """What decides the results; planets whose spectrum a molecule moves by ``ppm`` (rms about the mean) show it."""

    planets: int
    judged: int
    labels: tuple[int, ...]
    steps: int
    ppm: float


QUICK = Sizes(planets=6, judged=3, labels=(4,), steps=3, ppm=30.0)


def main(
    molecules: Annotated[list[str], typer.Option("--molecule", help="Held out, each by itself.")] = list(USUAL),  # noqa: B006
    planets: Annotated[
        int, typer.Option(min=6, help="Trained on without the molecule; and half as many unlike.")
    ] = 800,
    judged: Annotated[int, typer.Option(min=2, help="Planets that show it, which are predicted.")] = 120,
    labels: Annotated[list[int], typer.Option(min=4, help="Numbers of labelled planets that show it.")] = list(FEW),  # noqa: B006
    steps: Annotated[int, typer.Option(min=1, help="Of training on simulation.")] = 2000,
    ppm: Annotated[float, typer.Option(help="By how much it moves a spectrum that shows it (rms), at least.")] = 30.0,
    out: Annotated[Path, typer.Option(help="Folder of the table and everything that is made.")] = REPOSITORY
    / "bench/out",
    quick: Annotated[
        bool, typer.Option("--quick", help="A few steps of everything, two minutes a molecule: does it run?")
    ] = False,
) -> None:
    """Hold molecules out and score what each way of retrieval makes of planets that have them.

    Example: python bench/molecules.py --molecule CH4 --planets 120 --steps 400
    """
    if unknown := sorted(set(molecules) - set(BANDS)):
        raise typer.BadParameter(f"molecule: expected some of {', '.join(BANDS)}, found {', '.join(unknown)}")
    out = out / "quick" if quick else out
    sizes = QUICK if quick else Sizes(planets, judged, tuple(sorted(labels)), steps, ppm)
    work = out / "molecules"
    keep_settings(work / "settings.json", sizes)
    bench = Bench(Path("-"), work, ("--evaluate-every", 3, "--steps", 3) if quick else ())
    with run_record(out, "molecules", asdict(sizes) | {"molecules": molecules}, 0, name="molecules.run.json") as run:
        rows = {molecule: HeldOut(bench, molecule, sizes).rows() for molecule in molecules}
        run.metrics.update(rows)
        write_json(out / "molecules.json", {"sizes": asdict(sizes), "rows": rows})
        text = as_markdown(rows)
        (out / "molecules.md").write_text(text, encoding="utf-8")
    print(text)


def keep_settings(path: Path, sizes: Sizes) -> None:
    """Write what the parts in a folder are made with; ValueError where those there are made otherwise."""
    wanted = json.loads(json.dumps(asdict(sizes)))
    if path.exists() and (known := json.loads(path.read_text())) != wanted:
        raise ValueError(f"{path}: expected {wanted}, found parts made with {known}: choose another --out or delete it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


class HeldOut:
    """One molecule: planets without it to train on, planets that show it to judge by, and all that predict them."""

    def __init__(self, bench: Bench, molecule: str, sizes: Sizes):
        self.bench, self.molecule, self.sizes = bench, molecule, sizes
        self.folder, self.curves = bench.out / molecule, bench.out / molecule / "curves"

    def rows(self) -> dict[str, dict[str, float]]:
        """Scores on the judged planets, by what predicted them."""
        self.judged_curves()
        known = spectra(2000, PRIOR_SEED, without=(self.molecule,))
        model = trained(self.bench, self.sizes, self.molecule)
        predictions = {
            "classical": self.classical(known),
            "trained without it": self.predicted("zero-shot", model),
            "adapted, no labels": self.predicted("adapted", self.adapted(model)),
        }
        for count in self.sizes.labels:
            predictions[f"fine-tuned, {count} labels"] = self.predicted(f"labels-{count}", self.tuned(model, count))
        predictions["trained with all molecules"] = self.predicted("all", trained(self.bench, self.sizes, None))
        truths = read_truths(locate_dataset(str(self.curves)), "test")
        reference = float(known.mean()), float(known.std())
        inside = band_of(self.molecule)
        return {name: scores(path, truths, inside, reference) for name, path in predictions.items()}

    def judged_curves(self) -> None:
        """Light curves of planets that show the molecule: labelled ones (train) and judged ones (test)."""
        if finished(self.curves / "run.json"):
            return
        shutil.rmtree(self.curves, ignore_errors=True)  # what a stopped run has left
        labelled = max(self.sizes.labels)
        shown = planets_that_show(self.molecule, labelled + self.sizes.judged, self.sizes.ppm)
        groups = {"train": shown[:labelled], "test": shown[labelled:]}
        about = {"planets": {split: len(group) for split, group in groups.items()}, "shows": self.molecule}
        print(f"light curves of {len(shown)} planets that show {self.molecule}", flush=True)
        with run_record(self.curves, "simulate", about, JUDGED_SEED):
            write_dataset(self.curves, groups, "both", Observation(seed=JUDGED_SEED), about, lambda _: None)

    def classical(self, known: Array) -> Path:
        """Predictions of the fit with a prior of the ``known`` spectra (N, C), which lack the molecule."""
        prior, path = self.folder / "prior.safetensors", self.folder / "classical.parquet"
        if not prior.exists():
            share = yaml.safe_load((CONFIGS / "simulated.yaml").read_text(encoding="utf-8"))["surprise"]
            surprise = Surprise.of(torch.as_tensor(wavelengths_um()), share)
            SpectrumPrior.fit(torch.as_tensor(known), MIXTURE, surprise).save(prior)
        self.bench.once(path, "retrieve", self.curves, "--split", "test", "--prior", prior, "--out", path)
        return path

    def predicted(self, name: str, model: Path) -> Path:
        """Predictions of the judged planets by a model."""
        path = self.folder / f"{name}.parquet"
        self.bench.once(path, "predict", self.curves, "--split", "test", "--model", model, "--out", path)
        return path

    def adapted(self, model: Path) -> Path:
        """A model adapted to the judged planets' light curves."""
        folder = self.folder / "adapted"
        self.bench.once(folder, "adapt", self.curves, "--split", "test", "--model", model, "--out", folder)
        return folder

    def tuned(self, model: Path, count: int) -> Path:
        """A model fine-tuned on as many labelled planets; so few that no prior is learned keep the model's."""
        options = ("--config", CONFIGS / "labelled.yaml", "--folds", 0, "--planets", count, "--model", model)
        return self.bench.trained(f"{self.molecule}/tuned-{count}", "finetune", self.curves, *options)


def trained(bench: Bench, sizes: Sizes, molecule: str | None) -> Path:
    """A model trained on simulated planets without a molecule, or with all of them."""
    less = () if molecule is None else ("--without", molecule)
    name = "all" if molecule is None else molecule
    curves, count = bench.out / f"{name}/trained-on", sizes.planets
    drawn = ("--planets", count, "--unlike-planets", count // 2, "--fewest-frames", 750, "--seed", TRAINED_SEED)
    bench.once(curves, "simulate", curves, "--fast", "--layout", "both", *drawn, *less)
    recipe = ("--config", CONFIGS / "simulated.yaml", "--steps", sizes.steps)
    return bench.trained(f"{name}/model", "finetune", curves, *recipe, *less)


def planets_that_show(molecule: str, count: int, ppm: float) -> list[Planet]:
    """Planets of both layouts whose spectrum, about its mean, the molecule moves by ``ppm`` (rms) or more.

    ValueError where they are too rare to find.
    """
    found: dict[int, Planet] = {}
    for seed in range(JUDGED_SEED, JUDGED_SEED + 2 * _MOST_DRAWN // _DRAWN, 2):  # layouts have a seed each
        full = sample_layouts(_DRAWN, seed, "both")
        less = sample_layouts(_DRAWN, seed, "both", (molecule,))
        added = np.array([one.spectrum - other.spectrum for one, other in zip(full, less, strict=True)])
        shows = 1e6 * added.std(1) >= ppm
        found |= {planet.planet_id: planet for planet, yes in zip(full, shows, strict=True) if yes}
        if len(found) >= count:
            return list(found.values())[:count]
    raise ValueError(
        f"expected {count} planets whose spectrum {molecule} moves by {ppm:g} ppm, found {len(found)} of {_MOST_DRAWN}"
    )


def band_of(molecule: str) -> NDArray[np.bool_]:
    """Channels (C,) of a molecule's band."""
    low, high = BANDS[molecule]
    return (wavelengths_um() >= low) & (wavelengths_um() < high)


def scores(
    path: Path, truths: Mapping[int, Array], inside: NDArray[np.bool_], reference: tuple[float, float]
) -> dict[str, float]:
    """Scores of predicted planets with true spectra (C,); those of the channels ``inside`` (C,) a band apart.

    ``reference``: mean and spread of the spectra that were trained on, which score 0.
    """
    found = read_predictions(path)
    _, truth, mean, sigma = align(truths, found.planet_id, found.mu, found.sigma)
    part = truth[:, inside], mean[:, inside], sigma[:, inside]
    bias = z_scores(*part).mean(1)  # of each planet: its channels err together
    whole = summary(truth, mean, sigma, reference)
    return {
        **{name: whole[name] for name in ("score_2024", "rmse_ppm", "log_likelihood", "coverage_90", "z_spread")},
        "band_coverage_90": coverage(*part),
        "band_bias_sigma": float(bias.mean()),
        "band_bias_error": float(bias.std(ddof=1) / np.sqrt(len(bias))),
        "ok": float(np.mean([status == OK for status in found.extra["status"]])),
    }


def as_markdown(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A table of all molecules; bias is the mean z in the molecule's band, with its error over planets."""
    head = ("without", "answer", "2024 score", "RMSE ppm", "mean ln likelihood", "in 90", "in 90, its band", "z spread")
    lines = [f"| {' | '.join((*head, 'bias σ, its band', 'ok'))} |", "|---" * (len(head) + 2) + "|"]
    for molecule, answers in rows.items():
        for name, row in answers.items():
            cells = [f"{row['score_2024']:.3f}", f"{row['rmse_ppm']:.1f}", f"{row['log_likelihood']:.3f}"]
            cells += [f"{100 * row[key]:.1f} %" for key in ("coverage_90", "band_coverage_90")]
            cells += [f"{row['z_spread']:.2f}", f"{row['band_bias_sigma']:+.2f} ± {row['band_bias_error']:.2f}"]
            lines.append(f"| {molecule} | {name} | {' | '.join(cells)} | {100 * row['ok']:.0f} % |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
