"""Are the model's error bars right where it was not trained? Other telescopes, atmospheres, star tables and noise.

Run: make away (python bench/away.py MODEL …). Simulated planets that no training saw, changed in one way a case; visits
of `foreign_curves.py`, drawn by another simulator; light curves of given spectra, where there are any (--truths). Each
visit is fitted once, and kept in bench/out/away/ as long as the sources of fit and curves are the same; every model
then starts from the same fits. Planets of status "ok" count. In brackets physics alone: the same posterior before the
network. Writes bench/out/away.md.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from foreign_curves import KINDS, draw
from foreign_curves import light_curves as foreign_light
from numpy.typing import NDArray
from tqdm import tqdm

from ariel_scripts.command_line import run_script
from ariel_scripts.opening import sources
from ariel_scripts.run_record import write_json
from hf_dataset.schema import STAR_COLUMNS
from hf_dataset.simulation import light_curves, telescope, unlike
from hf_dataset.simulation.planets import Planet, planets_from_spectra, sample_layouts, sample_planets, wavelengths_um

ROOT = Path(__file__).resolve().parents[1]
TRUTHS = ROOT.parent / "shared/real/challenge_2024/train_labels.csv"
FIRST = 20_000  # number of the first foreign visit: those of bench/foreign.py begin at 0
SEED = 909  # of the planets; the released model trained on another
FOREIGN = (
    "clean",
    "twisted_100",
    "red_1h",
    "ramp",
    "limb_darkening",
    "table_b",
    "no_table",
    "errors_half",
    "wasp39b",
    "night",
)

Array = NDArray[np.float64]
Row = dict[str, Any]
USUAL = light_curves.LightCurveSettings()


def other_features(factor: float) -> Callable[[Planet], Planet]:
    """The planet with features so many times as large."""

    def change(planet: Planet) -> Planet:
        level = planet.spectrum.mean()
        return replace(planet, spectrum=np.clip(level + factor * (planet.spectrum - level), 1e-5, None))

    return change


def other_atmosphere(planet: Planet) -> Planet:
    """The planet with a spectrum unlike the population."""
    rng = np.random.default_rng([SEED, planet.planet_id])
    spectrum = unlike.unlike_spectra(planet.spectrum[None], wavelengths_um(planet.layout), rng)[0]
    return replace(planet, spectrum=spectrum)


def dimmer(_: Planet) -> light_curves.LightCurveSettings:
    """A 40th of the light."""
    return replace(USUAL, noise=light_curves.NoiseModel(airs_exposures=telescope.AIRS_EXPOSURES // 40))


def more_drift(_: Planet) -> light_curves.LightCurveSettings:
    """Drift three times as large."""
    law = USUAL.drift
    return replace(USUAL, drift=replace(law, airs=tuple(3 * a for a in law.airs), fgs1=tuple(3 * a for a in law.fgs1)))


def same(planet: Planet) -> Planet:
    """As it is."""
    return planet


def usual(_: Planet) -> light_curves.LightCurveSettings:
    """Light curves as in training."""
    return USUAL


SIMULATED: dict[str, tuple[Callable[[Planet], Planet], Callable[[Planet], light_curves.LightCurveSettings]]] = {
    "as trained": (same, usual),
    "depths times 2": (lambda planet: replace(planet, spectrum=2.0 * planet.spectrum), usual),
    "features times 3": (other_features(3.0), usual),
    "no features": (other_features(0.0), usual),
    "other atmospheres": (other_atmosphere, usual),
    "a 40th of the light": (same, dimmer),
    "drift times 3": (same, more_drift),
    "no star table, 2025": (same, usual),
    "star table of another planet": (same, usual),
}


@cache
def population(layout: str, count: int) -> tuple[Planet, ...]:
    """Planets that no training saw."""
    return tuple(sample_layouts(count, SEED, "both") if layout == "both" else sample_planets(count, SEED + 2, layout))


@cache
def given(truths: Path) -> tuple[Planet, ...]:
    """A planet for each given spectrum."""
    from ariel_scripts.opening.truths import read_truth_csv

    return tuple(planets_from_spectra(read_truth_csv(truths), SEED))


def row_of(case: str, number: int, count: int, truths: Path) -> Row:
    """Visit ``number`` of a case as a row of a dataset, its true spectrum included."""
    if case in KINDS:
        visit = draw(FIRST + number, KINDS[case])
        flux, error, valid = foreign_light(visit)
        star = dict.fromkeys(STAR_COLUMNS, np.nan) | visit.table
        curves = {"time": visit.time, "flux": flux, "flux_err": error, "valid": valid, "spectrum": visit.depth}
        return {"planet_id": number, "visit": 0, "layout": "2025", **curves, **star}
    if case == "label spectra":
        return light_curves.simulate_row(given(truths)[number], seed=SEED)
    planets = population("2025" if "table" in case else "both", count)
    change, settings = SIMULATED[case]
    row = light_curves.simulate_row(change(planets[number]), seed=SEED, settings=settings(planets[number]))
    if case.startswith("no star table"):
        row |= dict.fromkeys(STAR_COLUMNS, np.float32(np.nan))
    if case.startswith("star table of another"):
        row |= planets[(number + 1) % count].star_table()
    return row


def fit_one(case: str, number: int, count: int, truths: Path, folder: Path) -> Path:
    """File of a visit's features, fit and true spectrum, made where it is not there."""
    import torch

    from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
    from modeling_ariel.physics import fit_inputs
    from modeling_ariel.retrieval import fit

    torch.set_num_threads(1)
    path = folder / f"{case.replace(' ', '_')}-{number}.pkl"
    if not path.exists():
        row = row_of(case, number, count, truths)
        truth = np.asarray(row.pop("spectrum"), np.float64)
        features = dict(ArielFeatureExtractor()([row]))
        with torch.no_grad():
            found = fit(fit_inputs(features), torch.as_tensor(wavelengths_um()))
        path.write_bytes(pickle.dumps((features, found, truth)))
    return path


