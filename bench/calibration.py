"""Seconds and peak memory of calibrating one full-size planet, beside the organisers' recipe and bare decoding.

Run: make bench, or `python bench/calibration.py --repeats 5`. Every measurement runs in its own process (so the peak
memory is its own); they take turns, so that a change of the machine's speed meets all of them. The clock starts after
the imports and after the kernel's machine code is loaded, which is measured by itself: once compiled, once from numba's
cache.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record

HERE = Path(__file__).resolve().parent
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
FULL_FRAMES = 11_250
WORK = {
    "decode": "decode the pixels that the chain uses",
    "chain": "this project: reduce_visit, one row of the dataset",
    "chain2": "the same with threads=2",
    "recipe": "the organisers' recipe in NumPy",
}


def decode(root: Path) -> None:
    """Decode the same pixels as the chain does, in blocks as it does, and nothing else."""
    import numpy as np

    from hf_dataset.reduction import exposures

    visit = first_visit(root)
    for instrument, pixels in np.load(root / "pixels.npz").items():
        size = max(1, exposures.BLOCK_SAMPLES // visit.n_frames(instrument))
        for first in range(0, len(pixels), size):
            visit.read_series(instrument, pixels[first : first + size])


def note_pixels(root: Path) -> dict[str, str]:
    """Write down which pixels the chain uses, for `decode`; how many of how many."""
    import numpy as np

    from hf_dataset.raw import layouts
    from hf_dataset.reduction import exposures
    from hf_dataset.reduction.options import ReductionOptions

    visit, pixels, counts = first_visit(root), {}, {}
    for name in layouts.INSTRUMENTS:
        found = exposures.calibrate_visit(visit, name, ReductionOptions())
        rows, columns = np.nonzero(found.read)
        width = visit.shape(name)[1]
        pixels[name] = rows * width + found.columns[columns]
        counts[name] = f"{rows.size:,} of {visit.shape(name)[0] * width:,}"
    np.savez(root / "pixels.npz", **pixels)
    return counts


def chain(root: Path, threads: int = 1) -> dict[str, Any]:
    """One row of the dataset from raw frames; seconds of its steps."""
    from hf_dataset.reduction.options import ReductionOptions
    from hf_dataset.reduction.visit import reduce_visit

    _, report = reduce_visit(first_visit(root), ReductionOptions(), threads)
    return dict(report["seconds"])


def start_kernel() -> None:
    """Load the machine code of the kernel, or compile it."""
    import numpy as np

    from hf_dataset.reduction import extraction, kernel

    one, f32 = np.ones(1), np.float32
    given = np.zeros((1, 6), f32), np.zeros((1, 2), f32), np.ones(1, f32)
    kernel.calibrate_series(
        np.zeros((1, 20), np.uint16),
        np.zeros(1, np.intp),
        f32(1),
        f32(0),
        f32(9),
        *given,
        one,
        one < 0,
        5.0,
        np.zeros((1, 10), f32),
        one,
    )
    extraction.weighted_sums(np.ones((2, 1, 1), f32), np.ones((1, 1, 1)))


def recipe(root: Path) -> None:
    """The organisers' steps on the same planet."""
    sys.path.insert(0, str(HERE))
    from organisers_recipe import calibrate_planet

    calibrate_planet(root, next(path for path in (root / "train").iterdir() if path.is_dir()))


def first_visit(root: Path):
    """The first visit of the first train planet."""
    from hf_dataset.raw import layouts

    folder = layouts.open_folder(root)
    planet = folder.planets("train")[0]
    return folder.visit("train", planet, folder.visits("train", planet)[0])


def measured(name: str, root: Path) -> dict[str, Any]:
    """In the measured process: wall and CPU seconds of the work, peak resident GB, and what it returns."""
    import pandas  # noqa: F401  # imported before the clock starts

    since = time.perf_counter(), cpu_seconds()
    start_kernel()
    start = time.perf_counter(), cpu_seconds()
    work = {
        "decode": decode,
        "chain": chain,
        "chain2": lambda folder: chain(folder, threads=2),
        "recipe": recipe,
        "pixels": note_pixels,
        "start": lambda folder: None,
        "simulate": make_planet,
    }
    result = work[name](root)
    return {
        "seconds": time.perf_counter() - start[0],
        "cpu": cpu_seconds() - start[1],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "kernel_start": start[0] - since[0],
        "result": result,
    }


