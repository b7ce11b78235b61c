"""`ariel quickstart`: the whole road once, on simulated raw planets, and a page that shows it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from ariel_scripts import cli
from ariel_scripts.command_line import EXIT_INTERRUPTED
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.quickstart import QuickstartOptions
from ariel_scripts.pages.quickstart import calibration_images, fitted_planets
from ariel_scripts.pages.quickstart_page import CLASSICAL, MODEL, Judged, quickstart_page
from ariel_scripts.report.page import without_folders
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.versions import git_commit, versions
from hf_dataset.raw import layouts
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)

MEANING = {
    "score_2024": "the 2024 challenge's score: 0 for the mean and spread of its spectra, 1 for truth known to 10 ppm",
    "score_2025": "the 2025 score: the same per channel, with most of the weight on FGS1",
    "rmse_ppm": "root mean square error of the depths; the spectra's features are 50–200 ppm",
    "sigma_median_ppm": "the typical error bar: it should be near the error",
    "coverage_90": "share of truths inside the 90 % band: 0.90 over many planets if the error bars are honest",
    "z_spread": "spread of (μ − truth)/σ: 1 over many planets if the error bars are honest, more if too small",
}
ONE_PLANET = (
    "score_2024",
    "rmse_ppm",
    "sigma_median_ppm",
)  # coverage of one planet's channels says nothing


def main(options: QuickstartOptions) -> None:
    """Run the commands one after another, draw the page, and say where everything is."""
    out = options.out
    raw, run_dir, parts = out / "raw", out / "run", {"reduced": out / "light-curves"}
    if options.full:
        parts["full"] = out / "light-curves-full"
    config = {name: value for name, value in values_of(options).items() if name != "out"}
    with run_record(out, "quickstart", config, options.seed) as run:
        _make_datasets(options, raw, parts)
        for name, dataset in parts.items():
            _find_spectra(name, dataset, run_dir)
        _submit(parts["reduced"], run_dir, raw)
        with run.timed("page"):
            page = _draw_page(options, raw, parts, run_dir, run)
        kinds = [kind for name in parts for kind in (name, f"{name}-classical")]
        run.metrics.update({kind: _metrics(run_dir, kind) for kind in kinds})
    headings = {
        "reduced": f"{options.planets} planets with {options.frames} of the 11250 AIRS frames:",
        "full": "One planet with all frames (its channels share one error in timing, limb darkening and drift):",
    }
    shown = {name: headings[name] for name in parts}
    _say_where(out, page, run_dir, run.durations["total"], shown)


def _make_datasets(options: QuickstartOptions, raw: Path, parts: Mapping[str, Path]) -> None:
    """Raw frames, what they hold, and the light curves of both folders."""
    numbers = ("--planets", options.planets, "--test-planets", options.test_planets)
    frames = ("--frames", options.frames, "--full", int(options.full), "--seed", options.seed)
    _ariel("simulate", raw, *numbers, *frames)
    _ariel("explore", raw, "--out", options.out / "explore.md")
    _ariel("build-dataset", raw, parts["reduced"])
    if "full" in parts:
        _ariel("build-dataset", raw / "full", parts["full"])


def _find_spectra(name: str, dataset: Path, run_dir: Path) -> None:
    """Spectra by the classical fit and by the released model, with their scores."""
    classical, model = (run_dir / f"{kind}.parquet" for kind in (f"{name}-classical", name))
    _ariel("retrieve", dataset, "--out", classical)
    _ariel("predict", dataset, "--model", "released", "--out", model)
    for predictions in (classical, model):
        _ariel("evaluate", predictions, dataset)


def _submit(dataset: Path, run_dir: Path, raw: Path) -> None:
    """Spectra of the planets whose labels are hidden, and the submission of them."""
    spectra = run_dir / "test.parquet"
    _ariel("predict", dataset, "--split", "test", "--model", "released", "--out", spectra)
    sample = ("--sample", raw / "sample_submission.csv")
    _ariel("submit", spectra, *sample, "--out", run_dir / "submission.csv")


def _ariel(*arguments: object) -> None:
    """Run a command as the user would, showing it."""
    typer.secho(f"\n$ ariel {' '.join(map(str, arguments))}", bold=True)
    start = time.perf_counter()
    code = cli.call(*arguments)
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code:
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


def _draw_page(options: QuickstartOptions, raw: Path, parts: Mapping[str, Path], run_dir: Path, run: Run) -> Path:
    """index.html: the spectrum of the planet with most frames first."""
    root = raw / "full" if "full" in parts else raw
    folder = layouts.open_folder(root)
    with closing(folder.visit("train", folder.planets("train")[0], 0)) as visit:
        steps = calibration_images(visit)
    made = {
        name: {MODEL: run_dir / f"{name}.parquet", CLASSICAL: run_dir / f"{name}-classical.parquet"} for name in parts
    }
    others = fitted_planets(parts["reduced"], made["reduced"], 3)
    lead = fitted_planets(parts["full"], made["full"], 1)[0] if "full" in parts else others.pop(0)
    frames = "all 11,250 AIRS frames of a visit"
    few = f"{options.frames:,} of the 11,250 AIRS frames of a visit"
    titles = {"reduced": f"{number_of(options.planets, 'planet')} with {few}", "full": f"One planet with {frames}"}
    judged = [
        Judged(titles[name], _metrics(run_dir, name), _metrics(run_dir, f"{name}-classical"), name == "full")
        for name in parts
    ]
    known = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": "simulated as raw detector frames by this package; the released model was trained on such alone",
        "git commit": git_commit() or "not a checkout",
        "seed": options.seed,
        "command": run.config,
        "versions": versions(),
    }
    text = quickstart_page(
        lead, frames if "full" in parts else few, others, judged, steps, without_folders(known),
        parts["full" if "full" in parts else "reduced"].name,
    )  # fmt: skip
    path = options.out / "index.html"
    path.write_text(text, encoding="utf-8")
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
