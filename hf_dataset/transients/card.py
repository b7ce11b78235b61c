"""The dataset card, for people and for `load_dataset`; nothing reads it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from huggingface_hub import DatasetCard

from hf_dataset.store.card_data import card_data
from hf_dataset.store.contents import OPEN_LICENCE
from hf_dataset.transients import schema
from hf_dataset.transients.contents import CONFIG, DATA_DIR, Contents
from hf_dataset.transients.findings import Findings

TITLE = "Multi-band light curves of transients"
TAGS = ["astronomy", "time-series", "transients", "tidal-disruption-events", "lsst"]
RULES = "https://www.kaggle.com/competitions/mallorn-astronomical-classification-challenge/rules"

MADE = """\
Measurements are those of the raw tables, sorted by time and band; nothing is corrected, averaged or normalised, and \
the dust of `ebv` is still in the fluxes. What cannot be used is left out and counted below; `report.json` names every \
object that it concerns. The tables' translation of the objects' names, and the number of the folder that an \
object was in, are not kept."""

SPLITS = """\
`train` and `test` are the raw folder's. Redshifts are spectroscopic in `train` and photometric in `test`, with an \
error of 0.02 (1 + z): whether `redshift_err` is null tells the split, so it must be no feature, and a model should be \
trained on redshifts with that error added. The challenge made many objects from one observed event, so that siblings \
may be in several folds: `hf_dataset.transients.folds.stratified_folds` keeps classes even and groups together. A fold \
by the name alone, which stays when objects come or go:

```python
import hashlib


def fold_of(object_id: str, n_folds: int, seed: int = 0) -> int:
    digest = hashlib.sha256(f"{seed}:{object_id}".encode()).digest()
    return int(int.from_bytes(digest[:6], "big") / 2**48 * n_folds)  # held out in this fold
```

The challenge's score is F1 of the tidal disruption events (`target` 1)."""

CITATION = """\
@article{magill2025mallorn,
  title   = {{MALLORN}: Many Artificial {LSST} Lightcurves based on Observations of Real Nuclear transients},
  author  = {Magill, Dylan and Nicholl, M. and Anilkumar, V. and van Velzen, S. and Sheng, X. and others},
  year    = {2025},
  journal = {arXiv e-prints},
  eprint  = {2512.04946}
}
"""


def card(contents: Contents, provenance: Mapping[str, Any], findings: Findings) -> str:
    """The card of a dataset folder: its YAML and its text."""
    terms = {} if contents.licence == OPEN_LICENCE else {"license_name": "mallorn-challenge", "license_link": RULES}
    data = card_data(
        {CONFIG: contents.splits},
        {CONFIG: DATA_DIR},
        schema.features(),
        pretty_name=TITLE,
        license=contents.licence,
        task_categories=["tabular-classification"],
        tags=TAGS,
        **terms,
    )
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{_body(contents, provenance, findings)}"))


def _body(contents: Contents, provenance: Mapping[str, Any], findings: Findings) -> str:
    made_of = json.dumps(provenance, indent=2, ensure_ascii=False, default=str)
    return "\n\n".join(
        [
            f"# {TITLE}",
            "Difference-image fluxes of extragalactic transients in the six bands of LSST (layout "
            f"{', '.join(contents.layouts)}). A row is an object; the question is which are tidal disruption events.",
            _splits_table(contents),
            "## Columns",
            _columns_table(),
            "## Loading",
            _examples(contents.name, next(iter(contents.splits))),
            "## How the rows were made",
            MADE,
            _left_out(findings),
            "## Splits, folds and score",
            SPLITS,
            "## Provenance",
            f"<details><summary>What made this folder</summary>\n\n```json\n{made_of}\n```\n\n</details>",
            "## Licence and citation",
            f"{_licence(contents)}\n\n```bibtex\n{CITATION.strip()}\n```\n",
        ]
    )


def _splits_table(contents: Contents) -> str:
    lines = ["| split | objects | with a target | TDEs | measurements | size |", "|---|--:|--:|--:|--:|--:|"]
    for name, part in contents.splits.items():
        numbers = (part.rows, part.labelled, part.positives, part.measurements)
        lines.append(f"| {name} | {' | '.join(f'{one:,}' for one in numbers)} | {part.stored / 1e6:.1f} MB |")
    return "\n".join(lines)


def _columns_table() -> str:
    lines = ["| column | type | shape | unit | meaning |", "|---|---|---|---|---|"]
    columns = [(column.name, column) for column in schema.COLUMNS]
    columns[1:1] = [(f"lightcurve.{column.name}", column) for column in schema.CURVE]
    for name, column in columns:
        shape = f"[{', '.join(map(str, column.shape))}]" if column.shape else ""
        lines.append(f"| `{name}` | {column.dtype} | {shape} | {column.unit} | {column.meaning} |")
    return "\n".join([*lines, "", "N measurements, another number for each object."])


def _examples(name: str, split: str) -> str:
    return f"""\
`{name}` is this folder's path, or the dataset's id on the Hub.

```python
from datasets import load_dataset

objects = load_dataset("{name}", split="{split}")
first = objects.with_format("numpy")[0]["lightcurve"]
in_r = first["band"] == "r"
times, fluxes = first["time"][in_r], first["flux"][in_r]  # (N,) [d], [µJy]

stream = load_dataset("{name}", split="{split}", streaming=True)  # rows come as they are read
longest = max(stream, key=lambda row: len(row["lightcurve"]["time"]))["object_id"]
```"""


def _left_out(findings: Findings) -> str:
    lines = ["| left out or noted | how many |", "|---|--:|"]
    lines += [f"| {what} left out | {count:,} |" for what, count in findings.counts().items()]
    lines += [f"| objects kept, {kind} | {len(names):,} |" for kind, names in sorted(findings.notes.items())]
    return "\n".join(lines)


def _licence(contents: Contents) -> str:
    if contents.licence == OPEN_LICENCE:
        return (
            "The rows are made by this project's simulator and are under Apache-2.0. They imitate the layout of the "
            "MALLORN challenge; cite it for the format:"
        )
    return (
        "Derived from the data of the MALLORN challenge, for which no licence was found: the competition's rules hold. "
        "Do not pass these rows on without its authors' consent. Please cite:"
    )
