"""Small checkpoints of every architecture, from simulation alone, each under 3 MB: to try, and to push.

Run: make small-models (python bench/small_models.py). Each is trained on the same simulated planets, calibrated on
others, and scored on these; the table is OUT/small.md. `ariel push model OUT/NAME USER/NAME` sends one to the Hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from models import CONFIGS, REPOSITORY, Bench

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json

MOST_BYTES = 3e6  # of a checkpoint's weights
SIMULATED = ("--fast", "--layout", "both", "--planets", 300, "--test-planets", 80, "--unlike-planets", 100)
SETTINGS: dict[str, dict[str, Any]] = {
    "ariel": {
        **{"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 64},
        **{"spectral_hidden_size": 96, "spectral_num_hidden_layers": 2},
    },
    "transit_cnn": {"conv_sizes": [32, 64, 64], "fusion_sizes": [128, 128, 128]},
    "spectre": {},
    "spectramind": {},
    "gp_autoencoder_nmf": {},
}


def main(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = REPOSITORY / "bench/out/small",
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 400,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps of everything: does it run?")] = False,
) -> None:
    """Train, calibrate and score a small model of every architecture.

    Example: python bench/small_models.py --steps 100
    """
    out, steps = (out / "quick", 3) if quick else (out, steps)
    bench = Bench(Path("-"), out, ())
    curves = out / "curves"
    with run_record(out, "small models", {"steps": steps, "quick": quick}, 0, name="small.run.json") as run:
        bench.once(curves, "simulate", curves, *SIMULATED, *(("--planets", 20, "--test-planets", 12) if quick else ()))
        rows = {name: made(bench, curves, name, steps) for name in SETTINGS}
        run.metrics.update(rows)
        write_json(out / "small.json", rows)
        (out / "small.md").write_text(as_markdown(rows), encoding="utf-8")
    print(as_markdown(rows))


def made(bench: Bench, curves: Path, name: str, steps: int) -> dict[str, float]:
    """Size and scores of an architecture's checkpoint, which is trained and calibrated where it is not there."""
    settings = [part for key, value in SETTINGS[name].items() for part in ("--set", f"{key}={json.dumps(value)}")]
    options = ("--config", CONFIGS / "simulated.yaml", "--fit-workers", 2, "--architecture", name, "--steps", steps)
    evaluate = ("--evaluate-every", min(steps, 50))
    model = bench.trained(f"{name}-trained", "finetune", curves, *options, *settings, *evaluate)
    folder = bench.out / name
    bench.once(folder, "calibrate", model, curves, "--split", "test", "--method", "conformal", "--out", folder)
    size = (folder / "model.safetensors").stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{folder}: expected weights under {MOST_BYTES:.0f} bytes, found {size}")
    found = json.loads((folder / "calibration.json").read_text())["after"]
    return {
        "MB": size / 1e6,
        "2024 score": found["score_2024"],
        "2025 score": found["score_2025"],
        "in 90": found["coverage"]["overall"]["0.9"][0],
        "z": found["z_spread"]["overall"][0],
        "median sigma, ppm": found["sigma_median_ppm"],
    }


def as_markdown(rows: dict[str, dict[str, float]]) -> str:
    """A line an architecture."""
    heads = list(next(iter(rows.values())))
    lines = [f"| architecture | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{row[key]:.3g}' for key in heads)} |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