def judge(model: Any, files: list[Path]) -> dict[str, Any]:
    """Numbers of a case, of the model and of physics alone."""
    import torch

    from modeling_ariel.pipeline_ariel import classical_inputs

    found, states = [], []
    one = torch.zeros(1, dtype=torch.long)
    for path in files:
        features, fits, truth = pickle.loads(path.read_bytes())
        with torch.no_grad():
            classical = model.physics.summarise(fits, one)
            states += classical.status
            if classical.status != ["ok"]:
                continue
            given = classical_inputs(classical) if model.config.physics == "residual" else {}
            answer = model(**features, **given)
        parts = (answer.mean, answer.sigma, classical.mean, classical.sigma)
        found.append([truth, *(part[0].double().numpy() for part in parts), answer.distance.numpy()])
    said: dict[str, Any] = {"planets": len(files), "ok": states.count("ok")}
    if not found:
        return said
    truth, mean, sigma, physics_mean, physics_sigma, distance = map(np.stack, zip(*found, strict=True))
    near = distance[:, 0] <= 1.0
    said |= {"far": float((~near).mean()), "near": int(near.sum())}
    if near.any():
        said["model where near"] = numbers(truth[near], mean[near], sigma[near])
    return said | {"model": numbers(truth, mean, sigma), "physics": numbers(truth, physics_mean, physics_sigma)}


