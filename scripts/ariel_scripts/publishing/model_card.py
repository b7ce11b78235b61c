"""The card of a published model: the folder's own, its usage section made for the repository; or one from its records.

A card that somebody wrote is sent as it is, but for what stands between the two comments of ``USAGE``. One that this
file wrote (``GENERATED``) is written anew at every push, for the records may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ariel_scripts.opening.provenance import CALIBRATION, CARD, ON_THE_FLY, OWN, TRAINING, licence_of, read_record
from ariel_scripts.publishing.release import without_machine

USAGE = re.compile(r"(<!-- usage -->\n).*?(\n<!-- /usage -->)", re.DOTALL)
GENERATED = "<!-- written by ariel push from training.json and calibration.json -->"
TAGS = ("exoplanets", "transit-spectroscopy", "ariel", "time-series", "uncertainty")
TASK, TASK_NAME = "tabular-regression", "Transmission spectrum from transit light curves"
METRICS = {
    "score_2024": "Ariel Data Challenge 2024 score",
    "score_2025": "Ariel Data Challenge 2025 score",
    "log_likelihood": "Mean ln likelihood of a channel",
    "rmse_ppm": "RMSE of the depth (ppm)",
    "validation_loss": "Squared error of hidden points (sigma squared; 1 is noise)",
}
OF_SIGMA = ("score_2024", "score_2025", "log_likelihood")  # others once it is calibrated
WATT_A_CORE = 10.0  # of a server's processor under load, its memory included
PRETRAINED = "ArielForPreTraining"


def model_card(folder: Path, repo_id: str, names: Collection[str]) -> str:
    """Text of README.md for the repository ``repo_id`` of the checkpoint ``folder``.

    names: files of the repository, which links may point to.

    Raises:
        ValueError: the licence does not fit the training data, or a link leads out of the repository.
    """
    licence, path = licence_of(folder), folder / CARD
    own = path.read_text(encoding="utf-8") if path.is_file() else GENERATED
    kind = read_record(folder / "config.json")["architectures"][0]
    if GENERATED in own:
        text = _generated_card(folder, repo_id, kind, licence, names)
    else:
        text = USAGE.sub(lambda found: f"{found[1]}\n{usage(repo_id, kind)}\n{found[2]}", own)
        text = _with_metadata(text, licence)
    _check_links(text, names, path)
    return text


def _with_metadata(text: str, licence: str) -> str:
    """The card with what the Hub needs to know of it, where its YAML lacks that."""
    card = ModelCard(text)
    lacking = {
        name: value
        for name, value in (("library_name", "transformers"), ("license", licence))
        if card.data.get(name) is None
    }
    if not lacking:
        return text
    for name, value in lacking.items():
        setattr(card.data, name, value)
    return f"---\n{card.data.to_yaml()}\n---\n{card.text}"


def _check_links(text: str, names: Collection[str], path: Path) -> None:
    """Refuse links to files that the repository will not have."""
    for found in re.finditer(r"\]\(([^)\s]+)\)", text):
        target = found[1]
        if not re.match(r"https?://|mailto:|#", target) and target.split("#")[0] not in {*names, CARD}:
            raise ValueError(f"{path}: expected links to addresses or to files of the model, found {target}")


# --- how to use it -------------------------------------------------------------------------------------------------


def usage(repo_id: str, kind: str) -> str:
    """How to load a published model, with this package and without; every block runs as it stands."""
    return (_USE_PRETRAINED if kind == PRETRAINED else _USE).replace("REPO_ID", repo_id)


_USE = """\
With transformers and torch alone. This runs the Python files of this repository: pin a `revision` that you have read.

```python
import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained("REPO_ID", trust_remote_code=True)
model = AutoModel.from_pretrained("REPO_ID", trust_remote_code=True).eval()

time = np.linspace(0.0, 7.5, 375)  # h from the first exposure
inside = np.clip(5.0 * (1.5 - np.abs(time - 3.75)), 0.0, 1.0)  # a made-up transit
flux_err = np.full((375, 283), 5.0)  # (time, channel): FGS1, then AIRS-CH0 ascending in wavelength
noise = np.random.default_rng(0).standard_normal((375, 283))
flux = 1e4 * (1.0 - 0.01 * inside[:, None]) + flux_err * noise  # in any unit

with torch.no_grad():
    spectrum = model(**extractor(time=time, flux=flux, flux_err=flux_err))
print(spectrum.status, spectrum.mean.shape, spectrum.sigma.shape)  # (planet, channel), transit depth (Rp/Rs)²
```

With the package (`ariel-hf`) no code of this repository runs:

```bash
ariel simulate light-curves --fast --planets 4
ariel predict light-curves --model REPO_ID --out predictions.parquet
```

