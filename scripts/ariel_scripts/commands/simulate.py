"""`ariel simulate OUT`: planets with known spectra, as a raw challenge folder or directly as a light-curve dataset."""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ariel_scripts.command_line import Run, git_commit, run_record, run_script
from hf_dataset.schema import N_CHANNELS

if TYPE_CHECKING:
    from hf_dataset.simulation.planets import Planet

logger = logging.getLogger(__name__)

RAW_BYTES_PER_FRAME = 13_300 + 12 * 1_110  # one AIRS frame and its 12 FGS1 frames, as they compress
FULL_FRAMES = 11_250
FAST_MADE = """Simulated light curves: no raw frames lie behind them. `hf_dataset.simulation.fast` draws planets, stars
and spectra, transits with wavelength-dependent limb darkening, gain drift, pointing jitter, photon and read noise
(docs/simulation.md)."""


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write; made where absent.")],
    layout: Annotated[str, typer.Option(help="2024 or 2025; with --fast also both, half of each.")] = "2025",
    planets: Annotated[int, typer.Option(min=1, help="Planets with labels (split train).")] = 4,
    test_planets: Annotated[
        int, typer.Option(min=0, help="Held-out planets (split test; raw folders hide their labels).")
    ] = 0,
    visits: Annotated[int, typer.Option(min=1, help="Visits a planet (2025).")] = 1,
    frames: Annotated[int, typer.Option(help="AIRS frames a visit, spread over 7.5 h; really 11250.")] = 750,
    full: Annotated[int, typer.Option(min=0, help="Also this many planets with all frames, in OUT/full.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same planets and frames.")] = 0,
    fast: Annotated[bool, typer.Option("--fast", help="Write light curves as a dataset, without raw frames.")] = False,
    bins: Annotated[int, typer.Option(min=8, help="Time bins of --fast light curves.")] = 375,
    fewest_frames: Annotated[
        int | None,
        typer.Option(help="With --fast: AIRS frames of each planet drawn from so many to 11250, evenly in ln."),
    ] = None,
    spectra: Annotated[
        Path | None,
        typer.Option(help="With --fast: a CSV of spectra (planet_id, wl_1 …): a planet for each, of the 2024 layout."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
) -> None:
    """Simulate planets with known spectra: raw challenge folders, or light curves with --fast.

    A stopped raw run goes on when the command is run again. The truths are in OUT's train.csv (2025) or
    train_labels.csv (2024) and, in full and for both splits, in simulation_truth.parquet.

    Example: ariel simulate raw --layout 2025 --planets 4 --frames 750 --full 1 --seed 7

    Example: ariel simulate curves --fast --planets 500 --test-planets 100
    """
    from hf_dataset.simulation import instrument

    if fast and full:
        raise typer.BadParameter("--full makes raw frames, --fast makes none: choose one")
    if not fast and (fewest_frames or spectra or layout == "both"):
        raise typer.BadParameter("--fewest-frames, --spectra and --layout both are for --fast light curves")
    if layout != "2025" and visits > 1:
        raise typer.BadParameter("only the 2025 layout has more than one visit a planet")
    if not fast:
        instrument.Cadence(frames)
    if spectra is not None:
        layout, everyone = "2024", _with_spectra(spectra, seed)
        groups = {"train": everyone, "test": []}
    else:
        everyone = _population(planets + test_planets + full, seed, layout)
        groups = {"train": everyone[:planets], "test": everyone[planets : planets + test_planets]}
    if dry_run:
        typer.echo(_plan(out, layout, groups, visits, None if fast else frames, full, bins))
        return
    names = ("layout", "planets", "test_planets", "visits", "frames", "full", "seed", "fast", "bins", "fewest_frames")
    values = (layout, planets, test_planets, visits, frames, full, seed, fast, bins, fewest_frames)
    config: dict[str, Any] = {"out": str(out), **dict(zip(names, values, strict=True)), "spectra": str(spectra)}
    with run_record(out, "simulate", config, seed) as run:
        if fast:
            command = _fast_command(config, None if spectra is None else spectra.name)
            _write_light_curves(out, layout, groups, visits, bins, seed, fewest_frames, command, run)
        else:
            _write_raw(out, layout, groups, visits, frames, seed, run)
            if full:
                extra: dict[str, list[Planet]] = {"train": everyone[planets + test_planets :], "test": []}
                _write_raw(out / "full", layout, extra, visits, FULL_FRAMES, seed, run)


def _fast_command(config: dict[str, Any], spectra: str | None) -> str:
    """The command line that makes the same light curves in a folder OUT; `spectra` is the name of a file."""
    names = ["visits", "bins", "fewest_frames", "seed"]
    if spectra is None:  # else these follow from the spectra
        names = ["layout", "planets", "test_planets", *names]
    options = [f"--{name.replace('_', '-')} {config[name]}" for name in names if config[name] is not None]
    return " ".join(["ariel simulate OUT --fast", *options, *([] if spectra is None else [f"--spectra {spectra}"])])


def _population(count: int, seed: int, layout: str) -> list[Planet]:
    """Planets of one layout, or by turns of both."""
    from hf_dataset.simulation import planets as population

    if layout != "both":
        return population.sample_planets(count, seed, layout)
    halves = (
        population.sample_planets(-(-count // 2), seed, "2024"),
        population.sample_planets(-(-count // 2), seed + 1, "2025"),
    )
    return [planet for pair in zip(*halves, strict=True) for planet in pair][:count]


def _with_spectra(path: Path, seed: int) -> list[Planet]:
    """A planet of the 2024 population for each spectrum of a CSV file."""
    from ariel_scripts.commands.evaluate import read_truth_csv
    from hf_dataset.simulation.planets import planet_from_spectrum

    return [
        planet_from_spectrum(spectrum, seed + planet % 2**31, "2024", planet)
        for planet, spectrum in read_truth_csv(path).items()
    ]


def _noise(planet: Planet, fewest_frames: int | None, seed: int) -> Any:
    """Noise of a planet's light curve, with as many exposures as are drawn for it."""
    import numpy as np

    from hf_dataset.simulation import fast

    if fewest_frames is None:
        return fast.NoiseModel()
    rng = fast.visit_rng(seed, planet.planet_id, 0, purpose=3)
    pairs = np.exp(rng.uniform(np.log(fewest_frames / 2), np.log(FULL_FRAMES / 2)))
    return fast.NoiseModel(airs_exposures=max(int(pairs), 1))


def _plan(
    out: Path, layout: str, groups: dict[str, list[Planet]], visits: int, frames: int | None, full: int, bins: int
) -> str:
    """What a run would write."""
    n_visits = visits * sum(map(len, groups.values()))
    counts = ", ".join(f"{len(group)} {split}" for split, group in groups.items() if group)
    if frames is None:
        size = n_visits * bins * N_CHANNELS * 5.2
        return f"would write {n_visits} light curves of {bins} bins, {counts} planets, {size / 1e6:.0f} MB: {out}"
    size = n_visits * (frames * RAW_BYTES_PER_FRAME + 2.2e6) + full * visits * FULL_FRAMES * RAW_BYTES_PER_FRAME
    extra = f" and {full} full-size in {out / 'full'}" if full else ""
    return (
        f"would write a {layout} challenge folder: {counts} planets{extra}, {visits} visit(s) each, "
        f"{frames} AIRS and {12 * frames} FGS1 frames a visit, about {size / 1e6:.0f} MB: {out}"
    )


def _progress(total: int, unit: str) -> Any:
    from tqdm import tqdm

    disable = None if logger.isEnabledFor(logging.INFO) else True  # None: shown on a terminal only
    return tqdm(total=total, unit=unit, desc="simulating", disable=disable)


def _write_raw(
    out: Path, layout: str, groups: dict[str, list[Planet]], visits: int, frames: int, seed: int, run: Run
) -> None:
    from hf_dataset.simulation import instrument

    n_visits = visits * sum(map(len, groups.values()))
    with run.timed(f"raw {frames} frames"), _progress(n_visits, "visit") as bar:
        instrument.write_folder(
            out, groups["train"], layout, frames, seed, visits, test_planets=groups["test"], progress=bar.update
        )
    run.metrics[f"visits of {frames} frames"] = n_visits
    logger.info("%s: %d visits of %d AIRS frames, %s layout", out, n_visits, frames, layout)


def _write_light_curves(
    out: Path,
    layout: str,
    groups: dict[str, list[Planet]],
    visits: int,
    bins: int,
    seed: int,
    fewest_frames: int | None,
    command: str,
    run: Run,
) -> None:
    """Rows, truths and card; `command` is what makes them again, without folders of this machine."""
    from hf_dataset.simulation import fast
    from hf_dataset.simulation.instrument import write_truth
    from hf_dataset.simulation.planets import wavelengths_um
    from hf_dataset.store import shards
    from hf_dataset.store.card import write_card

    if shards.find_shards(out):
        raise ValueError(f"{out}: expected a new folder, found a dataset: choose another folder or delete it")
    n_rows = visits * sum(map(len, groups.values()))
    drawn: list[dict[str, Any]] = []
    with run.timed("light curves"), _progress(n_rows, "row") as bar:

        def rows(group: list[Planet]) -> Any:
            for planet in group:
                for visit in range(visits):
                    settings = fast.FastSettings(noise=_noise(planet, fewest_frames, seed))
                    row, truth = fast.simulate_with_truth(planet, visit, bins, seed, settings)
                    drawn.append({"planet_id": planet.planet_id, "visit": visit, **truth.drift_law.as_dict()})
                    bar.update(1)
                    yield row

        for split, group in groups.items():
            if group:
                shards.write_rows(out, split, rows(group), bins)
    write_truth(out, groups, drawn)
    settings = asdict(fast.FastSettings())
    if fewest_frames is not None:
        settings["noise"] |= {"airs_exposures": f"{fewest_frames // 2} to {FULL_FRAMES // 2}"}
    provenance = {
        "command": command,
        "planets": {split: len(group) for split, group in groups.items() if group},
        "visits": n_rows,
        "settings": settings,
        "code": {"ariel-hf": importlib.metadata.version("ariel-hf"), "commit": git_commit()},
    }
    write_card(
        out,
        wavelengths_um("2024" if layout == "2024" else "2025"),
        FAST_MADE,
        provenance,
        title="Simulated Ariel light curves",
    )
    run.metrics["rows"] = n_rows
    logger.info("%s: %d rows, layout of %s", out, n_rows, layout)


if __name__ == "__main__":
    run_script(main)
