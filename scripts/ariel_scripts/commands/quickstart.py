"""`ariel quickstart`: the whole road once, on simulated raw planets, and a page that shows it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import run_record, run_script

logger = logging.getLogger(__name__)

MEANING = {
    "score_2024": "the 2024 challenge's score: 0 for one mean spectrum for all planets, 1 for truth known to 10 ppm",
    "score_2025": "the 2025 score: the same per channel, with most of the weight on FGS1",
    "rmse_ppm": "root mean square error of the depths; the spectra's features are 50–200 ppm",
    "sigma_median_ppm": "the typical error bar: it should be near the error",
    "coverage_90": "share of truths inside the 90 % band: 0.90 over many planets if the error bars are honest",
    "z_spread": "spread of (μ − truth)/σ: 1 over many planets if the error bars are honest, more if too small",
}
ONE_PLANET = ("score_2024", "rmse_ppm", "sigma_median_ppm")  # coverage of one planet's channels says nothing


def main(
    out: Annotated[Path, typer.Argument(help="Folder for everything that is made.")] = Path("quickstart"),
    planets: Annotated[int, typer.Option(min=2, help="Labelled planets with reduced frames.")] = 12,
    test_planets: Annotated[int, typer.Option(min=1, help="Planets to submit, their labels hidden.")] = 4,
    frames: Annotated[int, typer.Option(help="AIRS frames of a reduced planet; a real one has 11250.")] = 1500,
    full: Annotated[bool, typer.Option(help="Also one planet with all its frames.")] = True,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Simulate raw planets, build the dataset, get spectra, score, write a submission, and draw a page of it all.

    Run again, it goes on where it stopped.

    Example: ariel quickstart quickstart
    """
    config = {"planets": planets, "test_planets": test_planets, "frames": frames, "full": full, "seed": seed}
    raw, run_dir, parts = out / "raw", out / "run", {"reduced": out / "light-curves"}
    with run_record(out, "quickstart", config, seed) as run:
        _ariel("simulate", raw, "--planets", planets, "--test-planets", test_planets, "--frames", frames,
               "--full", int(full), "--seed", seed)  # fmt: skip
        _ariel("explore", raw, "--out", out / "explore.md")
        _ariel("build-dataset", raw, parts["reduced"])
        if full:
            parts["full"] = out / "light-curves-full"
            _ariel("build-dataset", raw / "full", parts["full"])
        for name, dataset in parts.items():
            _ariel("retrieve", dataset, "--out", run_dir / f"{name}-classical.parquet")
            _ariel("predict", dataset, "--model", "released", "--out", run_dir / f"{name}.parquet")
            for kind in (f"{name}-classical", name):
                _ariel("evaluate", run_dir / f"{kind}.parquet", dataset, "--reference", raw / "train.csv")
        _ariel("predict", parts["reduced"], "--split", "test", "--model", "released", "--out", run_dir / "test.parquet")
        _ariel("submit", run_dir / "test.parquet", "--sample", raw / "sample_submission.csv",
               "--out", run_dir / "submission.csv")  # fmt: skip
        with run.timed("page"):
            page = _draw_page(out, raw, parts, run_dir, config)
        run.metrics.update({k: _metrics(run_dir, k) for name in parts for k in (name, f"{name}-classical")})
    headings = {
        "reduced": f"{planets} planets with {frames} of the 11250 AIRS frames:",
        "full": "One planet with all frames (its channels share one error in timing, limb darkening and drift):",
    }
    _say_where(out, page, run_dir, run.durations["total"], {name: headings[name] for name in parts})


def _ariel(*arguments: object) -> None:
    """Run a command as the user would, showing it."""
    from ariel_scripts import cli

    typer.secho(f"\n$ ariel {' '.join(map(str, arguments))}", bold=True)
    start = time.perf_counter()
    if code := cli.call(*arguments):
        raise RuntimeError(f"ariel {arguments[0]} ended with exit code {code}")
    typer.secho(f"  {time.perf_counter() - start:.0f} s", dim=True)


def _metrics(run_dir: Path, name: str) -> dict[str, Any]:
    return json.loads((run_dir / f"{name}.evaluation.json").read_text())


def _numbers(run_dir: Path, name: str) -> list[tuple[str, str, str, str]]:
    """(name, the model's value, the classical one, meaning); of the full planet only what one planet can say."""

    def text(value: float) -> str:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"

    keys = ONE_PLANET if name == "full" else tuple(MEANING)
    model, classical = (_metrics(run_dir, kind) for kind in (name, f"{name}-classical"))
    return [(key, text(model[key]), text(classical[key]), MEANING[key]) for key in keys]


def _draw_page(out: Path, raw_root: Path, parts: Mapping[str, Path], run_dir: Path, config: dict[str, Any]) -> Path:
    """index.html: numbers, calibration steps, light curves with fit, spectra with bands."""
    from ariel_scripts.pages import figures, quickstart
    from hf_dataset.raw import layouts as raw

    root = raw_root / "full" if "full" in parts else raw_root
    folder = raw.open_folder(root)
    planet = folder.planets("train")[0]
    shown = [
        quickstart.CaptionedFigure(
            figures.calibration_steps(quickstart.calibration_images(folder.visit("train", planet, 0))),
            "A raw AIRS-CH0 frame on its way through the calibration: the spectrum lies along the columns, its light "
            "spreads over the rows. Mean of the first exposures, in electrons from the second image on.",
        )
    ]
    for name, dataset in reversed(list(parts.items())):
        made = {"classical": run_dir / f"{name}-classical.parquet", "model": run_dir / f"{name}.parquet"}
        shown += quickstart.dataset_figures(dataset, made, n_spectra=1 if name == "full" else 3)
    numbers = [
        (f"{key} ({name})", f"{model} (classical {classical})", meaning)
        for name in parts
        for key, model, classical, meaning in _numbers(run_dir, name)
    ]
    one_full = " and one with all of them (full)" if config["full"] else ""
    intro = (
        f"{config['planets']} labelled planets were simulated as raw detector frames with {config['frames']} of the "
        f"11,250 AIRS frames of a visit (reduced){one_full}, calibrated, extracted and binned into a dataset, "
        "fitted with limb-darkened transits, and turned into spectra twice: classically, with a prior learned from "
        "simulated spectra, and by the released model, which was trained on this project's simulations alone. "
        "Fewer frames mean fewer photons, so the reduced planets' error bars are wider."
    )
    path = out / "index.html"
    quickstart.write_page(path, "Ariel quickstart: from raw frames to spectra", intro, numbers, shown)
    return path


def _say_where(out: Path, page: Path, run_dir: Path, seconds: float, headings: Mapping[str, str]) -> None:
    lines = ["", f"Done in {seconds:.0f} s. What you have now:"]
    places = {
        "the page: calibration steps, light curves, spectra": page,
        "the dataset: datasets.load_dataset(…)": out / "light-curves",
        "spectra by the model, μ and σ (classical: reduced-classical.parquet)": run_dir / "reduced.parquet",
        "the submission (and its long form and manifest beside it)": run_dir / "submission.csv",
        "what was run, with which versions and seeds": out / "run.json",
    }
    lines += [f"  {path!s:38} {what}" for what, path in places.items()]
    for name, heading in headings.items():
        lines += [
            "",
            heading,
            f"  {'':17} {'model':>6} {'classical':>10}",
            *(f"  {key:17} {model:>6} {old:>10}   {meaning}" for key, model, old, meaning in _numbers(run_dir, name)),
        ]
    typer.echo("\n".join(lines))


if __name__ == "__main__":
    run_script(main)
