"""Seconds and peak memory of calibrating one full-size planet, beside the organisers' recipe and bare decoding.

Run: make bench, or `python bench/calibration.py --repeats 3`. Every measurement is a process of its own (so the peak
memory is its own), on one thread; the three take turns, so that a change of the machine's speed meets all of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts._common import run_record, run_script

HERE = Path(__file__).resolve().parent
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
FULL_FRAMES = 11_250
WORK = {
    "decode": "decode the pixels that the chain uses",
    "chain": "this project: reduce_visit, one row of the dataset",
    "recipe": "the organisers' recipe in NumPy",
}


def decode(root: Path) -> None:
    """Decode the same pixels as the chain does and nothing else."""
    from hf_dataset import raw, reduction

    visit = first_visit(root)
    for instrument in raw.INSTRUMENTS:
        for rows, columns in reduction.pixels_used(visit, instrument, reduction.ReductionOptions()):
            visit.read(instrument, rows, columns)


def chain(root: Path) -> None:
    """One row of the dataset from raw frames."""
    from hf_dataset import reduction

    reduction.reduce_visit(first_visit(root), reduction.ReductionOptions())


def recipe(root: Path) -> None:
    """The organisers' steps on the same planet."""
    sys.path.insert(0, str(HERE))
    from organisers_recipe import calibrate_planet

    calibrate_planet(root, next(path for path in (root / "train").iterdir() if path.is_dir()))


def first_visit(root: Path):
    """The first visit of the first train planet."""
    from hf_dataset import raw

    folder = raw.open_folder(root)
    planet = folder.planets("train")[0]
    return folder.visit("train", planet, folder.visits("train", planet)[0])


def measure(name: str, root: Path) -> tuple[float, float]:
    """Seconds of the work without its imports, and peak resident GB of the process that did it."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(root), "--one", name], env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE
    )
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name}: the measured process ended with status {process.returncode}")
    return float(output.split()[-1]), usage.ru_maxrss / 1024**2


def make_planet(root: Path) -> None:
    """One full-size simulated planet in the 2025 layout, once."""
    from hf_dataset.simulation import instrument, planets

    if not (root / "simulation.json").exists():
        instrument.write_folder(root, planets.sample_planets(1, 0, "2025"), "2025", FULL_FRAMES, seed=0)


def main(
    root: Annotated[Path, typer.Argument(help="Raw folder, simulated if it is not there.")] = HERE / "out" / "raw",
    repeats: Annotated[int, typer.Option(help="Measurements of each.")] = 3,
    one: Annotated[str, typer.Option(help="Run one piece of work here and print its seconds.", hidden=True)] = "",
) -> None:
    """Compare the calibration of one full-size planet with the organisers' recipe.

    Example: python bench/calibration.py --repeats 5
    """
    if one:
        import pandas  # noqa: F401  # imported before the clock starts

        start = time.perf_counter()
        {"decode": decode, "chain": chain, "recipe": recipe}[one](root)
        print(time.perf_counter() - start)
        return
    make_planet(root)
    with run_record(HERE / "out", "bench-calibration", {"repeats": repeats}) as run:
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in WORK}
        for _ in range(repeats):
            for name in WORK:
                results[name].append(measure(name, root))
        run.metrics.update(
            {name: {"seconds": [s for s, _ in r], "peak_gb": [g for _, g in r]} for name, r in results.items()}
        )
        print(table(results))
    (HERE / "out" / "calibration.json").write_text(json.dumps(run.metrics, indent=2) + "\n")


def table(results: dict[str, list[tuple[float, float]]]) -> str:
    """Markdown table: median seconds with spread, peak memory, ratio to the chain."""
    medians = {name: statistics.median(s for s, _ in r) for name, r in results.items()}
    lines = ["| work | median s | min–max s | peak GB | seconds / chain |", "|---|---|---|---|---|"]
    for name, r in results.items():
        seconds, peak = [s for s, _ in r], max(g for _, g in r)
        spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
        lines.append(
            f"| {WORK[name]} | {medians[name]:.2f} | {spread} | {peak:.2f} | {medians[name] / medians['chain']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