def cpu_seconds() -> float:
    """User and system seconds of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(name: str, root: Path, **environment: str) -> dict[str, Any]:
    """The result of `measured` in a separate process."""
    process = subprocess.run(
        [sys.executable, __file__, str(root), "--one", name],
        env={**os.environ, **ONE_THREAD, **environment},
        stdout=subprocess.PIPE,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"{name}: the measured process ended with status {process.returncode}")
    return dict(json.loads(process.stdout.splitlines()[-1]))


def make_planet(root: Path) -> None:
    """One full-size simulated planet in the 2025 layout, once."""
    from hf_dataset.simulation import planets, raw_folder

    if not (root / "simulation.json").exists():
        raw_folder.write_folder(root, planets.sample_planets(1, 0, "2025"), "2025", FULL_FRAMES, seed=0)


def main(
    root: Annotated[Path, typer.Argument(help="Raw folder, simulated if it is not there.")] = HERE / "out" / "raw",
    repeats: Annotated[int, typer.Option(help="Measurements of each.")] = 5,
    one: Annotated[str, typer.Option(help="Run one piece of work here and print its figures.", hidden=True)] = "",
) -> None:
    """Compare the calibration of one full-size planet with the organisers' recipe.

    Example: python bench/calibration.py --repeats 5
    """
    if one:
        print(json.dumps(measured(one, root)))
        return
    measure("simulate", root)  # in a separate process: a parent's peak memory counts as its children's
    with run_record(HERE / "out", "bench-calibration", {"repeats": repeats}) as run:
        with tempfile.TemporaryDirectory() as empty:
            cold = measure("start", root, NUMBA_CACHE_DIR=empty)["kernel_start"]
        read = measure("pixels", root)["result"]
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in WORK}
        for _ in range(repeats):
            for name in WORK:
                results[name].append(measure(name, root))
        warm = statistics.median(r["kernel_start"] for r in results["chain"])
        run.metrics.update({"results": results, "read": read, "kernel_start": {"compiled": cold, "cached": warm}})
        print(table(results), profile(results["chain"]), sep="\n\n")
        print("\nPixels decoded: " + ", ".join(f"{name} {text}" for name, text in read.items()))
        print(f"Before the clock starts: the kernel's machine code, {warm:.2f} s from its cache, {cold:.1f} s compiled")
    (HERE / "out" / "calibration.json").write_text(json.dumps(run.metrics, indent=2) + "\n")


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown table: medians with spread, peak memory, ratios of the medians to the chain's."""
    of_chain = statistics.median(r["seconds"] for r in results["chain"])
    lines = ["| work | median s | min–max s | CPU s | peak GB | seconds / chain |", "|---|---|---|---|---|---|"]
    for name, r in results.items():
        seconds, cpu = [one["seconds"] for one in r], statistics.median(one["cpu"] for one in r)
        median, peak = statistics.median(seconds), max(one["peak_gb"] for one in r)
        spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
        lines.append(f"| {WORK[name]} | {median:.2f} | {spread} | {cpu:.2f} | {peak:.2f} | {median / of_chain:.2f} |")
    return "\n".join(lines)


def profile(runs: list[dict[str, Any]]) -> str:
    """Markdown table: where the time of the chain goes, medians over the runs."""
    steps: dict[str, float] = {}
    noise_model = ("adc", "bad_pixels", "linearity", "dark", "cds", "flat")
    names = [
        (instrument, step) for instrument, part in runs[0]["result"].items() if instrument != "total" for step in part
    ]
    for instrument, step in names:
        label = "noise model" if step in noise_model else step.replace("_", " ")
        seconds = statistics.median(run["result"][instrument][step] for run in runs)
        steps[f"{instrument} {label}"] = steps.get(f"{instrument} {label}", 0.0) + seconds
    total = statistics.median(run["seconds"] for run in runs)
    steps["tables, opening, light curves, row"] = total - sum(steps.values())
    lines = [f"| {label} | {seconds:.3f} | {seconds / total:.0%} |" for label, seconds in steps.items()]
    return "\n".join(["| step of the chain | s | share |", "|---|---|---|", *lines])


if __name__ == "__main__":
    run_script(main)
