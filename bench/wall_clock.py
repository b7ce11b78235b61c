"""The wall clock of the challenge: `ariel run` on distinct full-size planets, in every mode, killed, and in a hurry.

Run: make wall-clock, or `python bench/wall_clock.py --planets 50`. Planets with all frames are simulated once into
FOLDER/raw (0.3 GB each) and deleted at the end unless --keep. Every run is the command itself, after the raw files were
dropped from the page cache. Scores are those of the submissions against the simulated truths; planets that a budget did
not reach count with the usual spectrum that they were given.
"""

from __future__ import annotations

import csv
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from throughput import ALL_PLANETS, FULL_FRAMES, drop_from_cache

from ariel_scripts.challenge.modes import FULL, PLAIN
from ariel_scripts.challenge.modes import MODES as ALL_MODES
from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record
from hf_dataset.raw.layouts import open_folder
from modeling_ariel.scoring import score_2024, score_2025

HERE = Path(__file__).resolve().parent
MODES = tuple(mode.name for mode in ALL_MODES if mode.name not in (FULL, PLAIN))
BUDGETS = (0.75, 0.5, 0.3)  # of what the full mode took
GB_PER_PLANET, GB_FREE = 0.5, 5.0


@dataclass(frozen=True)
class Found:
    """A run: what it was, its seconds, its run.json's metrics, and what its submission scores."""

    name: str
    seconds: float
    metrics: dict[str, Any]
    score_2024: float
    score_2025: float

    @property
    def pace(self) -> float:
        """Seconds a planet that was looked at, start and all."""
        return self.seconds / max(1, sum(mode["planets"] for mode in self.metrics["modes"]))


def simulate(root: Path, n_planets: int, frames: int) -> None:
    """Distinct planets with all frames; ValueError where the disk has no room for them."""
    from hf_dataset.simulation import planets, raw_folder

    free, needed = shutil.disk_usage(root.parent).free / 1e9, n_planets * GB_PER_PLANET + GB_FREE
    if free < needed and not root.exists():
        raise ValueError(f"{root}: expected {needed:.0f} GB of free disk, found {free:.0f}")
    raw_folder.write_folder(root, planets.sample_planets(n_planets, 23, "2025"), "2025", frames, seed=23)


def start(root: Path, out: Path, *options: object) -> subprocess.Popen[bytes]:
    """`ariel run` in a process group of its own, the raw files on the disk alone."""
    drop_from_cache(root)
    command = [sys.executable, "-m", "ariel_scripts.cli", "run", root, "--out", out, "--split", "train", "--quiet"]
    return subprocess.Popen([str(word) for word in (*command, *options)], start_new_session=True)


def measure(name: str, root: Path, out: Path, *options: object) -> Found:
    """A whole run into a new folder."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    if code := start(root, out, *options).wait():
        raise RuntimeError(f"ariel run {' '.join(map(str, options))} ended with exit code {code}")
    return found(name, root, out, time.perf_counter() - began)


def killed(root: Path, out: Path, after: float, whole: Path) -> Found:
    """A run killed after so many seconds and run again, whose submission must be the ``whole`` run's."""
    shutil.rmtree(out, ignore_errors=True)
    process, began = start(root, out), time.perf_counter()
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = time.perf_counter() - began
    left = scores(root, out / "submission.csv")  # it is there, and whole
    began = time.perf_counter()
    if code := start(root, out).wait():
        raise RuntimeError(f"the resumed run ended with exit code {code}")
    again = time.perf_counter() - began
    same = "the same bytes" if filecmp.cmp(out / "submission.csv", whole / "submission.csv", False) else "OTHER BYTES"
    name = f"killed after {after:.0f} s (score then {left[0]:.3f}), run again: {same}"
    return found(name, root, out, first + again)


def found(name: str, root: Path, out: Path, seconds: float) -> Found:
    """What a run left behind."""
    metrics = json.loads((out / "run.json").read_text())["metrics"]
    return Found(name, seconds, metrics, *scores(root, out / "submission.csv"))


