"""Make the released checkpoint: simulate, supervise on simulation, calibrate, judge away from home.

Run: python bench/release.py OUT [--install]. Only the project's own commands and configs; no given spectrum is read.
Some forty minutes on two cores, of which 12 of one core for 2,660 classical fits (0.28 s each). `--install` copies the
result, its record without the paths of this machine, to modeling_ariel/released; the card beside it is written by hand.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import away
import typer
from models import REPOSITORY, Bench

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json

RELEASED = REPOSITORY / "modeling_ariel/released"
RECORDS = ("config.json", "preprocessor_config.json", "training.json", "calibration.json")
KEPT = (*RECORDS, "model.safetensors", "away.json")
AWAY = 60  # planets of each case away from home
FIGURES = ("coverage.png", "z.png")


def main(
    out: Annotated[Path, typer.Argument(help="Folder for all results; existing ones are kept.")],
    install: Annotated[bool, typer.Option("--install", help="Copy the result to modeling_ariel/released.")] = False,
) -> None:
    """Train the released checkpoint.

    Example: python bench/release.py bench/out/models
    """
    bench = Bench(Path("-"), out, ())
    with run_record(out, "release", {}, 0, name="release.run.json"):
        bench.simulated_curves()
        model = bench.supervised("simulated", None)
        bench.once(
            out / "released",
            "calibrate",
            model,
            bench.simulated,
            "--split",
            "test",
            "--method",
            "conformal",
            "--out",
            out / "released",
        )
        draw_history(out / "simulated/history.json", out / "training.png")
        if not (out / "released/away.json").exists():
            files = away.fits(away.every_case(away.TRUTHS), AWAY, 2, away.TRUTHS, out)
            write_json(out / "released/away.json", away.judged(str(out / "released"), files))
    if install:
        RELEASED.mkdir(exist_ok=True)
        for name in (*KEPT, *FIGURES):
            shutil.copyfile(out / "released" / name, RELEASED / name)
        shutil.copyfile(out / "training.png", RELEASED / "training.png")
        for name in RECORDS:
            path = RELEASED / name
            path.write_text(without_paths(path.read_text(), out), encoding="utf-8")


def without_paths(text: str, out: Path) -> str:
    """A record in which this machine's folders are named by what they are, and no code that is not beside it."""
    record = json.loads(text.replace(f"{out}/", "").replace(f"{out.resolve()}/", "").replace(f"{REPOSITORY}/", ""))
    record.pop("auto_map", None)
    if "command" in record:
        record["command"] = "python bench/release.py OUT --install"
    return json.dumps(record, indent=1) + "\n"


def draw_history(history: Path, path: Path) -> None:
    """Training and validation loss."""
    from matplotlib.figure import Figure

    rows: list[dict[str, Any]] = json.loads(history.read_text())
    seen = [row for row in rows if "loss" in row]
    judged = [row for row in rows if "log_likelihood" in row]
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.plot([row["step"] for row in seen], [row["loss"] for row in seen], lw=0.8, color="0.6", label="training")
    values = [-row["log_likelihood"] for row in judged]
    axis.plot([row["step"] for row in judged], values, "o-", ms=3, lw=1.2, color="#0072B2", label="validation")
    axis.set(xlabel="step", ylabel="−ln likelihood of a channel")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    run_script(main)
