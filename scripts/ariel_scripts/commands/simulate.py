"""`ariel simulate OUT`: planets with known spectra, as a raw challenge folder or directly as a light-curve dataset."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import typer
from tqdm import tqdm

from ariel_scripts.opening.truths import read_truth_csv
from ariel_scripts.options.simulate import SimulateOptions
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.versions import DISTRIBUTION, git_commit
from hf_dataset.simulation import light_curves, raw_folder
from hf_dataset.simulation.planets import (
    Planet,
    planet_from_spectrum,
    sample_planets,
    wavelengths_um,
)
from hf_dataset.simulation.raw_folder import write_truth
from hf_dataset.store import shards
from hf_dataset.store.card import write_card

logger = logging.getLogger(__name__)

RAW_BYTES_PER_FRAME = 13_300 + 12 * 1_110  # one AIRS frame and its 12 FGS1 frames, as they compress
FULL_FRAMES = 11_250
FAST_MADE = """Simulated light curves: no raw frames lie behind them. `hf_dataset.simulation.light_curves` draws
planets, stars and spectra, transits with wavelength-dependent limb darkening, gain drift, pointing jitter, photon and
read noise (docs/simulation.md)."""

Groups = dict[str, list[Planet]]  # planets of each split


def main(options: SimulateOptions) -> None:
    """Draw the planets and write them, as light curves or as frames."""
    if not options.fast:
        raw_folder.Cadence(options.frames)
    groups, full = draw_planets(options)
    if options.dry_run:
        typer.echo(_plan(options, groups))
        return
    with run_record(options.out, "simulate", options.record(), options.seed) as run:
        if options.fast:
            _write_light_curves(options, groups, run)
            return
        _write_raw(options, options.out, groups, options.frames, run)
        if options.full:
            _write_raw(options, options.out / "full", full, FULL_FRAMES, run)


def draw_planets(options: SimulateOptions) -> tuple[Groups, Groups]:
    """Planets of both splits, and those that have all frames."""
    if options.spectra is not None:
        return {"train": _with_spectra(options.spectra, options.seed), "test": []}, {}
    labelled, hidden = options.planets, options.planets + options.test_planets
    everyone = population(hidden + options.full, options.seed, options.layout)
    groups = {"train": everyone[:labelled], "test": everyone[labelled:hidden]}
    return groups, {"train": everyone[hidden:], "test": []}


def population(count: int, seed: int, layout: str) -> list[Planet]:
    """Planets of one layout, or by turns of both."""
    if layout != "both":
        return sample_planets(count, seed, layout)
    halves = (
        sample_planets(-(-count // 2), seed, "2024"),
        sample_planets(-(-count // 2), seed + 1, "2025"),
    )
    return [planet for pair in zip(*halves, strict=True) for planet in pair][:count]


def _with_spectra(path: Path, seed: int) -> list[Planet]:
    """A planet of the 2024 population for each spectrum of a CSV file."""
    return [
        planet_from_spectrum(spectrum, seed + planet % 2**31, "2024", planet)
        for planet, spectrum in read_truth_csv(path).items()
    ]


def _plan(options: SimulateOptions, groups: Groups) -> str:
    """What a run would write."""
    out, visits = options.out, options.visits
    n_visits = visits * sum(map(len, groups.values()))
    counts = ", ".join(f"{len(group)} {split}" for split, group in groups.items() if group)
    if options.fast:
        size = n_visits * options.bins * 283 * 5.2
        return (
            f"would write {n_visits} light curves of {options.bins} bins, {counts} planets, {size / 1e6:.0f} MB: {out}"
        )
    frames, full = options.frames, options.full
    size = n_visits * (frames * RAW_BYTES_PER_FRAME + 2.2e6)
    size += full * visits * FULL_FRAMES * RAW_BYTES_PER_FRAME
    extra = f" and {full} full-size in {out / 'full'}" if full else ""
    return (
        f"would write a {options.drawn_layout} challenge folder: {counts} planets{extra}, "
        f"{visits} visit(s) each, {frames} AIRS and {12 * frames} FGS1 frames a visit, about "
        f"{size / 1e6:.0f} MB: {out}"
    )


def _progress(total: int, unit: str) -> tqdm:
    disable = None if logger.isEnabledFor(logging.INFO) else True  # None: shown on a terminal only
    return tqdm(total=total, unit=unit, desc="simulating", disable=disable)


# --- raw frames ------------------------------------------------------------------------------------


def _write_raw(options: SimulateOptions, out: Path, groups: Groups, frames: int, run: Run) -> None:
    layout, visits = options.drawn_layout, options.visits
    n_visits = visits * sum(map(len, groups.values()))
    with run.timed(f"raw {frames} frames"), _progress(n_visits, "visit") as bar:
        raw_folder.write_folder(
            out,
            groups["train"],
            layout,
            frames,
            options.seed,
            visits,
            test_planets=groups["test"],
            progress=bar.update,
        )
    run.metrics[f"visits of {frames} frames"] = n_visits
    logger.info("%s: %d visits of %d AIRS frames, %s layout", out, n_visits, frames, layout)


# --- light curves ----------------------------------------------------------------------------------


def _write_light_curves(options: SimulateOptions, groups: Groups, run: Run) -> None:
    """Rows, truths and card."""
    out, layout = options.out, options.drawn_layout
    if shards.find_shards(out):
        raise ValueError(f"{out}: expected a new folder, found a dataset: choose another folder or delete it")
    n_rows = options.visits * sum(map(len, groups.values()))
    drawn: list[dict[str, Any]] = []
    with run.timed("light curves"), _progress(n_rows, "row") as bar:
        for split, group in groups.items():
            if group:
                rows = _simulated_rows(options, group, drawn, bar)
                shards.write_rows(out, split, rows, options.bins)
    write_truth(out, groups, drawn)
    write_card(
        out,
        wavelengths_um("2024" if layout == "2024" else "2025"),
        FAST_MADE,
        _provenance(options, groups, n_rows),
        title="Simulated Ariel light curves",
    )
    run.metrics["rows"] = n_rows
    logger.info("%s: %d rows, layout of %s", out, n_rows, layout)


def _simulated_rows(
    options: SimulateOptions, group: list[Planet], drawn: list[dict[str, Any]], bar: tqdm
) -> Iterator[dict[str, Any]]:
    """A row for each visit; what was drawn for it besides goes into ``drawn``."""
    for planet in group:
        for visit in range(options.visits):
            noise = _noise(planet, options.fewest_frames, options.seed)
            row, truth = light_curves.simulate_with_truth(
                planet, visit, options.bins, options.seed, light_curves.LightCurveSettings(noise=noise)
            )
            drift = truth.drift_law.as_dict()
            drawn.append({"planet_id": planet.planet_id, "visit": visit, **drift})
            bar.update(1)
            yield row


def _noise(planet: Planet, fewest_frames: int | None, seed: int) -> light_curves.NoiseModel:
    """Noise of a planet's light curve, with as many exposures as are drawn for it."""
    if fewest_frames is None:
        return light_curves.NoiseModel()
    rng = light_curves.visit_rng(seed, planet.planet_id, 0, purpose=3)
    pairs = np.exp(rng.uniform(np.log(fewest_frames / 2), np.log(FULL_FRAMES / 2)))
    return light_curves.NoiseModel(airs_exposures=max(int(pairs), 1))


