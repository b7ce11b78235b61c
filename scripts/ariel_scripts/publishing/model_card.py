"""The card of a published model: the folder's own, its usage section made for the repository; or one from its records.

A card that somebody wrote is sent as it is, but for what stands between the two comments of ``USAGE`` and of ``SHOWN``.
One that a push wrote (``GENERATED``) is written anew at every push, for the records may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ariel_scripts.opening.provenance import CALIBRATION, CARD, ON_THE_FLY, OWN, TRAINING, licence_of, read_record
from ariel_scripts.publishing.release import Related, without_machine
from ariel_scripts.templates import text_templates

USAGE = ("<!-- usage -->", "<!-- /usage -->")
SHOWN = ("<!-- picture -->", "<!-- /picture -->")
PICTURE = "spectrum.png"
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


def model_card(folder: Path, repo_id: str, names: Collection[str], related: Related = Related()) -> str:
    """Text of README.md for the repository ``repo_id`` of the checkpoint ``folder``.

    names: files of the repository, which links may point to.

    Raises:
        ValueError: the licence does not fit the training data, or a link leads out of the repository.
    """
    licence, path = licence_of(folder), folder / CARD
    own = path.read_text(encoding="utf-8") if path.is_file() else GENERATED
    kind = read_record(folder / "config.json")["architectures"][0]
    shown = _shown(names, related)
    if GENERATED in own:
        text = _generated_card(folder, repo_id, kind, licence, names, shown)
    else:
        text = _between(own, USAGE, usage(repo_id, kind))
        text = _with_metadata(_between(text, SHOWN, shown), licence, kind)
    _check_links(text, names, path)
    return text


def _between(text: str, marks: tuple[str, str], content: str) -> str:
    """The text with this content between two comments, where it has them."""
    before, _, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    return f"{before}{marks[0]}\n\n{content}\n\n{end}{after}" if end else text


def _shown(names: Collection[str], related: Related) -> str:
    """A predicted spectrum, where the repository has one, and where to see more."""
    picture = f"![A spectrum that it predicted, with its error bands, and the truth]({PICTURE})"
    return "\n\n".join(filter(None, [picture if PICTURE in names else "", related.link("Look at more of them.")]))


def usage(repo_id: str, kind: str) -> str:
    """How to load a published model, with this package and without."""
    return _rendered("usage.md.j2", repo_id=repo_id, kind=kind, pretrained=kind == PRETRAINED)


def _rendered(template: str, **values: Any) -> str:
    environment = text_templates("ariel_scripts.publishing")
    return environment.get_template(template).render(values).strip()


def _with_metadata(text: str, licence: str, kind: str) -> str:
    """The card with what the Hub needs to know of it, where its YAML lacks that."""
    card = ModelCard(text)
    needed = {"library_name": "transformers", "license": licence}
    needed |= {} if kind == PRETRAINED else {"pipeline_tag": TASK}
    lacking = {name: value for name, value in needed.items() if card.data.get(name) is None}
    for name, value in lacking.items():
        card.data[name] = value
    return str(card) if lacking else text


def _check_links(text: str, names: Collection[str], path: Path) -> None:
    """Refuse links to files that the repository will not have."""
    for found in re.finditer(r"\]\(([^)\s]+)\)", text):
        target = found[1]
        if not re.match(r"https?://|mailto:|#", target) and target.split("#")[0] not in {*names, CARD}:
            raise ValueError(f"{path}: expected links to addresses or to files of the model, found {target}")


# --- written from the records --------------------------------------------------------------------------------------


def _generated_card(folder: Path, repo_id: str, kind: str, licence: str, names: Collection[str], shown: str) -> str:
    training, calibration = (without_machine(read_record(folder / name)) for name in (TRAINING, CALIBRATION))
    data, base, judged = training.get("data") or {}, training.get("base") or {}, calibration.get("model")
    start = judged if isinstance(judged, dict) else {"name": judged}
    origin = judged if isinstance(judged, dict) else base
    name, results = repo_id.split("/")[-1], list(_results(training, calibration))
    metadata = ModelCardData(
        library_name="transformers",
        license=licence,
        tags=list(TAGS),
        pipeline_tag=None if kind == PRETRAINED else TASK,
        base_model=origin.get("name") if origin.get("commit") else None,
        datasets=[data["source"]] if data.get("commit") else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    text = _rendered(
        "model_card.md.j2",
        **{"name": name, "usage": usage(repo_id, kind), "pretrained": kind == PRETRAINED, "licence": licence},
        **{"training": training, "calibration": calibration, "start": start, "names": names, "shown": shown},
        groups=[f"{len(ids)} {group}" for group, ids in (training.get("planets") or {}).items() if ids],
        scores=_score_columns(training, ", before calibration" if calibration else ""),
        calibrated=[f"{METRICS[name]} {value:.4g}" for name, value in _calibrated_scores(calibration).items()],
        **{"METRICS": METRICS, "ON_THE_FLY": ON_THE_FLY, "OWN": OWN, "GENERATED": GENERATED},
        WATT_A_CORE=WATT_A_CORE,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{text}\n"


def _score_columns(record: dict[str, Any], when: str) -> dict[str, dict[str, float]]:
    """Recorded scores by the title of their column."""
    columns = {
        f"validation{when}": record.get("evaluation"),
        "validation, physics alone": record.get("classical on validation"),
        f"held out{when}": record.get("held out"),
        "held out, physics alone": record.get("classical on held out"),
    }
    return {title: scores for title, scores in columns.items() if scores}


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