```python
import torch
from datasets import load_dataset
from modeling_ariel import ArielFeatureExtractor, ArielForSpectrumPrediction

extractor = ArielFeatureExtractor.from_pretrained("REPO_ID")
model = ArielForSpectrumPrediction.from_pretrained("REPO_ID").eval()
rows = load_dataset("light-curves", split="train").with_format("numpy").take(2)
with torch.no_grad():
    spectrum = model(**extractor(list(rows)))
spectrum.mean, spectrum.sigma  # (2, 283)
```"""

_USE_PRETRAINED = r"""It rebuilds hidden parts of light curves; it does not predict spectra. It is a start for training:

```bash
ariel simulate light-curves --fast --planets 6
ariel finetune light-curves --model REPO_ID --out finetuned \
  --steps 2 --batch-size 2 --prior simulated --groups 2
```

With transformers and torch alone. This runs the Python files of this repository: pin a `revision` that you have read.

```python
from transformers import AutoModelForPreTraining

model = AutoModelForPreTraining.from_pretrained("REPO_ID", trust_remote_code=True)
```"""


# --- written from the records --------------------------------------------------------------------------------------


def _generated_card(folder: Path, repo_id: str, kind: str, licence: str, names: Collection[str]) -> str:
    training, calibration = (without_machine(read_record(folder / name)) for name in (TRAINING, CALIBRATION))
    data, start = training.get("data") or {}, training.get("base") or {}
    if isinstance(calibration.get("model"), dict):
        start = calibration["model"]
    name = repo_id.split("/")[-1]
    results = list(_results(training, calibration))
    metadata = ModelCardData(
        library_name="transformers",
        license=licence,
        tags=list(TAGS),
        base_model=start.get("name") if start.get("commit") else None,
        datasets=[data["source"]] if data.get("commit") else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    about = (
        "the same light curves, rebuilt where they were hidden. Its encoder is where fine-tuning starts."
        if kind == PRETRAINED
        else "transmission spectrum with a σ for each channel."
    )
    limits = _LIMITS_PRETRAINED if kind == PRETRAINED else _LIMITS
    sections = [
        f"# {name}",
        f"Light curves of a planet's transits (FGS1 and AIRS-CH0 of ESA's Ariel) → {about}",
        f"## Use\n\n{usage(repo_id, kind)}",
        f"## Training\n\n{_training_section(training)}",
        f"## Scores\n\n{_scores_section(training, calibration)}",
        f"## Are the error bars honest?\n\n{_calibration_section(calibration, names)}" if kind != PRETRAINED else "",
        f"## Cost\n\n{_cost_section(training, kind)}",
        f"## Intended use and limits\n\n{limits}",
        f"## Licence\n\n{_licence_section(licence)}",
        GENERATED,
    ]
    return f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(part for part in sections if part) + "\n"


def _results(training: dict[str, Any], calibration: dict[str, Any]) -> Iterator[EvalResult]:
    """Entries of the model index, from the records and nothing else.

    `huggingface_hub` tells results of one dataset apart by their split alone: it names the group of planets.
    """
    planets, data = training.get("planets") or {}, training.get("data") or {"source": "not recorded"}
    found = {"validation": training.get("evaluation") or {}, "held out": training.get("held out") or {}}
    for group, scores in found.items():
        for metric, title in METRICS.items():
            if metric in scores and not (calibration and metric in OF_SIGMA):
                about = f"{len(planets.get(group) or ()) or ''} {group} planets".strip()
                yield _result(data, group, about, metric, title, scores[metric])
    judged = calibration.get("dataset")
    where = judged if isinstance(judged, dict) else {"name": judged}
    about = f"{len(calibration.get('planets') or ())} planets, each by the others"
    for metric, value in _calibrated_scores(calibration).items():
        yield _result(where, "calibration", about, metric, METRICS[metric], value)
    for level, value in (calibration.get("conformal", {}).get("coverage", {}).get("overall") or {}).items():
        title = f"Truths inside the {float(level):.0%} interval"
        yield _result(where, "calibration", about, f"coverage_{level}", title, value[0])


def _calibrated_scores(calibration: dict[str, Any]) -> dict[str, float]:
    after = calibration.get("after") or {}
    return {metric: after[metric] for metric in METRICS if metric in after}


def _result(data: dict[str, Any], group: str, about: str, metric: str, title: str, value: float) -> EvalResult:
    name = str(data.get("source", data.get("name")))
    return EvalResult(
        task_type=TASK,
        task_name=TASK_NAME,
        dataset_type=name if data.get("commit") else name.split("/")[-1],
        dataset_name=f"{name}, {about}",
        dataset_split=group,
        metric_type=metric,
        metric_name=title,
        metric_value=round(value, 5),
    )


def _training_section(record: dict[str, Any]) -> str:
    if not record:
        return "Not recorded."
    data, base, loop = record.get("data") or {}, record.get("base") or {}, record.get("loop") or {}
    source = str(data.get("source", "not recorded"))
    rows = {
        "light curves": source + (f", split {data['split']}" if data.get("split") else "") + _commit(data),
        "layouts of their rows": ", ".join(data["layouts"]) if data.get("layouts") else "not recorded",
        "planets": ", ".join(f"{len(ids)} {group}" for group, ids in (record.get("planets") or {}).items() if ids),
        "started from": f"{base['name']}{_commit(base)}" if base else "new weights",
        "steps": f"{record.get('steps_run', loop.get('steps'))} of {loop.get('batch_size')} examples; "
        f"the best one, {record.get('step')}, was kept",
        "learning rate, weight decay": f"{loop.get('learning_rate')}, {loop.get('weight_decay')}",
        "precision, seed": f"{loop.get('precision')}, {record.get('seed')}",
    }
    lines = [f"| {name} | {text} |" for name, text in rows.items() if text]
    lead = "Light curves were simulated as they were needed." if source == ON_THE_FLY else ""
    table = "\n".join(["| | |", "|---|---|", *lines])
    closing = "All options, planets and versions are in [training.json](training.json)."
    return "\n\n".join(part for part in (lead, table, closing) if part)


def _commit(source: dict[str, Any]) -> str:
    return f" at {source['commit'][:12]}" if source.get("commit") else ""


def _scores_section(record: dict[str, Any], calibration: dict[str, Any]) -> str:
    when = ", before calibration" if calibration else ""
    columns = {
        f"validation{when}": record.get("evaluation"),
        "validation, physics alone": record.get("classical on validation"),
        f"held out{when}": record.get("held out"),
        "held out, physics alone": record.get("classical on held out"),
    }
    known = {name: scores for name, scores in columns.items() if scores}
    rows = [
        f"| {title} | "
        + " | ".join(f"{scores[name]:.4g}" if name in scores else "" for scores in known.values())
        + " |"
        for name, title in METRICS.items()
        if any(name in scores for scores in known.values())
    ]
    parts = []
    if rows:
        head = [f"| | {' | '.join(known)} |", "|---|" + "---|" * len(known)]
        parts.append("\n".join([*head, *rows]))
        parts.append(
            "Validation planets picked the step that was kept; held-out planets were seen by nothing but these numbers."
        )
    if after := _calibrated_scores(calibration):
        said = ", ".join(f"{METRICS[metric]} {value:.4g}" for metric, value in after.items())
        parts.append(f"After calibration, on its {len(calibration['planets'])} planets, each by the others: {said}.")
    return "\n\n".join(parts) or "None are recorded."


def _calibration_section(record: dict[str, Any], names: Collection[str]) -> str:
    if not record:
        return "Not calibrated: σ is as the network gives it. `ariel calibrate` measures it on planets of yours."
    rows = []
    for level in record.get("levels", ()):
        cells = [
            f"{record[part]['coverage']['overall'][str(level)][0]:.1%}"
            for part in ("before", "after", "conformal")
            if part in record
        ]
        rows.append(f"| {level:.0%} | {' | '.join(cells)} |")
    head = ["| stated | inside before | after calibration | conformal intervals |", "|---|---|---|---|"]
    model = record.get("model")
    start = model if isinstance(model, dict) else {"name": model}
    lead = f"{len(record.get('planets', ()))} planets, method {record.get('method')}; each judged by the others."
    if start.get("name"):
        lead += f" The weights are those of {start['name']}{_commit(start)}."
    figure = "\n\n![Coverage against stated probability](coverage.png)" if "coverage.png" in names else ""
    return f"{lead}\n\n" + "\n".join([*head, *rows]) + figure


def _cost_section(record: dict[str, Any], kind: str) -> str:
    seconds, processes, device = record.get("seconds"), record.get("processes", 1), str(record.get("device", "cpu"))
    if seconds is None:
        return "Not recorded."
    text = f"Training took {seconds / 60:.1f} minutes in {processes} process(es) on {device}. Making the data"
    if kind != PRETRAINED and record.get("classical on validation"):
        text += ", and the classical fits, about 0.8 s a visit,"
    text += " is not counted."
    if device == "cpu" and "threads" in record:
        cores = processes * record["threads"]
        energy = seconds / 3600 * cores * WATT_A_CORE
        text += f" With {cores} core(s) busy at {WATT_A_CORE:.0f} W (assumed, not measured) that is {energy:.2g} Wh."
    return text


def _licence_section(licence: str) -> str:
    if licence == OWN:
        return "Apache-2.0: it learned from this project's own simulation alone."
    return (
        "CC BY-NC 4.0: it learned from data of the NeurIPS Ariel Data Challenges (University College London and the "
        "Ariel consortium), or its records don't say that it did not."
    )


_LIMITS = """\
- For research on Ariel's simulated light curves: a spectrum with a σ, to be judged beside other retrievals. Not a \
detection tool: it does not say which molecules are there.
- Light curves unlike those above (other drifts, noise, atmospheres) are pulled towards what it knows, and its σ may \
then be too small.
- A wrong star table gives wrong spectra: leave out one that you doubt.
- Errors of channels are correlated: for means over channels use `output_covariance_factor`."""

_LIMITS_PRETRAINED = """\
- A start for fine-tuning on Ariel's simulated light curves; no spectrum comes out of it.
- In this project masked pretraining gained nothing measurable in the likelihood of spectra."""