def scores(root: Path, submission: Path) -> tuple[float, float]:
    """The 2024 and the 2025 score of a submission against the truths of the raw folder."""
    folder = open_folder(root)
    with submission.open(newline="") as file:
        rows = {int(row[0]): np.array(row[1:], float) for row in list(csv.reader(file))[1:]}
    truth = np.stack([np.asarray(folder.truth("train", planet)) for planet in rows])
    mu, sigma = np.split(np.stack(list(rows.values())), 2, axis=1)
    return score_2024(truth, mu, sigma), score_2025(truth, mu, sigma)


def table(results: list[Found]) -> str:
    """Markdown: a line a run, scores beside those of the first."""
    lines = [
        "| run | seconds | s per planet | predicted | modes (planets) | 2024 score | 2025 score |",
        "|---|--:|--:|--:|---|--:|--:|",
    ]
    for one in results:
        modes = ", ".join(f"{mode['mode']} ({mode['planets']})" for mode in one.metrics["modes"])
        lines.append(
            f"| {one.name} | {one.seconds:.0f} | {one.pace:.2f} | {one.metrics['predicted']} of "
            f"{one.metrics['planets']} | {modes or 'none'} | {one.score_2024:.4f} | {one.score_2025:.4f} |"
        )
    return "\n".join(lines)


def projection(results: list[Found]) -> str:
    """1,100 planets at the full runs' pace, with their spread; start and end count once for so few planets."""
    whole = [one for one in results if one.name.startswith(FULL)]
    steps = [
        ALL_PLANETS * sum(one.metrics["seconds_per_planet"][step] for step in ("build", "predict")) / 60
        for one in whole
    ]
    runs = f"{len(steps)} runs of {whole[0].metrics['planets']} planets"
    return (
        f"{ALL_PLANETS} planets at this pace: {np.mean(steps):.0f} min (from {min(steps):.0f} to {max(steps):.0f} in "
        f"{runs}), {100 * np.mean(steps) / 540:.1f} % of nine hours."
    )


def main(
    folder: Annotated[Path, typer.Argument(help="Where planets are simulated and run.")] = HERE / "out" / "wall-clock",
    planets: Annotated[int, typer.Option(help="Distinct full-size planets.", min=2)] = 50,
    frames: Annotated[int, typer.Option(help="AIRS frames of a planet.")] = FULL_FRAMES,
    repeats: Annotated[int, typer.Option(help="Runs in the full mode, for the spread.", min=1)] = 3,
    keep: Annotated[bool, typer.Option("--keep", help="Keep raw folder and runs.")] = False,
) -> None:
    """Measure `ariel run` whole, in faster modes, with tight budgets, and killed and resumed.

    Example: python bench/wall_clock.py --planets 4 --repeats 1
    """
    folder.mkdir(parents=True, exist_ok=True)
    root, whole = folder / "raw", folder / "run-0"
    simulate(root, planets, frames)
    results = []

    def add(one: Found) -> None:
        results.append(one)
        print(table(results[-1:]).splitlines()[-1], flush=True)

    with run_record(folder, "bench-wall-clock", {"planets": planets, "frames": frames, "repeats": repeats}) as run:
        for k in range(repeats):
            add(measure(f"{FULL}, run {k + 1}", root, folder / f"run-{k}"))
        typical = float(np.median([one.seconds for one in results]))
        for mode in MODES:
            add(measure(f"--mode {mode}", root, folder / mode, "--mode", mode))
        for share in BUDGETS:
            budget = f"{max(1, round(share * typical))}s"
            add(measure(f"--budget {budget} ({share:g} of the full)", root, folder / "budget", "--budget", budget))
        add(killed(root, folder / "killed", 0.5 * typical, whole))
        run.metrics["runs"] = [vars(one) for one in results]
    text = f"{table(results)}\n\n{projection(results)}\n"
    (folder / "wall_clock.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    if not keep:
        for path in (root, *(path for path in folder.iterdir() if path.is_dir() and path != root)):
            shutil.rmtree(path)


if __name__ == "__main__":
    run_script(main)
