"""Planets an hour of `ariel build-dataset`, memory from 5 to 50 full-size planets, and what 1,100 would take.

Run: make throughput, or `python bench/throughput.py`. Five different planets are simulated (11,250 AIRS-CH0 and 135,000
FGS1 frames) and linked under further ids to folders of 5, 10 and 50. Builds run the command itself, one after the
other; before a `cold` one the planets' files are dropped from the page cache, so that they come from the disk.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record

HERE = Path(__file__).resolve().parent
FULL_FRAMES, N_DISTINCT = 11_250, 5
ALL_PLANETS = 1_100


@dataclass(frozen=True)
class Build:
    """One build to measure."""

    planets: int
    workers: int
    cold: bool = False
    planets_per_shard: int | None = None


# few planets a shard where there are few planets, so that no worker waits; 50 planets as a large build has them
BUILDS = (
    Build(5, 1, cold=True),
    Build(5, 2, planets_per_shard=1),
    Build(10, 1),
    Build(10, 2, planets_per_shard=1),
    Build(50, 2),
)


@dataclass(frozen=True)
class Measured:
    """What a build took: seconds of wall and of workers, memory [MB], and the size of its raw files."""

    seconds: float
    worker_seconds: float
    worker_mb: tuple[int, int]  # a worker's peak so far when a visit ended: least and most of all visits
    together_mb: int  # most that all processes held at once; pages they share are counted in each
    raw_bytes: int  # of which only the needed parts are read


def make_folder(source: Path, root: Path, n_planets: int) -> Path:
    """The planets of `source`, again and again under new ids, until there are `n_planets`; files are hard links."""
    if (root / "train.csv").exists():
        return root
    root.mkdir(parents=True)
    names = sorted(path.name for path in (source / "train").iterdir())
    copies = {
        str(int(names[k % len(names)]) + 10**9 * (k // len(names))): names[k % len(names)] for k in range(n_planets)
    }
    for new, old in copies.items():
        shutil.copytree(source / "train" / old, root / "train" / new, copy_function=os.link)
    for path in source.glob("*.*"):
        if path.suffix == ".csv" and path.name not in ("wavelengths.csv", "adc_info.csv", "train.csv"):
            _repeat(path, root / path.name, copies)
        elif path.suffix in (".csv", ".parquet", ".json") and path.name != "train.csv":
            shutil.copyfile(path, root / path.name)
    _repeat(source / "train.csv", root / "train.csv", copies)  # last: its presence marks the folder as complete
    return root


def _repeat(source: Path, target: Path, copies: dict[str, str]) -> None:
    """A table with the row of each planet under its new ids."""
    with source.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    by_planet = {str(int(float(row[0]))): row[1:] for row in rows}
    with target.open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, *([new, *by_planet[old]] for new, old in copies.items() if old in by_planet)]
        )


def drop_from_cache(root: Path) -> None:
    """Have the next read of every file come from the disk."""
    os.sync()
    for path in root.rglob("*.parquet"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(root: Path, out: Path, build: Build) -> Measured:
    """Run the command and watch its processes."""
    shutil.rmtree(out, ignore_errors=True)
    if build.cold:
        drop_from_cache(root)
    command = [
        sys.executable,
        "-m",
        "ariel_scripts.cli",
        "build-dataset",
        root,
        out,
        "--workers",
        build.workers,
        "--quiet",
    ]
    if build.planets_per_shard:
        command += ["--planets-per-shard", build.planets_per_shard]
    began, together = time.perf_counter(), 0
    process = psutil.Popen([str(word) for word in command])
    while process.poll() is None:
        together = max(together, resident(process))
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"the build of {root} ended with exit code {process.returncode}")
    visits = json.loads((out / "report.json").read_text())["visits"]
    files = [path for visit in visits for path in visit["files"]]
    return Measured(
        seconds=seconds,
        worker_seconds=sum(visit["seconds"] for visit in visits),
        worker_mb=(min(visit["peak_mb"] for visit in visits), max(visit["peak_mb"] for visit in visits)),
        together_mb=together >> 20,
        raw_bytes=sum((root / path).stat().st_size for path in files),
    )


def resident(process: psutil.Process) -> int:
    """Bytes resident in a process and all that it started."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:  # the process has ended
            continue
    return total


def table(results: list[tuple[Build, Measured]]) -> str:
    """Markdown: a line a build."""
    lines = [
        "| planets | workers | page cache | seconds | worker's s per planet | planets/h | "
        "worker peak MB, least–most | all together MB |",
        "|--:|--:|---|--:|--:|--:|--:|--:|",
    ]
    for build, found in results:
        lines.append(
            f"| {build.planets} | {build.workers} | {'cold' if build.cold else 'warm'} | {found.seconds:.1f} "
            f"| {found.worker_seconds / build.planets:.2f} | {3600 * build.planets / found.seconds:.0f} "
            f"| {found.worker_mb[0]}–{found.worker_mb[1]} | {found.together_mb} |"
        )
    return "\n".join(lines)


def projection(results: list[tuple[Build, Measured]]) -> str:
    """What 1,100 planets take at the pace of the largest build, and what that asks of the disk."""
    build, found = max(results, key=lambda item: item[0].planets)
    per_planet = found.seconds / build.planets
    rate = found.raw_bytes / found.seconds
    per_shard = 8 * found.worker_seconds / build.planets
    return (
        f"{ALL_PLANETS} planets of one visit at {per_planet:.2f} s each with {build.workers} workers: "
        f"{ALL_PLANETS * per_planet / 60:.0f} min, reading at most {rate / 1e6:.0f} MB/s "
        f"({found.raw_bytes / build.planets / 1e9:.2f} GB of files a planet, not all of it read). "
        f"A killed worker loses at most a shard of 8 planets: {per_shard:.0f} s."
    )


def main(
    folder: Annotated[Path, typer.Argument(help="Where planets are simulated and datasets built.")] = HERE
    / "out"
    / "throughput",
) -> None:
    """Measure builds with one and two workers, from 5 to 50 planets.

    Example: python bench/throughput.py
    """
    from hf_dataset.simulation import planets, raw_folder

    source = folder / "raw"
    raw_folder.write_folder(source, planets.sample_planets(N_DISTINCT, 0, "2025"), "2025", FULL_FRAMES, seed=0)
    results = []
    with run_record(folder, "bench-throughput", {"builds": [asdict(build) for build in BUILDS]}) as run:
        for build in BUILDS:
            root = make_folder(source, folder / f"raw-{build.planets}", build.planets)
            results.append((build, measure(root, folder / "out", build)))
            print(table(results[-1:]).splitlines()[-1], flush=True)
        run.metrics["builds"] = [{**asdict(build), **asdict(found)} for build, found in results]
    print(table(results), projection(results), sep="\n\n")


if __name__ == "__main__":
    run_script(main)
