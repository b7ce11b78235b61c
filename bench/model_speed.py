"""How fast the model is: planets a second of `ariel predict`, memory, seconds to load, of a fit, of a training step.

Run: python bench/model_speed.py, or make gpu. Predictions run the command itself on simulated light
curves; loading is timed in a process of its own; a GPU is measured too if there is one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from throughput import resident

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record

HERE = Path(__file__).resolve().parent
RELEASED = HERE.parent / "modeling_ariel/released"

LOADING = """
import sys, time
start = time.perf_counter()
from modeling_ariel import ArielFeatureExtractor, ArielForSpectrumPrediction
imported = time.perf_counter()
ArielFeatureExtractor.from_pretrained(sys.argv[1]), ArielForSpectrumPrediction.from_pretrained(sys.argv[1])
print(imported - start, time.perf_counter() - imported)
"""


def main(
    model: Annotated[Path, typer.Argument(help="Checkpoint.")] = RELEASED,
    planets: Annotated[int, typer.Option(min=4, help="Planets to predict.")] = 48,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement of a step.")] = 10,
) -> None:
    """Measure prediction, loading and training steps.

    Example: python bench/model_speed.py --planets 16
    """
    import torch

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    curves = HERE / "out" / f"speed-curves-{planets}"
    if not curves.exists():
        simulate = ["simulate", curves, "--fast", "--layout", "both", "--planets", planets, "--seed", 31]
        subprocess.run([sys.executable, "-m", "ariel_scripts.cli", *map(str, simulate), "--quiet"], check=True)
    lines = ["| work | on | result |", "|---|---|---|"]
    with run_record(
        HERE / "out", "model-speed", {"model": str(model), "planets": planets}, name="model_speed.run.json"
    ) as run:
        for device in devices:
            for workers in (1, 2):
                seconds, rate, memory = predict(curves, model, device, workers)
                on = f"{device}, {workers} fit worker{'s' * (workers > 1)}"
                result = f"{rate:.2f} planets/s ({seconds:.0f} s with imports), {memory:.0f} MB in all processes"
                lines.append(f"| `ariel predict`, {planets} planets | {on} | {result} |")
            for name, seconds in {**fit_time(device, repeats), **training_steps(device, repeats)}.items():
                lines.append(f"| {name} | {device}, {torch.get_num_threads()} threads | {seconds:.2f} s |")
        command = [sys.executable, "-c", LOADING, str(model)]
        imports, loading = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:]
        lines.append(f"| loading | cpu | {float(loading):.2f} s after {float(imports):.1f} s of imports |")
        run.metrics["table"] = lines
    print("\n".join(lines))


def predict(curves: Path, model: Path, device: str, workers: int) -> tuple[float, float, float]:
    """Seconds of the command, planets a second of its run, and most memory [MB] of all its processes."""
    out = HERE / "out" / "speed.parquet"
    words = [
        "predict",
        curves,
        "--model",
        model,
        "--out",
        out,
        "--device",
        device,
        "--workers",
        workers,
        "--restart",
        "-q",
    ]
    start, most = time.perf_counter(), 0
    process = psutil.Popen([sys.executable, "-m", "ariel_scripts.cli", *map(str, words)])
    while process.poll() is None:
        most = max(most, resident(process))
        time.sleep(0.2)
    if process.returncode:
        raise RuntimeError(f"ariel predict ended with exit code {process.returncode}")
    seconds = time.perf_counter() - start
    record = json.loads(out.with_name("speed.run.json").read_text())
    planets = record["metrics"]["planets"]
    return seconds, planets / record["durations"]["predict"], most / 1e6


def fit_time(device: str, repeats: int, visits: int = 2) -> dict[str, float]:
    """Seconds of a visit's fit."""
    import torch

    from hf_dataset.simulation import light_curves, planets
    from modeling_ariel.columns import STAR_IN_FIT
    from modeling_ariel.retrieval import fit

    chosen = planets.sample_planets(visits, 31, "2025")
    rows = [light_curves.simulate_row(planet, 0, 375, seed=1) for planet in chosen]
    names = ("time", "flux", "flux_err", "valid", *STAR_IN_FIT)
    batch = {name: torch.stack([torch.as_tensor(row[name]) for row in rows]).to(device) for name in names}
    with torch.no_grad():
        for number in range(repeats + 1):
            if number == 1:  # after warming up
                start = time.perf_counter()
            float(fit(batch, planets.wavelengths_um("2025")).depth.sum())  # waits for a GPU
    return {"fit, a visit of 375 bins": (time.perf_counter() - start) / (repeats * visits)}


def training_steps(device: str, repeats: int) -> dict[str, float]:
    """Seconds of a forward and backward pass of both kinds of training; data not counted."""
    import torch

    from modeling_ariel.configuration_ariel import ArielConfig
    from modeling_ariel.modeling_ariel import ArielForPreTraining, ArielForSpectrumPrediction

    config = ArielConfig()
    torch.manual_seed(0)
    curve = torch.randn(32, 375, config.n_channels, device=device)
    inputs: dict[str, Any] = {
        "light_curve": curve,
        "valid": torch.ones_like(curve, dtype=torch.bool),
        "time": torch.linspace(0.0, 7.5, 375, device=device).expand(32, -1),
    }
    depth = torch.full((256, config.n_channels), 2.5e-3, dtype=torch.float64, device=device)
    shared = torch.zeros(256, config.n_shared, dtype=torch.float64, device=device)
    classical = {
        "classical_mean": depth + 1e-5 * torch.randn_like(depth),
        "classical_sigma": 0.01 * depth,
        "classical_depth": depth,
        "classical_depth_sigma": 0.1 * depth,
        "classical_share": torch.full((256, config.prior_components), 0.2, dtype=torch.float64, device=device),
        "classical_shared": shared,
        "classical_shared_sigma": shared + 1.0,
        "residual": curve,
        "labels": depth,
    }
    return {
        "training step: masked pretraining, 32 visits": _step(ArielForPreTraining(config).to(device), inputs, repeats),
        "training step: physics residual, 32 visits of 8 draws": _step(
            ArielForSpectrumPrediction(config).to(device), {**inputs, **classical}, repeats
        ),
    }


def _step(model: Any, inputs: dict[str, Any], repeats: int) -> float:
    import torch

    optimizer = torch.optim.AdamW(model.parameters())
    for number in range(repeats + 2):
        if number == 2:  # after warming up
            start = time.perf_counter()
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    run_script(main)