def _provenance(options: SimulateOptions, groups: Groups, n_rows: int) -> dict[str, Any]:
    """What made the rows, without folders of this machine."""
    settings = asdict(light_curves.LightCurveSettings())
    if options.fewest_frames is not None:
        exposures = f"{options.fewest_frames // 2} to {FULL_FRAMES // 2}"
        settings["noise"] |= {"airs_exposures": exposures}
    return {
        "command": fast_command(options),
        "planets": {split: len(group) for split, group in groups.items() if group},
        "visits": n_rows,
        "settings": settings,
        "code": {DISTRIBUTION: importlib.metadata.version(DISTRIBUTION), "commit": git_commit()},
    }


def fast_command(options: SimulateOptions) -> str:
    """The command line that makes the same light curves in a folder OUT, with a CSV file by its name alone."""
    values: Mapping[str, Any] = options.record()
    names = ["visits", "bins", "fewest_frames", "seed"]
    if options.spectra is None:  # else these follow from the spectra
        names = ["layout", "planets", "test_planets", *names]
    words = [f"--{name.replace('_', '-')} {values[name]}" for name in names if values[name] is not None]
    spectra = [] if options.spectra is None else [f"--spectra {options.spectra.name}"]
    return " ".join(["ariel simulate OUT --fast", *words, *spectra])
