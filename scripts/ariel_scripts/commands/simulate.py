"""`ariel simulate OUT`: planets with known spectra, as a raw challenge folder or directly as a light-curve dataset."""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm

from ariel_scripts.opening.truths import read_truth_csv
from ariel_scripts.options.simulate import SimulateOptions
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.versions import DISTRIBUTION, git_commit
from hf_dataset.simulation.dataset import UNLIKE, Groups, Observation, write_dataset
from hf_dataset.simulation.light_curves import visit_rng
from hf_dataset.simulation.planets import planets_from_spectra, sample_layouts
from hf_dataset.simulation.raw_folder import FULL_AIRS_FRAMES, Cadence, write_folder
from hf_dataset.simulation.unlike import unlike_planet

logger = logging.getLogger(__name__)

BYTES_PER_FRAME = 13_300 + 12 * 1_110  # one AIRS frame and its 12 FGS1 frames, as they compress
BYTES_PER_VISIT = 2.2e6  # calibration files


def main(options: SimulateOptions) -> None:
    """Draw the planets and write them, as light curves or as frames."""
    if not options.fast:
        Cadence(options.frames)
    groups, full = draw_planets(options)
    if options.dry_run:
        typer.echo(_plan(options, groups))
        return
    with run_record(options.out, "simulate", options.record(), options.seed) as run:
        if options.fast:
            _write_light_curves(options, groups, run)
            return
        _write_frames(options, options.out, groups, options.frames, run)
        if options.full:
            _write_frames(options, options.out / "full", full, FULL_AIRS_FRAMES, run)


def draw_planets(options: SimulateOptions) -> tuple[Groups, Groups]:
    """Planets of both splits, and those that have all frames."""
    if options.spectra is not None:
        planets = planets_from_spectra(read_truth_csv(options.spectra), options.seed)
        return {"train": planets, "test": []}, {}
    labelled, hidden = options.planets, options.planets + options.test_planets
    without = options.without or ()
    planets = sample_layouts(hidden + options.full, options.seed, options.layout, without)
    others = sample_layouts(options.unlike_planets, options.seed + 1_000_000, options.layout, without)
    unlike = [unlike_planet(planet, visit_rng(options.seed, planet.planet_id, 0, purpose=5)) for planet in others]
    groups = {"train": planets[:labelled], "test": planets[labelled:hidden], UNLIKE: unlike}
    return groups, {"train": planets[hidden:], "test": []}


def _plan(options: SimulateOptions, groups: Groups) -> str:
    """What a run would write."""
    out, visits = options.out, options.visits
    n_visits = _count_visits(options, groups)
    counts = ", ".join(f"{len(group)} {split}" for split, group in groups.items() if group)
    if options.fast:
        size = n_visits * options.bins * 283 * 5.2
        return (
            f"would write {n_visits} light curves of {options.bins} bins, {counts} planets, {size / 1e6:.0f} MB: {out}"
        )
    frames, full = options.frames, options.full
    size = n_visits * (frames * BYTES_PER_FRAME + BYTES_PER_VISIT)
    size += full * visits * FULL_AIRS_FRAMES * BYTES_PER_FRAME
    extra = f" and {full} full-size in {out / 'full'}" if full else ""
    return (
        f"would write a {options.drawn_layout} challenge folder: {counts} planets{extra}, "
        f"{visits} visit(s) each, {frames} AIRS and {12 * frames} FGS1 frames a visit, about "
        f"{size / 1e6:.0f} MB: {out}"
    )


def _count_visits(options: SimulateOptions, groups: Groups) -> int:
    return options.visits * sum(map(len, groups.values()))


def _progress(total: int, unit: str) -> tqdm:
    disable = None if logger.isEnabledFor(logging.INFO) else True  # None: shown on a terminal only
    return tqdm(total=total, unit=unit, desc="simulating", disable=disable)


def _write_frames(options: SimulateOptions, out: Path, groups: Groups, frames: int, run: Run) -> None:
    layout, n_visits = options.drawn_layout, _count_visits(options, groups)
    with run.timed(f"raw {frames} frames"), _progress(n_visits, "visit") as bar:
        write_folder(
            out,
            groups["train"],
            layout,
            frames,
            options.seed,
            options.visits,
            test_planets=groups["test"],
            progress=bar.update,
        )
    run.metrics[f"visits of {frames} frames"] = n_visits
    logger.info("%s: %d visits of %d AIRS frames, %s layout", out, n_visits, frames, layout)


def _write_light_curves(options: SimulateOptions, groups: Groups, run: Run) -> None:
    out, layout, n_rows = options.out, options.drawn_layout, _count_visits(options, groups)
    observation = Observation(options.visits, options.bins, options.fewest_frames, options.seed)
    provenance = {  # without folders of this machine
        "command": fast_command(options),
        "planets": {split: len(group) for split, group in groups.items() if group},
        "visits": n_rows,
        "settings": observation.record(),
        "code": {DISTRIBUTION: importlib.metadata.version(DISTRIBUTION), "commit": git_commit()},
    }
    with run.timed("light curves"), _progress(n_rows, "row") as bar:
        write_dataset(out, groups, layout, observation, provenance, bar.update)
    run.metrics["rows"] = n_rows
    logger.info("%s: %d rows, layout of %s", out, n_rows, layout)


def fast_command(options: SimulateOptions) -> str:
    """The command line that makes the same light curves in a folder OUT, with a CSV file by its name alone."""
    values: dict[str, Any] = options.record()
    names = ["visits", "bins", "fewest_frames", "seed"]
    if options.spectra is None:  # else these follow from the spectra
        names = ["layout", "planets", "test_planets", *(["unlike_planets"] if options.unlike_planets else []), *names]
    words = [f"--{name.replace('_', '-')} {values[name]}" for name in names if values[name] is not None]
    words += [f"--without {name}" for name in options.without or ()]
    spectra = [] if options.spectra is None else [f"--spectra {options.spectra.name}"]
    return " ".join(["ariel simulate OUT --fast", *words, *spectra])
