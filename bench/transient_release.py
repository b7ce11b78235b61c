"""Make the released classifier of transients: simulate, fine-tune on simulation, judge on other simulated objects.

Run: python bench/transient_release.py OUT [--install]. Only the project's own commands; no challenge's table is read.
Two minutes on one idle core. `--install` copies the result, its record without the paths of this machine, to
modeling_ariel/transients/released, with a card of its scores.
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
SIZES = [word for one in ("hidden_size=32", "num_hidden_layers=2", "intermediate_size=64") for word in ("--set", one)]
FAR = SURVEYS["lsst"]["i"]  # [Å] the reddest band that ZTF has too

SHOWN = ("average_precision", "f1", "accuracy")
CARD = """---
library_name: transformers
license: apache-2.0
tags:
  - transients
  - tidal-disruption-events
  - time-series
---

# Transients, trained on simulation

Light curves in any bands → probabilities of AGN, supernova (SN) and tidal disruption event (TDE). A small transformer
trained on {objects:,} objects of `ariel transients simulate`, none of MALLORN or of any survey, by the command in
`training.json`; it shows the Space's page of transients at work.

```python
from modeling_ariel.transients import TransientPipeline

pipeline = TransientPipeline.from_pretrained("modeling_ariel/transients/released")
```

Scores on {judged:,} other simulated objects, of which {disruptions} are TDEs:

| | average precision of TDEs | F1 at 0.5 | right class |
|---|---|---|---|
{rows}

**Do not classify real objects with it.** The simulation's sources are black bodies without spectral lines; its
supernovae are five types without hosts' light or peculiar events; its TDEs keep one temperature; AGN are damped random
walks. It saw LSST's bands, cadence and depths alone, all objects over six seasons, and redshifts known to 2 %.
"""


def main(
    out: Annotated[Path, typer.Argument(help="Folder for all results; existing ones are kept.")],
    install: Annotated[bool, typer.Option("--install", help="Copy it to modeling_ariel/transients/released.")] = False,
    objects: Annotated[int, typer.Option(min=50, help="Objects trained on.")] = 1500,
    judged: Annotated[int, typer.Option(min=50, help="Other objects, for the scores.")] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 500,
) -> None:
    """Train the released classifier.

    Example: python bench/transient_release.py bench/out/transient-release
    """
    config = {"objects": objects, "judged": judged, "steps": steps}
    with run_record(out, "transient release", config, 0, name="release.run.json"):
        data, others = simulated(out, "train", objects, 101), simulated(out, "judged", judged, 202)
        call("transients", "finetune", data, "--folds", 0, "--steps", steps, "--evaluate-every", 100,
             "--learning-rate", 0.002, "--augment-redshift", 0, *SIZES, "--out", out / "run")  # fmt: skip
        scores = judge(out / "run/model", others)
        write_json(out / "scores.json", scores)
    print(json.dumps(scores, indent=1))
    if install:
        RELEASED.mkdir(exist_ok=True)
        shutil.copyfile(out / "scores.json", RELEASED / "scores.json")
        shutil.copyfile(out / "run/model/model.safetensors", RELEASED / "model.safetensors")
        command = " ".join(f"--{name} {value}" for name, value in config.items())
        for name in RECORDS:
            text = (out / "run/model" / name).read_text(encoding="utf-8")
            text = without_paths(text, out, f"python bench/transient_release.py OUT --install {command}")
            (RELEASED / name).write_text(text, encoding="utf-8")
        (RELEASED / "README.md").write_text(card(scores, objects), encoding="utf-8")


def card(scores: dict[str, Any], objects: int) -> str:
    """The model's card."""
    rows = [
        f"| {name} | " + " | ".join(f"{case[key]:.2f}" for key in SHOWN) + " |"
        for name, case in scores["cases"].items()
    ]
    return CARD.format(
        objects=objects, judged=scores["objects"], disruptions=scores["disruptions"], rows="\n".join(rows)
    )


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


def without_paths(text: str, out: Path, command: str) -> str:
    """A record in which this machine's folders are named by what they are, and no code that is not beside it."""
    record = json.loads(text.replace(f"{out}/", "").replace(f"{out.resolve()}/", "").replace(f"{REPOSITORY}/", ""))
    record.pop("auto_map", None)
    if "command" in record:
        record["command"] = command
    return json.dumps(record, indent=1) + "\n"


if __name__ == "__main__":
    run_script(main)
