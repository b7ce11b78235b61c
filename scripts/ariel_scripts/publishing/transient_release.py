"""Datasets and models of transients → what their repositories on the Hub hold.

The challenge states no licence: rows of it, and what was trained on them, are refused. Cards are written from the
records, weights and trees are sent as they are, code is this package's own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ariel_scripts.opening.provenance import CARD, OWN, SIMULATED, TRAINING, layouts_of, read_record
from ariel_scripts.publishing.release import Release, without_machine
from ariel_scripts.templates import text_templates
from ariel_scripts.transients.search import FILE, load_search
from hf_dataset.folders import read_json
from hf_dataset.store.contents import OPEN_LICENCE
from hf_dataset.store.parquet import find_shards
from hf_dataset.transients import card, schema
from hf_dataset.transients.contents import DATA_DIR, Contents, read_contents
from hf_dataset.transients.findings import Findings
from modeling_ariel.transients.pipeline_transient import TransientPipeline

DATASET_FILES = (CARD, "dataset.json", "report.json", f"{DATA_DIR}/*.parquet")
WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
MODEL_FILES = (CARD, FILE, "member-*", WEIGHTS, CONFIG, PREPROCESSOR, TRAINING, "*.py")
NO_LICENCE = "no licence was found for the challenge's: not to be passed on"


def dataset_release(folder: str | Path, repo_id: str) -> Release:
    """What a push of the dataset `folder` sends to `repo_id`; the same folder gives the same bytes.

    Raises:
        ValueError: no finished dataset of transients, rows that are not the simulator's, or that the records or the
            schema do not fit.
    """
    out = Path(folder)
    record, report = (read_json(out / name) for name in ("dataset.json", "report.json"))
    if record is None or report is None or not (out / CARD).is_file():
        raise ValueError(f"{out}: expected a dataset of `ariel transients build`, with {CARD} and records, found none")
    contents = read_contents(out)
    if contents.licence != OPEN_LICENCE:
        raise ValueError(
            f"{out}: expected simulated rows alone, found layout {', '.join(contents.layouts)}; {NO_LICENCE}"
        )
    _check_rows(out, contents, record)
    about = without_machine(record)
    text = card.card(replace(contents, name=repo_id), about["provenance"], Findings.of_record(report))
    shards = [path for paths in find_shards(out, DATA_DIR).values() for path in paths]
    files: dict[str, Path | bytes] = {path.relative_to(out).as_posix(): path for path in map(Path, map(str, shards))}
    files |= {CARD: text.encode(), "dataset.json": _json(about), "report.json": _json(without_machine(report))}
    return Release("dataset", repo_id, files, DATASET_FILES)


def _check_rows(out: Path, contents: Contents, record: dict[str, Any]) -> None:
    """Hold rows to the schema and the record to the rows."""
    stated = {split: part["rows"] for split, part in record["splits"].items()}
    found = {split: part.rows for split, part in contents.splits.items()}
    if stated != found:
        raise ValueError(f"{out / 'dataset.json'}: expected the rows of the shards, {found}, found {stated}")
    for paths in find_shards(out, DATA_DIR).values():
        for path in map(Path, map(str, paths)):
            for row in pq.read_table(path).to_pylist():
                row["lightcurve"] = {name: np.asarray(values) for name, values in row["lightcurve"].items()}
                try:
                    schema.check_row(row)
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error


def model_release(folder: str | Path, repo_id: str) -> Release:
    """What a push of a model of `boost` or `finetune` sends.

    Raises:
        ValueError: no such model, not all weights, or one that learned from rows that are not the simulator's.
    """
    out = Path(folder)
    boosted = (out / FILE).is_file()
    if not boosted and not (out / CONFIG).is_file():
        raise ValueError(
            f"{out}: expected a model of `ariel transients boost` or `finetune`, found neither {FILE} nor {CONFIG}"
        )
    files, layouts = _boosted(out) if boosted else _network(out)
    if layouts != {SIMULATED}:
        found = f"layout {', '.join(sorted(layouts - {SIMULATED}))}" if layouts else "no record of its rows"
        raise ValueError(f"{out}: expected a model that learned from simulated rows alone, found {found}; {NO_LICENCE}")
    text = text_templates("ariel_scripts.publishing").get_template("transient_card.md.j2")
    training = read_record(out / TRAINING)
    values = {"repo_id": repo_id, "boosted": boosted, "licence": OWN, "training": without_machine(training)}
    files[CARD] = (text.render(values).strip() + "\n").encode()
    return Release("model", repo_id, files, MODEL_FILES)


def _boosted(out: Path) -> tuple[dict[str, Path | bytes], frozenset[str]]:
    """Files of a search, and the layouts that it learned from."""
    search = load_search(out)
    members = [Path(name).name for name in read_record(out / FILE)["members"]]
    return {FILE: out / FILE, **{name: out / name for name in members}}, frozenset(search.layouts)


def _network(out: Path) -> tuple[dict[str, Path | bytes], frozenset[str]]:
    """Files of a checkpoint with this package's code, and the layouts that it learned from."""
    pipeline = TransientPipeline.from_pretrained(out)
    for name, values in pipeline.model.named_parameters():
        if not values.isfinite().all():
            raise ValueError(f"{out / WEIGHTS}: {name}: expected finite weights, found others")
    with tempfile.TemporaryDirectory(prefix="transient-model-") as scratch:
        stage = Path(scratch)
        pipeline.save_pretrained(stage)
        shutil.copyfile(out / WEIGHTS, stage / WEIGHTS)
        kept = [path for path in sorted(stage.iterdir()) if path.suffix in (".json", ".py")]
        files: dict[str, Path | bytes] = {path.name: path.read_bytes() for path in kept}
    files[WEIGHTS] = (out / WEIGHTS).resolve()
    files[TRAINING] = _json(without_machine(read_record(out / TRAINING)))
    return files, layouts_of(out) or frozenset()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


RELEASES: dict[str, Callable[[str | Path, str], Release]] = {"dataset": dataset_release, "model": model_release}