def numbers(truth: Array, mean: Array, sigma: Array) -> dict[str, float]:
    """Score, coverage, spread and mean of z, error and mean ln likelihood of a channel."""
    from modeling_ariel.scoring import coverage, log_likelihood, rmse, score_2024, z_scores

    mean = mean.clip(0.0)
    z = z_scores(truth, mean, sigma)
    return {
        "score_2024": float(score_2024(truth, mean, sigma)),
        "in_90": float(coverage(truth, mean, sigma, 0.9)),
        "z": float(np.sqrt((z**2).mean())),
        "bias": float(-z.mean()),
        "rmse_ppm": 1e6 * float(rmse(truth, mean)),
        "log_likelihood": float(log_likelihood(truth, mean, sigma).mean()),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown: a line a case, the model and in brackets physics alone."""
    lines = [
        "| case | ok | far from training | in 90 | z spread | bias, σ | RMSE ppm | mean ln likelihood |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, row in rows.items():
        name = f"batman: {row['what']}" if case in KINDS else row["what"]
        cells = [f"{row['ok']} of {row['planets']}", "–" if "far" not in row else f"{100 * row['far']:.0f} %"]
        for key, form in (("in_90", "{:.1%}"), ("z", "{:.2f}"), ("bias", "{:+.2f}"), ("rmse_ppm", "{:.0f}"),
                          ("log_likelihood", "{:.3f}")):  # fmt: skip
            pair = [form.format(row[who][key]) for who in ("model", "physics")] if "model" in row else ["–", "–"]
            cells.append(f"{pair[0]} ({pair[1]})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def every_case(truths: Path) -> list[str]:
    """Names of all cases; light curves of given spectra where there are any."""
    return [*SIMULATED, *(["label spectra"] if truths.exists() else []), *FOREIGN]


def fits(cases: list[str], planets: int, workers: int, truths: Path, out: Path) -> dict[str, list[Path]]:
    """Files of every case's fits; those on disk are not made again."""
    content = [Path(__file__).with_name("foreign_curves.py").read_bytes(), Path(__file__).read_bytes()]
    content += [path.read_bytes() for path in sorted((ROOT / "hf_dataset/simulation").glob("*.py"))]
    folder = out / "away" / f"{sources.digest(sources.FIT, content)}-{planets}"
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    with ProcessPoolExecutor(workers) as pool:
        for case in tqdm(cases, unit="case", desc="fits"):
            same_for_all = (repeat(one) for one in (planets, truths, folder))
            found[case] = list(pool.map(fit_one, repeat(case), range(planets), *same_for_all))
    return found


def judged(name: str, files: dict[str, list[Path]]) -> dict[str, dict[str, Any]]:
    """Numbers of a checkpoint in every case, and what the case is."""
    from ariel_scripts.opening.hub import locate_model
    from modeling_ariel.architectures import checkpoint_class

    folder = locate_model(name, None).location
    model = checkpoint_class(folder).from_pretrained(folder).eval()
    rows = tqdm(files.items(), unit="case", desc=name)
    return {case: {"what": KINDS[case].what if case in KINDS else case} | judge(model, paths) for case, paths in rows}


def main(
    models: Annotated[list[str], typer.Argument(help="Checkpoints.")] = ["released"],  # noqa: B006
    planets: Annotated[int, typer.Option(min=4, help="Of each case.")] = 60,
    cases: Annotated[list[str] | None, typer.Option("--case", help="A case alone; more by repeating.")] = None,
    truths: Annotated[Path, typer.Option(help="CSV of spectra; left out where it is not there.")] = TRUTHS,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = ROOT / "bench/out",
) -> None:
    """Judge models away from home.

    Example: python bench/away.py released --planets 20 --case "as trained" --case clean
    """
    every = every_case(truths)
    if unknown := sorted(set(cases or ()) - {*every, *KINDS}):
        raise typer.BadParameter(f"case: expected some of {', '.join(every)} or of foreign.py's, found {unknown[0]}")
    files = fits(cases or every, planets, workers, truths, out)
    results = {name: judged(name, files) for name in models}
    text = "\n".join(f"{name}\n\n{table(rows)}\n" for name, rows in results.items())
    (out / "away.md").write_text(text)
    write_json(out / "away.json", results)
    typer.echo(text)


if __name__ == "__main__":
    run_script(main)
