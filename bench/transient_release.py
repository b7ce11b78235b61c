"""Make the released classifier of transients: simulate, fine-tune on simulation, judge on other simulated objects.

Run: python bench/transient_release.py OUT [--install]. Only the project's own commands; no challenge's table is read.
Some five minutes on one core. `--install` copies the result, its record without the paths of this machine, to
modeling_ariel/transients/released; the card beside it is written by hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ariel_scripts.cli import call
from ariel_scripts.command_line import run_script
from ariel_scripts.opening.hub import locate_dataset
from ariel_scripts.run_record import run_record, write_json
from ariel_scripts.training.transients.objects import labels_of, read_objects
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.detection_scores import average_precision, best_threshold, detection
from modeling_ariel.transients.pipeline_transient import TransientPipeline
from modeling_ariel.transients.surveys import SURVEYS

REPOSITORY = Path(__file__).resolve().parents[1]
RELEASED = REPOSITORY / "modeling_ariel/transients/released"
RECORDS = ("config.json", "preprocessor_config.json", "training.json")
OBJECTS, JUDGED = 1500, 500
FAR = SURVEYS["lsst"]["i"]  # [Å] the reddest band that ZTF has too


def main(
    out: Annotated[Path, typer.Argument(help="Folder for all results; existing ones are kept.")],
    install: Annotated[bool, typer.Option("--install", help="Copy it to modeling_ariel/transients/released.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 500,
) -> None:
    """Train the released classifier.

    Example: python bench/transient_release.py bench/out/transient-release
    """
    with run_record(out, "transient release", {"steps": steps}, 0, name="release.run.json"):
        data, judged = (simulated(out, *of) for of in (("train", OBJECTS, 101), ("judged", JUDGED, 202)))
        call("transients", "finetune", data, "--folds", 0, "--steps", steps, "--evaluate-every", 100, "--patience", 3,
             "--out", out / "run")  # fmt: skip
        scores = judge(out / "run/model", judged)
        write_json(out / "scores.json", scores)
    print(json.dumps(scores, indent=1))
    if install:
        RELEASED.mkdir(exist_ok=True)
        shutil.copyfile(out / "scores.json", RELEASED / "scores.json")
        shutil.copyfile(out / "run/model/model.safetensors", RELEASED / "model.safetensors")
        for name in RECORDS:
            text = (out / "run/model" / name).read_text(encoding="utf-8")
            (RELEASED / name).write_text(without_paths(text, out), encoding="utf-8")


def simulated(out: Path, name: str, objects: int, seed: int) -> Path:
    """A dataset of labelled simulated objects, made once."""
    raw, data = out / f"{name}-raw", out / name
    if not (raw / "simulation.json").is_file():
        call("transients", "simulate", raw, "--objects", objects, "--test-objects", 0, "--seed", seed)
    if not (data / "README.md").is_file():
        call("transients", "build", raw, data)
    return data


def judge(model: Path, dataset: Path) -> dict[str, Any]:
    """Scores on objects that the model never saw: as they are, and with less known of them."""
    objects = read_objects(locate_dataset(str(dataset)), "train")
    _, labels = labels_of(objects, "type")
    target = labels == labels.max()
    cases: dict[str, Callable[[Curve], Curve]] = {
        "as simulated": lambda curve: curve,
        "redshift not known": lambda curve: replace(curve, redshift=float("nan")),
        "bands g, r, i alone": lambda curve: curve.take((curve.wavelength > 4000) & (curve.wavelength <= FAR)),
        "first half of the time": lambda curve: curve.take(curve.time <= np.mean(curve.time[[0, -1]])),
    }
    pipeline = TransientPipeline.from_pretrained(model)
    found = {}
    for name, change in cases.items():
        answer = pipeline.classify(objects.names, [change(curve) for curve in objects.curves])
        found[name] = scores(target, labels, answer.probability, answer.shares)
    return {"objects": len(objects), "disruptions": int(target.sum()), "cases": found}


def scores(
    target: NDArray[np.bool_], labels: NDArray[np.int64], probability: NDArray[np.float64], shares: NDArray[np.float64]
) -> dict[str, float]:
    """Average precision, F1 at the threshold 0.5 and at the best one, log loss, share of right classes."""
    sure = np.clip(np.where(target, probability, 1 - probability), 1e-9, 1)
    return {
        "average_precision": average_precision(target, probability),
        "f1": detection(target, probability >= 0.5).f1,
        "f1_optimistic": detection(target, probability >= best_threshold(target, probability)).f1,
        "log_loss": float(-np.log(sure).mean()),
        "accuracy": float((shares.argmax(1) == labels).mean()),
    }


def without_paths(text: str, out: Path) -> str:
    """A record in which this machine's folders are named by what they are, and no code that is not beside it."""
    record = json.loads(text.replace(f"{out}/", "").replace(f"{out.resolve()}/", "").replace(f"{REPOSITORY}/", ""))
    record.pop("auto_map", None)
    if "command" in record:
        record["command"] = "python bench/transient_release.py OUT --install"
    return json.dumps(record, indent=1) + "\n"


if __name__ == "__main__":
    run_script(main)
